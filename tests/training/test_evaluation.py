from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from training_runs import made_triplets

from haystack_crossalign.data.triplets import Triplet
from haystack_crossalign.errors import InputError
from haystack_crossalign.models.prompts import Prompts
from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.scores import held_out_score
from haystack_crossalign.training.batches.packing import TextTable
from haystack_crossalign.training.evaluation import (
    OWN_FIRST,
    HeldOutAudit,
    HeldOutScore,
    RowScore,
    harm,
    own_first_lost,
    preference,
)
from haystack_crossalign.training.recipe.sections import Evaluate


def audit_of(model, triplets: list[Triplet], languages: list[str], pool: str = "pairs") -> tuple[HeldOutAudit, dict]:
    table = TextTable(model, Prompts("", "", "none"))
    audit = HeldOutAudit(triplets, table, language="en", languages=languages, pool=pool)
    return audit, {text: row for row, (_, text) in enumerate(table.texts())}


def test_a_model_that_sees_the_language_first_is_scored_as_computed_by_hand(tiny_model) -> None:
    """Three groups; a query scores 10 with its own language and 1 with its own group: its own document stands at rank
    1, the other language's below the three of its own language, at rank 4."""
    triplets = made_triplets(3)
    for one in triplets:
        object.__setattr__(one, "target_queries", {"zh": f"{one.query} zh"})
    audit, rows = audit_of(tiny_model, triplets, ["zh"])
    vectors = np.zeros((len(audit.rows), 5), dtype=np.float32)
    for number, one in enumerate(triplets):
        for text, language in (
            (one.query, 0),
            (one.passage, 0),
            (one.target_queries["zh"], 1),
            (one.targets["zh"], 1),
        ):
            vectors[audit.rows.index(rows[text]), number] = 1
            vectors[audit.rows.index(rows[text]), 3 + language] = math.sqrt(10)
    score = audit.score(vectors)
    assert [row.name for row in score.rows] == [
        "multi en+zh, en queries",
        "multi en+zh, zh queries",
        "mono-same en, en queries",
        "mono-same zh, zh queries",
    ]
    for row in score.rows[:2]:
        assert row.pool_size == 6
        assert row.queries == 3
        assert row.measures["Max@R"] == 4
        assert row.measures["Max@R_norm"] == pytest.approx((math.log2(6) - 2) / (math.log2(6) - 1))
        assert row.measures[OWN_FIRST] == 1
        assert row.measures["Complete@10"] is None  # the whole pool fits into the top 10
    assert score.quality == {"mono-same en, en queries": 1.0, "mono-same zh, zh queries": 1.0}
    assert score.alignment == pytest.approx((math.log2(6) - 2) / (math.log2(6) - 1))
    # The choice of a repair sees the same: Max@R 4, and 2 once the languages' part is gone.
    scored = held_out_score(audit.held_out(vectors))
    assert scored(AffineMap(np.eye(5, dtype=np.float32), np.zeros(5, np.float32))).bias == 4
    without = np.diag([1, 1, 1, 0, 0]).astype(np.float32)
    assert scored(AffineMap(without, np.zeros(5, np.float32))).bias == 2
    intervals = audit.intervals(vectors, seed=0)
    assert [entry["Max@R"] for entry in intervals[:2]] == [[4, 4], [4, 4]]


def test_a_language_without_queries_is_asked_in_english(tiny_model) -> None:
    audit, _ = audit_of(tiny_model, made_triplets(6, target_queries=False), ["zh"])
    vectors = np.random.default_rng(0).normal(size=(len(audit.rows), 4)).astype(np.float32)
    names = [row.name for row in audit.score(vectors).rows]
    assert names == ["multi en+zh, en queries", "mono-same en, en queries", "mono-cross zh, en queries"]


def test_pools_are_pairs_or_all_languages(tiny_model) -> None:
    triplets = made_triplets(8, ("zh", "ar"))
    vectors = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    pools = {}
    for pool in ("pairs", "all"):
        audit, _ = audit_of(tiny_model, triplets, ["zh", "ar"], pool)
        rows = audit.score(vectors[: len(audit.rows)]).rows
        pools[pool] = {(row.pool, row.pool_size) for row in rows if row.scenario == "multi"}
    assert pools["pairs"] == {(("en", "zh"), 16), (("en", "ar"), 16)}
    assert pools["all"] == {(("en", "zh", "ar"), 24)}


def test_english_beside_each_language_is_judged_each_time(tiny_model) -> None:
    """The pairs hold other triplets: harm in the first must not be hidden by the second."""
    triplets = [*made_triplets(4, ("zh",)), *made_triplets(12, ("ar",))[6:]]
    audit, _ = audit_of(tiny_model, triplets, ["zh", "ar"])
    vectors = np.random.default_rng(0).normal(size=(len(audit.rows), 4)).astype(np.float32)
    score = audit.score(vectors)
    assert len({row.name for row in score.rows}) == len(score.rows)
    assert {"mono-same en (of en+zh), en queries", "mono-same en (of en+ar), en queries"} <= score.quality.keys()


def test_a_passage_with_several_questions_is_one_document(tiny_model) -> None:
    triplets = made_triplets(4, target_queries=False)
    again = [
        Triplet(f"x{one.id}", one.group, "en", f"{one.query} w1", one.passage, one.targets) for one in triplets[:2]
    ]
    audit, _ = audit_of(tiny_model, [*triplets, *again], ["zh"])
    vectors = np.random.default_rng(0).normal(size=(len(audit.rows), 4)).astype(np.float32)
    first = audit.score(vectors).rows[0]
    assert (first.queries, first.pool_size) == (6, 8)


