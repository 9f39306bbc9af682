"""Rank tables built by hand: from whole rankings, so that ranks, bounds and counts above agree with each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from haystack_crossalign.ranks.table import CENSORED, RankTable

Version = tuple[str, bool]
"""A ranked version: its language, and whether it is relevant."""


def _build(
    rankings: Sequence[Sequence[Version]],
    query_languages: Sequence[str],
    *,
    depths: Sequence[int] | None = None,
    groups: Sequence[Sequence[int]] | None = None,
    languages: Sequence[str] = ("ar", "en", "zh"),
    pool_size: int | str | None = "length",
    top_language: bool = True,
) -> RankTable:
    """Table of whole rankings, cut at ``depths``; versions with equal numbers in ``groups`` tie (in ranking order)."""
    names = tuple(languages)
    width = max(sum(relevant for _, relevant in ranking) for ranking in rankings)
    shape = (len(rankings), width)
    ranks, best, worst = (np.zeros(shape, dtype=np.int32) for _ in range(3))
    relevant_languages = np.full(shape, -1, dtype=np.int32)
    above, higher, tied = (np.zeros((*shape, len(names)), dtype=np.int32) for _ in range(3))
    top_versions = np.zeros((len(rankings), len(names)), dtype=np.int32)
    top = np.full(len(rankings), -1, dtype=np.int32)
    for q, ranking in enumerate(rankings):
        depth = len(ranking) if depths is None else depths[q]
        tie = list(range(len(ranking))) if groups is None else list(groups[q])
        # What lies beyond a cut is not known to tie.
        in_top = [language for place, (language, _) in enumerate(ranking[:depth]) if tie[place] == tie[0]]
        top_versions[q] = [in_top.count(name) for name in names]
        column = 0
        for position, (language, relevant) in enumerate(ranking):
            if position == 0 and depth > 0:
                top[q] = names.index(language)
            if not relevant:
                continue
            relevant_languages[q, column] = names.index(language)
            ahead = ranking[: min(position, depth)]
            above[q, column] = [sum(other == name for other, _ in ahead) for name in names]
            higher[q, column] = above[q, column]
            if position < depth:
                same = [p for p in range(depth) if tie[p] == tie[position]]
                better = [other for other, _ in ranking[: min(same)]]
                equal = [ranking[p][0] for p in same if p != position]
                higher[q, column] = [better.count(name) for name in names]
                tied[q, column] = [equal.count(name) for name in names]
                ranks[q, column] = position + 1
                best[q, column], worst[q, column] = min(same) + 1, max(same) + 1
            else:
                ranks[q, column] = best[q, column] = worst[q, column] = CENSORED
            column += 1
    held = sorted({names.index(language) for ranking in rankings for language, _ in ranking})
    return RankTable(
        languages=names,
        query_languages=np.array([names.index(language) for language in query_languages], dtype=np.int32),
        relevant_languages=relevant_languages,
        ranks=ranks,
        optimistic=best,
        pessimistic=worst,
        above=above,
        pool_languages=tuple(held),
        pool_size=len(rankings[0]) if pool_size == "length" else pool_size,  # type: ignore[arg-type]
        depth=None if depths is None else np.array(depths, dtype=np.int32),
        top_language=top if top_language else None,
        top_versions=top_versions if top_language else None,
        higher=higher,
        tied=tied,
    )


def _parse(text: str) -> list[Version]:
    """``"en* zh en"`` -> a relevant English version, a Chinese and an English one that are not."""
    return [(part.rstrip("*"), part.endswith("*")) for part in text.split()]


@pytest.fixture(scope="session")
def build_table() -> Callable[..., RankTable]:
    """Build a `RankTable` from rankings: lists of (language, relevant), best first."""
    return _build


@pytest.fixture(scope="session")
def table_of() -> Callable[..., RankTable]:
    """Build a `RankTable` from rankings in words: ``table_of(["en* zh en"], ["zh"])``."""

    def table(rankings: Sequence[str], query_languages: Sequence[str], **options: object) -> RankTable:
        return _build([_parse(ranking) for ranking in rankings], query_languages, **options)  # type: ignore[arg-type]

    return table
