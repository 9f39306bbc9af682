"""Graded judgments: NDCG takes grades as gains and binary measures a least grade, as trec_eval does."""

from __future__ import annotations

from dataclasses import replace

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haystack_crossalign.audit.pools import rank_scenario
from haystack_crossalign.audit.result_lists import audit_run
from haystack_crossalign.audit.scenarios import Scenario
from haystack_crossalign.data.collection import Documents, JudgedCollection, Queries
from haystack_crossalign.data.formats.run_files import read_run
from haystack_crossalign.measures import evaluate, parse_measure
from haystack_crossalign.ranks.result_lists import ranks_from_lists, with_asked_depth
from haystack_crossalign.ranks.table import with_gains

NAMES = ("NDCG@1", "NDCG@3", "NDCG@10", "MRR", "Recall@3", "Recall@10")
POOL = 12


def theirs(name: str, level: int) -> str:
    base, _, cutoff = name.partition("@")
    at = f"@{cutoff}" if cutoff else ""
    return {"NDCG": f"nDCG{at}", "MRR": f"RR(rel={level})", "Recall": f"R(rel={level}){at}"}[base]


def by_trec_eval(grades, rankings, level: int) -> dict[tuple[str, str], float]:
    qrels = [ir_measures.Qrel(f"q{q}", f"d{d}", g) for q, row in enumerate(grades) for d, g in row.items()]
    run = [
        ir_measures.ScoredDoc(f"q{q}", f"d{d}", float(-place))
        for q, row in enumerate(rankings)
        for place, d in enumerate(row)
    ]
    names = {str(ir_measures.parse_measure(theirs(name, level))): name for name in NAMES}
    found = ir_measures.iter_calc([ir_measures.parse_measure(name) for name in names], qrels, run)
    return {(metric.query_id, names[str(metric.measure)]): metric.value for metric in found}


def a_collection(grades, level: int) -> JudgedCollection:
    ids = tuple(f"d{d}" for d in range(POOL))
    return JudgedCollection(
        name="graded",
        documents=Documents(ids=ids, languages=("en", "zh") * (POOL // 2), groups=ids, texts=("t",) * POOL),
        queries=Queries(
            ids=tuple(f"q{q}" for q in range(len(grades))), languages=("en",) * len(grades), texts=("t",) * len(grades)
        ),
        relevant=tuple(tuple(sorted(d for d, g in row.items() if g >= level)) for row in grades),
        grades=tuple(grades),
        relevance_level=level,
    )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_measures_agree_with_trec_eval_on_random_grades(data: st.DataObject) -> None:
    level = data.draw(st.integers(1, 3))
    depth = data.draw(st.integers(10, POOL))
    row = st.dictionaries(st.integers(0, POOL - 1), st.integers(-1, 4), min_size=1, max_size=POOL - 1)
    grades = data.draw(st.lists(row.filter(lambda row: max(row.values()) >= level), min_size=1, max_size=4))
    rankings = [data.draw(st.permutations(range(POOL)))[:depth] for _ in grades]
    collection = a_collection(grades, level)
    versions = collection.documents.versions()
    gained = collection.gained_versions(versions)
    relevant = collection.relevant_versions(versions) if gained is None else gained[0]
    table = ranks_from_lists(
        np.array(rankings),
        document_languages=np.array([0, 1] * (POOL // 2)),
        languages=("en", "zh"),
        query_languages=np.zeros(len(grades), dtype=np.int32),
        relevant=relevant,
        tie_order=None,
        pool_size=POOL,
    )
    if gained is not None:
        table = with_gains(table, gained[1], level)
    values = evaluate(with_asked_depth(table, [depth] * len(grades)), [parse_measure(name) for name in NAMES])
    expected = by_trec_eval(grades, rankings, level)
    for name in NAMES:
        for query in range(len(grades)):
            value = values[name].values[query]
            if np.isnan(value):  # hidden by the end of the list, which only MRR can be at this depth
                assert name == "MRR"
                assert expected[f"q{query}", name] == 0
            else:
                assert value == pytest.approx(expected[f"q{query}", name], abs=1e-9)


def test_ndcg_by_hand() -> None:
    # Ranks 1, 2, 3 hold grades 1, 3, 0; a document of grade 2 stands at rank 4.
    table = ranks_from_lists(
        np.array([[0, 1, 2, 3, 4]]),
        document_languages=np.zeros(5, dtype=np.int32),
        languages=("en",),
        query_languages=np.zeros(1, dtype=np.int32),
        relevant=np.array([[0, 1, 3]]),
        tie_order=None,
    )
    graded = with_gains(table, np.array([[1.0, 3.0, 2.0]]), 2)
    gained = 1 / np.log2(2) + 3 / np.log2(3) + 2 / np.log2(5)
    best = 3 / np.log2(2) + 2 / np.log2(3) + 1 / np.log2(4)
    values = evaluate(graded, [parse_measure(name) for name in ("NDCG@10", "NDCG@2", "Max@R", "MRR", "Recall@2")])
    assert values["NDCG@10"].values == pytest.approx([gained / best])
    assert values["NDCG@2"].values == pytest.approx([(1 + 3 / np.log2(3)) / (3 + 2 / np.log2(3))])
    # Relevant from grade 2: ranks 2 and 4.
    assert graded.ranks.tolist() == [[2, 4]]
    assert [values[name].values.tolist() for name in ("Max@R", "MRR", "Recall@2")] == [[4.0], [0.5], [0.5]]


def test_exact_ranks_and_lists_of_one_ranking_agree(tmp_path) -> None:
    rng = np.random.default_rng(3)
    grades = [{0: 3, 1: 1, 5: 2}, {2: 2, 3: 0, 7: 1}, {4: 1, 6: 4}]
    for level in (1, 2):
        collection = a_collection(grades if level == 1 else [*grades[:2], {4: 2, 6: 4}], level)
        collection = replace(
            collection,
            documents=replace(collection.documents, vectors=rng.normal(size=(POOL, 8)).astype(np.float32)),
            queries=replace(collection.queries, vectors=rng.normal(size=(3, 8)).astype(np.float32)),
        )
        queries, documents = (
            part.vectors.astype(np.float64) / np.linalg.norm(part.vectors.astype(np.float64), axis=1, keepdims=True)
            for part in (collection.queries, collection.documents)
        )
        scores = queries @ documents.T  # the audit ranks given vectors by cosine
        lines = [f"q{q} Q0 d{d} 0 {scores[q, d]:.9g} t\n" for q in range(3) for d in range(POOL)]
        (tmp_path / "run.txt").write_text("".join(lines))
        exact = evaluate(
            rank_scenario(collection, Scenario("multi", ("en", "zh"), "en")).table,
            [parse_measure(name) for name in NAMES],
        )
        run = audit_run(
            collection, read_run(tmp_path / "run.txt"), provenance={"data": {}},
            measures=[parse_measure(name) for name in NAMES], samples=0,
        )  # fmt: skip
        for name in NAMES:
            assert exact[name].values.tolist() == pytest.approx(run.queries["measures"][name], abs=1e-12)
