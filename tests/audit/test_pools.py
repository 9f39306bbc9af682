"""One pass over a pool for all rows gives what each row gives by itself."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haystack_crossalign.audit.pools import rank_plan
from haystack_crossalign.audit.run import audit_vectors
from haystack_crossalign.audit.scenarios import SCENARIOS, Scenario, plan_scenarios
from haystack_crossalign.data.collection import Documents, JudgedCollection, Queries
from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.ranks import exact_ranks, exact_top_k
from haystack_crossalign.ranks.table import with_gains

LANGUAGES = ("ar", "en", "th", "zh")


def collection_of(seed: int, *, chunked: bool, graded: bool, tied: bool, undetermined: bool) -> JudgedCollection:
    rng = np.random.default_rng(seed)
    rows = [
        (group, language, chunk)
        for group in range(7)
        for language in (*LANGUAGES, *([UNDETERMINED] if undetermined else []))
        for chunk in range(int(rng.integers(1, 4)) if chunked else 1)
        if rng.random() < 0.8
    ]
    vectors = rng.integers(-1, 2, (len(rows), 3)) if tied else rng.standard_normal((len(rows), 3))
    vectors = np.where(vectors.any(axis=1, keepdims=True), vectors, 1).astype(np.float32)
    documents = Documents(
        ids=tuple(f"{language}-{group}-{chunk}" for group, language, chunk in rows),
        languages=tuple(language for _, language, _ in rows),
        groups=tuple(str(group) for group, _, _ in rows),
        texts=("a",) * len(rows),
        vectors=vectors,
    )
    asked = [(group, language) for group in range(6) for language in ("en", "zh", "sw")]
    relevant = tuple(
        tuple(index for index, (own, _, _) in enumerate(rows) if own == group and rng.random() < 0.9)
        for group, _ in asked
    )
    kept = [number for number, indices in enumerate(relevant) if indices]
    grades = None
    if graded:
        grades = tuple(
            {index: int(rng.integers(1, 4)) for index in relevant[number]} | {int(rng.integers(len(rows))): 0}
            for number in kept
        )
        # The zero may have been written over a relevant document.
        grades = tuple(
            {index: grade or 1 if index in relevant[number] else grade for index, grade in row.items()}
            for number, row in zip(kept, grades, strict=True)
        )
    return JudgedCollection(
        name="made",
        documents=documents,
        queries=Queries(
            ids=tuple(f"q{number}" for number in kept),
            languages=tuple(asked[number][1] for number in kept),
            texts=("a",) * len(kept),
            vectors=rng.standard_normal((len(kept), 3)).astype(np.float32),
        ),
        relevant=tuple(relevant[number] for number in kept),
        grades=grades,
        skip_certain=True,
    )


def alone(collection: JudgedCollection, scenario: Scenario):
    """Part and table of one row, from its own copy of its documents."""
    part = collection.restrict(scenario.pool_languages, [scenario.query_language])
    documents = part.documents.select(np.arange(len(part.documents)))
    versions = documents.versions()
    gained = part.gained_versions(versions)
    languages = tuple(sorted({*scenario.pool_languages, scenario.query_language}))
    table = exact_ranks(
        part.queries.vectors,
        documents.vectors,
        document_languages=documents.language_codes(languages),
        languages=languages,
        query_languages=part.queries.language_codes(languages),
        relevant=part.relevant_versions(versions) if gained is None else gained[0],
        tie_order=documents.tie_order(),
        versions=None if versions.whole else versions.of_document,
        top_language=True,
    )
    return part, table if gained is None else with_gains(table, gained[1], part.relevance_level)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    chunked=st.booleans(),
    graded=st.booleans(),
    tied=st.booleans(),
    undetermined=st.booleans(),
    pairs=st.sampled_from([None, "en"]),
)
def test_rows_of_a_plan_are_those_of_each_pool_and_language_alone(
    seed: int, chunked: bool, graded: bool, tied: bool, undetermined: bool, pairs: str | None
) -> None:
    collection = collection_of(seed, chunked=chunked, graded=graded, tied=tied, undetermined=undetermined)
    plan = plan_scenarios(SCENARIOS, collection.document_languages, ("en", "zh", "sw"), pairs=pairs)
    plan = [one for one in plan if len(collection.restrict(one.pool_languages, [one.query_language]).queries)]
    rows = list(rank_plan(collection, plan, examples=2))
    assert [row.scenario for row in rows] == plan
    for row in rows:
        part, expected = alone(collection, row.scenario)
        assert tuple(row.ids) == part.queries.ids
        for field in fields(expected):
            found, wanted = getattr(row.table, field.name), getattr(expected, field.name)
            assert type(found) is type(wanted), field.name
            assert np.array_equal(found, wanted), field.name
        for places in (np.arange(min(2, len(row.ids))), np.arange(len(row.ids))):
            indices, scores = exact_top_k(
                part.queries.vectors[places], part.documents.vectors, 10, tie_order=part.documents.tie_order()
            )
            shown = row.show(places)
            assert [example.documents for example in shown] == [
                [part.documents.ids[index] for index in line] for line in indices
            ]
            assert [example.scores for example in shown] == scores.tolist()
            assert [example.relevant for example in shown] == [
                [part.documents.ids[index] for index in part.relevant[place]] for place in places
            ]


def test_the_first_row_that_is_wrong_is_told() -> None:
    collection = collection_of(0, chunked=False, graded=False, tied=False, undetermined=False)
    pool = collection.document_languages
    plan = [Scenario("multi", pool, "en"), Scenario("mono-same", ("th",), "fr"), Scenario("multi", pool, "de")]
    for order, missing in ((plan, "fr"), ([plan[0], plan[2], plan[1]], "de"), ([plan[2], plan[0]], "de")):
        with pytest.raises(InputError) as error:
            audit_vectors(collection, order, provenance={}, samples=0)
        assert f"no query in {missing} has" in error.value.problem


def test_a_pool_is_copied_once_and_let_go() -> None:
    documents = collection_of(1, chunked=False, graded=False, tied=False, undetermined=False).documents
    assert documents.part(LANGUAGES) is documents
    part = documents.part(["zh"])
    assert part is documents.part(["zh", "nothing"])
    assert set(part.languages) == {"zh"}
    assert documents.part(["en"]) is not part
    assert replace(documents, vectors=None).part(["zh"]) is not part
    del part
    assert not documents._parts
