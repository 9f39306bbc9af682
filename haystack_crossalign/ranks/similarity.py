"""The similarities by which a ranking can be defined, under their names in sentence-transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from haystack_crossalign.errors import InputError

Similarity = Literal["cosine", "dot", "euclidean", "manhattan"]
"""cosine: of the angle between both vectors. dot: the sum of the products of their components. euclidean and manhattan:
the negative of the length of their difference, and of the sum of its magnitudes."""

SIMILARITIES: tuple[Similarity, ...] = get_args(Similarity)

IndexSimilarity = Similarity | Literal["chebyshev", "hamming"]
"""Similarities that an index may use in addition. chebyshev: the negative of the largest magnitude of a component of
the difference. hamming: the negative of the number of bits that differ.
"""

_WORDS: dict[str, str] = {
    "cosine": "cosine similarity",
    "dot": "dot product",
    "euclidean": "Euclidean distance",
    "manhattan": "Manhattan distance",
    "chebyshev": "Chebyshev distance",
    "hamming": "Hamming distance",
}

DEFAULT_SIMILARITY: Similarity = "cosine"
"""Default if nothing is known of the vectors; also the default of sentence-transformers for a model without one."""


def parse_similarity(name: str, *, source: str | Path | None = None, field: str | None = None) -> Similarity:
    """Check the name of a similarity.

    :param name: one of `SIMILARITIES`.
    :param source: option or file it comes from, for the message.
    :param field: field of that file.
    :raises InputError: for any other name.
    """
    for similarity in SIMILARITIES:
        if name == similarity:
            return similarity
    raise InputError("unknown similarity", source=source, field=field, seen=name, allowed=", ".join(SIMILARITIES))


def similarity_words(name: str) -> str:
    """A similarity in words, for reports."""
    return _WORDS.get(name) or _WORDS[parse_similarity(name)]
