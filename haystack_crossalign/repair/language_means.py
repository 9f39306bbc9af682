"""Language means that differ by language, not by the topics of each language's documents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.errors import InputError

ENOUGH_PARALLEL = 30
"""Minimum number of parallel documents from which alone a language's mean is estimated."""


def language_means(
    vectors: NDArray[np.float64], codes: NDArray[np.int64], groups: Sequence[str] | None
) -> NDArray[np.float64]:
    """Mean embedding of each language over the same documents, as far as they are parallel.

    If the languages come from different corpora, the plain means also differ by topic. So each version is modeled as
    the sum of its document and its language, ``x_dl = g_d + m_l + error``, by least squares over the documents that
    have several versions (Yates 1934, the two-way layout with empty cells). If every language has every document, this
    is the plain mean. The plain mean is also used if a language has too few parallel documents, or none that link it
    with the others.

    :param vectors: ``[n, dim]``.
    :param codes: language code of each, 0 to L - 1, each at least once.
    :param groups: parallel group of each, or None.
    :returns: ``[L, dim]``.
    """
    count = int(codes.max()) + 1
    plain = np.stack([vectors[codes == code].mean(axis=0) for code in range(count)])
    if groups is None:
        return plain
    members = parallel_rows(codes, groups)
    design, sums = np.zeros((count, count)), np.zeros_like(plain)
    documents, level = np.zeros(count), np.zeros_like(plain[0])
    for rows in members:
        # A language with two copies of a document counts twice.
        present = np.bincount(codes[rows], minlength=count).astype(np.float64)
        design += np.diag(present) - np.outer(present, present) / len(rows)
        np.add.at(sums, codes[rows], vectors[rows] - vectors[rows].mean(axis=0))
        documents += present > 0
    everywhere = (documents == len(members)).all() and len(members) * count == len(codes)
    if everywhere or documents.min() < ENOUGH_PARALLEL:
        return plain
    values, axes = np.linalg.eigh(design)
    # One direction is free, the common level; a second one means two sets of languages that share no document.
    if values[1] < 1e-9 * values[-1]:
        return plain
    effects = axes[:, 1:] / values[1:] @ (axes[:, 1:].T @ sums)
    for rows in members:
        level += (vectors[rows] - effects[codes[rows]]).mean(axis=0)
    return np.asarray(level / len(members) + effects)


def parallel_rows(codes: NDArray[np.int64], groups: Sequence[str]) -> list[list[int]]:
    """Rows of each group that has several languages, in the order of the groups' first rows.

    :param codes: language of each row.
    :param groups: group of each row.
    :raises InputError: if their numbers differ.
    """
    if len(groups) != len(codes):
        raise InputError(
            "one group is needed for each embedding", field="groups", seen=len(groups), allowed=str(len(codes))
        )
    members: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    return [rows for rows in members.values() if len({int(codes[row]) for row in rows}) > 1]
