"""The report: complete, self-contained, and deaf to what names try to say in it."""

import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image

from tests.report.sample import CLASSES, sample
from triscale.errors import FileError
from triscale.report.evaluation import interval
from triscale.report.html import Html, bar, element, table
from triscale.report.model import ClassCount, Example, LimitResult
from triscale.report.page import LINKS, page, write_report

VOID = {"meta", "img", "br", "use", "path", "rect", "line", "link", "input"}


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, text, and whether tags are balanced."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self.open = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def attributes(self, name):
        return [each[name] for _, each in self.elements if name in each]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return sample(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def plain(report):
    """The same without plots, for what has nothing to do with them: a plot takes half a second."""
    return replace(report, curve=(), candidates=report.candidates[:1])


@pytest.fixture(scope="module")
def shown(report):
    return Page(page(report))


def text_of(report):
    return " ".join(" ".join(Page(page(report)).words).split())


def test_every_section_is_there_and_linked(shown):
    assert [each for each in shown.attributes("id") if each in dict(LINKS)] == [place for place, _ in LINKS]
    assert {f"#{place}" for place, _ in LINKS} <= set(shown.attributes("href"))


def test_nothing_comes_from_outside_and_nothing_runs(shown):
    assert not {tag for tag, _ in shown.elements} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert not [name for _, attributes in shown.elements for name in attributes if name.startswith("on")]
    for place in shown.attributes("src"):
        assert place.startswith("data:image/")
    for place in [*shown.attributes("href"), *shown.attributes("xlink:href")]:
        assert place.startswith("#")
    styles = " ".join([*shown.attributes("style"), *shown.words])
    assert "@import" not in styles
    assert all(place.startswith("#") for place in re.findall(r"url\(([^)]*)\)", styles))
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in shown.attributes("content")


def test_names_are_shown_and_never_become_markup(report, shown):
    said = " ".join(shown.words)
    assert report.title in said
    assert all(name in said for name in CLASSES)
    assert "a/<x>.jpg: truncated" in said
    assert not [tag for tag, _ in shown.elements if tag in ("drawings", "x")]


def test_a_hostile_name_stays_text_wherever_it_appears(report, tmp_path):
    evil = "\"><img src=x onerror=alert(1)>'</style></title><script>"
    path = tmp_path / "evil.png"
    Image.new("RGB", (8, 8)).save(path)
    counts = tuple(replace(each, name=evil) for each in report.data.classes)
    hostile = replace(
        report,
        title=evil,
        folder=evil,
        command=evil,
        choice=evil,
        weights=evil,
        notes=(evil,),
        network=replace(report.network, name=evil),
        data=replace(report.data, classes=counts, path=evil, notes=(evil,), skipped=(evil,)),
        candidates=tuple(replace(each, name=evil, reason=evil, scaled=evil) for each in report.candidates),
        worst=(Example(path, evil, evil, 0.5, 0.5),),
        exports=tuple(replace(each, engine=evil) for each in report.exports),
        limits=tuple(replace(each, how=evil) for each in report.limits),
        environment=((evil, evil),),
        recipe=((evil, evil),),
    )
    seen = Page(page(hostile))
    assert [each for tag, each in seen.elements if tag == "img" and not each["src"].startswith("data:")] == []
    assert "script" not in {tag for tag, _ in seen.elements}
    assert "onerror" not in {name for _, attributes in seen.elements for name in attributes}


def test_the_verdict_comes_first(plain):
    said = text_of(plain)
    assert "95.0 % of 60 test images are named correctly. Every limit of the budget is met" in said
    assert said.index("named correctly") < said.index("The budget")


def test_a_limit_that_is_not_met_is_said_at_the_top(plain):
    missed = (*plain.limits[:2], LimitResult("size", 10e6, 13.6e6, "exports/model.onnx", False))
    said = text_of(replace(plain, limits=missed))
    assert "1 of 3 limits is not met: size" in said
    assert "not met 10MB 13.6MB" in said
    assert "The limit is not met: size" in text_of(replace(plain, limits=missed[2:]))


def test_what_else_was_possible_is_named_with_its_reason(report, shown):
    said = " ".join(" ".join(shown.words).split())
    for candidate in report.candidates:
        assert candidate.name in said
        assert candidate.reason in said
    assert shown.attributes("class").count("chosen") == 1


def test_files_are_named_with_how_they_differ(plain):
    said = text_of(plain)
    assert (
        "exports/model.onnx ships onnxruntime 1.32.0, fp32 13.6MB 1.42ms same answers largest difference 3.1e-06"
        in said
    )
    assert "differs" in text_of(replace(plain, exports=(replace(plain.exports[0], verified=False),)))


def test_programs_keep_their_lines(plain):
    assert "triscale predict &#x27;runs/my photos&#x27; photo.jpg\n#" in page(plain)


def test_without_a_test_split_the_page_says_what_that_means(plain):
    said = text_of(replace(plain, evaluation=replace(plain.evaluation, split="val")))
    assert "There is no test split" in said
    assert "95.0 % of 60 validation images" in said


def test_many_classes_are_folded(plain):
    names = tuple(ClassCount(f"class {n:03}", 5, 1, 1) for n in range(100))
    confusion = tuple(tuple(int(row == column) for column in range(100)) for row in range(100))
    evaluation = replace(plain.evaluation, per_class=(1.0,) * 100, confusion=confusion, top5=1.0, images=100, top1=1.0)
    many = replace(plain, data=replace(plain.data, classes=names), evaluation=evaluation)
    said = text_of(many)
    assert "All 100 classes" in said
    assert "There are no mistakes." in said
    assert 'class="confusion"' not in page(many)


def test_an_image_that_has_gone_is_said_to_be_gone(plain, tmp_path):
    gone = Example(tmp_path / "gone.jpg", "a", "b", 0.9, 0.1)
    assert "this image can no longer be read" in text_of(replace(plain, worst=(gone,)))


def test_photographs_become_small_jpegs_and_tiny_images_stay_whole(plain, tmp_path):
    path = tmp_path / "photo.jpg"
    Image.effect_noise((900, 600), 60).convert("RGB").save(path)
    text = page(replace(plain, worst=(Example(path, "a", "b", 0.9, 0.1),), best=()))
    photo = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', text)
    assert len(photo) == 1 and len(photo[0]) < 30_000
    assert len(re.findall("data:image/png", page(plain))) == 3


def test_without_matplotlib_the_tables_stand_alone(report, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = text_of(report)
    assert said.count("A picture is missing here: drawing plots needs matplotlib") == 2
    assert "best published accuracy inside" in said


def test_a_report_without_budget_curve_exports_or_examples_is_a_page(plain):
    bare = replace(
        plain, budget="", limits=(), candidates=(), curve=(), exports=(), best=(), worst=(), recipe=(), missing=()
    )
    said = text_of(bare)
    assert "No budget was asked for." in said
    assert "No examples were kept." in said


def test_the_same_report_gives_the_same_bytes(plain):
    assert page(plain) == page(plain)


def test_the_page_is_written_whole_or_not_at_all(report, tmp_path):
    write_report(report, tmp_path / "run" / "report.html")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["report.html"]
    assert (tmp_path / "run" / "report.html").stat().st_size < 200_000
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="a part of the path is a file"):
        write_report(report, tmp_path / "file" / "report.html")


def test_the_interval_is_wilsons():
    # E. B. Wilson 1927; 95 of 100: 0.8883 .. 0.9785 (R, binom::binom.wilson)
    assert interval(0.95, 100) == pytest.approx((0.8883, 0.9785), abs=1e-3)
    assert interval(1.0, 1000)[1] == 1.0
    assert interval(0.0, 0) == (0.0, 1.0)


def test_small_pieces():
    assert element("p", "<b>", css="soft") == '<p class="soft">&lt;b&gt;</p>'
    assert element("p", Html("<b>x</b>")) == "<p><b>x</b></p>"
    assert 'style="width:100.0%"' in bar(1.7, over=True)
    assert table(("a",), [("<",)], styles=("number",)) == (
        '<div class="scroll"><table><thead><tr><th class="number">a</th></tr></thead>\n'
        '<tbody><tr><td class="number">&lt;</td></tr></tbody></table></div>'
    )
