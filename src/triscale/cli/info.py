"""`triscale info`: what a network costs and how it is built, without building it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from triscale import atomic
from triscale.cli.names import resolve_subject
from triscale.cli.output import count, print_json, print_table, size
from triscale.errors import SpecError
from triscale.spec.cost import Cost, cost
from triscale.spec.detector import Detector
from triscale.spec.differences import differences, share
from triscale.spec.families import NETWORKS, is_network, own_name, preprocessing
from triscale.spec.files import network_to_dict, preprocessing_to_dict
from triscale.spec.network import Network
from triscale.spec.published import SOURCES, Figure, figures
from triscale.spec.table import count_layers, table_rows
from triscale.spec.training_memory import TrainingMemory, training_memory


def info(
    name: str,
    *,
    pixels: Annotated[tuple[int, ...], Parameter(name="--size", consume_multiple=True)] = (),
    blocks: bool = False,
    layers: bool = False,
    training: int | None = None,
    picture: Path | None = None,
    json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Show what a network or a detector costs, row by row if asked.

    Example: triscale info efficientnet_b0 --blocks

    Parameters
    ----------
    name
        a name from `triscale list`, a network or detector file, a model file, a run's folder, or hf://OWNER/REPO
    pixels
        input size: one number, or height and width
    blocks
        the architecture row by row, as the papers print it; of a detector, its backbone's
    layers
        every operation with its own cost
    training
        what a step of training with so many images at once keeps in memory, stage by stage
    picture
        draw the network by stage into this SVG file
    json
        print JSON instead of text
    """
    net = resolve_subject(name)
    if len(pixels) > 2:
        raise SpecError(f"--size takes one number or height and width, got {len(pixels)} numbers.")
    own = cost(net, (pixels[0], pixels[-1]) if pixels else None)
    if isinstance(net, Detector):
        return _show_detector(name, net, own, {"--training": training, "--picture": picture}, blocks, layers, json)
    if picture is not None:
        from triscale.report.architecture import picture as draw

        if picture.suffix != ".svg":
            raise SpecError(f"--picture writes SVG, got {picture.name!r}; give a name that ends in .svg.")
        atomic.write_text(picture, draw(dataclasses.replace(net, resolution=own.size)))
    if training is not None and training < 1:
        raise SpecError(f"--training takes how many images go through the network at once, got {training}.")
    published = name if is_network(name) else None
    kept = None if training is None else training_memory(net, own.size, training)
    if json:
        memory = {} if kept is None else {"training": {"images": training, **dataclasses.asdict(kept)}}
        print_json(_document(net, own, layers) | memory | _published_document(published))
        return 0
    _print_summary(net, own)
    if kept is not None:
        print()
        _print_training(kept, training or 1)
    elif published is not None and not (blocks or layers):
        _print_published(published)
    if blocks:
        print()
        _print_blocks(dataclasses.replace(net, resolution=own.size))
    if layers:
        print()
        _print_layers(own)
    if picture is not None:
        print(f"\npicture: {picture}")
    return 0


def _show_detector(
    name: str, net: Detector, own: Cost, foreign: Mapping[str, object], blocks: bool, layers: bool, json: bool
) -> int:
    from triscale.cli.info_detector import show_detector

    for option, given in foreign.items():
        if given is not None:
            raise SpecError(f"{option} is for networks, and {name} is a detector; leave it away.")
    show_detector(name, net, own, layers, json, brief=blocks or layers)
    if blocks and not json:
        print()
        _print_blocks(dataclasses.replace(net.backbone, resolution=own.size))
    if layers and not json:
        print()
        _print_layers(own)
    return 0


def _document(net: Network, own: Cost, layers: bool) -> dict[str, object]:
    document: dict[str, object] = {
        "name": net.name,
        "size": list(own.size),
        "params": own.params,
        "macs": own.macs,
        "activations": own.activations,
        "memory": own.memory,
        "depth": count_layers(net),
        "network": network_to_dict(net),
    }
    return {**document, "operations": [layer._asdict() for layer in own.layers]} if layers else document


def _print_summary(net: Network, own: Cost) -> None:
    height, width = own.size
    print(
        f"{net.name} at {height} x {width} px, {net.classes} classes, {count_layers(net)} convolution and linear layers"
    )
    print_table(
        ("params", "MACs", "activations", "memory"),
        [
            (count(own.params), count(own.macs), count(own.activations), size(own.memory)),
            (f"{own.params:,}", f"{own.macs:,}", f"{own.activations:,}", f"{own.memory:,} B"),
        ],
        left=0,
    )
    numerics = net.numerics
    print(f"padding {numerics.padding}, BatchNorm eps {numerics.eps:g}, momentum {numerics.momentum:g}")


def _published_document(name: str | None) -> dict[str, object]:
    if name is None:
        return {}
    told = figures(own_name(name))
    return {
        "paper": NETWORKS[own_name(name)].family.paper,
        "preprocessing": preprocessing_to_dict(preprocessing(name)),
        "published": [{**each._asdict(), "url": SOURCES[each.source]} for each in told],
        "differences": list(differences(name)),
    }


def _print_published(name: str) -> None:
    own, reads = own_name(name), preprocessing(name)
    published = NETWORKS[own]
    train = f", trained at {reads.train_size[0]} px" if reads.train_size else ""
    called = "" if name == own else f"; our name: {own}"
    print(f"{published.family.title}, {published.family.paper}{called}")
    print(f"photographs: {reads.size[0]} px{train}, {reads.interpolation}, {share(reads)}")
    _print_figures(figures(own))
    apart = differences(name)
    if apart:
        print("\nowners differ")
        for sentence in apart:
            print(f"  {sentence}")


def _print_figures(told: Sequence[Figure]) -> None:
    if not told:
        return
    table = [
        (
            str(each.top1),
            "" if each.top5 is None else str(each.top5),
            each.source,
            f"{each.of} *" if each.extra else each.of,
        )
        for each in told
    ]
    print("\npublished accuracy on ImageNet, per cent")
    print_table(("top-1", "top-5", "source", "weights"), table, left=4)
    if any(each.extra for each in told):
        print("* trained on more images than ImageNet-1k")
    for source in dict.fromkeys(each.source for each in told):
        print(f"{source}: {SOURCES[source]}")


def _print_training(kept: TrainingMemory, images: int) -> None:
    print(f"a step of training with {images} images at once, AdamW, a moving average, fp32 on a CPU")
    parts = [(f"activations of {name}", each) for name, each in kept.stages.items()]
    parts += [(name, getattr(kept, name)) for name in ("weights", "gradients", "optimiser", "average", "total")]
    print_table(("kept", "bytes", "share"), [(n, size(each), f"{each / kept.total:.1%}") for n, each in parts])


def _print_blocks(net: Network) -> None:
    table = [
        (
            str(row.stage),
            row.operator,
            " x ".join(map(str, row.resolution)),
            str(row.stride),
            str(row.channels),
            str(row.layers),
            "yes" if row.squeeze else "",
            f"{row.params:,}",
            f"{row.macs:,}",
        )
        for row in table_rows(net)
    ]
    columns = ("stage", "operator", "resolution", "stride", "channels", "layers", "squeeze", "params", "MACs")
    print_table(columns, table, left=2)


def _print_layers(own: Cost) -> None:
    table = [
        (
            layer.where,
            layer.operation,
            " x ".join(map(str, layer.output)),
            f"{layer.params:,}",
            f"{layer.macs:,}",
            f"{layer.activations:,}",
            size(layer.memory),
        )
        for layer in own.layers
    ]
    print_table(("where", "operation", "output", "params", "MACs", "activations", "alive"), table, left=2)
