"""What an audit of an index measures, and the identity of an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from haystack_crossalign.measures import Measure
from haystack_crossalign.opensearch.audit.checkpoint import fingerprint
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.index.scoring import Query
from haystack_crossalign.opensearch.index.snapshot import Snapshot
from haystack_crossalign.opensearch.live.queries import LiveQueries


@dataclass(frozen=True)
class AuditOptions:
    """What is measured; the settings have index, fields and limits.

    :param scenarios: names out of `haystack_crossalign.audit.scenarios.SCENARIOS`.
    :param languages: normalized tags of the pool and of the queries; None for all.
    :param pairs: pools of this language and each other one, instead of one pool.
    :param user_filter: OpenSearch query that the pool's documents match.
    :param measures: measures; None for the default ones.
    :param also: additional measures, for a gate.
    :param sample: share of the pool to score for each query; None for all of it.
    :param samples: bootstrap samples behind each interval.
    :param seed: of the bootstrap and of samples.
    :param top: k of recall, rank correlation and exposure.
    :param count: what ranks in lists count: ``versions``, or ``hits`` as users see them.
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
    count: str = "versions"


def identity(
    state: Snapshot,
    queries: LiveQueries,
    retrievals: Sequence[Sequence[Mapping[str, Any]]],
    model: Mapping[str, Any] | None,
    options: AuditOptions,
    settings: LiveSettings,
    exact: str,
) -> dict[str, str]:
    """Fingerprints of everything that must be equal to resume an audit, by name for messages.

    :param state: the index just before the audit.
    :param queries: with vectors.
    :param retrievals: provenance of the retrieved lists of each pool.
    :param model: provenance of the embedder of the queries.
    :param options: what is measured.
    :param exact: who counts exact ranks.
    :param settings: fields, depth, and what determines the units of work.
    """
    vectors = queries.vectors if queries.vectors is not None else np.zeros((0, 0), dtype=np.float32)
    return {
        "index (uuid, documents, sequence number)": fingerprint(state.to_dict()["indices"]),
        "queries": fingerprint([queries.ids, queries.languages, queries.texts, queries.judged, queries.kind]),
        "judgments": fingerprint([queries.grades, queries.relevance_level]),
        "vectors of the queries": fingerprint([list(vectors.shape), vectors.tobytes().hex()]),
        "model": fingerprint(model),
        "options": fingerprint(
            {
                "scenarios": options.scenarios,
                "languages": options.languages,
                "pairs": options.pairs,
                "filter": options.user_filter,
                "sample": options.sample,
                "seed": options.seed,
                "top": options.top,
                "count": options.count,
                "exact": exact,
                "depth": settings.depth,
                "units": [settings.batch, settings.max_load],
                "fields": [
                    settings.embedding_field,
                    settings.language_field,
                    settings.group_field,
                    settings.language_map,
                ],
                "retrievals": retrievals,
            }
        ),
    }
