"""The page as text: self-contained, small, complete without JavaScript, and with vendored code as published."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib import resources
from typing import Any

import pytest

from haystack_crossalign.report.content.finding import finding
from haystack_crossalign.report.content.words import measure_value
from haystack_crossalign.report.html import render_html

Result = dict[str, Any]
VENDOR = resources.files("haystack_crossalign.report").joinpath("assets", "vendor")
VOID = {"meta", "link", "input", "br", "img", "path", "rect"}


class Page(HTMLParser):
    """Elements, visible text and scripts of a page, read by the standard library's parser."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self._raw: str | None = None
        self.feed(text)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._raw = tag if tag in ("script", "style") else None
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._raw:
            self._raw = None

    def handle_data(self, data: str) -> None:
        if self._raw == "script":
            self.scripts[-1] += data
        elif self._raw is None:
            self.words.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def page(pair: Result) -> Page:
    return Page(render_html(pair))


def test_it_loads_nothing(page: Page) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith("#") or value == "data:,", (tag, value)
    assert not {tag for tag, _ in page.elements} & {"img", "iframe", "object", "embed", "form", "base", "video"}


def test_only_its_own_scripts_may_run(page: Page) -> None:
    (policy,) = [meta["content"] for meta in page.named("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    directives = dict(part.split(maxsplit=1) for part in policy.split(";") if part.strip())
    assert directives["default-src"] == "'none'"
    kinds = [attributes.get("type") for attributes in page.named("script")]
    code = [script for script, kind in zip(page.scripts, kinds, strict=True) if kind is None]
    digests = {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in code}
    assert set(directives["script-src"].split()) == {f"'sha256-{digest}'" for digest in digests}


def test_it_reads_without_javascript(pair: Result, page: Page) -> None:
    for sentence in finding(pair):
        for part in re.split(r"(?: \(|\)\.?$)", sentence):
            assert " ".join(part.rstrip(".").split()) in page.text
    for row in pair["rows"]:
        for name in ("Max@R", "Complete@10", "MRR"):
            assert " ".join(measure_value(name, row["measures"][name], row["queries"]).split()) in page.text
    assert "How it was measured" in page.text
    assert pair["provenance"]["model"]["sha256"] in page.text


def test_sections_stand_in_the_order_people_read_them(page: Page) -> None:
    titles = [
        "Headline numbers",
        "How deep each language lies",
        "Where the ranks fall",
        "Who stands in front",
        "What stands at rank 1",
        "How many queries are complete",
        "The worst queries",
        "How it was measured",
    ]
    start = page.text.index("Headline numbers")
    places = [page.text.index(title, start) for title in titles]
    assert places == sorted(places)


def test_every_chart_has_a_table_and_a_label(page: Page) -> None:
    figures = page.named("figure")
    assert len(figures) == 6 * 3
    assert all(figure["data-label"] for figure in figures)
    assert page.text.count("The numbers as a table") == len(figures)


def test_ids_are_unique_and_links_lead_somewhere(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    assert {link["href"] for link in page.named("a")} <= {f"#{identifier}" for identifier in ids}


def test_1190_queries_in_two_languages_stay_under_two_megabytes(large: Result) -> None:
    assert len(render_html(large).encode("utf-8")) < 2_000_000


def test_twelve_languages_stay_under_five_megabytes(twelve: Result) -> None:
    assert len(render_html(twelve).encode("utf-8")) < 5_000_000


def test_the_same_result_gives_the_same_page(pair: Result) -> None:
    assert render_html(pair) == render_html(copy.deepcopy(pair))


def test_a_result_without_texts_gives_a_page_without_texts(pair: Result) -> None:
    bare = copy.deepcopy(pair)
    del bare["queries"]["text"]
    for document in bare["documents"].values():
        del document["text"]
    page = Page(render_html(bare))
    assert pair["queries"]["id"][pair["examples"][0]["query"]] in page.text
    assert "Full texts" not in page.text
    for text in (*pair["queries"]["text"][:50], *(entry["text"][:40] for entry in pair["documents"].values())):
        assert text not in page.text


def test_texts_carry_their_language_and_direction(live: Result) -> None:
    page = Page(render_html(live))
    assert {bdi.get("dir") for bdi in page.named("bdi") if bdi.get("lang") == "ar"} == {"rtl"}
    assert {bdi.get("dir") for bdi in page.named("bdi") if bdi.get("lang") == "en"} == {"auto"}


def test_censored_ranks_are_shown_as_such(live: Result) -> None:
    page = Page(render_html(live))
    assert "not in the list" in page.text
    assert "its rank is not known" in page.text
    assert "≥ " in page.text


def test_languages_that_are_not_clear_are_counted_near_the_finding(detected: Result, pair: Result) -> None:
    text = Page(render_html(detected)).text
    counts = detected["provenance"]["data"]["detection"]
    left_out = counts["undetermined_queries"]
    note = f"3 documents (kept in the pool as 'undetermined language') and {len(left_out)} queries (left out: "
    assert text.index(note) < text.index("Headline numbers")
    method = text.index("How it was measured")
    unclear = f"Language not clear 3 documents (kept in the pool), {len(left_out)} queries (left out: "
    assert unclear + ", ".join(left_out) in text[method:]
    shown = re.sub(r"(Rank|Intrusion)\[und\]", "", text[text.index("Headline numbers") : method])
    assert "und" not in re.findall(r"\w+", shown)
    assert "documents in an undetermined language" in text
    assert "Languages were detected" not in Page(render_html(pair)).text


def test_data_in_the_page_cannot_end_its_script(pair: Result) -> None:
    pair["rows"][0]["query_language"] = "</script><script>alert(1)</script>"
    page = Page(render_html(pair))
    (data,) = [
        script
        for script, attributes in zip(page.scripts, page.named("script"), strict=True)
        if attributes.get("type") == "application/json"
    ]
    assert "<" not in data
    assert json.loads(data)["views"][0]["queries"][0]["tag"] == "</script><script>alert(1)</script>"


def test_halves_of_surrogate_pairs_do_not_reach_the_file(pair: Result) -> None:
    place = pair["examples"][0]["query"]
    pair["queries"]["text"][place] = "half \ud800 of a pair"
    assert "half \ufffd of a pair" in render_html(pair)


def test_examples_may_be_missing(pair: Result) -> None:
    pair["examples"], pair["documents"] = [], {}
    assert "The worst queries" in Page(render_html(pair)).text


def test_vendored_code_is_what_its_note_says() -> None:
    note = json.loads(VENDOR.joinpath("vendored.json").read_text(encoding="utf-8"))
    named = {}
    for package in note["packages"]:
        assert {"name", "version", "licence", "tarball_integrity"} <= set(package)
        named.update(package["sha256"])
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in VENDOR.iterdir()}
    del found["vendored.json"]
    assert found == named


def test_licences_of_bundled_code_travel_with_the_page(page: Page) -> None:
    for holder in ("Mike Bostock", "Observable, Inc.", "Mikola Lysenko", "Robert Penner", "Charles Karney"):
        assert holder in page.text


def test_a_measure_that_was_not_asked_for_has_no_tile(pair: Result) -> None:
    tiles = page_tiles(render_html(pair))
    assert {"Max@R", "Max@R_norm"} <= tiles
    for row in pair["rows"]:
        del row["measures"]["Max@R_norm"]
    assert page_tiles(render_html(pair)) == tiles - {"Max@R_norm"}


def page_tiles(text: str) -> set[str]:
    """Names of the measures in the tiles of a page."""
    return set(re.findall(r'<p class="name">[^<]*<span>([^<]+)</span>', text))
