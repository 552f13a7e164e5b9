"""`triscale export`: a model as the file that ships, compared with the model before anyone uses it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from triscale.cli.output import print_json
from triscale.errors import SpecError

if TYPE_CHECKING:
    from triscale.models.model import Model
    from triscale.spec.suppression import Method, Suppression


def export_command(
    model: str,
    out: Path,
    *,
    engine: Literal["onnx", "openvino"] | None = None,
    pixels: Annotated[tuple[int, ...], Parameter(name="--size", consume_multiple=True)] = (),
    images: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    count: int = 64,
    module: str | None = None,
    suppression: Literal["in", "out"] | None = None,
    method: Literal["hard", "soft"] | None = None,
    iou: float | None = None,
    score: float | None = None,
    classes: Literal["apart", "together"] | None = None,
    json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Export a model, run the same images through both, and exit 1 if they differ.

    A detector is exported without suppression (the file gives boxes and scores of all anchors; `triscale predict`
    suppresses outside) or with it (the file gives boxes, scores, labels and their count).

    Example: triscale export runs/photos model.onnx

    Parameters
    ----------
    model
        a run's folder, a model file (.safetensors), hf://OWNER/REPO, a name with installed weights, or your own code as
        file.py:factory, with the weights that it gives its module; a network file (.json) has none, and gets fresh ones
        to be measured with
    out
        ends in .onnx (ONNX Runtime) or .xml (OpenVINO, with its .bin beside it)
    engine
        told by the ending of OUT if not given
    pixels
        input size: one number, or height and width; the model's own by default
    images
        compare on these files, folders or globs instead of random images; a detector needs some with objects
    count
        how many images are compared at most
    module
        file.py:factory, the code of a run or model file that holds the weights of a module of your own
    suppression
        of a detector: in the file, or out of it, which is the default
    method
        of a detector's suppression: hard drops a box that a better one overlaps, soft weakens it and is never in a file
    iou
        of a detector: the overlap in 0..1 from which hard suppression drops
    score
        of a detector: the score in 0..1 below which no box is told
    classes
        of a detector: apart, boxes of different classes do not suppress each other; together, they do
    json
        print JSON instead of text
    """
    if len(pixels) > 2 or count < 1:
        raise SpecError(
            f"--size takes one or two numbers and --count at least 1, got {len(pixels)} numbers and {count}."
        )
    import torch

    from triscale.cli.models import open_model
    from triscale.data.transforms import load as load_image
    from triscale.deployment.export import export
    from triscale.deployment.latency import measure_fresh
    from triscale.deployment.predictor import image_files
    from triscale.deployment.verify import verify
    from triscale.deployment.verify_detector import verify_detector
    from triscale.detection.detector import DetectorNet

    size = (pixels[0], pixels[-1]) if pixels else None
    source = _fresh(model) if model.endswith(".json") else open_model(model, module, size)
    rule = _rule(source, method, iou, score, classes)
    size = size or source.preprocessing.size
    if images:
        compared = torch.stack([load_image(p, source.preprocessing, size) for p in image_files(images)[:count]])
    else:
        shape = (count, source.in_channels, *size)
        compared = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    written = export(source, out, engine, size, suppression, rule)
    detects = isinstance(source, DetectorNet)
    check = verify_detector(source, written.path, compared) if detects else verify(source, written.path, compared)
    latency = measure_fresh(written.path)
    if json:
        document = {
            "file": str(written.path),
            "engine": written.engine,
            "precision": written.precision,
            "size_bytes": written.size_bytes,
        }
        print_json(document | check.figures() | {"latency_ms": latency.median_ms, "verified": check.ok})
    else:
        kind = "images" if images else "random images"
        print(f"{written.path}: {written.engine}, {written.precision}, {written.size_bytes / 1e6:.2f} MB")
        print(check.said(kind))
        print(f"latency {latency}")
    check.require()
    return 0


def _fresh(path: str) -> Model:
    """The network of a file, with fresh weights from seed 0. Raises: SpecError for a detector."""
    import torch

    from triscale.cli.names import resolve
    from triscale.models.create import create_model

    network = resolve(path)
    print(f"{path}: has no weights; it gets fresh ones, to be measured and not to be used", file=sys.stderr)
    torch.manual_seed(0)
    return create_model(network)


def _rule(
    model: Model, method: Method | None, iou: float | None, score: float | None, classes: str | None
) -> Suppression | None:
    """The detector's suppression with what was asked for; None where nothing was."""
    from dataclasses import replace

    from triscale.detection.detector import DetectorNet

    asked = {"method": method, "iou": iou, "score": score}
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    if classes is not None:
        changes["per_class"] = classes == "apart"
    if not changes:
        return None
    if not isinstance(model, DetectorNet):
        raise SpecError(f"{model.name} finds no boxes; leave --method, --iou, --score and --classes out.")
    return replace(model.detector.suppression, **changes)
