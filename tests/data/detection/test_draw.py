import itertools

import numpy as np
import pytest
from PIL import Image

from tests.boxes import drawn_set, write_coco
from tests.data.detection.test_check import Planting, outside
from triscale.data.detection.check import check_boxes
from triscale.data.detection.draw import RED, Mark, class_colour, contact_sheet, draw_marks
from triscale.data.detection.pictures import choose, marks_of

GREY = Image.new("RGB", (320, 240), (128, 128, 128))


def luminance(colour):
    """Source: WCAG 2.2, relative luminance."""
    parts = [each / 255 for each in colour]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def is_colour(picture, colour):
    return (np.asarray(picture) == colour).all(axis=-1)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((320, 240), (640, 480)), ((96, 128), (480, 640)), ((700, 500), (700, 500)), ((4000, 3000), (1600, 1200))],
)
def test_small_images_are_enlarged_by_whole_numbers_and_large_ones_made_smaller(size, expected):
    assert draw_marks(Image.new("RGB", size), []).size == expected


def test_the_frame_lies_around_the_object_and_hides_nothing_of_it():
    image = Image.new("RGB", (800, 600))
    image.paste((255, 255, 255), (300, 200, 400, 350))
    picture = draw_marks(image, [Mark((300, 200, 400, 350), "cat", class_colour(1))])
    assert is_colour(picture, (255, 255, 255)).sum() == 100 * 150
    frame = np.argwhere(is_colour(picture, class_colour(1))[200:350])
    assert (frame[:, 1].min(), frame[:, 1].max()) == (297, 402)  # two pixels, and a dark one between


@pytest.mark.parametrize("background", [(0, 0, 0), (255, 255, 255), class_colour(3), (128, 128, 128)])
def test_frames_can_be_seen_on_any_background(background):
    """A bright line between two dark ones: one of the two stands out, whatever is behind."""
    for number in range(24):
        assert max(contrast(class_colour(number), background), contrast((16, 16, 16), background)) >= 3


def test_colours_of_classes_differ_from_each_other_and_from_the_red_of_faults():
    colours = [class_colour(number) for number in range(24)]
    nearest = min(sum(abs(a - b) for a, b in zip(*pair, strict=True)) for pair in itertools.combinations(colours, 2))
    assert nearest >= 60
    assert min(sum(abs(a - b) for a, b in zip(each, RED, strict=True)) for each in colours) >= 60
    assert class_colour(7) == colours[7]


def test_names_of_neighbours_do_not_hide_each_other():
    places = [(40 + 50 * n, 100, 85 + 50 * n, 140) for n in range(5)]
    marks = [Mark(place, f"animal {n}", class_colour(n)) for n, place in enumerate(places)]
    picture = draw_marks(GREY, marks)
    alone = [is_colour(draw_marks(GREY, [each]), each.colour).sum() for each in marks]
    together = [is_colour(picture, each.colour).sum() for each in marks]
    assert all(shown >= 0.95 * free for shown, free in zip(together, alone, strict=True))


@pytest.mark.parametrize("box", [(0, 0, 320, 240), (-50, -50, 10, 10), (300, 230, 400, 300), (50, 60, 20, 10)])
def test_boxes_at_and_beyond_the_edge_are_drawn_along_it(box):
    assert is_colour(draw_marks(GREY, [Mark(box, "a", RED, dashed=True)]), RED).sum() > 50


def test_long_names_are_cut_and_others_than_letters_drawn():
    draw_marks(
        GREY, [Mark((10, 10, 50, 50), "word " * 100, RED), Mark((90, 90, 95, 95), "\u732b \U0001f600 \u00df", RED)]
    )


def test_a_sheet_has_four_pictures_in_a_row():
    cells = [(GREY, [], f"image {n}", False) for n in range(5)]
    assert contact_sheet(cells).size == (4 * 412 + 12, 2 * (300 + 36) + 12)
    assert contact_sheet(cells[:1]).size == (424, 348)


def test_what_is_drawn_is_what_was_read(tmp_path):
    report = check_boxes(write_coco(tmp_path, drawn_set(12)))
    marks = marks_of(report.judged[0], list(report.classes))
    assert marks == [Mark((8, 62, 31, 85), "disc", class_colour(0))]


def test_faults_are_drawn_first_and_in_red(tmp_path):
    planting = Planting(tmp_path, count=60)
    outside(planting)
    planting.found()
    chosen = choose(planting.report, 5)
    (faulty,) = (each for each in chosen if each.findings)
    assert marks_of(faulty, ["a", "b", "c"])[-1] == Mark((100, 70, 140, 90), "outside", RED, dashed=True)
    assert {box.label for each in chosen for box in each.boxes} == {0, 1, 2}
    assert any(not each.boxes for each in chosen)
    assert len(choose(planting.report, 1000)) == 60
