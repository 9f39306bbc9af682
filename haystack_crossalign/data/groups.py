"""Relevant documents from a group field: documents with the same ``parallel_id`` are versions of one content."""

from __future__ import annotations

from collections.abc import Sequence

from haystack_crossalign.data.collection import Documents

__all__ = ["documents_by_group", "expand_to_groups"]


def documents_by_group(documents: Documents) -> dict[str, tuple[int, ...]]:
    """Ascending indices of the documents of each parallel group.

    A document without a group stands for a group of its own, named after its id. So a translation may give the id of
    its original as its group, while the original itself has none.
    """
    members: dict[str, list[int]] = {}
    for index, group in enumerate(documents.groups):
        members.setdefault(group, []).append(index)
    return {group: tuple(indices) for group, indices in members.items()}


def expand_to_groups(documents: Documents, relevant: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """Judgments of single documents, widened to all documents of the groups that these belong to.

    :param documents: the pool.
    :param relevant: document indices of each query.
    :returns: ascending document indices of each query.
    """
    members = documents_by_group(documents)
    return tuple(
        tuple(sorted({member for index in indices for member in members[documents.groups[index]]}))
        for indices in relevant
    )
