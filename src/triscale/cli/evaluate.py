"""`triscale eval`: how good a trained or exported model is on images with labels."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from triscale.cli.output import print_json, print_table
from triscale.errors import DataError


def evaluate_command(
    model: str,
    data: str,
    *,
    split: Literal["auto", "test", "val", "train", "all"] = "auto",
    seed: int = 0,
    skip_broken: bool = False,
    module: str | None = None,
    json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Evaluate a model on images that have labels, with the preprocessing that its weights came with.

    Example: triscale eval runs/photos photos --split test

    Parameters
    ----------
    model
        a run's folder, a model file, an exported file (.onnx, .xml), hf://OWNER/REPO, or a name with installed weights
    data
        an image folder, a CSV, or shards
    split
        auto takes test where there is one, else val
    seed
        of the split, where the data has none: the one that the model was trained with
    skip_broken
        go on without images that cannot be read
    module
        file.py:factory, the code of a run or model file that holds the weights of a module of your own
    json
        print JSON instead of a table
    """
    import numpy as np

    from triscale.cli.models import loader_of
    from triscale.data.dataset import read_dataset
    from triscale.deployment.predictor import BATCH, open_predictor

    dataset = read_dataset(data, seed=seed, skip_broken=skip_broken)
    predictor = open_predictor(model, own=loader_of(module))
    chosen = ("test" if dataset.test else "val") if split == "auto" else split
    samples = dataset.train + dataset.val + dataset.test if chosen == "all" else getattr(dataset, chosen)
    if not samples:
        raise DataError(f"{data}: has no {chosen} images; choose another --split.")
    outputs = _outputs_of(dataset.classes, predictor.classes, data)
    scores = np.concatenate(
        [predictor.probabilities([s.path for s in samples[i : i + BATCH]]) for i in range(0, len(samples), BATCH)]
    )
    truth = np.array([outputs[sample.label] for sample in samples])
    order = np.argsort(-scores, axis=1, kind="stable")[:, : min(5, scores.shape[1])]
    right = order == truth[:, None]
    per_class = {
        name: float(right[truth == outputs[i], 0].mean())
        for i, name in enumerate(dataset.classes)
        if (truth == outputs[i]).any()
    }
    document = {
        "split": chosen,
        "images": len(samples),
        "top1": float(right[:, 0].mean()),
        "top5": float(right.any(1).mean()),
        "per_class": per_class,
    }
    if json:
        print_json(document)
        return 0
    print(f"{predictor.source} on {len(samples)} {chosen} images of {data}")
    print(f"top-1 {document['top1']:.2%}, top-5 {document['top5']:.2%}")
    print_table(("class", "right"), [(name, f"{rate:.1%}") for name, rate in per_class.items()])
    return 0


def _outputs_of(data: tuple[str, ...], model: tuple[str, ...], where: str) -> list[int]:
    """Which output of the model each class of the data is, by name."""
    if not model:
        return list(range(len(data)))
    unknown = [name for name in data if name not in model]
    if unknown:
        raise DataError(f"{where}: the model does not know the class {unknown[0]!r}; it knows {', '.join(model[:8])}.")
    return [model.index(name) for name in data]
