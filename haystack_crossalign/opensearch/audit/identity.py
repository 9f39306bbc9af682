"""What makes two audits the same one, so that the second may go on where the first stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from haystack_crossalign.opensearch.audit.checkpoint import fingerprint
from haystack_crossalign.opensearch.audit.options import AuditOptions
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.index.snapshot import Snapshot
from haystack_crossalign.opensearch.live.queries import LiveQueries

__all__ = ["identity"]


def identity(
    state: Snapshot,
    queries: LiveQueries,
    retrievals: Sequence[Sequence[Mapping[str, Any]]],
    model: Mapping[str, Any] | None,
    options: AuditOptions,
    settings: LiveSettings,
) -> dict[str, str]:
    """Fingerprints of everything that must be equal, by what it is called in messages.

    :param state: the index just before the audit.
    :param queries: with vectors.
    :param retrievals: provenance of the live lists of each pool.
    :param model: provenance of what embedded the queries.
    :param options: what is measured.
    :param settings: fields, depth, and what decides how the work is cut into units.
    """
    vectors = queries.vectors if queries.vectors is not None else np.zeros((0, 0), dtype=np.float32)
    return {
        "index (uuid, documents, sequence number)": fingerprint(state.to_dict()["indices"]),
        "queries": fingerprint([queries.ids, queries.languages, queries.texts, queries.relevant, queries.kind]),
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
                "depth": settings.depth,
                "units": [settings.batch, settings.max_load],
                "fields": [settings.embedding_field, settings.language_field, settings.group_field],
                "retrievals": retrievals,
            }
        ),
    }
