"""A small index and an audit of it that faults are thrown at: what it must never do is give a wrong number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from haystack_crossalign.errors import CrossAlignError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.patient import Patience
from haystack_crossalign.opensearch.exact.counting import count_ranks
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.pool import IndexView

DIMENSION = 8
GROUPS, LANGUAGES = 20, ("ar", "en", "zh")
QUERIES = 12
SHORT = Patience(total=20.0, first=0.01, longest=0.05)


@dataclass(frozen=True)
class Outcome:
    """What a person gets: an exit code, a message where it failed, ranks where it did not."""

    code: int
    message: str
    ranks: list[list[int]] | None


def documents(seed: int = 4) -> dict[str, dict[str, Any]]:
    """Twenty groups in three languages."""
    rng = np.random.default_rng(seed)
    return {
        f"{language}-{group}": {
            "embedding": rng.normal(size=DIMENSION).tolist(),
            "language": language,
            "group": f"g{group}",
            "content": f"text {group} in {language}",
        }
        for group in range(GROUPS)
        for language in LANGUAGES
    }


def audit(url: str, index: str, *, batch: int = 3, patience: Patience = SHORT, **options: Any) -> Outcome:
    """Exact ranks of the versions of twelve groups, in four batches within one point in time."""
    queries = np.random.default_rng(8).normal(size=(QUERIES, DIMENSION))
    relevant = [[f"{language}-{number}" for language in LANGUAGES] for number in range(QUERIES)]
    client = ReadOnlyClient(url, patience=patience, **options)
    try:
        fields = read_fields(client, index, vector="embedding", language="language", group="group")
        with client.point_in_time(index) as target:
            view = IndexView(client, target, fields)
            counted = count_ranks(
                view, queries, relevant, query_languages=["en"] * QUERIES, top_language=True, batch=batch
            )
        return Outcome(0, "", counted.table.ranks.tolist())
    except CrossAlignError as error:
        return Outcome(error.exit_code, str(error), None)
    finally:
        client.close()


def at_search(number: int, action: Callable[[], object]) -> Callable[[str], None]:
    """For a proxy's ``before``: act once, before search ``number`` (from 0) in a point in time is forwarded."""
    seen = [-1]

    def before(request: str) -> None:
        if request.startswith("POST") and request.endswith("/_search/point_in_time"):
            seen[0] = 0
        elif request.endswith("/_msearch") and seen[0] >= 0:
            seen[0] += 1
            if seen[0] == number + 1:
                action()

    return before
