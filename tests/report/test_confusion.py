"""The confusion matrix."""

from xml.etree import ElementTree

from triscale.report.confusion import LARGEST, RIGHT, WRONG, Mistake, matrix, mistakes

NAMES = ("cat", "dog", "<fox>")
CONFUSION = ((8, 2, 0), (0, 10, 0), (3, 0, 1))
SVG = "{http://www.w3.org/2000/svg}"


def test_the_most_frequent_mistakes_come_first():
    assert mistakes(CONFUSION, NAMES) == [Mistake("<fox>", "cat", 3, 0.75), Mistake("cat", "dog", 2, 0.2)]
    assert mistakes(CONFUSION, NAMES, most=1) == [Mistake("<fox>", "cat", 3, 0.75)]


def test_every_count_that_is_not_zero_is_a_square_with_its_number():
    root = ElementTree.fromstring(matrix(CONFUSION, NAMES))
    fills = [rect.get("fill") for rect in root.iter(f"{SVG}rect")]
    assert (fills.count(RIGHT), fills.count(WRONG)) == (3, 2)
    assert [text.text for text in root.iter(f"{SVG}text") if text.text.isdigit()] == ["8", "2", "10", "3", "1"]
    assert "<fox>" in [text.text for text in root.iter(f"{SVG}text")]


def test_too_many_classes_are_not_drawn():
    many = LARGEST + 1
    assert matrix([[1] * many] * many, [str(n) for n in range(many)]) == ""
    assert matrix([], []) == ""


def test_a_class_without_images_is_an_empty_row():
    assert mistakes(((0, 0), (1, 4)), ("a", "b")) == [Mistake("b", "a", 1, 0.2)]
    assert matrix(((0, 0), (1, 4)), ("a", "b")).count(WRONG) == 1
