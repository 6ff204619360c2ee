"""The colours of the page can be read: contrast as WCAG 2.2 asks for at AA, in both themes."""

import re
from pathlib import Path

import pytest

import cw_store.live

CSS = (Path(cw_store.live.__file__).parent / "static" / "live.css").read_text()

VARIABLES = {
    name: (light, dark)
    for name, light, dark in re.findall(
        r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", CSS
    )
}

LANES = ("needs-you", "running", "ready", "waiting", "done")

TEXT = [
    *((ink, ground) for ink in ("ink", "ink-soft") for ground in ("surface", "ground", "raised")),
    *((ink, f"{lane}-soft") for ink in ("ink", "ink-soft") for lane in LANES),
    *((lane, "surface") for lane in (*LANES, "critical", "accent", "warn")),
    *((lane, f"{lane}-soft") for lane in LANES),
    ("warn", "running-soft"),
    ("warn", "ready-soft"),
    ("warn", "waiting-soft"),
    ("warn", "needs-you-soft"),
    ("accent", "raised"),
    ("accent", "ground"),
    ("on-accent", "accent"),
    ("surface", "needs-you"),
    ("surface", "ink"),
]
"""Which colour text has, and on what."""

SHAPES = [("edge", ground) for ground in ("surface", "ground", "raised")]
"""What has to be seen without being text: the edges of buttons and fields."""


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_counted_as_it_is_defined() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground", "least"),
    [*((*pair, 4.5) for pair in TEXT), *((*pair, 3.0) for pair in SHAPES)],
)
def test_it_can_be_read(theme: int, ink: str, ground: str, least: float) -> None:
    assert contrast(VARIABLES[ink][theme], VARIABLES[ground][theme]) >= least


def test_every_colour_has_a_value_for_each_theme() -> None:
    used = set(re.findall(r"var\(--([a-z-]+)\)", CSS)) - {"text", "code"}
    assert used <= set(VARIABLES)
    colours = re.sub(r":root \{.*?\n\}", "", CSS, flags=re.DOTALL)
    assert set(re.findall(r"#[0-9a-f]{6}", colours)) <= {"#ffe9a8", "#5a4300"}, "of <mark>"
