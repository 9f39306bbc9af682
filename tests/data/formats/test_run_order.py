"""Runs whose ranks and scores say different things."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from haystack_crossalign.data.collection import Documents, Queries
from haystack_crossalign.data.formats.run_files import matching_run, read_run
from haystack_crossalign.data.formats.run_order import Contradictions
from haystack_crossalign.data.reading_log import Omission, ReadingLog
from haystack_crossalign.errors import InputError

DISTANCES = "q1 Q0 a 1 0.1 t\nq1 Q0 b 2 0.2 t\nq1 Q0 c 3 0.2 t\nq2 Q0 a 1 0.5 t\n"


def order_of(run) -> list[str]:
    return [document for document, _ in run.rankings[0]]


def test_scores_that_rise_with_the_rank_are_refused_unless_one_order_is_chosen(
    write: Callable[..., Path], refused: Callable[..., InputError]
) -> None:
    path = write("run.txt", DISTANCES)
    refused(
        lambda: read_run(path),
        problem="ranks and scores contradict each other (1 of 1 scores rise with the rank)",
        source=str(path),
        line=2,
        field="score",
        seen="q1: 0.1 at rank 1, 0.2 at rank 2",
        allowed="--run-order rank",
    )
    assert order_of(read_run(path, order="rank")) == ["a", "b", "c"]
    assert order_of(read_run(path, order="score"))[-1] == "a"


def test_few_contradictions_are_counted_and_the_scores_count(write: Callable[..., Path]) -> None:
    # Neighbours in rank: 0.9 > 0.8 agrees, 0.8 < 0.85 contradicts, 0.85 > 0.1 agrees, 0.1 = 0.1 says nothing.
    lines = ["q Q0 e 5 0.1 t", "q Q0 a 1 0.9 t", "q Q0 c 3 0.85 t", "q Q0 b 2 0.8 t", "q Q0 d 4 0.1 t"]
    run = read_run(write("run.txt", "\n".join(lines)))
    assert order_of(run) == ["a", "c", "b", "d", "e"]
    assert run.contradictions == Contradictions(pairs=1, of=3, line=3)
    assert read_run(write("run.txt", "\n".join(lines)), order="score").contradictions is None


@pytest.mark.parametrize("ranks", [("0", "0", "0"), ("1", "1", "2"), ("x", "y", "z"), ("1.5", "2", "3")])
def test_ranks_that_order_nothing_say_nothing(
    write: Callable[..., Path], refused: Callable[..., InputError], ranks: tuple[str, ...]
) -> None:
    text = "".join(f"q Q0 {name} {rank} {score} t\n" for name, rank, score in zip("abc", ranks, (1, 2, 3), strict=True))
    path = write("run.txt", text)
    run = read_run(path)
    assert (order_of(run), run.contradictions) == (["c", "b", "a"], None)
    refused(lambda: read_run(path, order="rank"), problem="do not order", field="rank", allowed="--run-order score")


def test_an_unknown_order_is_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="unknown order"):
        read_run(write("run.txt", DISTANCES), order="ranks")


DOCUMENTS = Documents(ids=("a", "b"), languages=("en", "zh"), groups=("1", "1"), texts=("a", "b"))
QUERIES = Queries(ids=("q1",), languages=("en",), texts=("a",))


def test_lists_of_other_queries_are_counted_and_strangers_refused_unless_left_out(
    write: Callable[..., Path], refused: Callable[..., InputError]
) -> None:
    run = read_run(write("run.txt", "q1 Q0 gone 1 3 t\nq1 Q0 b 2 2 t\nq9 Q0 gone 1 1 t\n"))
    refused(
        lambda: matching_run(run, QUERIES, DOCUMENTS, ReadingLog()),
        problem="query 'q1' has a document that is not in the pool",
        seen="gone",
    )
    log = ReadingLog(skip_invalid=True)
    matched = matching_run(run, QUERIES, DOCUMENTS, log)
    assert (matched.query_ids, matched.rankings) == (("q1",), ((("b", 2.0),),))
    assert log.omissions() == (
        Omission("result", "document not in the pool", 1, ("q1 gone",)),
        Omission("ranking", "query not among the queries", 1, ("q9",)),
    )


def test_a_run_of_other_queries_altogether_is_refused(
    write: Callable[..., Path], refused: Callable[..., InputError]
) -> None:
    run = read_run(write("run.txt", "q9 Q0 a 1 3 t\n"))
    refused(lambda: matching_run(run, QUERIES, DOCUMENTS, ReadingLog()), problem="unknown query", seen="q9")


def test_broken_lines_can_be_left_out(write: Callable[..., Path]) -> None:
    log = ReadingLog(skip_invalid=True)
    run = read_run(write("run.txt", "q1 Q0 a 1 3\nq1 Q0 a 1 x t\nq1 Q0 b 2 2 t\nq1 Q0 b 3 1 t\n"), log=log)
    assert (run.query_ids, run.rankings) == (("q1",), ((("b", 2.0),),))
    assert [one.reason for one in log.omissions()] == [
        "wrong columns", "not a finite number in 'score'", "retrieved twice in 'document'",
    ]  # fmt: skip
