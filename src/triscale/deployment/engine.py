"""One way to run a network, whatever it was written for: ONNX Runtime, OpenVINO, or triscale's own file in PyTorch."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from triscale.deployment import metadata as meta
from triscale.deployment.metadata import Metadata, Told
from triscale.deployment.signal_stack import kept_signal_stack
from triscale.detection.detections import Detections
from triscale.errors import FileError, MissingExtraError, SpecError
from triscale.spec.preprocessing import Preprocessing
from triscale.spec.suppression import Suppression

if TYPE_CHECKING:
    import onnxruntime
    import openvino

    from triscale.models.model import Model


Precision = Literal["fp32", "default"]
Infer = Callable[[np.ndarray], np.ndarray]
Answers = Callable[[np.ndarray], Sequence[np.ndarray]]  # all outputs; they may be overwritten by the next call
Detect = Callable[[np.ndarray, Suppression], list[Detections]]


@dataclass(frozen=True, eq=False)
class Engine:
    """A network that is loaded and ready to run.

    name: "onnxruntime", "openvino" or "torch"; version: of that library.
    precision: of the arithmetic: "fp32", or what the library chose by itself ("bf16", say).
    threads: that one inference uses.
    """

    path: Path
    name: str
    version: str
    precision: str
    threads: int
    metadata: Metadata
    _answers: Answers
    _detect: Detect | None = None

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image becomes the input; it was written into the file."""
        return self.metadata.preprocessing

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in output order, empty where unknown."""
        return self.metadata.classes

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        return self.metadata.in_channels, *self.metadata.input_size

    def run(self, images: np.ndarray) -> np.ndarray:
        """Logits of a batch; of a detector what the file gives first.

        images: (N, C, H, W) float32, preprocessed, of `input_shape`.
        Returns: (N, classes) float32; of a detector's file, boxes.
        Raises: SpecError for another shape.
        """
        return np.array(self.answers(images)[0])

    def answers(self, images: np.ndarray) -> Sequence[np.ndarray]:
        """All outputs for a batch, as for `run`; the next call may overwrite them."""
        return self._answers(self._checked(images))

    def detect(self, images: np.ndarray, suppression: Suppression | None = None) -> list[Detections]:
        """What a detector tells of a batch, in pixels of its input.

        images: as for `run`. suppression: instead of the one that was exported with it, where that is not in the file;
            of a file with suppression only a higher score and fewer detections change anything.
        Raises: SpecError for another shape, or a file that is no detector's.
        """
        told = self.metadata.detector
        if told is None:
            raise SpecError(f"{self.path}: is a classifier, which finds no boxes.")
        images, rule = self._checked(images), suppression or told.suppression
        if self._detect is not None:
            return self._detect(images, rule)
        from triscale.deployment.told import detections_of  # torch comes with it, which nothing else here needs

        return detections_of(self._answers(images), told.inside, rule)

    def _checked(self, images: np.ndarray) -> np.ndarray:
        if images.ndim != 4 or images.shape[1:] != self.input_shape or len(images) == 0:
            expected = ", ".join(map(str, self.input_shape))
            raise SpecError(
                f"{self.path}: reads images of shape (N, {expected}), got {images.shape}; preprocess them first."
            )
        return np.ascontiguousarray(images, dtype=np.float32)


def load_engine(path: str | Path, threads: int | None = None, precision: Precision = "fp32") -> Engine:
    """Load an exported network (.onnx, .xml) or triscale's own file (.safetensors).

    threads: of one inference; None takes every core that this process may use.
    precision: "fp32", or "default": what the engine does on this device when nobody asks (OpenVINO may take bf16).
    Raises: FileError for a missing, truncated or foreign file; MissingExtraError without the engine's library.
    """
    path = Path(path)
    if precision not in get_args(Precision):
        raise SpecError(f'precision must be "fp32" or "default", got {precision!r}.')
    if threads is not None and threads < 1:
        raise SpecError(f"threads must be at least 1, got {threads}.")
    loaders = {".onnx": _load_onnx, ".xml": _load_openvino, ".safetensors": _load_torch}
    if path.suffix not in loaders:
        raise FileError(f"{path}: no engine runs a {path.suffix or 'nameless'} file; give one of {', '.join(loaders)}.")
    if not path.is_file():
        raise FileError(f"{path}: there is no such file; `triscale export` writes it.")
    if not os.access(path, os.R_OK):
        raise FileError(f"{path}: no permission to read it; change it with chmod.")
    return loaders[path.suffix](path, threads or available_cores(), precision)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def graph_runner(graph: bytes, engine: Literal["onnx", "openvino"], threads: int, shape: tuple[int, int, int]) -> Infer:
    """A bare ONNX graph, run at batch 1 in fp32 with the settings that `load_engine` gives an exported network.

    shape: (channels, height, width) of its input.
    Raises: MissingExtraError without the engine's library.
    """
    if engine == "onnx":
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError("onnxruntime", "deploy", "Timing a layer") from error
        session = onnxruntime.InferenceSession(graph, _onnx_options(threads), providers=["CPUExecutionProvider"])
        (source,) = session.get_inputs()
        return lambda images: np.asarray(session.run(None, {source.name: images})[0])
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError("openvino", "openvino", "Timing a layer") from error
    core = openvino.Core()
    model = core.read_model(io.BytesIO(graph))
    model.reshape([1, *shape])
    compiled = _compiled(core, model, _openvino_config(threads, "fp32"))
    return lambda images: np.array(compiled(images)[0])


def _onnx_options(threads: int) -> onnxruntime.SessionOptions:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # its errors come as exceptions
    # Waiting threads that spin hold a core that others need: on a busy two-core machine they made Lite0 at 64 px take
    # 6 to 10 ms instead of 2 to 4.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _openvino_config(threads: int, precision: Precision) -> dict[str, object]:
    config: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    if precision == "fp32":
        config["INFERENCE_PRECISION_HINT"] = "f32"
    return config


def _compiled(core: openvino.Core, model: openvino.Model, config: dict[str, object]) -> openvino.CompiledModel:
    with kept_signal_stack():
        return core.compile_model(model, "CPU", config)


def _load_onnx(path: Path, threads: int, precision: Precision) -> Engine:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("onnxruntime", "deploy", f"Running {path.name}") from error
    try:
        session = onnxruntime.InferenceSession(str(path), _onnx_options(threads), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has a dozen unrelated exception classes
        raise _unreadable(path, error) from error
    written = session.get_modelmeta().custom_metadata_map.get(meta.KEY)
    found = _described(path, written)
    (source,) = session.get_inputs()

    def answers(images: np.ndarray) -> Sequence[np.ndarray]:
        return [np.asarray(each) for each in session.run(None, {source.name: images})]

    return Engine(path, "onnxruntime", onnxruntime.__version__, found.precision, threads, found, answers)


def _load_openvino(path: Path, threads: int, precision: Precision) -> Engine:
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError("openvino", "openvino", f"Running {path.name}") from error
    # Its reader tries six other formats on what it does not know, and prints what each of them thinks.
    head, tail = _ends(path)
    weights = path.with_suffix(".bin")
    if b"<net" not in head or not tail.rstrip().endswith(b"</net>"):
        raise _unreadable(path, "it is not OpenVINO's XML, or its end is missing")
    if not weights.is_file():
        raise FileError(
            f"{weights}: is missing; {path.name} keeps its weights there. Copy both files, or export again."
        )
    core = openvino.Core()
    try:
        model = core.read_model(path)
        written = str(model.get_rt_info([meta.KEY]).astype(str)) if model.has_rt_info([meta.KEY]) else None
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    found = _described(path, written)
    if zlib.crc32(weights.read_bytes()) != found.weights_crc32:
        raise FileError(f"{weights}: does not belong to {path.name}, or is damaged; export the model again.")
    config = _openvino_config(threads, precision)
    single = model.clone()
    single.reshape([1, found.in_channels, *found.input_size])
    compiled = {1: _compiled(core, single, config)}
    used = compiled[1].get_property("INFERENCE_PRECISION_HINT")

    def answers(images: np.ndarray) -> Sequence[np.ndarray]:
        # A batch of one runs a graph of fixed shape, which is faster; all others share one, made when first needed.
        kind = 1 if len(images) == 1 else 0
        if kind not in compiled:
            compiled[kind] = _compiled(core, model, config)
        return list(compiled[kind](images).values())

    name = {"f32": "fp32", "f16": "fp16"}.get(used.get_type_name(), used.get_type_name())
    return Engine(path, "openvino", openvino.__version__.split("-")[0], name, threads, found, answers)


def _load_torch(path: Path, threads: int, precision: Precision) -> Engine:
    from triscale.detection.files import load

    return torch_engine(load(path), threads, path)


def torch_engine(model: Model, threads: int | None = None, path: Path = Path("the module")) -> Engine:
    """A model that PyTorch runs: a network in its fused form, a detector folded, a module of the user's own as it is.

    model: in evaluation mode. threads: of one inference; None takes every core. path: what to call it in errors.
    """
    import torch

    from triscale.deployment.torch_runner import torch_runner
    from triscale.detection.detector import DetectorNet

    threads = threads or available_cores()
    runner = torch_runner(model, threads)
    told = Told(model.detector.suppression, False) if isinstance(model, DetectorNet) else None
    described = meta.describe(model, told=told)
    return Engine(path, "torch", torch.__version__, "fp32", threads, described, runner.answers, runner.detect)


def _described(path: Path, written: str | None) -> Metadata:
    if written is None:
        raise FileError(
            f"{path}: was not exported by triscale: it does not say how images must be prepared for it; "
            "write it with `triscale export`."
        )
    return meta.decode(written, path)


def _ends(path: Path) -> tuple[bytes, bytes]:
    """The first and the last bytes of a file."""
    with path.open("rb") as file:
        head = file.read(256)
        file.seek(max(0, path.stat().st_size - 64))
        return head, file.read()


def _unreadable(path: Path, why: object) -> FileError:
    reason = " ".join(str(why).split())[-160:]
    return FileError(f"{path}: cannot be loaded ({reason}); it is damaged or of another kind, export the model again.")
