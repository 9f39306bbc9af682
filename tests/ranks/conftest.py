"""A second, slow implementation of ranks that shares nothing with the package, and pools that are hard to rank."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest


@dataclass
class SlowRanks:
    ranks: list[list[int]]
    optimistic: list[list[int]]
    pessimistic: list[list[int]]
    above: list[list[list[int]]]
    top_language: list[int]
    higher: list[list[list[int]]]
    tied: list[list[list[int]]]
    top_versions: list[list[int]]


def _score(query: np.ndarray, document: np.ndarray, similarity: str) -> float:
    """The score of float32 vectors, by the definition."""
    if similarity == "cosine":
        query, document = _unit(query), _unit(document)
    pairs = list(zip(query.tolist(), document.tolist(), strict=True))
    if similarity == "euclidean":
        return float(np.float32(-math.sqrt(sum((left - right) ** 2 for left, right in pairs))))
    if similarity == "manhattan":
        return float(np.float32(-sum(abs(left - right) for left, right in pairs)))
    return float(np.float32(sum(left * right for left, right in pairs)))


def _unit(vector: np.ndarray) -> np.ndarray:
    length = math.sqrt(math.fsum(value * value for value in vector.tolist()))
    if abs(length - 1) <= 2**-21:
        return vector
    return np.array([value / length for value in vector.tolist()], dtype=np.float32)


def slow_exact_ranks(
    queries: np.ndarray,
    documents: np.ndarray,
    *,
    document_languages: Any,
    languages: tuple[str, ...],
    relevant: Any,
    tie_order: Any,
    versions: Any = None,
    similarity: str = "cosine",
    **_: Any,
) -> SlowRanks:
    """Sort everything in pure Python, by the definition."""
    version_of = list(range(len(documents))) if versions is None else [int(v) for v in versions]
    result = SlowRanks([], [], [], [], [], [], [], [])
    for query, row in zip(queries, relevant, strict=True):
        best: dict[int, tuple[float, int]] = {}  # version -> (-score, id)
        language: dict[int, int] = {}
        for index, document in enumerate(documents):
            entry = (-_score(query, document, similarity), int(tie_order[index]))
            version = version_of[index]
            best[version] = min(best.get(version, entry), entry)
            language[version] = int(document_languages[index])
        order = sorted(best, key=lambda v: best[v])
        result.top_language.append(language[order[0]])
        ranks, optimistic, pessimistic, above, higher, tied = [], [], [], [], [], []

        def count(chosen: list[int], language: dict[int, int] = language) -> list[int]:
            return [sum(language[v] == code for v in chosen) for code in range(len(languages))]

        result.top_versions.append(count([v for v in best if best[v][0] == best[order[0]][0]]))
        for version in (int(v) for v in row):
            if version < 0:
                ranks.append(0)
                optimistic.append(0)
                pessimistic.append(0)
                above.append([0] * len(languages))
                higher.append([0] * len(languages))
                tied.append([0] * len(languages))
                continue
            place = order.index(version)
            ranks.append(place + 1)
            optimistic.append(1 + sum(best[v][0] < best[version][0] for v in best))
            pessimistic.append(sum(best[v][0] <= best[version][0] for v in best))
            above.append(count(order[:place]))
            higher.append(count([v for v in best if best[v][0] < best[version][0]]))
            tied.append(count([v for v in best if best[v][0] == best[version][0] and v != version]))
        result.ranks.append(ranks)
        result.optimistic.append(optimistic)
        result.pessimistic.append(pessimistic)
        result.above.append(above)
        result.higher.append(higher)
        result.tied.append(tied)
    return result


@pytest.fixture(scope="session")
def slow_score() -> Callable[[np.ndarray, np.ndarray, str], float]:
    return _score


@pytest.fixture(scope="session")
def slow_ranks() -> Callable[..., SlowRanks]:
    return slow_exact_ranks


@pytest.fixture(scope="session")
def assert_same_ranks() -> Callable[[Any, SlowRanks], None]:
    def check(table: Any, slow: SlowRanks) -> None:
        assert table.ranks.tolist() == slow.ranks
        assert table.optimistic.tolist() == slow.optimistic
        assert table.pessimistic.tolist() == slow.pessimistic
        assert table.above.tolist() == slow.above
        if table.tied is None or table.higher is None:
            assert (table.tied, table.higher) == (None, None)
            assert not np.array(slow.tied).any()
        else:
            assert table.higher.tolist() == slow.higher
            assert table.tied.tolist() == slow.tied
        if table.top_language is not None:
            assert table.top_language.tolist() == slow.top_language
            if table.top_versions is None:
                assert (np.array(slow.top_versions).sum(axis=1) == 1).all()
            else:
                assert table.top_versions.tolist() == slow.top_versions

    return check
