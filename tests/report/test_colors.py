"""One meaning for each color, and text that can be read in both themes (WCAG 2.2, 1.4.3: contrast of 4.5 to 1)."""

from __future__ import annotations

import itertools
import re
from importlib import resources

import pytest

REPORT = resources.files("haystack_crossalign.report")
CSS = REPORT.joinpath("assets", "page.css").read_text(encoding="utf-8")
# In the order of the file: light, dark by the system, dark by the button, paper.
THEMES = ("light", "dark", "chosen dark", "paper")
MEANINGS = ("own", "own-soft", "other", "other-soft", "series-1", "series-2", "series-3", "good", "bad", "note-line")


def palettes() -> dict[str, dict[str, str]]:
    blocks = re.findall(r":root[^{]*\{([^}]*)\}", CSS)
    found = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks]
    return dict(zip(THEMES, found, strict=True))


def linear(color: str) -> list[float]:
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]


def luminance(color: str) -> float:
    red, green, blue = linear(color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_texts_can_be_read(theme: str) -> None:
    color = palettes()[theme]
    inks = ("ink", "muted", "own", "other", "series-1", "series-2", "series-3", "series-4", "good", "bad")
    pairs = [*itertools.product(inks, ("surface", "back")), ("ink", "note-back")]
    pairs += [("on-own", "own"), ("on-other", "other"), ("on-soft", "own-soft"), ("on-soft", "other-soft")]
    low = {pair: ratio for pair in pairs if (ratio := contrast(*(luminance(color[name]) for name in pair))) < 4.5}
    assert low == {}


@pytest.mark.parametrize("theme", THEMES)
def test_ranks_can_be_read_on_every_shade_of_a_heat_map(theme: str) -> None:
    """Numbers are black above the lightness (CIE L*) at which charts.js changes to white."""
    color = palettes()[theme]
    (limit,) = re.findall(r"\.l > ([\d.]+) \? \"#000000\" : \"#ffffff\"", asset("charts.js"))
    ends = [116 * luminance(color[name]) ** (1 / 3) - 16 for name in ("shallow", "deep")]
    for step in range(101):
        lightness = ends[0] + (ends[1] - ends[0]) * step / 100
        shade = ((lightness + 16) / 116) ** 3
        assert contrast(shade, 0.0 if lightness > float(limit) else 1.0) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_no_two_meanings_share_a_color(theme: str) -> None:
    color = palettes()[theme]
    assert len({color[name] for name in MEANINGS}) == len(MEANINGS)


def test_themes_define_the_same_colors() -> None:
    first, *others = palettes().values()
    assert all(set(other) == set(first) for other in others)
    assert palettes()["dark"] == palettes()["chosen dark"]


def asset(name: str) -> str:
    return REPORT.joinpath("assets", name).read_text(encoding="utf-8")


def test_charts_and_templates_use_the_colors_of_the_style_sheet_and_no_others() -> None:
    """Black and white aside, which numbers on a heat map are written in."""
    texts = {name: asset(name) for name in ("charts.js", "page.js", "tables.js", "theme.js")}
    for folder in ("", "content", "history", "templates"):
        for path in REPORT.joinpath(folder).iterdir():
            if path.name.endswith((".py", ".j2")):
                texts[f"{folder}/{path.name}"] = path.read_text(encoding="utf-8")
    known = set(palettes()["light"])
    used = {name: set(re.findall(r"var\(--([\w-]+)\)", text)) - known for name, text in texts.items()}
    assert {name: names for name, names in used.items() if names} == {}
    literal = {
        name: set(re.findall(r"#[0-9a-fA-F]{6}\b", text)) - {"#000000", "#ffffff"} for name, text in texts.items()
    }
    assert {name: colors for name, colors in literal.items() if colors} == {}
    assert set(re.findall(r"var\(--([\w-]+)\)", CSS)) <= {*known, "shadow"}
