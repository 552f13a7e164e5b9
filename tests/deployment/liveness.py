"""What a fused network holds in memory, found by walking its graph: the check on spec.cost's arithmetic."""

import operator

import torch
from torch import fx
from torch.fx.passes.shape_prop import ShapeProp

from triscale.deployment.fused import FusedActivation, Gate

ALIASES = (torch.flatten,)  # the same memory under another shape
BYTES = 4


def peak_bytes(fused, in_channels, kept=()):
    """Bytes of the tensors alive during the worst operation, at batch 1: inputs, output, and what is read later.

    kept: stages of a network whose output is needed after all of it has run.
    """
    body = fused.body
    ShapeProp(body).propagate(torch.empty(1, in_channels, *fused.size, device="meta"))
    nodes = [node for node in body.graph.nodes if node.op != "output"]
    memory = {node: _memory(body, node) for node in nodes}  # node -> the node whose memory it lives in
    last_use = {memory[read]: step for step, node in enumerate(nodes) for read in node.all_input_nodes}
    last_use |= {memory[node]: len(nodes) for node in _ends_of(nodes, kept)}
    alive, peak = set(), 0
    for step, node in enumerate(nodes):
        alive.add(memory[node])
        if node.op != "placeholder":
            peak = max(peak, sum(_bytes(owner) for owner in alive))
        alive = {owner for owner in alive if last_use.get(owner, step) > step}
    return peak


def _ends_of(nodes, stages):
    """The last node of each of these stages: what stands before the next one begins."""
    names = [node.name for node in nodes]
    for stage in stages:
        after = [place for place, name in enumerate(names) if name.startswith(f"stages_{stage + 1}_")]
        yield nodes[after[0] - 1 if after else -1]


def _memory(body, node):
    """Follow what is written in place, or only viewed, to the tensor that it is."""
    while _overwrites(body, node):
        node = node.all_input_nodes[0]
    return node


def _overwrites(body: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_function":
        assert node.target in (operator.add, torch.cat, *ALIASES), node.target
        return node.target in ALIASES
    return node.op == "call_module" and isinstance(body.get_submodule(node.target), (Gate, FusedActivation))


def _bytes(node):
    return BYTES * node.meta["tensor_meta"].shape.numel()
