"""The sample that ships with the package: the help centers of an invented company in six languages."""

from __future__ import annotations

from pathlib import Path

from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.formats.read import read_collection


def sample_folder() -> Path:
    """Folder with ``documents.jsonl`` and ``queries.jsonl``; its README.md says what they hold."""
    return Path(__file__).resolve().parents[1] / "sample"


def read_sample() -> JudgedCollection:
    """The sample as a judged collection: English, Chinese, Arabic, Spanish, Thai and Hindi.

    Titles are put before the texts, and each document has an address. The language of a few documents is not given but
    detected.
    """
    folder = sample_folder()
    return read_collection(
        folder / "documents.jsonl",
        folder / "queries.jsonl",
        title_field="title",
        url_field="url",
        detect=True,
        name="sample",
    )
