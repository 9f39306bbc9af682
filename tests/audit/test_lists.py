"""Measures of whole lists in audits of files, exact and of runs, with chunks, against loops over sorted scores."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.audit.result_lists import audit_run
from haystack_crossalign.audit.run import audit_vectors
from haystack_crossalign.audit.scenarios import plan_scenarios
from haystack_crossalign.data.collection import Documents, JudgedCollection, Queries
from haystack_crossalign.data.formats.run_files import Run
from haystack_crossalign.files.reading import Source
from haystack_crossalign.measures import parse_measure
from haystack_crossalign.measures.exposure import rank_correlation

LANGUAGES = ("de", "en", "zh")
GROUPS = 6
CUTOFF = 4


def made(*, chunks: int, named: bool) -> JudgedCollection:
    """Six contents in three languages, in chunks, and a query for each in each language; two questions on the last."""
    rng = np.random.default_rng(chunks)
    rows = [(group, tag, chunk) for group, tag in product(range(GROUPS), LANGUAGES) for chunk in range(chunks)]
    asked = [(number, tag) for tag in LANGUAGES for number in range(GROUPS + 1)]
    return JudgedCollection(
        name="made",
        documents=Documents(
            ids=tuple(f"{tag}-{group}-{chunk}" for group, tag, chunk in rows),
            languages=tuple(tag for _, tag, _ in rows),
            groups=tuple(str(group) for group, _, _ in rows),
            texts=("a",) * len(rows),
            vectors=rng.standard_normal((len(rows), 5)).astype(np.float32),
        ),
        queries=Queries(
            ids=tuple(f"{tag}-q{number}" for number, tag in asked),
            languages=tuple(tag for _, tag in asked),
            texts=("a",) * len(asked),
            vectors=rng.standard_normal((len(asked), 5)).astype(np.float32),
            translations=tuple(f"q{number}" for number, _ in asked) if named else None,
        ),
        relevant=tuple(
            tuple(index for index, row in enumerate(rows) if row[0] == min(number, GROUPS - 1)) for number, _ in asked
        ),
    )


def ranking(collection: JudgedCollection, query: int, pool: tuple[str, ...]) -> list[tuple[str, str]]:
    """Versions (group, language) of one query's whole ranking, best first, and its documents behind them."""
    documents, queries = collection.documents, collection.queries
    assert documents.vectors is not None
    assert queries.vectors is not None
    vectors = documents.vectors / np.linalg.norm(documents.vectors, axis=1, keepdims=True)
    order = np.argsort(-(vectors @ queries.vectors[query]), kind="stable").tolist()
    return [(documents.groups[one], documents.languages[one]) for one in order if documents.languages[one] in pool]


def expected(collection: JudgedCollection, row: dict[str, object], query: int) -> dict[str, float]:
    pool = tuple(row["pool_languages"])  # type: ignore[arg-type]
    codes: dict[tuple[str, str], int] = {}

    def top(number: int) -> np.ndarray:
        versions = list(dict.fromkeys(ranking(collection, number, pool)))[:CUTOFF]
        return np.array([codes.setdefault(version, len(codes)) for version in versions])

    ids = collection.queries.ids
    name = ids[query].partition("-")[2]
    own = top(query)
    # Without names, the two questions on the last content cannot be told apart.
    known = collection.queries.translations is not None or name not in (f"q{GROUPS - 1}", f"q{GROUPS}")
    others = [number for number, one in enumerate(ids) if number != query and one.endswith(f"-{name}")] if known else []
    shown = list(dict.fromkeys(ranking(collection, query, pool)))[:CUTOFF]
    weights = [1 / np.log2(place + 2) for place in range(len(shown))]
    return {
        f"MRC@{CUTOFF}": float(np.mean([rank_correlation(own, top(other)) for other in others])) if others else np.nan,
        f"Exposure@{CUTOFF}[zh]": sum(w for w, (_, tag) in zip(weights, shown, strict=True) if tag == "zh")
        / sum(weights)
        if "zh" in pool
        else np.nan,
    }


def check(collection: JudgedCollection, result: AuditResult) -> None:
    for number, row in enumerate(result.rows):
        for place in result.row_queries(number):
            query = collection.queries.ids.index(result.queries["id"][place])
            for name, value in expected(collection, row, query).items():
                found = result.queries["measures"][name][place]
                assert found == (None if np.isnan(value) else pytest.approx(value, abs=1e-12)), (name, row)


MEASURES = [parse_measure(f"MRC@{CUTOFF}"), parse_measure(f"Exposure@{CUTOFF}[zh]")]


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("named", [True, False])
def test_exact_audits_measure_whole_lists_in_every_scenario(chunks: int, named: bool) -> None:
    collection = made(chunks=chunks, named=named)
    plan = plan_scenarios(("multi", "mono-same", "mono-cross"), LANGUAGES)
    result = audit_vectors(collection, plan, provenance={}, measures=MEASURES, samples=0, examples=0)
    assert len(result.rows) == len(plan)
    check(collection, result)
    row = result.rows[0]
    values = [
        value for value in (result.queries["measures"]["MRC@4"][place] for place in result.row_queries(0)) if value
    ]
    assert row["measures"]["MRC@4"] == pytest.approx(np.mean(values))


@pytest.mark.parametrize("chunks", [1, 3])
def test_a_run_of_the_exact_ranking_has_the_same_values(chunks: int) -> None:
    collection = made(chunks=chunks, named=True)
    documents, queries = collection.documents, collection.queries
    assert documents.vectors is not None
    assert queries.vectors is not None
    vectors = documents.vectors / np.linalg.norm(documents.vectors, axis=1, keepdims=True)
    scores = queries.vectors @ vectors.T
    rankings = tuple(
        tuple((documents.ids[index], float(line[index])) for index in np.argsort(-line, kind="stable").tolist())
        for line in scores
    )
    run = Run(queries.ids, rankings, "made", Path("made.run"), Source("made.run", "0"))
    check(collection, audit_run(collection, run, provenance={"data": {}}, measures=MEASURES, samples=0))


def test_a_short_run_hides_what_it_does_not_show() -> None:
    collection = made(chunks=1, named=True)
    ids = collection.documents.ids
    rankings = tuple(((ids[0], 2.0), (ids[1], 1.0)) for _ in collection.queries.ids)
    run = Run(collection.queries.ids, rankings, "made", Path("made.run"), Source("made.run", "0"))
    cut = audit_run(collection, run, provenance={"data": {}}, measures=MEASURES, samples=0)
    assert cut.rows[0]["measures"] == {"MRC@4": None, "Exposure@4[zh]": None}
    assert "depth 4" in cut.rows[0]["reasons"]["MRC@4"]
    whole = audit_run(collection, run, provenance={"data": {}}, measures=MEASURES, samples=0, depth=4)
    # Asked for four and given two, the lists have ended: all queries found the same two documents, none in Chinese.
    assert whole.rows[0]["measures"] == {"MRC@4": 1.0, "Exposure@4[zh]": 0.0}
