"""A module that is no Network as an ONNX graph: torch's own exporter, kept quiet, and cleaned of what it tells."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Generator
from typing import TYPE_CHECKING

import torch
from torch import nn

from triscale.deployment.onnx_graph import BATCH, INPUT, OUTPUT
from triscale.errors import MissingExtraError, SpecError
from triscale.spec.network import Size

if TYPE_CHECKING:
    import onnx

OPSET = 18  # the oldest that torch's exporter writes


def traced_graph(module: nn.Module, in_channels: int, size: Size, name: str) -> onnx.ModelProto:
    """Trace a module in evaluation mode and write it as ONNX, for any batch of images of `size` pixels (H, W).

    name: of the module, for errors. The module is left as it is.
    Raises: MissingExtraError without onnxscript; SpecError when it cannot be traced, or not for any batch.
    """
    try:
        import onnxscript  # noqa: F401 -- torch's exporter needs it, and would complain in many lines
    except ImportError as error:
        raise MissingExtraError("onnxscript", "deploy", "Exporting a module of your own") from error
    # Weights in channels_last layout would be written with a transposition before every convolution.
    traced = copy.deepcopy(module).cpu().eval().to(memory_format=torch.contiguous_format)  # ty: ignore[no-matching-overload]
    images = torch.zeros(2, in_channels, *size)
    try:
        with _quiet():
            program = torch.onnx.export(
                traced,
                (images,),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim(BATCH)},),
            )
            assert program is not None  # with dynamo=True it always is one
            graph = program.model_proto
    except MemoryError:
        raise
    except Exception as error:  # torch's exporter has its own errors, and passes on those of whatever it traces
        raise SpecError(f"export: {name} cannot be traced for any batch of images: {_reason(error)}.") from error
    for value in (*graph.graph.input, *graph.graph.output):
        if not value.type.tensor_type.shape.dim[0].dim_param:
            raise SpecError(
                f"export: {name} cannot be traced for any batch of images: "
                f"its code fixes how many there are (len(images) does that, images.shape[0] does not)."
            )
    return _cleaned(graph)


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Neither progress, nor warnings, nor log lines of the exporter: what matters comes as an exception."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _cleaned(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Without notes on where in the user's files each operation stood: they name folders of this machine."""
    inner = graph.graph
    for part in (graph, inner, *inner.node, *inner.input, *inner.output, *inner.value_info, *inner.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.producer_name = "triscale"
    return graph


def _reason(error: BaseException) -> str:
    """The first sentence of what went wrong at the bottom of a chain of errors."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200].rstrip(".")