def test_too_few_groups_are_refused(tiny_model) -> None:
    with pytest.raises(InputError, match="too small"):
        audit_of(tiny_model, made_triplets(1), ["zh"])


def scored(alignment: float, *quality: float, own_first: float = 0.9) -> HeldOutScore:
    measures = {"Max@R_norm": alignment, "NDCG@1": 0.0, OWN_FIRST: own_first}
    rows = [RowScore("multi", ("en", "zh"), "zh", 9, 9, measures)]
    rows += [
        RowScore("mono-same", (tag,), tag, 9, 9, {"Max@R_norm": 1.0, "NDCG@1": value})
        for tag, value in zip(("en", "zh"), quality, strict=True)
    ]
    return HeldOutScore(tuple(rows))


def test_harmless_models_come_before_harmful_ones_and_less_bias_before_more() -> None:
    base = scored(0.4, 0.9, 0.8)
    assert harm(scored(0.9, 0.91, 0.78), base) == pytest.approx(0.02)
    models = {
        "harmless, best": scored(0.8, 0.9, 0.795),
        "harmless": scored(0.7, 0.95, 0.9),
        "base": base,
        "a little harm": scored(0.95, 0.89, 0.8),
        "much harm": scored(0.99, 0.9, 0.5),
    }
    order = sorted(models, key=lambda name: preference(models[name], base, Evaluate(tolerance=0.005)), reverse=True)
    assert order == list(models)


def test_a_model_that_takes_the_own_language_first_is_harmful_where_that_is_bounded() -> None:
    base = scored(0.4, 0.9, 0.8, own_first=0.9)
    models = {
        "keeps it": scored(0.6, 0.9, 0.8, own_first=0.88),
        "base": base,
        "loses a little": scored(0.7, 0.9, 0.8, own_first=0.87),
        "loses much": scored(0.9, 0.9, 0.8, own_first=0.2),
    }
    assert own_first_lost(models["loses much"], base) == pytest.approx(0.7)
    bounded, free = Evaluate(keep_own_first=0.02), Evaluate()
    assert sorted(models, key=lambda name: preference(models[name], base, bounded), reverse=True) == list(models)
    assert max(models, key=lambda name: preference(models[name], base, free)) == "loses much"


def test_a_measure_that_is_defined_for_no_query_has_no_value(tiny_model) -> None:
    """Of eleven versions no ten ranks can hold all."""
    tags = ("zh", "ar", "es", "th", "vi", "fr", "de", "it", "pt", "ru")
    audit, _ = audit_of(tiny_model, made_triplets(11, tags), list(tags), "all")
    score = audit.score(np.random.default_rng(0).normal(size=(len(audit.rows), 4)).astype(np.float32))
    assert {row.measures["Complete@10"] for row in score.rows if row.scenario == "multi"} == {None}
    assert all(row.measures["Complete@10"] is not None for row in score.rows if row.scenario != "multi")
    assert 0 < score.alignment < 1


@pytest.mark.parametrize("pool", ["pairs", "all"])
def test_rows_of_one_language_each_are_one_passage_and_languages_without_enough_are_named(tiny_model, pool) -> None:
    together = made_triplets(6, ("zh", "ar"))
    flat = [
        replace(one, id=f"{one.id} {tag}", targets={tag: one.targets[tag]}, target_queries={})
        for one in together
        for tag in one.targets
    ]
    audit, _ = audit_of(tiny_model, flat, ["zh", "ar"], pool)
    assert audit.unmeasured == ()
    vectors = np.random.default_rng(0).normal(size=(len(audit.rows), 4)).astype(np.float32)
    pools = {(row.pool, row.pool_size) for row in audit.score(vectors).rows if row.scenario == "multi"}
    assert pools == ({(("en", "zh", "ar"), 18)} if pool == "all" else {(("en", "zh"), 12), (("en", "ar"), 12)})
    if pool == "pairs":
        few, _ = audit_of(tiny_model, [*flat[::2], flat[1]], ["zh", "ar"], pool)
        assert few.unmeasured == ("ar",)


def test_the_held_out_part_is_ranked_by_what_the_model_says(tiny_model) -> None:
    """Chinese texts a hundred times as long: cosine does not see it, by dot product every Chinese document comes first,
    which puts the English version of an English query behind all three, and its Chinese one at rank 1."""
    triplets = [replace(one, target_queries={}) for one in made_triplets(3)]
    table = TextTable(tiny_model, Prompts("", "", "none"))
    ranks = {}
    for similarity in ("cosine", "dot"):
        audit = HeldOutAudit(triplets, table, language="en", languages=["zh"], pool="pairs", similarity=similarity)
        rows = {text: row for row, (_, text) in enumerate(table.texts())}
        vectors = np.zeros((len(audit.rows), 4), dtype=np.float32)
        for number, one in enumerate(triplets):
            for text, factor in ((one.query, 1), (one.passage, 1), (one.targets["zh"], 100)):
                row = vectors[audit.rows.index(rows[text])]
                row[number], row[3] = 3 * factor, factor
        score = audit.score(vectors)
        multi = next(row for row in score.rows if row.scenario == "multi")
        ranks[similarity] = multi.measures["Max@R"]
        assert audit.held_out(vectors).similarity == similarity
    assert ranks == {"cosine": 2, "dot": 4}
