"""The page in a real browser: headless Chromium, desktop and phone, light and dark.

Screenshots are kept in the folder that CROSSALIGN_ARTIFACTS names, else in pytest's temporary folder. `requirements`
says what happens where Chromium is missing.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from browsing import SIZES, Browser, opened_browser

from haystack_crossalign.report.content.words import measure_value, quantity
from haystack_crossalign.report.html import render_html, render_html_comparison

Result = dict[str, Any]
HOSTILE = '</script><script>window.hacked=1</script>"><img src=x onerror="window.hacked=1">\u2028\u202eABC\u0000{{7*7}}'


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("CROSSALIGN_ARTIFACTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, artifacts: Path) -> Iterator[Browser]:
    with opened_browser(tmp_path_factory, artifacts) as browser:
        yield browser


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    folder = tmp_path_factory.mktemp("pages")

    def to_file(name: str, page: str) -> Path:
        path = folder / f"{name}.html"
        path.write_text(page, encoding="utf-8")
        return path

    return to_file


@pytest.fixture(scope="module")
def pages(
    two: Result,
    twelve: Result,
    live: Result,
    detected: Result,
    compared: Result,
    write: Callable[[str, str], Path],
) -> dict[str, Path]:
    return {
        "pair": write("pair", render_html(two)),
        "twelve": write("twelve", render_html(twelve)),
        "live": write("live", render_html(live)),
        "detected": write("detected", render_html(detected)),
        "compare": write("compare", render_html_comparison(compared["comparison"], compared["a"], compared["b"])),
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["pair", "twelve", "live", "detected", "compare"])
def test_it_draws_without_errors_requests_or_horizontal_scroll(
    browser: Browser, pages: dict[str, Path], name: str, size: str, scheme: str
) -> None:
    browser.open(pages[name], size, scheme)
    assert browser.driver.get_log("browser") == []
    assert set(browser.requests()) <= {pages[name].as_uri(), "data:,"}
    assert browser.js("document.documentElement.scrollWidth") <= browser.width
    charts = browser.all("figure.chart")
    assert charts
    for chart in charts:
        svgs = chart.find_elements("css selector", ".plot svg[role=img]")
        assert svgs or chart.find_elements("css selector", ".plot p.hint")
        assert all(svg.get_attribute("aria-label") for svg in svgs)
    dark = browser.js("getComputedStyle(document.body).backgroundColor") == "rgb(15, 19, 24)"
    assert dark is (scheme == "dark")
    browser.screenshot(f"report-{name}-{size}-{scheme}")


def test_the_heat_maps_hold_the_ranks_of_the_result(browser: Browser, pages: dict[str, Path], two: Result) -> None:
    browser.open(pages["pair"])
    rows = [row for row in two["rows"] if row["scenario"] == "multi"]
    means = [quantity(row["measures"][f"Rank[{tag}]"], row["queries"]) for row in rows for tag in row["pool_languages"]]
    medians = [quantity(row["medians"][f"Rank[{tag}]"]["value"]) for row in rows for tag in row["pool_languages"]]
    for chart, expected in (("mean", means), ("median", medians)):
        texts = browser.js(
            f"[...document.querySelectorAll('article:not([hidden]) [data-chart={chart}] g.values text')]"
            ".map(t => t.textContent)"
        )
        assert texts == expected


def test_the_bars_hold_the_number_of_queries_at_each_rank(
    browser: Browser, pages: dict[str, Path], two: Result
) -> None:
    browser.open(pages["pair"])
    browser.choose("#choose-query", "zh")
    columns = two["queries"]
    multi = next(
        place for place, row in enumerate(two["rows"]) if row["scenario"] == "multi" and row["query_language"] == "zh"
    )
    ranks = [columns["ranks"][place][0] for place, row in enumerate(columns["row"]) if row == multi]
    bars = browser.js(
        "[...document.querySelectorAll('article:not([hidden]) [data-chart=ranks] g.bars rect')]"
        ".map(r => [r.querySelector('title').textContent, Number(r.getAttribute('height'))])"
    )
    english = [bar for bar in bars if bar[0].startswith("English version")]
    heights, total = [], 0
    for title, height in english:
        bounds = title.partition(", rank ")[2].partition(":")[0].split("–")
        count = sum(1 for rank in ranks if int(bounds[0]) <= rank <= int(bounds[-1]))
        assert f": {count:,} queries" in title
        heights.append(height / count)
        total += count
    assert total == len(ranks)
    assert max(heights) == pytest.approx(min(heights), rel=0.01)


def test_the_split_is_as_wide_as_its_shares(browser: Browser, pages: dict[str, Path], two: Result) -> None:
    browser.open(pages["pair"])
    names = ("relevant,same", "relevant,other", "other,same", "other,other")
    split = [row["measures"][f"Top1[{name}]"] for row in two["rows"] if row["scenario"] == "multi" for name in names]
    shares = [share for share in split if share > 0]  # nothing is drawn for nothing
    widths = browser.js(
        "[...document.querySelectorAll('article:not([hidden]) [data-chart=split] g.parts rect')]"
        ".map(r => Number(r.getAttribute('width')))"
    )
    total = sum(widths) + len(widths)  # each bar ends one pixel early
    assert [(width + 1) / total for width in widths] == pytest.approx([share / 2 for share in shares], abs=0.002)


def test_the_curve_passes_complete_at_10(browser: Browser, pages: dict[str, Path], two: Result) -> None:
    browser.open(pages["pair"])
    labels = {text.text for text in browser.all("article [data-chart=curve] svg text")}
    for row in two["rows"]:
        if row["scenario"] == "multi":
            share = row["measures"]["Complete@10"]
            name = {"en": "English", "zh": "Chinese"}[row["query_language"]]
            assert f"{name} {measure_value('Complete@10', share, row['queries'])}".replace("\u00a0", " ") in labels


def test_filters_choose_what_is_shown(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["pair"])
    assert len(browser.all("article.view")) == 1
    assert {panel.text for panel in browser.all("[data-chart=ranks] .panel-title")} == {
        "English queries",
        "Chinese queries",
    }
    browser.choose("#choose-query", "en")
    assert {panel.text for panel in browser.all("[data-chart=ranks] .panel-title")} == {"English queries"}
    assert {item.get_attribute("data-q") for item in browser.all("ol.queries > li")} == {"en"}
    browser.choose("#choose-view", "view-1")
    assert browser.one("article.view h2").text.startswith("One-language pools, asked in their own language")
    assert browser.one("article.view svg[role=img]")


def test_queries_are_found_by_their_words_and_shown_in_steps(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["pair"])
    assert len(browser.all("ol.queries > li")) == 8
    browser.one(".more-queries").click()
    assert len(browser.all("ol.queries > li")) == 28
    words = browser.one("ol.queries > li summary bdi").text
    browser.one(".find").send_keys(words)
    assert [item.text for item in browser.all("ol.queries > li summary bdi")] == [words]
    assert browser.one(".status").text == "1 of 1 shown"


def test_it_works_by_keyboard_alone(browser: Browser, pages: dict[str, Path]) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(pages["pair"])
    browser.one("body").send_keys(Keys.TAB)
    assert browser.driver.switch_to.active_element.text == "Skip to the finding"
    browser.press(Keys.ENTER)
    assert browser.js("document.activeElement.id") == "main"
    browser.js("document.querySelector('article:not([hidden]) .query summary').focus()")
    browser.press(Keys.ENTER)
    assert browser.js("document.querySelector('article:not([hidden]) .query').open") is True
    browser.press(Keys.TAB)
    assert browser.js("document.activeElement.className") == "full"
    outline = browser.js("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    target = browser.js("document.activeElement.hash").removeprefix("#")
    browser.press(Keys.ENTER)
    for _ in range(50):
        if browser.js("document.activeElement.id") == target:
            break
        time.sleep(0.02)
    assert browser.js("document.activeElement.id") == target
    assert browser.driver.switch_to.active_element.is_displayed()
    browser.press(Keys.TAB, Keys.ENTER)
    browser.js("document.getElementById(arguments[0]).querySelector('.back').click()", target)
    assert browser.js("document.activeElement.className") == "full"


def test_the_theme_can_be_switched(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["pair"], "desktop", "light")
    button = browser.one("#theme")
    assert button.get_attribute("aria-label") == "Switch to the dark theme"
    button.click()
    assert browser.js("getComputedStyle(document.body).backgroundColor") == "rgb(15, 19, 24)"
    assert button.get_attribute("aria-label") == "Switch to the light theme"
    button.click()
    assert browser.js("getComputedStyle(document.body).backgroundColor") == "rgb(246, 247, 249)"
    browser.js("localStorage.clear()")


def test_hostile_texts_do_nothing(
    browser: Browser, make_result: Callable[..., Result], write: Callable[[str, str], Path]
) -> None:
    result = make_result(("en", "ar"), 30, passages=60, mono=False)
    result["provenance"]["model"]["name"] = HOSTILE
    result["provenance"]["data"]["files"][0]["name"] = HOSTILE
    result["provenance"]["options"] = {HOSTILE: [HOSTILE]}
    result["queries"]["text"] = [HOSTILE] * 60
    result["queries"]["id"] = [f"{HOSTILE}{place}" for place in range(60)]
    renamed = {identifier: f"{HOSTILE}{identifier}" for identifier in result["documents"]}
    result["documents"] = {renamed[key]: {**entry, "text": HOSTILE} for key, entry in result["documents"].items()}
    for example in result["examples"]:
        example["documents"] = [renamed[key] for key in example["documents"]]
        example["relevant"] = [renamed[key] for key in example["relevant"]]
    result["rows"][0]["reasons"] = {"LPR": HOSTILE}
    result["rows"][0]["measures"]["LPR"] = None
    path = write("hostile", render_html(result))
    browser.open(path)
    for summary in browser.all("details.query summary")[:3]:
        summary.click()
    assert browser.js("window.hacked") is None
    assert browser.js("document.querySelectorAll('img, iframe, object').length") == 0
    assert browser.js("document.scripts.length") == 7
    assert browser.driver.get_log("browser") == []
    assert set(browser.requests()) <= {path.as_uri(), "data:,"}
    assert browser.one("details.query .asked bdi").text.startswith('</script><script>window.hacked=1</script>"><img')
    assert "{{7*7}}" in browser.one("details.query .asked bdi").text


def test_it_prints_on_a4(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["pair"], "desktop", "dark")
    printed = browser.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True, "preferCSSPageSize": True})
    document = base64.b64decode(printed["data"])
    (browser.artifacts / "report-pair.pdf").write_bytes(document)
    assert document.startswith(b"%PDF")
    assert b"[0 0 594.95996 841.91998]" in document or b"[0 0 595" in document
    assert browser.js("document.querySelectorAll('details.query[open]').length") == 0


def test_the_dial_of_six_languages_fits_on_paper(
    browser: Browser, compared: Result, write: Callable[[str, str], Path]
) -> None:
    shares = dict.fromkeys(("ar", "en", "es", "hi", "th", "zh"), 0.5)
    point = {"complete": shares, "own_first": shares}
    points = [{"strength": one / 10, "bias": 2.0, "harmless": one < 5, **point} for one in range(11)]
    dial = {"queries": dict.fromkeys(shares, 30), "before": point, "points": points, "taken": 0.4}
    comparison, a, b = (compared[name] for name in ("comparison", "a", "b"))
    browser.open(write("dial", render_html_comparison(comparison, a, b, dial=dial)))
    paper = {"width": 690, "height": 976, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", paper)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        browser.js("dispatchEvent(new Event('beforeprint'))")
        table = "document.querySelector('table.many-columns')"
        assert browser.js(f"{table}.rows[1].cells.length") == 13
        assert 0 < browser.js(f"{table}.getBoundingClientRect().right") <= 691
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize(
    ("name", "size", "scheme"),
    [
        ("pair", "desktop", "light"),
        ("detected", "phone", "dark"),
        ("live", "desktop", "dark"),
        ("compare", "phone", "light"),
    ],
)
def test_axe_finds_no_barrier(browser: Browser, pages: dict[str, Path], name: str, size: str, scheme: str) -> None:
    # Of that package only the copy of axe-core is used, so that neither Node nor a network is needed.
    package = metadata.distribution("axe-playwright-python")
    source = Path(str(package.locate_file("axe_playwright_python/axe.min.js"))).read_text(encoding="utf-8")
    browser.open(pages[name], size, scheme)
    # One of each thing that can be opened: thousands of cells and texts of the same kind would take axe minutes.
    browser.driver.execute_script(
        "const first = (s, n = 1) => [...document.querySelectorAll(s)].filter(d => d.checkVisibility()).slice(0, n);"
        "for (const d of [...first('main details.query'), ...first('main details.data', 3)]) d.open = true;"
        "const texts = document.querySelector('#texts details');"
        "if (texts) { texts.open = true; [...texts.querySelectorAll('article')].slice(3).forEach(a => a.remove()); }"
    )
    browser.driver.set_script_timeout(120)
    browser.driver.execute_script(source)
    found = browser.driver.execute_async_script("axe.run().then(r => arguments[0](r.violations))")
    assert [(issue["id"], [node["html"][:160] for node in issue["nodes"][:3]]) for issue in found] == []
