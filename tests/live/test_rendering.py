"""The templates: what they write is harmless, and drawn anew only when it has to be."""

from datetime import datetime, timedelta, timezone

import pytest
from markupsafe import Markup

from cw_store.live.drawings.drawing import Drawing
from cw_store.live.pages import Part, Viewer
from cw_store.live.rendering import DRAWN, Memo, ago, marked, part

AT = datetime(2026, 1, 15, 12, 0, 30, tzinfo=timezone(timedelta(hours=2)))


def test_what_would_not_be_seen_is_spelled_out() -> None:
    html = part("a", "about.html", Viewer(), name="a\x1b[2J\u202eb\n<i>").html
    assert html == '<strong id="a">a\\x1b[2J\\u202eb\n&lt;i&gt;</strong>'


def test_a_time_is_exact_in_utc_and_readable_without_javascript() -> None:
    assert ago(AT) == (
        '<time datetime="2026-01-15T10:00:30.000+00:00" data-as="ago">15 Jan 10:00 UTC</time>'
    )


@pytest.mark.parametrize(
    ("text", "wanted", "html"),
    [
        ("A Session ends", "session", "A <mark>Session</mark> ends"),
        ("a<b>a", "<B>", "a<mark>&lt;b&gt;</mark>a"),
        ("1+1", "1+", "<mark>1+</mark>1"),
        ("nothing", "some", "nothing"),
        ("\x07bell", "BELL", "\\x07<mark>bell</mark>"),
    ],
)
def test_what_was_looked_for_is_marked(text: str, wanted: str, html: str) -> None:
    assert marked(text, wanted) == html


def test_a_part_is_drawn_anew_when_a_value_differs() -> None:
    drawings: list[int] = []

    def drawing() -> Drawing:
        drawings.append(1)
        return Drawing("d", "n", "t", "d", 1, 1, has_links=False, content=Markup("<path/>"))

    values = {"name": "n", "url": None, "what": "graph", "told": ""}
    first = part("p", "drawing.html", Viewer(), drawing=drawing, **values)
    assert part("p", "drawing.html", Viewer(), drawing=drawing, **values) == first
    assert len(drawings) == 1
    part("p", "drawing.html", Viewer(), drawing=drawing, **{**values, "name": "m"})
    part("p", "drawing.html", Viewer(root="/agents"), drawing=drawing, **values)
    assert len(drawings) == 3
    assert "\n<path/>\n</svg>" in first.html, "a drawing is not escaped"
    assert [piece.id for piece in first.pieces] == ["d-told"]


def test_what_is_kept_is_bounded_and_what_is_asked_for_stays() -> None:
    memo = Memo(100)
    for number in range(50):
        memo.keep(number, {"n": number}, Part("p", "x" * 10))
        assert memo.find(0, {"n": 0}), "it is asked for"
    assert memo.find(1, {"n": 1}) is None
    assert sum(1 for number in range(50) if memo.find(number, {"n": number})) == 10
    assert memo.find(0, {"n": 1}) is None
    assert memo.find(0, {"n": 0}) is None, "another was asked for, so it changed"
    assert DRAWN.find("nothing", {}) is None
