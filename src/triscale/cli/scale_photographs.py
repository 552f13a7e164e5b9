"""`triscale scale NAME --curve FILE --photographs ...`: a family's members with weights, on photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from triscale.errors import DataError, SpecError
from triscale.spec.cost import cost
from triscale.spec.curves import Curve
from triscale.spec.families import network
from triscale.spec.network import Network
from triscale.spec.released import baseline_of, released_members

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from triscale.deployment.predictor import Predictor
    from triscale.report.photographs import Seen

MOST = 8  # photographs in one picture


def draw_photographs(base: Network, curves: Sequence[Curve], arguments: Sequence[str]) -> Figure:
    """Let every member of the family that has installed weights answer, and draw that; torch is loaded for it.

    arguments: files, folders, globs, or the names of scikit-image's photographs.
    Raises: WeightsError where no member has weights here; DataError for a file that cannot be read.
    """
    from triscale.deployment.predictor import open_predictor
    from triscale.models.pretrained import pretrained, require_pretrained
    from triscale.report.photographs import Answered
    from triscale.report.photographs import draw_photographs as draw

    paths = _files(arguments)
    family = [baseline_of(base.name) or base.name, *(member.name for member in released_members(base.name))]
    known = [found for found in map(pretrained, family) if found is not None] or [require_pretrained(base.name)]
    members = []
    for found in known:
        net, predictor = network(found.name), open_predictor(found.name)
        own = cost(net)
        seen = tuple(_seen(predictor, path) for path in paths)
        members.append(Answered(found.name, net.resolution[0], own.params, own.macs, found.top1, seen))
    return draw(base, curves, members, [path.name for path in paths])


def _files(arguments: Sequence[str]) -> list[Path]:
    from triscale.data.demo import photographs
    from triscale.deployment.predictor import image_files

    def path(argument: str) -> str:
        if Path(argument).exists() or not argument.isidentifier():
            return argument
        carried = photographs()
        if argument not in carried:
            raise DataError(f"{argument}: no such file, and no photograph of scikit-image's: {', '.join(carried)}.")
        return str(carried[argument])

    files = image_files([path(argument) for argument in arguments])
    if len(files) > MOST:
        raise SpecError(f"--photographs takes at most {MOST} images, got {len(files)}; choose some.")
    return files


def _seen(predictor: Predictor, path: Path) -> Seen:
    """A photograph as the network reads it, back in colours that people see, and the answers."""
    import numpy as np

    from triscale.data.transforms import load
    from triscale.report.photographs import SHOWN, Seen

    (answer,) = predictor.predict([path], top=SHOWN)
    if answer.error:
        raise DataError(answer.error)
    read, how = load(path, predictor.preprocessing).numpy(), predictor.preprocessing
    image = np.clip(read.transpose(1, 2, 0) * how.std + how.mean, 0, 1)
    return Seen(image, tuple((label.name, label.score) for label in answer.labels))
