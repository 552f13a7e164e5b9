"""From a model to the file that ships: ONNX, or OpenVINO's pair of files."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import time
import zlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from triscale import atomic
from triscale.deployment import metadata as meta
from triscale.deployment.detector_graph import detector_graph
from triscale.deployment.fuse import fuse
from triscale.deployment.metadata import Metadata, Told, describe
from triscale.deployment.onnx_graph import onnx_graph
from triscale.deployment.traced import traced_graph
from triscale.detection.detector import DetectorNet
from triscale.errors import FileError, MissingExtraError, SpecError
from triscale.models.assembler import ConvNet
from triscale.models.model import Model
from triscale.spec.network import Size, as_size
from triscale.spec.suppression import Suppression

if TYPE_CHECKING:
    import onnx

ExportEngine = Literal["onnx", "openvino"]
Form = Literal["in", "out"]  # where a detector's suppression is: in the file, or outside
SUFFIXES: dict[ExportEngine, str] = {"onnx": ".onnx", "openvino": ".xml"}
LARGEST = 2**31 - 2**20  # bytes that one protobuf message can hold, less the graph around the weights


@dataclass(frozen=True, slots=True)
class Export:
    """A file that was written.

    engine: what it is for. precision: of its weights. size_bytes: of all files that must be shipped together.
    seconds: that writing took. input_size: (H, W) in pixels of the images that it reads, any number at a time.
    """

    path: Path
    engine: str
    precision: str
    size_bytes: int
    seconds: float
    input_size: Size


def export(
    model: Model,
    path: str | Path,
    engine: ExportEngine | None = None,
    size: int | Size | None = None,
    suppression: Form | None = None,
    rule: Suppression | None = None,
) -> Export:
    """Write `model` for an inference engine: BatchNorm folded, pads static, any batch, fp32.

    path: ends in .onnx, or .xml for OpenVINO (its weights go to a .bin beside it).
    engine: told by the path if not given.
    size: (H, W) of the images; by default what the model's preprocessing makes. Preprocessing, class names and origin
        are written into the file, so that nothing else is needed to use it.
    suppression: of a detector. "out", the default: the file gives `boxes` (B, A, 4) and `scores` (B, A, classes) of all
        anchors, and suppression is applied outside. "in": it gives `boxes` (B, D, 4), `scores` and `labels` (B, D) and
        `count` (B), the detections themselves. Boxes are (x1, y1, x2, y2) in pixels of the input.
    rule: which boxes of a detector are told; by default the detector's own.
    Returns: Export. The files are there whole, or the old ones are untouched.
    A network or detector is written operation by operation; a module of the user's own is traced by torch.
    Raises: MissingExtraError without the engine's library; FileError when it cannot be written; SpecError for a model
        without a classifier, one that cannot be traced, one that no single file can hold, soft suppression in a file,
        or suppression for what finds no boxes.
    """
    path, start = Path(path), time.perf_counter()
    engine = engine or _engine_of(path)
    if engine not in get_args(ExportEngine):
        raise SpecError(f"export: there is no engine {engine!r}; choose one of {', '.join(get_args(ExportEngine))}.")
    if path.suffix != SUFFIXES[engine]:
        raise SpecError(f"export: a file for {engine} ends in {SUFFIXES[engine]}, got {path.name!r}; rename it.")
    told = _told(model, suppression, rule)
    described = describe(model, None if size is None else as_size(size), told)
    graph = _graph(model, described)
    if engine == "onnx":
        graph.metadata_props.add(key=meta.KEY, value=meta.encode(described))
        atomic.write_bytes(path, graph.SerializeToString())
    else:
        _write_openvino(graph, described, path)
    seconds = time.perf_counter() - start
    return Export(path, engine, described.precision, shipped_bytes(path), seconds, described.input_size)


def shipped_bytes(path: str | Path) -> int:
    """Size of an exported network with every file that it needs."""
    path = Path(path)
    parts = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    return sum(part.stat().st_size for part in parts)


def _engine_of(path: Path) -> ExportEngine:
    for engine, suffix in SUFFIXES.items():
        if path.suffix == suffix:
            return engine
    known = ", ".join(f"{suffix} ({engine})" for engine, suffix in SUFFIXES.items())
    raise SpecError(f"export: cannot tell the engine from {path.name!r}; end it in one of {known}.")


def _told(model: Model, suppression: Form | None, rule: Suppression | None) -> Told | None:
    if isinstance(model, DetectorNet):
        if suppression not in (None, *get_args(Form)):
            raise SpecError(f'export: suppression must be "in" or "out", got {suppression!r}.')
        return Told(rule or model.detector.suppression, suppression == "in")
    if suppression is not None or rule is not None:
        raise SpecError(f"export: {model.name} finds no boxes, so it has no suppression; leave that out.")
    return None


def _graph(model: Model, described: Metadata) -> onnx.ModelProto:
    if not model.outputs:
        raise SpecError(f"export: {model.name} has no classifier; give its Network a head.")
    needed = 4 * sum(p.numel() for p in model.parameters())
    if needed > LARGEST:
        raise SpecError(
            f"export: the weights take {needed / 2**30:.1f} GiB and one ONNX file holds 2; use a smaller network."
        )
    if isinstance(model, DetectorNet):
        assert described.detector is not None  # as `_told` says
        inside = described.detector.suppression if described.detector.inside else None
        return detector_graph(model, described.input_size, inside)
    if isinstance(model, ConvNet):
        return onnx_graph(fuse(model, described.input_size), described.in_channels, described.outputs)
    return traced_graph(model, described.in_channels, described.input_size, model.name)


def _write_openvino(graph: onnx.ModelProto, described: Metadata, path: Path) -> None:
    """Write the pair. The old .xml goes first and the new one comes last: what a crash leaves is never a mixed pair."""
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError("openvino", "openvino", "Exporting to OpenVINO") from error
    network = openvino.Core().read_model(io.BytesIO(graph.SerializeToString()))
    network.set_rt_info(meta.encode(described), [meta.KEY])
    with _folder_beside(path) as folder:
        made, weights = folder / "network.xml", folder / "network.bin"
        try:
            openvino.save_model(network, made, compress_to_fp16=False)
            checksum = zlib.crc32(weights.read_bytes())
            openvino.Core().read_model(made)  # a full disk truncates without a word
        except RuntimeError as error:
            why = " ".join(str(error).split())[-120:]
            raise FileError(f"{path}: cannot be written whole ({why}); is the disk full?") from error
        text = made.read_text(encoding="utf-8")
        made.write_text(text.replace(_checksum_field(0), _checksum_field(checksum)), encoding="utf-8")
        for file in (made, weights):
            with file.open("rb+") as handle:
                os.fsync(handle.fileno())
        path.unlink(missing_ok=True)
        weights.replace(path.with_suffix(".bin"))
        made.replace(path)


def _checksum_field(value: int) -> str:
    """How the checksum of the weights stands in the .xml."""
    return f"&quot;weights_crc32&quot;:{value},"


@contextlib.contextmanager
def _folder_beside(path: Path) -> Generator[Path]:
    folder = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
