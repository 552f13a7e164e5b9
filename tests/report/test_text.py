"""Words and numbers for people."""

import pytest

from triscale.report.text import clean, duration, escape, percent, pixels, shorten

SPACE = "\u00a0"


@pytest.mark.parametrize(
    ("share", "said"), [(1, "100"), (1.0, "100"), (0.9996, "99.9"), (0.9912, "99.1"), (0.0, "0.0"), (1.25, "125.0")]
)
def test_what_is_not_all_is_never_shown_as_all(share, said):
    assert percent(share) == f"{said}{SPACE}%"


def test_what_was_not_measured_is_a_dash():
    assert percent(None) == "–"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(2.34, "2.3 s"), (59.4, "59 s"), (75, "1 min 15 s"), (3599.9, "1 h 0 min"), (7260, "2 h 1 min")],
)
def test_durations(seconds, said):
    assert duration(seconds) == said


def test_markup_is_escaped_between_tags_and_between_quotes():
    assert escape("""<a href='x' id="y">&""") == "&lt;a href=&#x27;x&#x27; id=&quot;y&quot;&gt;&amp;"


@pytest.mark.parametrize("hidden", ["\x00", "\x1b", "\x85", "\udcff", "\u202e", "\ufeff"])
def test_what_cannot_be_shown_is_replaced(hidden):
    assert clean(f"a{hidden}b") == "a\ufffdb"
    clean(f"a{hidden}b").encode()


def test_scripts_and_emoji_stay_whole():
    assert clean("日本語 می‌خواهم 👩‍🌾 é") == "日本語 می‌خواهم 👩‍🌾 é"


def test_long_names_lose_their_middle_and_their_line_breaks():
    assert shorten("abcdefghijklmnop", 10) == "abcdef…nop"
    assert shorten("a\nb", 10) == "a b"


def test_pixels_are_height_by_width():
    assert pixels((193, 257)) == "193 × 257"
