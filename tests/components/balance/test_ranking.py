"""The own-language ranker and the version collapser, against their definitions."""

from __future__ import annotations

import asyncio
import math

import pytest
from haystack import Document, Pipeline
from hypothesis import given, settings
from hypothesis import strategies as st

from haystack_crossalign.components import OwnLanguageRanker, VersionCollapser
from haystack_crossalign.errors import InputError


def document(name: str, score: float | None, language: str | None = None, group: object = None) -> Document:
    meta = {"language": language} if language else {}
    return Document(id=name, content=name, score=score, meta=meta | ({} if group is None else {"parallel_id": group}))


@st.composite
def lists(draw):
    scores = draw(st.lists(st.floats(-1, 1), max_size=12))
    return [
        document(
            f"d{n}", score, draw(st.sampled_from(["en", "de", "zh", None])), draw(st.sampled_from([None, 1, "1", 2]))
        )
        for n, score in enumerate(sorted(scores, reverse=True))
    ]


@given(documents=lists(), bonus=st.floats(0, 2))
@settings(max_examples=200, deadline=None)
def test_a_document_passes_only_what_had_less_than_the_bonus_more(documents: list[Document], bonus: float) -> None:
    before = {one.id: one for one in documents}
    ranked = OwnLanguageRanker(bonus=bonus).run(documents, language="de")["documents"]
    assert {one.id for one in ranked} == before.keys()
    for one in ranked:
        own = before[one.id].meta.get("language") == "de"
        assert one.score == (before[one.id].score or 0) + (bonus if own else 0)
    place = {one.id: number for number, one in enumerate(ranked)}
    for number, ahead in enumerate(documents):
        for behind in documents[number + 1 :]:
            if place[behind.id] < place[ahead.id]:
                assert behind.meta.get("language") == "de" != ahead.meta.get("language")
                assert behind.score + bonus > ahead.score
    assert [one.score for one in ranked] == sorted((one.score for one in ranked), reverse=True)
    assert documents == list(before.values())


def test_without_a_language_nothing_moves() -> None:
    documents = [document("a", 0.9, "en"), document("b", 0.9, "de"), document("c", 0.1)]
    assert OwnLanguageRanker(bonus=5).run(documents)["documents"] == documents
    assert OwnLanguageRanker(bonus=5, top_k=1).run(documents, language="zh")["documents"] == documents[:1]
    assert asyncio.run(OwnLanguageRanker(bonus=0.1).run_async(documents, "de"))["documents"][0].id == "b"


@pytest.mark.parametrize("score", [None, math.nan, math.inf])
def test_documents_without_a_score_are_refused(score) -> None:
    with pytest.raises(InputError, match="id a"):
        OwnLanguageRanker(bonus=0.1).run([document("a", score, "en")], language="en")


@pytest.mark.parametrize("bonus", [-0.1, math.nan, math.inf, "1", True])
def test_the_bonus_is_checked(bonus) -> None:
    with pytest.raises(InputError, match="wrong bonus"):
        OwnLanguageRanker(bonus=bonus)


HITS = [
    document("a-zh", 0.9, "zh", "a"),
    document("b-en", 0.8, "en", "b"),
    document("a-de-2", 0.7, "de-DE", "a"),
    document("alone", 0.6, "de"),
    document("a-de-1", 0.5, "de", "a"),
    document("a-en", 0.4, "en", "a"),
    document("c-zh", 0.3, "zh", 0),
    document("c-ar", 0.2, "ar", "0"),
]


@pytest.mark.parametrize(
    ("language", "preferences", "expected"),
    [
        ("de", None, ["a-de-2", "b-en", "alone", "c-zh"]),
        ("en", None, ["a-en", "b-en", "alone", "c-zh"]),
        ("fr", ["ar", "de"], ["a-de-2", "b-en", "alone", "c-ar"]),
        (None, ["en"], ["a-en", "b-en", "alone", "c-zh"]),
        (None, None, ["a-zh", "b-en", "alone", "c-zh"]),
        ("ar", ["en", "ar"], ["a-en", "b-en", "alone", "c-ar"]),
    ],
)
def test_each_content_is_shown_once_in_the_language_preferred(language, preferences, expected) -> None:
    collapser = VersionCollapser(preferences=preferences)
    found = collapser.run(HITS, language=language)["documents"]
    assert [one.id for one in found] == expected
    assert [one.score for one in found] == [0.9, 0.8, 0.6, 0.3]
    assert asyncio.run(collapser.run_async(HITS, language)) == {"documents": found}
    assert collapser.run(HITS, language, top_k=2)["documents"] == found[:2]


@given(documents=lists(), language=st.sampled_from(["en", "de", None]))
@settings(max_examples=200, deadline=None)
def test_collapsing_agrees_with_its_definition(documents: list[Document], language: str | None) -> None:
    expected, done = [], set()
    for hit in documents:
        group = hit.meta.get("parallel_id")
        if group is None:
            expected.append((hit.id, hit.score))
        elif str(group) not in done:
            done.add(str(group))
            versions = [one for one in documents if str(one.meta.get("parallel_id", "none")) == str(group)]
            own = [one for one in versions if language is not None and one.meta.get("language") == language]
            second = [one for one in versions if one.meta.get("language") == "zh"]
            expected.append(((own or second or versions)[0].id, hit.score))
    found = VersionCollapser(preferences=["zh"]).run(documents, language=language)["documents"]
    assert [(one.id, one.score) for one in found] == expected


def test_both_are_stored_in_yaml() -> None:
    pipeline = Pipeline()
    pipeline.add_component("ranker", OwnLanguageRanker(bonus=0.25, language_field="lang", top_k=5))
    pipeline.add_component("collapser", VersionCollapser(preferences=["en"], group_field="g", top_k=3))
    pipeline.connect("ranker.documents", "collapser.documents")
    again = Pipeline.loads(pipeline.dumps())
    assert again.to_dict() == pipeline.to_dict()


@pytest.mark.parametrize("top_k", [0, -1, True, 1.5])
def test_the_number_of_documents_is_checked(top_k) -> None:
    for made in (lambda: VersionCollapser(top_k=top_k), lambda: OwnLanguageRanker(bonus=0, top_k=top_k)):
        with pytest.raises(InputError, match="wrong number of documents"):
            made()
    with pytest.raises(InputError, match="wrong number of documents"):
        VersionCollapser().run(HITS, top_k=top_k)


@pytest.mark.parametrize(("preferences", "message"), [(["en", "en"], "twice"), ([None], "not a language")])
def test_preferences_are_checked(preferences, message) -> None:
    with pytest.raises(InputError, match=message):
        VersionCollapser(preferences=preferences)


@pytest.mark.parametrize("empty", ["", None, float("nan")])
def test_hits_with_an_empty_group_are_kept(empty: object) -> None:
    hits = [Document(id=name, content=name, meta={"language": "en", "parallel_id": empty}) for name in "abc"]
    assert VersionCollapser().run(hits)["documents"] == hits


def test_a_text_in_place_of_a_list_of_languages_is_refused() -> None:
    with pytest.raises(InputError, match="field 'preferences': not a list of languages; seen: 'en'"):
        VersionCollapser(preferences="en")  # type: ignore[arg-type]
