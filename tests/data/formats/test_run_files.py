"""TREC runs and qrels, read back by ir_measures."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haystack_crossalign.data.collection import Documents, Queries
from haystack_crossalign.data.formats.run_files import format_qrels, format_run, read_run, run_arrays
from haystack_crossalign.data.formats.trec import read_qrels
from haystack_crossalign.errors import InputError

RUN = "q1 Q0 en:1 1 0.75 mine\nq1 Q0 zh:1 2 0.5 mine\nq2 Q0 zh:1 1 0.25 mine\n"
RANKINGS = [[("en:1", 0.75), ("zh:1", 0.5)], [("zh:1", 0.25)]]


def test_a_run_is_written_in_its_six_columns() -> None:
    assert format_run(["q1", "q2"], RANKINGS, tag="mine") == RUN


def test_a_run_round_trips(write: Callable[..., Path]) -> None:
    run = read_run(write("run.txt", RUN))
    assert run.query_ids == ("q1", "q2")
    assert [list(ranking) for ranking in run.rankings] == RANKINGS
    assert (run.tag, run.source.name) == ("mine", "run.txt")
    assert format_run(run.query_ids, run.rankings, tag=run.tag) == RUN


def test_ir_measures_reads_the_run_and_the_qrels() -> None:
    # q1: relevant at ranks 1 and 3 of 3: nDCG@10 = (1 + 1/log2 4) / (1 + 1/log2 3); RR = 1. q2: rank 2, RR = 1/2.
    run = format_run(["q1", "q2"], [[("a", 3.0), ("b", 2.0), ("c", 1.0)], [("b", 2.0), ("a", 1.0)]])
    qrels = format_qrels(["q1", "q2"], [["c", "a"], ["a"]])
    measures = [ir_measures.parse_measure(name) for name in ("nDCG@10", "RR", "R@2")]
    found = {
        (metric.query_id, str(metric.measure)): metric.value
        for metric in ir_measures.iter_calc(
            measures, list(ir_measures.read_trec_qrels(qrels)), list(ir_measures.read_trec_run(run))
        )
    }
    assert found["q1", "nDCG@10"] == pytest.approx((1 + 0.5) / (1 + 1 / math.log2(3)))
    assert found["q2", "nDCG@10"] == pytest.approx(1 / math.log2(3))
    assert (found["q1", "RR"], found["q2", "RR"]) == (1.0, 0.5)
    assert (found["q1", "R@2"], found["q2", "R@2"]) == (0.5, 1.0)


def test_ties_are_written_in_the_order_given() -> None:
    # trec_eval breaks ties by document id in descending order: 'a' before 'b' only survives where scores differ.
    run = format_run(["q"], [[("a", 0.5), ("b", 0.5), ("c", 0.5)]])
    scores = {doc.doc_id: doc.score for doc in ir_measures.read_trec_run(run)}
    assert np.float32(scores["a"]) > np.float32(scores["b"]) > np.float32(scores["c"])
    calculated = ir_measures.iter_calc(
        [ir_measures.RR], [ir_measures.Qrel("q", "a", 1)], list(ir_measures.read_trec_run(run))
    )
    assert [metric.value for metric in calculated] == [1.0]


@given(
    st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=30),
    st.sampled_from(["as given", "descending"]),
)
def test_scores_fall_with_the_rank_whatever_they_were(scores: list[float], order: str) -> None:
    values = sorted(scores, reverse=True) if order == "descending" else scores
    ranking = [(f"d{number}", score) for number, score in enumerate(values)]
    lines = [line.split() for line in format_run(["q"], [ranking]).splitlines()]
    written = [np.float32(line[4]) for line in lines]
    assert all(left > right for left, right in pairwise(written))
    assert [line[2] for line in lines] == [document for document, _ in ranking]
    assert [int(line[3]) for line in lines] == list(range(1, len(lines) + 1))


def test_a_run_is_ordered_by_score_and_within_equal_scores_by_its_ranks(write: Callable[..., Path]) -> None:
    run = read_run(write("run.txt", "q Q0 a 7 0.5 t\nq\tQ0\tc\t3\t0.9\tt\nq Q0 b 1 0.5 t\nq Q0 d 10 0.5 t\n"))
    assert run.rankings == ((("c", 0.9), ("b", 0.5), ("a", 0.5), ("d", 0.5)),)


@pytest.mark.parametrize("rank", ["0", "1", "-", "1.5"])
def test_a_run_without_ranks_of_its_own_is_ordered_by_hash_within_equal_scores(
    write: Callable[..., Path], rank: str
) -> None:
    ids = [f"{tag}:{number}" for tag in ("en", "zh") for number in range(4)]
    run = read_run(write("run.txt", "".join(f"q Q0 {one} {rank} 0.5 t\n" for one in ids)))
    hashed = sorted(
        ids, key=lambda one: hashlib.blake2b(one.encode(), digest_size=16, key=b"crossalign.ties/1").digest()
    )
    assert [document for document, _ in run.rankings[0]] == hashed


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("q Q0 a 1 0.5\n", 1, "wrong columns"),
        ("q Q0 a 1 0.5 t\nq Q0 b 2 high t\n", 2, "not a finite number"),
        ("q Q0 a 1 nan t\n", 1, "not a finite number"),
        ("q Q0 a 1 0.5 t\nq Q0 a 2 0.4 t\n", 2, "retrieved twice"),
        ("", None, "the file is empty"),
    ],
)
def test_a_broken_run_is_refused_with_its_line(
    write: Callable[..., Path], refused: Callable[..., InputError], text: str, line: int | None, problem: str
) -> None:
    path = write("run.txt", text)
    refused(lambda: read_run(path), problem=problem, line=line, source=str(path))


@pytest.mark.parametrize(
    ("ids", "rankings", "tag"),
    [
        (["q 1"], [[]], "t"),
        ([""], [[]], "t"),
        (["q"], [[("a\tb", 1.0)]], "t"),
        (["q"], [[("a", 1.0), ("a", 0.5)]], "t"),
        (["q", "q"], [[], []], "t"),
        (["q"], [[("a", math.inf)]], "t"),
        (["q"], [[("a", 1e300)]], "t"),
        (["q"], [[]], "my run"),
    ],
)
def test_what_a_run_cannot_hold_is_refused(ids: list[str], rankings: list[list[tuple[str, float]]], tag: str) -> None:
    with pytest.raises(InputError):
        format_run(ids, rankings, tag=tag)


def test_qrels_round_trip(write: Callable[..., Path]) -> None:
    text = format_qrels(["q2", "q1"], [{"zh:1": 2, "en:1": 0}, {"de:1": -1}])
    assert text == "q2 0 en:1 0\nq2 0 zh:1 2\nq1 0 de:1 -1\n"
    judgments = read_qrels(write("qrels.txt", text)).judgments
    assert [(one.query, one.document, one.grade) for one in judgments] == [
        ("q2", "en:1", 0),
        ("q2", "zh:1", 2),
        ("q1", "de:1", -1),
    ]


def test_a_fraction_is_no_grade_of_a_qrels_file() -> None:
    with pytest.raises(InputError, match="whole grades only"):
        format_qrels(["q"], [{"a": 0.5}])


def test_a_run_becomes_arrays_over_a_collection(write: Callable[..., Path]) -> None:
    documents = Documents(ids=("en:1", "zh:1"), languages=("en", "zh"), groups=("1", "1"), texts=("a", "b"))
    queries = Queries(ids=("q2", "q3", "q1"), languages=("en",) * 3, texts=("a", "b", "c"))
    run = read_run(write("run.txt", RUN + "q2 Q0 gone 2 0.125 mine\n"))
    arrays = run_arrays(run, queries, documents)
    assert arrays.retrieved.dtype == np.int32
    assert arrays.retrieved.tolist() == [[1, -2], [-1, -1], [0, 1]]
    assert arrays.scores.tolist() == [[0.25, 0.125], [0.0, 0.0], [0.75, 0.5]]


def test_a_run_with_an_unknown_query_is_refused(write: Callable[..., Path], refused: Callable[..., InputError]) -> None:
    documents = Documents(ids=("en:1",), languages=("en",), groups=("1",), texts=("a",))
    queries = Queries(ids=("q1",), languages=("en",), texts=("a",))
    run = read_run(write("run.txt", RUN))
    refused(lambda: run_arrays(run, queries, documents), problem="unknown query", seen="q2", allowed="'q1'")


def test_scores_that_differ_beyond_32_bits_keep_their_order_and_their_size(write: Callable[..., Path]) -> None:
    documents = Documents(ids=("a", "b", "c"), languages=("en",) * 3, groups=("a", "b", "c"), texts=("t",) * 3)
    queries = Queries(ids=("q",), languages=("en",), texts=("a",))
    run = read_run(write("run.txt", "q Q0 a 3 20.1234 x\nq Q0 b 2 20.1234005 x\nq Q0 c 1 2e39 x\n"))
    arrays = run_arrays(run, queries, documents)
    assert arrays.retrieved.tolist() == [[2, 1, 0]]
    assert arrays.scores.tolist() == [[2e39, 20.1234005, 20.1234]]


def test_a_tie_at_the_least_32_bit_float_is_refused(refused: Callable[..., InputError]) -> None:
    least = -float(np.finfo(np.float32).max)
    assert format_run(["q"], [[("a", least)]]) == "q Q0 a 1 -3.4028235e+38 crossalign\n"
    refused(lambda: format_run(["q"], [[("a", least), ("b", least)]]), field="score", seen=least)
