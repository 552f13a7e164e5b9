"""The few pieces of HTML that a report is made of. Whatever is text is escaped here; whatever is `Html` already is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from triscale.errors import MissingExtraError
from triscale.report.text import escape


class Html(str):
    """Text that is markup already. Everything else is escaped when it reaches the page."""

    __slots__ = ()


def markup(content: object) -> Html:
    """`content` as markup: escaped unless it is `Html`."""
    return content if isinstance(content, Html) else Html(escape(content))


def join(parts: Iterable[object], between: str = "\n") -> Html:
    """The parts one after the other, each as `markup`."""
    return Html(between.join(markup(part) for part in parts))


def element(tag: str, content: object = "", *, css: str = "", attributes: str = "") -> Html:
    """<tag class="css" attributes>content</tag>; `attributes` is markup of ours, never others' text."""
    opening = tag + (f' class="{css}"' if css else "") + (f" {attributes}" if attributes else "")
    return Html(f"<{opening}>{markup(content)}</{tag}>")


def paragraph(content: object, css: str = "") -> Html:
    """A paragraph; nothing for no content."""
    return element("p", content, css=css) if content else Html("")


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    """Large figures with their names below one another."""
    cards = [element("div", join([element("dt", name), element("dd", value)], "")) for name, value in pairs]
    return element("dl", join(cards), css="facts")


def table(
    titles: Sequence[str], rows: Iterable[Sequence[object]], *, styles: Sequence[str] = (), chosen: int | None = None
) -> Html:
    """A table that scrolls sideways on a narrow screen.

    styles: CSS class of each column ("number", "name", "why"). chosen: the row that is highlighted.
    """
    styles = [*styles, *[""] * (len(titles) - len(styles))]
    head = join((element("th", title, css=style) for title, style in zip(titles, styles, strict=True)), "")
    body = [
        element(
            "tr",
            join((element("td", cell, css=style) for cell, style in zip(row, styles, strict=True)), ""),
            css="chosen" if number == chosen else "",
        )
        for number, row in enumerate(rows)
    ]
    whole = join([element("thead", element("tr", head)), element("tbody", join(body))])
    return scroll(element("table", whole))


def bar(share: float, *, over: bool = False) -> Html:
    """A bar that is filled to `share`, 0..1; `over` paints it as exceeded."""
    width = 100 * min(max(share, 0.0), 1.0)
    return element(
        "span", element("i", css="over" if over else "", attributes=f'style="width:{width:.1f}%"'), css="bar"
    )


def badge(text: str, *, good: bool) -> Html:
    """A short verdict, green or orange; the words carry it, not the colour."""
    return element("span", text, css="badge good" if good else "badge bad")


def bullets(items: Sequence[object]) -> Html:
    """A list; nothing for no items."""
    return element("ul", join(element("li", item) for item in items)) if items else Html("")


def code(text: str) -> Html:
    """A block to copy."""
    return element("pre", element("code", text))


def fold(title: str, content: Html) -> Html:
    """What only some want to see, behind its title."""
    return element("details", join([element("summary", title), content]))


def scroll(content: Html) -> Html:
    """Content that may be wider than the screen."""
    return element("div", content, css="scroll")


def drawn(draw: Callable[[], str]) -> Html:
    """A plot, or what to install to see it; the tables say the same in numbers."""
    try:
        return scroll(Html(draw()))
    except MissingExtraError as error:
        return paragraph(f"A picture is missing here: {error}", "note")


def section(identity: str, title: str, parts: Iterable[object]) -> Html:
    """A titled part of the page that a link can point at; `identity` is a word of ours."""
    return element("section", join([element("h2", title), *parts]), attributes=f'id="{identity}"')
