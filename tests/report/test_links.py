"""Titles, ids and links of documents among the worst queries: only addresses of the web, and only as links."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest

from haystack_crossalign.report.html import render_html
from haystack_crossalign.report.links import web_link
from haystack_crossalign.report.markdown import render_markdown

Result = dict[str, Any]


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org/help/a?x=1&y=2#part",
        "http://example.org:8080/",
        "HTTPS://EXAMPLE.org/A",
        "https://[2001:db8::1]/a",
        "https://example.org/a%20b",
    ],
)
def test_addresses_of_the_web_stay_as_they_are(address: str) -> None:
    assert web_link(address) == address


@pytest.mark.parametrize("path", ["a b", "ä", '"><script>', "(a)|b`c\\d<e>", "\u202etxt", "'onclick='x"])
def test_what_could_end_an_attribute_or_a_cell_is_percent_encoded(path: str) -> None:
    link = web_link(f"https://example.org/{path}")
    assert link is not None
    assert link.isascii()
    assert not set(link) & set(' "<>|`\\\u202e')
    assert unquote(link) == f"https://example.org/{path}"


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "https://exa\tmple.org",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://example.org",
        "//example.org/a",
        "/help/a",
        "help",
        "https:///a",
        "https://",
        "https://user:secret@example.org/",
        "https://example.org\\@other.org/",
        "https://[::1",
        "https://example.org/\ud800",
        f"https://example.org/{'a' * 2000}",
    ],
)
def test_nothing_else_becomes_a_link(address: str | None) -> None:
    assert web_link(address) is None


@pytest.fixture
def named(make_result: Callable[..., Result]) -> Result:
    """An invented result whose documents have titles, and pages with an address, a path or a script."""
    result = make_result(("en", "ar"), 12, passages=30, mono=False)
    for number, (name, entry) in enumerate(result["documents"].items()):
        entry["title"] = f"Title of {name}"
        entry["text"] = f"{entry['title']} {entry['text']}"
        entry["url"] = (f"https://example.org/{number}?a=1&b=2", f"/help/{number}", "javascript:alert(1)")[number % 3]
    return result


def shown(result: Result) -> dict[str, dict[str, str]]:
    """The documents of the first example, which the page shows."""
    example = result["examples"][0]
    return {name: result["documents"][name] for name in (*example["documents"], *example["relevant"])}


def test_the_page_names_documents_and_links_to_the_web_only(named: Result) -> None:
    page = render_html(named)
    links = re.findall(r'<a href="([^"#][^"]*)"([^>]*)>', page)
    assert links
    for target, rest in links:
        assert target.startswith("https://example.org/")
        assert 'rel="noopener noreferrer"' in rest
    for name, entry in shown(named).items():
        assert f"<bdi>{entry['title']}</bdi>" in page
        assert f'<bdi class="id">{name}</bdi>' in page
        if entry["url"].startswith("https"):
            assert f'href="{entry["url"].replace("&", "&amp;")}"' in page
        else:
            assert f'<bdi class="id">{entry["url"]}</bdi>' in page


def test_a_text_does_not_repeat_the_title_that_it_begins_with(named: Result) -> None:
    page = render_html(named)
    for entry in shown(named).values():
        first_words = entry["text"].removeprefix(entry["title"]).strip()[:20]
        assert re.search(rf'<bdi class="text"[^>]*>{re.escape(first_words)}', page)
    assert not re.search(r'<bdi class="text"[^>]*>Title of', page)


def test_markdown_links_to_the_web_only(named: Result) -> None:
    text = render_markdown(named)
    targets = re.findall(r"(?<!\\)\]\(<([^>]*)>\)", text)
    assert targets
    assert all(target.startswith("https://example.org/") for target in targets)
    assert "](javascript" not in text
    rows = [line for line in text.splitlines() if "Title of" in line]
    assert rows
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}


def test_brackets_in_a_title_do_not_end_a_markdown_link(named: Result) -> None:
    for entry in named["documents"].values():
        entry["title"] = "a](https://evil.example) [b"
        entry["url"] = "https://example.org/a"
    text = render_markdown(named)
    assert "[a\\]\\(https\u200b://evil.example) \\[b](<https://example.org/a>)" in text


def test_a_result_without_titles_and_links_shows_ids(named: Result) -> None:
    for entry in named["documents"].values():
        del entry["title"], entry["url"]
    page, text = render_html(named), render_markdown(named)
    assert not re.findall(r'<a href="[^"#]', page)
    assert "](<" not in text
    for name in shown(named):
        assert f'<bdi class="id">{name}</bdi>' in page
