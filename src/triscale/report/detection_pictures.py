"""Pictures of the images on which a detector is most wrong, each box with its verdict."""

from __future__ import annotations

from collections.abc import Sequence

from triscale.data.detection.draw import RED, Colour, Mark, draw_marks
from triscale.data.images import open_image
from triscale.errors import FileError
from triscale.report.detection_summary import JudgedImage
from triscale.report.html import Html, element, join, paragraph
from triscale.report.thumbnail import embedded, gone

RIGHT: Colour = (0, 158, 115)
LOST: Colour = (255, 176, 0)
SMALLEST, LARGEST = 480, 640  # pixels of a picture's longer side
LEGEND = (
    "Full lines are boxes that were told: green where they are right, red where they are wrong, with the kind of "
    "mistake. Dashed lines are objects without a right box."
)


def pictures(images: Sequence[JudgedImage]) -> Html:
    """The images with their boxes, in order; nothing for none. Files are read now; what has gone is said to be gone."""
    if not images:
        return Html("")
    figures = element("div", join(_figure(each) for each in images), css="pictures")
    return join([element("h3", "Images with the most mistakes"), paragraph(LEGEND, "note"), figures])


def marks(image: JudgedImage) -> list[Mark]:
    """What is drawn on an image: objects without a right box first, so that told boxes lie over them."""
    lost = [Mark(each.box, f"{each.name} not found", LOST, dashed=True) for each in image.objects if not each.found]
    told = [
        Mark(each.box, " ".join(filter(None, (each.name, f"{each.score:.2f}", each.kind))), RED if each.kind else RIGHT)
        for each in image.told
    ]
    return lost + told


def _figure(image: JudgedImage) -> Html:
    said = ", ".join(f"{count} {kind}" for kind, count in image.mistakes().items())
    name = image.path.name
    try:
        picture = draw_marks(open_image(image.path), marks(image), SMALLEST, LARGEST)
    except FileError:
        shown = gone()
    else:
        shown = embedded(picture, f"{name}: {said}", css="drawn", lines=True)
    caption = element("figcaption", join([name, element("b", said, css="wrong")], ": "))
    return element("figure", join([shown, caption]))
