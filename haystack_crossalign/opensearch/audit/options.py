"""What an audit of an index measures."""

from __future__ import annotations

from dataclasses import dataclass

from haystack_crossalign.measures import Measure
from haystack_crossalign.opensearch.index.scoring import Query

__all__ = ["AuditOptions"]


@dataclass(frozen=True)
class AuditOptions:
    """What is measured, besides what the settings say of index, fields and limits.

    :param scenarios: names out of `haystack_crossalign.audit.scenarios.SCENARIOS`.
    :param languages: normalised tags of the pool and of the queries; None for all.
    :param pairs: pools of this language and each other one, instead of one pool.
    :param user_filter: OpenSearch query that the pool's documents match.
    :param measures: measures; None for the default ones.
    :param also: measures besides, for a gate.
    :param sample: share of the pool that is scored for each query; None scores all of it.
    :param samples: bootstrap samples behind each interval.
    :param seed: of the bootstrap and of samples.
    :param top: k of recall, rank correlation and exposure.
    """

    scenarios: tuple[str, ...] = ("multi",)
    languages: tuple[str, ...] | None = None
    pairs: str | None = None
    user_filter: Query | None = None
    measures: tuple[Measure, ...] | None = None
    also: tuple[Measure, ...] = ()
    sample: float | None = None
    samples: int = 1000
    seed: int = 0
    top: int = 10
