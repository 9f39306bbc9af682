"""Tables and charts of the page in a real browser: sorted by a click, saved as files, dark and light."""

from __future__ import annotations

import csv
import io
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from browsing import Browser, opened_browser

from haystack_crossalign.report.html import render_html, render_html_comparison

TABLE = "table.headline"


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Iterator[Browser]:
    with opened_browser(tmp_path_factory) as browser:
        browser.driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)}
        )
        yield browser


@pytest.fixture(scope="module")
def page(twelve: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "twelve.html"
    path.write_text(render_html(twelve), encoding="utf-8")
    return path


def column(browser: Browser, heading: str) -> list[str]:
    """The cells below a heading, without their small print."""
    return browser.driver.execute_script(
        """
        const table = document.querySelector(arguments[0]);
        const place = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent.trim() === arguments[1]);
        return [...table.tBodies[0].rows].map((row) => row.cells[place].firstChild.textContent.trim());
        """,
        TABLE,
        heading,
    )


def click(browser: Browser, heading: str) -> None:
    buttons = browser.all(f"{TABLE} button.sort")
    next(button for button in buttons if button.text.strip(" ▲▼") == heading).click()


def saved(folder: Path, ending: str) -> Path:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        files = [path for path in folder.iterdir() if path.suffix == ending]
        if files and files[0].stat().st_size:
            return files[0]
        time.sleep(0.1)
    raise AssertionError(f"nothing saved in {folder}")


def test_a_click_sorts_by_number_and_another_turns_it_round(
    browser: Browser, page: Path, twelve: dict[str, Any]
) -> None:
    browser.open(page)
    before = column(browser, "Max@R")
    depths = sorted(row["measures"]["Max@R"] for row in twelve["rows"] if row["scenario"] == "multi")
    click(browser, "Max@R")
    shown = column(browser, "Max@R")
    assert shown[0] == before[0]  # the best possible value stays on top
    numbers = [float(text.replace(",", "")) for text in shown[1:]]
    assert numbers == pytest.approx(depths, rel=0.01)
    assert numbers == sorted(numbers)
    assert browser.js(f"document.querySelector('{TABLE} th[aria-sort]').ariaSort") == "ascending"
    click(browser, "Max@R")
    assert column(browser, "Max@R") == [shown[0], *shown[:0:-1]]
    click(browser, "Query language")
    names = column(browser, "Query language")
    assert names[1:] == sorted(names[1:])


def test_a_table_is_saved_as_csv(browser: Browser, page: Path, downloads: Path) -> None:
    browser.open(page)
    browser.one(f".scroller:has({TABLE}) + button.save").click()
    rows = list(csv.reader(io.StringIO(saved(downloads, ".csv").read_text(encoding="utf-8-sig"))))
    assert rows[0] == [cell.text.strip(" ▲▼") for cell in browser.all(f"{TABLE} thead th")]
    assert [row[0] for row in rows[1:]] == column(browser, "Query language")
    assert len({len(row) for row in rows}) == 1


def test_a_chart_is_saved_as_svg_with_its_colors(browser: Browser, page: Path, downloads: Path) -> None:
    browser.open(page)
    figure = "article:not([hidden]) figure[data-chart='median']"
    browser.one(f"{figure} button.save").click()
    text = saved(downloads, ".svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)  # noqa: S314 - made by the page
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "var(" not in text
    cells = root.findall(".//{http://www.w3.org/2000/svg}rect")
    assert len(cells) == len(browser.all(f"{figure} rect"))


def lightness(browser: Browser) -> list[tuple[float, float]]:
    """Rank and lightness of each cell of the first heat map."""
    return browser.driver.execute_script(
        """
        const view = JSON.parse(document.getElementById("report-data").textContent).views[0];
        const ranks = view.heat.median.filter((cell) => cell.v !== null).map((cell) => cell.v);
        const cells = [...document.querySelectorAll("article:not([hidden]) figure[data-chart='median'] rect")];
        return cells.map((cell, place) => [ranks[place], d3.lab(getComputedStyle(cell).fill).l]);
        """
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_lies_deep_stands_out_from_the_page(browser: Browser, page: Path, scheme: str) -> None:
    browser.open(page, scheme=scheme)
    cells = sorted(lightness(browser))
    page_is_light = scheme == "light"
    for (shallow, first), (deep, second) in itertools.pairwise(cells):
        if deep > shallow:
            # Ranks that are close may share one of 256 shades.
            assert second <= first if page_is_light else second >= first
    assert (cells[-1][1] < cells[0][1]) == page_is_light
    # The theme's button draws them anew.
    browser.one("#theme").click()
    turned = sorted(lightness(browser))
    assert (turned[-1][1] < turned[0][1]) != page_is_light
    browser.js("localStorage.clear()")


@pytest.fixture(scope="module")
def compare_page(compared: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "compare.html"
    text = render_html_comparison(compared["comparison"], compared["a"], compared["b"])
    path.write_text(text, encoding="utf-8")
    return path


def test_a_comparison_opens_short_and_prints_whole(browser: Browser, compare_page: Path) -> None:
    browser.open(compare_page)
    # Of six rows with up to 23 measures each, and six heat maps.
    assert browser.js("document.documentElement.scrollHeight") < 4500
    closed = browser.js("document.querySelectorAll('details.fold:not([open])').length")
    assert closed > 6
    browser.driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert browser.js("document.querySelectorAll('details.fold:not([open])').length") == 0
    drawn = browser.js(
        "[...document.querySelectorAll('figure.chart')].every(f => f.querySelector('.plot svg, .plot p'))"
    )
    assert drawn is True
    browser.driver.execute_script("dispatchEvent(new Event('afterprint'))")
    assert browser.js("document.querySelectorAll('details.fold:not([open])').length") == closed


def test_a_folded_chart_fills_its_place_when_it_is_opened(browser: Browser, compare_page: Path) -> None:
    browser.open(compare_page)
    fold = "details.fold:has(figure.chart)"
    assert not browser.all(f"{fold} .plot svg")
    browser.one(f"{fold} > summary").click()
    until = time.monotonic() + 10
    while not browser.all(f"{fold} .plot svg[role=img]") and time.monotonic() < until:
        time.sleep(0.02)
    # Both in one script: the chart is drawn again when its place changes.
    chart, place = browser.js(
        "['.plot svg[role=img]', '.plot'].map(s => document.querySelector("
        "'details.fold[open]:has(figure.chart) ' + s).getBoundingClientRect().width)"
    )
    assert chart == pytest.approx(place, abs=2)


@pytest.fixture
def live_page(indexed: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "live.html"
    path.write_text(render_html(indexed), encoding="utf-8")
    return path


def test_live_tables_are_grouped_by_language_and_fit_a_phone(browser: Browser, live_page: Path) -> None:
    browser.open(live_page, "phone")
    groups = browser.js("[...document.querySelector('#live table.grouped').tBodies].map(b => b.rows[0].textContent)")
    assert groups == ["English", "Chinese"]
    fits = "[...document.querySelectorAll('#live .scroller')].every(s => s.scrollWidth <= s.clientWidth)"
    assert browser.js(fits) is True
    # Every figure has its name beside it.
    name = "getComputedStyle(document.querySelector('#live tbody td:not(:empty)'), '::before').content"
    assert browser.js(name) in ('"Recall@10"', '"Max@R"')


def test_a_grouped_table_is_saved_with_the_group_in_each_row(
    browser: Browser, live_page: Path, downloads: Path
) -> None:
    for old in downloads.iterdir():
        old.unlink()
    browser.open(live_page)
    browser.one("#live .scroller:has(table.grouped) + button.save").click()
    rows = list(csv.reader(io.StringIO(saved(downloads, ".csv").read_text(encoding="utf-8-sig"))))
    assert rows[0][:3] == ["Query language", "Ranking", "Recall@10"]
    assert [row[:2] for row in rows[1:]] == [
        [language, ranking] for language in ("English", "Chinese") for ranking in ("exact", "nearest neighbors")
    ]
    assert {len(row) for row in rows} == {len(rows[0])}
