import pytest
from hypothesis import given
from hypothesis import strategies as st

from triscale.spec.placement import Placement, centre_part, fitted, place
from triscale.spec.preprocessing import Preprocessing

SIDES = st.tuples(st.integers(1, 5000), st.integers(1, 5000))
LETTERBOX = Preprocessing(size=(512, 512), fit="letterbox")


def test_a_letterboxed_image_keeps_its_aspect_and_begins_at_the_corner():
    placement = place(LETTERBOX, (480, 640))
    assert placement == Placement((0, 0, 640, 480), (384, 512))
    assert placement.scale == (1.25, 1.25)


def test_rounding_down_makes_the_axes_differ_and_is_not_forgotten():
    placement = place(LETTERBOX, (333, 500))
    assert placement.used == (340, 512)  # 333 x 1.024 = 340.99
    assert placement.scale == (500 / 512, 333 / 340)


@given(SIDES, SIDES)
def test_what_is_fitted_is_inside_and_fills_one_axis(image, size):
    used = fitted(image, size)
    assert all(1 <= side <= most for side, most in zip(used, size, strict=True))
    # a product with the scale may come out just below the whole number
    assert used[0] >= size[0] - 1 or used[1] >= size[1] - 1


def test_squash_and_crop_have_places_too():
    assert place(Preprocessing(fit="squash", size=(100, 200)), (50, 50)) == Placement((0, 0, 50, 50), (100, 200))
    crop = place(Preprocessing(fit="crop", crop=0.5, size=(100, 200)), (300, 400))
    assert crop == Placement((100, 100, 300, 200), (100, 200))  # half of 400 x 200, in the middle
    assert centre_part((300, 400), (100, 200), 0.5) == (100, 100, 300, 200)


@pytest.mark.parametrize(
    ("original", "decoded", "expected"),
    [
        ((667, 1001), (667, 1001), (1001, 667)),
        ((667, 1001), (334, 501), (1002, 668)),  # 501 pixels of 2
        ((667, 1001), (84, 126), (1008, 672)),  # 126 pixels of 8
        ((600, 900), (200, 300), (900, 600)),  # by whatever else made it smaller
    ],
)
def test_a_smaller_copy_is_told_in_pixels_of_the_original(original, decoded, expected):
    placement = place(LETTERBOX, decoded).of_original(decoded, original)
    assert placement.part == (0, 0, *expected)
    assert placement.used == fitted(decoded, (512, 512))
