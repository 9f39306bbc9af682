"""Names of documents, in one index and behind an alias."""

from __future__ import annotations

import pytest

from haystack_crossalign.opensearch.index.names import DocumentNames
from haystack_crossalign.ranks.ties import tie_key

ONE, TWO = DocumentNames(("docs",)), DocumentNames(("docs-de", "docs-en"))


def test_the_name_is_the_id_and_behind_an_alias_the_index_and_the_id() -> None:
    hit = {"_index": "docs-de", "_id": "a/b"}
    assert (ONE.of(hit), TWO.of(hit)) == ("a/b", "docs-de/a/b")
    assert (ONE.id_of("a/b"), TWO.id_of("docs-de/a/b"), TWO.id_of("plain")) == ("a/b", "a/b", "plain")


@pytest.mark.parametrize(
    ("text", "expected"), [("docs-de/a", True), ("docs-fr/a", False), ("docs-de", False), ("a/docs-de", False)]
)
def test_only_a_known_index_and_a_slash_begin_a_name(text: str, expected: bool) -> None:
    assert TWO.is_written(text) is expected
    assert not ONE.is_written(text)


def test_a_query_matches_exactly_the_named_documents() -> None:
    assert ONE.query(["b", "a"]) == {"ids": {"values": ["b", "a"]}}
    either = [
        {"bool": {"filter": [{"term": {"_index": "docs-de"}}, {"ids": {"values": ["a", "b/c"]}}]}},
        {"bool": {"filter": [{"term": {"_index": "docs-en"}}, {"ids": {"values": ["a"]}}]}},
    ]
    named = TWO.query(["docs-de/a", "docs-en/a", "docs-de/b/c"])
    assert named == {"bool": {"should": either, "minimum_should_match": 1}}
    assert TWO.query([]) == {"match_none": {}}


def test_ties_are_in_the_order_of_the_ids_and_no_index_always_comes_first() -> None:
    ids = [f"d{number}" for number in range(50)]
    behind = sorted((f"docs-{'de' if n % 2 else 'en'}/{name}" for n, name in enumerate(ids)), key=TWO.tie_key)
    assert [name.partition("/")[2] for name in behind] == sorted(ids, key=tie_key)
    first = {min((f"docs-de/{name}", f"docs-en/{name}"), key=TWO.tie_key).partition("/")[0] for name in ids}
    assert first == {"docs-de", "docs-en"}


def test_a_report_shows_ids_and_the_index_where_two_documents_have_one_id() -> None:
    names = ["docs-de/a", "docs-en/a", "docs-en/b", "docs-en/b", "plain"]
    assert TWO.shown(names) == {
        "docs-de/a": "docs-de/a", "docs-en/a": "docs-en/a", "docs-en/b": "b", "plain": "plain"
    }  # fmt: skip
    assert ONE.shown(["a", "b"]) == {"a": "a", "b": "b"}
