"""The worst queries of a view, with the documents ranked above the relevant versions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from haystack_crossalign.languages import display_name, is_rtl
from haystack_crossalign.report.content.aggregates import RowRanks
from haystack_crossalign.report.content.views import View, row_label
from haystack_crossalign.report.content.words import count, joined, shorten
from haystack_crossalign.report.links import web_link

_PER_VIEW = {True: 60, False: 20}
"""Number of queries shown for a mixed pool, and for all one-language pools together."""
_PER_ROW = 20
_EXCERPT = 140
_LONGEST_TITLE = 120
_LONGEST_TEXT = 4000


@dataclass
class FullTexts:
    """Full texts of the documents on a page, each once, until a budget is used up.

    :param documents: the documents of a result, by id.
    :param budget: maximum bytes of text, in UTF-8, in the page.
    """

    documents: Mapping[str, Mapping[str, Any]]
    budget: int = 450_000
    entries: list[dict[str, Any]] = field(default_factory=list)
    _anchors: dict[str, str] = field(default_factory=dict)

    def reference(self, document_id: str) -> dict[str, Any]:
        """A document in a list: id, title, link, language, excerpt, and where the page has its full text."""
        document = self.documents.get(document_id, {})
        language, text, title = document.get("language", ""), document.get("text"), document.get("title", "")
        # Texts begin with the title if it is embedded with them.
        body = None if text is None else text.removeprefix(title) if title else text
        return {
            "id": document_id,
            "language": language,
            "language_name": display_name(language) if language else "",
            "dir": _direction(language),
            "title": shorten(title, _LONGEST_TITLE),
            "link": web_link(document.get("url")),
            # An address that a report does not link to, such as a path, can still be read.
            "url": shorten(document.get("url", ""), _EXCERPT),
            "text": None if body is None else shorten(body, _EXCERPT),
            "anchor": self._anchor(document_id, language, text),
        }

    def _anchor(self, document_id: str, language: str, text: str | None) -> str | None:
        if text is None or document_id in self._anchors:
            return self._anchors.get(document_id)
        cut = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
        size = len(cut.encode("utf-8", "replace"))
        if size > self.budget:
            return None
        self.budget -= size
        anchor = f"document-{len(self.entries)}"
        self._anchors[document_id] = anchor
        self.entries.append(
            {
                "anchor": anchor,
                "id": document_id,
                "language": language,
                "language_name": display_name(language) if language else "",
                "dir": _direction(language),
                "text": cut,
            }
        )
        return anchor


def worst_queries(
    result: Mapping[str, Any], view: View, ranks: Sequence[RowRanks], texts: FullTexts
) -> list[dict[str, Any]]:
    """The worst queries of every row of a view, by Max@R (censored first), then by id; rows take turns.

    :param ranks: of every row of the result, see `aggregates.row_ranks`.
    :param texts: collects the documents of the queries.
    """
    per_row = max(1, min(_PER_ROW, _PER_VIEW[view.mixed] // len(view.rows)))
    examples = {(example["row"], example["query"]): example for example in result.get("examples", [])}
    ids = result["queries"]["id"]
    chosen = []
    for index in view.rows:
        deepest = dict(zip(ranks[index].positions.tolist(), ranks[index].deepest.tolist(), strict=True))
        worst = sorted((-depth, _bytes(ids[place]), place) for place, depth in deepest.items())[:per_row]
        chosen += [(depth, index, identifier, place) for depth, identifier, place in worst]
    chosen.sort()
    return [_entry(result, view, index, place, examples.get((index, place)), texts) for _, index, _, place in chosen]


def _direction(tag: str) -> str:
    """``rtl`` for right-to-left languages, otherwise ``auto``: the text decides."""
    return "rtl" if is_rtl(tag) else "auto"


def _bytes(identifier: str) -> bytes:
    return identifier.encode("utf-8", "replace")


def _entry(
    result: Mapping[str, Any],
    view: View,
    index: int,
    place: int,
    example: Mapping[str, Any] | None,
    texts: FullTexts,
) -> dict[str, Any]:
    columns, row = result["queries"], result["rows"][index]
    depth = columns["depth"][place] if "depth" in columns else None
    relevant = _by_language(example["relevant"], result["documents"]) if example else {}
    versions = []
    for version, tag in enumerate(columns["versions"][place]):
        rank = columns["ranks"][place][version]
        above = columns["above"][place][version] if "above" in columns else []
        document = relevant[tag].pop(0) if relevant.get(tag) else None
        versions.append(
            {
                "language": tag,
                "language_name": display_name(tag),
                "rank": rank,
                "order": math.inf if rank is None else rank,
                "label": count(rank) if rank is not None else f"> {count(depth)}" if depth is not None else "not found",
                "same": tag == row["query_language"],
                "ahead": _ahead(row["pool_languages"], above),
                "document": texts.reference(document) if document is not None else None,
            }
        )
    versions.sort(key=lambda version: version["order"])
    shown = {_version(result, document) for document in example["relevant"]} if example else set()
    return {
        "row_label": row_label(row, view),
        "query_language": row["query_language"],
        "language_name": display_name(row["query_language"]),
        "dir": _direction(row["query_language"]),
        "id": columns["id"][place],
        "text": shorten(columns["text"][place], _LONGEST_TEXT) if "text" in columns else None,
        "excerpt": shorten(columns["text"][place], 110) if "text" in columns else columns["id"][place],
        "versions": versions,
        "deepest": versions[-1],
        "top": [
            {
                "rank": rank,
                "relevant": _version(result, document) in shown,
                "same": result["documents"].get(document, {}).get("language") == row["query_language"],
                "document": texts.reference(document),
            }
            for rank, document in enumerate(example["documents"] if example else [], start=1)
        ],
    }


def _version(result: Mapping[str, Any], document_id: str) -> tuple[str, str]:
    """The version a document belongs to, (parallel group, language): every chunk of a relevant version is relevant."""
    document = result["documents"].get(document_id, {})
    return document.get("group", document_id), document.get("language", "")


def _by_language(ids: Sequence[str], documents: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = defaultdict(list)
    for document in ids:
        grouped[documents.get(document, {}).get("language", "")].append(document)
    return grouped


def _ahead(pool_languages: Sequence[str], counts: Sequence[int]) -> str:
    """Non-relevant documents above a version, the most numerous first: ``410 Chinese and 2 English documents``."""
    pairs = sorted(zip(pool_languages, counts, strict=False), key=lambda pair: -pair[1])
    parts = [f"{count(number)} {display_name(tag)}" for tag, number in pairs if number]
    noun = "document" if sum(counts) == 1 else "documents"
    return f"{joined(parts)} {noun}" if parts else ""
