"""A fused network as an ONNX graph.

A fused network knows few operations, so its graph is written directly: in a quarter of a second, where a general
exporter takes ten. That is what makes a search by measured latency affordable. `verify` holds it against the model.
"""

from __future__ import annotations

import operator
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
    writer = _Writer(fused.body)
    writer.walk()
    source = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [BATCH, in_channels, *fused.size])
    result = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [BATCH, outputs])
    graph = helper.make_graph(writer.nodes, "triscale", [source], [result], writer.constants)
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="triscale")


class _Writer:
    """Walks a fused graph and collects ONNX nodes and constants."""

    def __init__(self, body: fx.GraphModule) -> None:
        self.body = body
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.names: dict[fx.Node, str] = {}

    def walk(self) -> None:
        for node in self.body.graph.nodes:
            if node.op == "placeholder":
                self.names[node] = INPUT
            elif node.op == "output":
                (result,) = node.all_input_nodes
                self.add("Identity", [self.names[result]], OUTPUT)
            else:
                self.names[node] = self.convert(node)

    def convert(self, node: fx.Node) -> str:
        """Write one operation; returns the name of its output."""
        inputs = [self.names[each] for each in node.all_input_nodes]
        if node.op == "call_function":
            kind, options = FUNCTIONS[node.target]
            return self.add(kind, inputs, node.name, **options)
        module = self.body.get_submodule(str(node.target)) if node.op == "call_module" else None
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
                return self.add("Gemm", inputs + weights, node.name, transB=1)
            case FusedMaxPool():
                pads = [*module.before, 1, 1]
                return self.add("MaxPool", inputs, node.name, kernel_shape=[3, 3], strides=[2, 2], pads=pads)
            case Take():
                limits = {"start": module.start, "end": 2**31 - 1, "axis": 1, "step": 2}
                names = [self.integer(f"{node.name}.{name}", value) for name, value in limits.items()]
                return self.add("Slice", [*inputs, *names], node.name)
        raise SpecError(f"the operation {node.format_node()} has no ONNX form here.")

    def convolution(self, name: str, inputs: list[str], conv: FusedConv) -> str:
        kernel = conv.kernel
        parts = [*inputs, self.constant(f"{name}.weight", kernel)]
        if conv.bias is not None:
            parts.append(self.constant(f"{name}.bias", conv.bias))
        made = self.add(
            "Conv",
            parts,
            f"{name}.conv",
            kernel_shape=list(kernel.shape[2:]),
            strides=list(conv.stride),
            pads=list(conv.pads),
            group=conv.groups,
        )
        return self.activation(name, [made], conv.activation)

    def activation(self, name: str, inputs: list[str], activation: FusedActivation) -> str:
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
                return self.add("HardSigmoid", inputs, name, alpha=1 / 6, beta=0.5)
        scaled = x
        if activation.slope not in (None, 1.0):
            scaled = self.add(
                "Mul", [x, self.constant(f"{name}.slope", torch.tensor(activation.slope))], f"{name}.scaled"
            )
        return self.add("Mul", [x, self.add("Sigmoid", [scaled], f"{name}.sigmoid")], name)

    def constant(self, name: str, tensor: Tensor) -> str:
        from onnx import numpy_helper

        array = np.ascontiguousarray(tensor.detach().to("cpu", torch.float32).numpy())
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def integer(self, name: str, value: int) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.array([value], dtype=np.int64), name))
        return name

    def add(self, kind: str, inputs: list[str], output: str, **options: object) -> str:
        from onnx import helper

        node = helper.make_node(kind, inputs, [output], output)
        node.attribute.extend(helper.make_attribute(name, value) for name, value in options.items())
        self.nodes.append(node)
        return output
