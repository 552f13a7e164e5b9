"""A fused network as an ONNX graph.

A fused network knows few operations, so its graph is written directly: in a quarter of a second, where a general
exporter takes ten. That is what makes a search by measured latency affordable. `verify` holds it against the model.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, fx, nn

from triscale.deployment.fused import Fused, FusedActivation, FusedConv, FusedMaxPool, Gate, GlobalPool, Take
from triscale.errors import MissingExtraError, SpecError

if TYPE_CHECKING:
    import onnx

OPSET = 17  # HardSwish needs 14; every runtime since 2022 reads 17
IR_VERSION = 8  # its file format
FUNCTIONS: dict[object, tuple[str, dict[str, int]]] = {
    operator.add: ("Add", {}),
    torch.flatten: ("Flatten", {"axis": 1}),
    torch.cat: ("Concat", {"axis": 1}),
}
INPUT, OUTPUT, BATCH = "images", "logits", "batch"


def onnx_graph(fused: Fused, in_channels: int, outputs: int) -> onnx.ModelProto:
    """Write a fused network as ONNX, for any batch of images of its size.

    Raises: MissingExtraError without onnx; SpecError for an operation that is none of `fused`'s.
    """
    try:
        from onnx import TensorProto, helper
    except ImportError as error:
        raise MissingExtraError("onnx", "deploy", "Exporting to ONNX") from error
    writer = GraphWriter()
    (last,) = writer.body(fused.body, INPUT)
    writer.add("Identity", [last], OUTPUT)
    result = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [BATCH, outputs])
    return writer.model([BATCH, in_channels, *fused.size], [result])


class GraphWriter:
    """Collects ONNX nodes and constants; every method gives the name of what it wrote."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def model(self, images: Sequence[int | str], results: Sequence[onnx.ValueInfoProto]) -> onnx.ModelProto:
        """What was written as a model that reads `INPUT`, of the shape `images`, and gives `results`."""
        from onnx import TensorProto, helper

        source = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, images)
        graph = helper.make_graph(self.nodes, "triscale", [source], results, list(self.constants.values()))
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="triscale")

    def body(self, body: fx.GraphModule, source: str) -> list[str]:
        """A fused graph that reads `source`; the names of what it gives."""
        names: dict[fx.Node, str] = {}
        for node in body.graph.nodes:
            if node.op == "placeholder":
                names[node] = source
            elif node.op == "output":
                return [names[each] for each in node.all_input_nodes]
            else:
                names[node] = self.convert(node, body, [names[each] for each in node.all_input_nodes])
        raise SpecError("a graph without an output has no ONNX form.")

    def convert(self, node: fx.Node, body: fx.GraphModule, inputs: list[str]) -> str:
        """One operation of a fused graph."""
        if node.op == "call_function":
            kind, options = FUNCTIONS[node.target]
            return self.add(kind, inputs, node.name, options)
        module = body.get_submodule(str(node.target)) if node.op == "call_module" else None
        match module:
            case FusedConv():
                return self.convolution(node.name, inputs, module)
            case FusedActivation():
                return self.activation(node.name, inputs, module)
            case GlobalPool():
                return self.add("GlobalAveragePool", inputs, node.name)
            case Gate():
                return self.add("Mul", inputs, node.name)
            case nn.Linear():
                weights = [self.constant(f"{node.name}.weight", module.weight)]
                if module.bias is not None:
                    weights.append(self.constant(f"{node.name}.bias", module.bias))
                return self.add("Gemm", inputs + weights, node.name, {"transB": 1})
            case FusedMaxPool():
                pads = [*module.before, 1, 1]
                return self.add("MaxPool", inputs, node.name, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": pads})
            case Take():
                limits = {"start": module.start, "end": 2**31 - 1, "axis": 1, "step": 2}
                names = [self.integers(f"{node.name}.{name}", [value]) for name, value in limits.items()]
                return self.add("Slice", [*inputs, *names], node.name)
        raise SpecError(f"the operation {node.format_node()} has no ONNX form here.")

    def convolution(self, name: str, inputs: list[str], conv: FusedConv, weights: str | None = None) -> str:
        """A convolution and its activation.

        weights: under which its constants stand; a convolution that is used several times is held once.
        """
        kernel, held = conv.kernel, weights or name
        parts = [*inputs, self.constant(f"{held}.weight", kernel)]
        if conv.bias is not None:
            parts.append(self.constant(f"{held}.bias", conv.bias))
        options = {
            "kernel_shape": list(kernel.shape[2:]),
            "strides": list(conv.stride),
            "pads": list(conv.pads),
            "group": conv.groups,
        }
        made = self.add("Conv", parts, f"{name}.conv", options)
        return self.activation(name, [made], conv.activation)

    def activation(self, name: str, inputs: list[str], activation: FusedActivation) -> str:
        """An activation of one tensor; the identity writes nothing."""
        (x,) = inputs
        match activation.name:
            case "identity":
                return x
            case "relu":
                return self.add("Relu", inputs, name)
            case "relu6":
                limits = [self.constant(f"{name}.{end}", torch.tensor(end)) for end in (0.0, 6.0)]
                return self.add("Clip", [x, *limits], name)
            case "hardswish":
                return self.add("HardSwish", inputs, name)
            case "sigmoid":
                return self.add("Sigmoid", inputs, name)
            case "hardsigmoid":
                return self.add("HardSigmoid", inputs, name, {"alpha": 1 / 6, "beta": 0.5})
        scaled = x
        if activation.slope not in (None, 1.0):
            scaled = self.add(
                "Mul", [x, self.constant(f"{name}.slope", torch.tensor(activation.slope))], f"{name}.scaled"
            )
        return self.add("Mul", [x, self.add("Sigmoid", [scaled], f"{name}.sigmoid")], name)

    def constant(self, name: str, tensor: Tensor) -> str:
        """Numbers in float32."""
        return self._held(name, tensor.detach().to("cpu", torch.float32).numpy())

    def integers(self, name: str, values: Sequence[int]) -> str:
        """Whole numbers, a shape or axes."""
        return self._held(name, np.array(values, dtype=np.int64))

    def _held(self, name: str, values: np.ndarray) -> str:
        from onnx import numpy_helper

        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def add(self, kind: str, inputs: Sequence[str], output: str, options: Mapping[str, object] | None = None) -> str:
        """One node of a kind, which writes `output`. options: its attributes."""
        from onnx import helper

        node = helper.make_node(kind, inputs, [output], output)
        node.attribute.extend(helper.make_attribute(name, value) for name, value in (options or {}).items())
        self.nodes.append(node)
        return output
