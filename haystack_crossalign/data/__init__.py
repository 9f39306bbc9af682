"""Judged collections: queries and documents with their languages, and which documents are relevant to which queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haystack_crossalign._lazy import lazy_names

if TYPE_CHECKING:
    from haystack_crossalign.data.collection import Documents, JudgedCollection, Queries
    from haystack_crossalign.data.corpora.belebele import read_belebele
    from haystack_crossalign.data.corpora.xquad import read_xquad
    from haystack_crossalign.data.detect import detect_languages
    from haystack_crossalign.data.formats.beir import read_beir
    from haystack_crossalign.data.formats.read import read_collection
    from haystack_crossalign.data.formats.run_files import read_run
    from haystack_crossalign.data.formats.trec import read_qrels
    from haystack_crossalign.data.versions import Versions

__all__ = [
    "Documents",
    "JudgedCollection",
    "Queries",
    "Versions",
    "detect_languages",
    "read_beir",
    "read_belebele",
    "read_collection",
    "read_qrels",
    "read_run",
    "read_xquad",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Documents": "collection",
        "JudgedCollection": "collection",
        "Queries": "collection",
        "Versions": "versions",
        "detect_languages": "detect",
        "read_beir": "formats.beir",
        "read_belebele": "corpora.belebele",
        "read_collection": "formats.read",
        "read_qrels": "formats.trec",
        "read_run": "formats.run_files",
        "read_xquad": "corpora.xquad",
    },
)
