"""Whether a module is a published network: then it is scaled as the data that it is, not by tracing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from triscale.errors import SpecError, WeightsError
from triscale.models.assembler import ConvNet
from triscale.models.naming import NAMINGS, Naming, knows, layer_names
from triscale.models.weights import load_weights
from triscale.modules.check import Answers, prove
from triscale.modules.count import ModuleCost
from triscale.modules.report import ATTRIBUTE, ScaledStage, ScalingReport
from triscale.modules.trace import analysis_copy, own_randomness
from triscale.spec import families
from triscale.spec.budget import solve
from triscale.spec.cost import cost
from triscale.spec.limits import Budget
from triscale.spec.network import Network, Numerics
from triscale.spec.scaling import scale

CLOSE = 1e-4  # largest difference between the answers of one network, built twice, of the largest answer
STEM, CLASSIFIER = "stem.0.conv", "head.classifier"

Measures = Mapping[str, Callable[[nn.Module], float]]


@dataclass(frozen=True, slots=True)
class Recognised:
    """A module that is a published network. network: at the example's size, classes and channels; model: as ours."""

    network: Network
    model: ConvNet
    module: nn.Module

    def scaled(
        self, depth: float, width: float, budget: Budget | None, measures: Measures | None, answers: Answers
    ) -> ConvNet:
        """The network scaled as data, built, and proven by running; padding, eps and momentum are kept."""
        if budget is None:
            network = scale(self.network, depth, width)
        else:
            of_networks = {word: _of_network(measure) for word, measure in (measures or {}).items()}
            network = solve(self.network, budget, of_networks, directions=("depth", "width"))
        like = next(self.module.parameters())
        made = self.model if network == self.network else ConvNet(network, device=like.device).to(like.dtype)
        made.train(self.module.training)
        with own_randomness(answers[0][0]):
            prove(analysis_copy(made), analysis_copy(self.module), answers)
        made.__dict__[ATTRIBUTE] = self._report(network, depth, width, made)
        return made

    def _report(self, network: Network, depth: float, width: float, made: ConvNet) -> ScalingReport:
        pairs = zip(self.network.stages, network.stages, strict=True)
        stages = [ScaledStage(f"stages.{n}", len(a.blocks), len(b.blocks)) for n, (a, b) in enumerate(pairs)]
        numerics = network.numerics
        return ScalingReport(
            depth,
            width,
            _cost(self.network),
            _cost(network),
            (),
            tuple(stages),
            () if made is self.model else tuple(made.state_dict()),
            (
                f"recognised as {self.network.name} and scaled as such: {network.name}, {numerics.padding} padding, "
                f"eps {numerics.eps:g}",
            ),
        )


def recognised(module: nn.Module, example_input: Tensor) -> Recognised | None:
    """The published network that `module` is, proven by equal answers; None for any other module.

    A module with hooks, frozen parameters or parts in another mode is more than a network, and is none either.
    """
    if example_input.dim() != 4 or not _plain(module):
        return None
    size = (int(example_input.shape[2]), int(example_input.shape[3]))
    if isinstance(module, ConvNet):
        copied = analysis_copy(module)
        assert isinstance(copied, ConvNet)
        return Recognised(replace(module.network, resolution=size), copied, module)
    tensors = {key: tensor.detach() for key, tensor in module.state_dict().items()}
    for network, naming in _candidates(tensors):
        model = _equal(replace(network, resolution=size), naming, tensors, module, example_input[:1])
        if model is not None:
            return Recognised(model.network, model, module)
    return None


def _plain(module: nn.Module) -> bool:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks")
    modules = list(module.modules())
    parameters = list(module.parameters())
    same = {(parameter.dtype, parameter.device) for parameter in parameters}
    return (
        not any(getattr(each, name, None) for each in modules for name in hooks)
        and len(same) == 1
        and all(parameter.requires_grad for parameter in parameters)
        and all(each.training == module.training for each in modules)
    )


def _candidates(tensors: Mapping[str, Tensor]) -> Iterator[tuple[Network, Naming]]:
    """Networks with a naming, whose layers have the names of these tensors; at their classes and channels."""
    layers = frozenset(key.rpartition(".")[0] for key in tensors)
    tried: set[tuple[Network, Naming]] = set()
    for name in families.list_networks():
        for naming, names in _names(name).items():
            if frozenset(names.values()) != layers:
                continue
            network = families.network(name)
            classes = tensors[f"{names[CLASSIFIER]}.weight"].shape[0] if CLASSIFIER in names else network.classes
            channels = tensors[f"{names[STEM]}.weight"].shape[1]
            network = replace(network, classes=int(classes), in_channels=int(channels))
            structure = replace(network, name="", numerics=families.network("efficientnet_b0").numerics), naming
            if structure not in tried:
                tried.add(structure)
                yield network, naming


@lru_cache(maxsize=512)
def _names(name: str) -> dict[Naming, dict[str, str]]:
    """Our name of each layer of a network -> its name, in every naming of another library that has one."""
    network = families.network(name)
    others = [naming for naming in NAMINGS if naming != "triscale" and knows(naming, network)]
    return {naming: layer_names(network, naming) for naming in others}


def _equal(
    network: Network, naming: Naming, tensors: Mapping[str, Tensor], module: nn.Module, image: Tensor
) -> ConvNet | None:
    """Our model with the module's weights, if it has room for exactly those and answers the same; else None."""
    norm = next((each for each in module.modules() if isinstance(each, _BatchNorm)), None)
    if norm is None or norm.momentum is None:
        return None
    try:
        shapes = ConvNet(network, device="meta").state_dict()
        if _sizes(shapes) != _sizes(tensors):
            return None
        model = ConvNet(network, device=image.device).to(next(module.parameters()).dtype)
        load_weights(model, tensors)
    except (SpecError, WeightsError):
        return None
    with torch.no_grad():
        wanted = analysis_copy(module).eval()(image)
        for padding in ("symmetric", "same"):
            model.set_numerics(Numerics(padding, norm.eps, norm.momentum))
            found = model.eval()(image)
            largest = wanted.abs().max()
            if found.shape == wanted.shape and largest > 0 and (found - wanted).abs().max() <= CLOSE * largest:
                return model
    return None


def _sizes(tensors: Mapping[str, Tensor]) -> list[tuple[int, ...]]:
    """The shapes of tensors in order, but for dimensions of one: a linear layer may be written as a convolution."""
    return sorted(tuple(size for size in tensor.shape if size != 1) for tensor in tensors.values())


def _of_network(measure: Callable[[nn.Module], float]) -> Callable[[Network], float]:
    return lambda network: measure(ConvNet(network).eval())


def _cost(network: Network) -> ModuleCost:
    own = cost(network)
    return ModuleCost(own.params, own.macs, own.activations, own.memory)
