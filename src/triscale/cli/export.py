"""`triscale export`: a model as the file that ships, compared with the model before anyone uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from triscale.cli.output import print_json
from triscale.errors import SpecError


def export_command(
    model: str,
    out: Path,
    *,
    engine: Literal["onnx", "openvino"] | None = None,
    pixels: Annotated[tuple[int, ...], Parameter(name="--size", consume_multiple=True)] = (),
    images: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    count: int = 64,
    module: str | None = None,
    json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Export a model, run the same images through both, and exit 1 if they differ.

    Example: triscale export runs/photos model.onnx

    Parameters
    ----------
    model
        a run's folder, a model file (.safetensors), hf://OWNER/REPO, a name with installed weights, or your own code as
        file.py:factory, with the weights that it gives its module
    out
        ends in .onnx (ONNX Runtime) or .xml (OpenVINO, with its .bin beside it)
    engine
        told by the ending of OUT if not given
    pixels
        input size: one number, or height and width; the model's own by default
    images
        compare on these files, folders or globs instead of random images
    count
        how many images are compared at most
    module
        file.py:factory, the code of a run or model file that holds the weights of a module of your own
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

    size = (pixels[0], pixels[-1]) if pixels else None
    source = open_model(model, module, size)
    size = size or source.preprocessing.size
    written = export(source, out, engine, size)
    if images:
        compared = torch.stack([load_image(p, source.preprocessing, size) for p in image_files(images)[:count]])
    else:
        shape = (count, source.in_channels, *size)
        compared = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    check = verify(source, written.path, compared)
    latency = measure_fresh(written.path)
    if json:
        print_json(
            {
                "file": str(written.path),
                "engine": written.engine,
                "precision": written.precision,
                "size_bytes": written.size_bytes,
                "images": check.images,
                "max_error": check.max_error,
                "top1_agreement": check.top1_agreement,
                "latency_ms": latency.median_ms,
                "verified": check.ok,
            }
        )
    else:
        kind = "images" if images else "random images"
        print(f"{written.path}: {written.engine}, {written.precision}, {written.size_bytes / 1e6:.2f} MB")
        print(
            f"largest difference {check.max_error:.2e} (allowed {check.tolerance:g}), same first class on "
            f"{check.top1_agreement:.1%} of {check.images} {kind}"
        )
        print(f"latency {latency}")
    check.require()
    return 0
