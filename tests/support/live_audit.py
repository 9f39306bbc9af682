"""A small multilingual index with vectors, and queries for it: what tests of whole live audits share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from haystack_crossalign.opensearch.audit.options import AuditOptions
from haystack_crossalign.opensearch.audit.run import FinishedAudit, IndexAudit
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.patient import Patience
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.live.queries import read_live_queries

DIMENSION, GROUPS = 12, 15
LANGUAGES = ("ar", "en", "zh")


def parallel_documents(seed: int = 0, chunks: int = 1) -> dict[str, dict[str, Any]]:
    """Fifteen contents in three languages, each language with a direction of its own, whole or in chunks."""
    rng = np.random.default_rng(seed)
    documents: dict[str, dict[str, Any]] = {}
    for group in range(GROUPS):
        content = rng.normal(size=DIMENSION)
        for code, language in enumerate(LANGUAGES):
            for chunk in range(chunks):
                name = f"{language}-{group}" + (f"-{chunk}" if chunks > 1 else "")
                vector = content + 2.5 * np.eye(DIMENSION)[code] + rng.normal(size=DIMENSION) * 0.4
                documents[name] = {
                    "embedding": [round(float(x), 4) for x in vector],
                    "language": language,
                    "group": f"g{group}",
                    "tenant": "a" if group % 3 else "b",
                    "content": f"Content number {group} in {language}. Then some more of it, part {chunk}.",
                }
    return documents


def write_queries(path: Path, seed: int = 1, *, groups: int = GROUPS, judged: bool = False) -> Path:
    """Queries with vectors for the groups of `parallel_documents`, in each language; judged ones name documents."""
    rng = np.random.default_rng(seed)
    documents = parallel_documents()
    lines = []
    for group in range(groups):
        for language in LANGUAGES:
            vector = np.array(documents[f"{language}-{group}"]["embedding"]) + rng.normal(size=DIMENSION) * 0.4
            lines.append(
                {
                    "id": f"q{group}-{language}",
                    "text": f"question {group} in {language}",
                    "language": language,
                    **({"relevant": [f"{tag}-{group}" for tag in LANGUAGES]} if judged else {"group": f"g{group}"}),
                    "embedding": [round(float(x), 4) for x in vector],
                }
            )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def run_audit(
    url: str,
    index: str,
    queries: Path,
    *,
    progress: Callable[[str, int, int], None] | None = None,
    client: ReadOnlyClient | None = None,
    state: Path | None = None,
    resume: bool = False,
    patience: Patience | None = None,
    settings: dict[str, Any] | None = None,
    retrievals: Any = None,
    **options: Any,
) -> FinishedAudit:
    """A whole audit at the level of the library, with vectors from the file."""
    chosen = replace(
        LiveSettings(hosts=(url,), index=index, group_field="group", batch=4, depth=10), **(settings or {})
    )
    connection = client or ReadOnlyClient(url, patience=patience or Patience(total=5.0))
    try:
        audit = IndexAudit(
            connection, chosen, AuditOptions(**{"samples": 100, **options}), progress=progress, retrievals=retrievals
        )
        audit.open()
        found = read_live_queries(queries, audit.view(), group_field="group")
        return audit.run(found, state=state, resume=resume)
    finally:
        connection.close()


def assert_same_but_for_last_bits(one: str | bytes, other: str | bytes) -> None:
    """That two results of live audits are the same; the scores shown of live lists may differ in the last digit.

    A server on Java's Vector API gives other last bits of single precision once its code has been compiled; not to the
    exact scores of a field whose space is ``cosinesimil``.
    """
    results = [json.loads(one), json.loads(other)]
    scores = [
        [example.pop("scores") for example in result["examples"] if result["rows"][example["row"]]["kind"] == "live"]
        for result in results
    ]
    assert len(scores[0]) > 0
    for mine, theirs in zip(*scores, strict=True):
        assert mine == pytest.approx(theirs, rel=2e-5)
    # As text: the order of keys counts.
    assert json.dumps(results[0]) == json.dumps(results[1])
