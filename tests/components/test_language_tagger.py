"""The tagger on its own and in pipelines, sync and async."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from haystack import Document, Pipeline, component
from haystack.components.routers import ConditionalRouter

from haystack_crossalign.components.language_tagger import LanguageTagger
from haystack_crossalign.errors import InputError

TYPE = "haystack_crossalign.components.language_tagger.LanguageTagger"
XQUAD = ("ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")
YAML = f"""
components:
  tagger:
    type: {TYPE}
    init_parameters:
      languages: [en, zh, de]
connections: []
"""


@pytest.fixture(scope="module")
def passages(shared_data: Path) -> dict[str, str]:
    """The first passage of XQuAD in each language."""
    found = {}
    for language in XQUAD:
        data = json.loads((shared_data / "xquad" / f"xquad.{language}.json").read_text("utf-8"))["data"]
        found[language] = data[0]["paragraphs"][0]["context"]
    return found


def test_documents_get_their_language_and_a_confidence(passages: dict[str, str]) -> None:
    result = LanguageTagger().run(documents=[Document(content=text) for text in passages.values()])
    assert [document.meta["language"] for document in result["documents"]] == list(passages)
    assert all(0.8 <= document.meta["language_confidence"] <= 1.0 for document in result["documents"])
    assert result["undetermined_documents"] == 0
    assert set(result) == {"documents", "undetermined_between", "undetermined_documents"}


def test_documents_without_a_clear_language_get_none_and_are_counted() -> None:
    texts = [None, "", "42", "😀", "x = foo(1)", "https://example.org", "Wo ist der Bahnhof? Where is the station?"]
    result = LanguageTagger().run(documents=[Document(content=text) for text in texts])
    assert result["undetermined_documents"] == len(texts)
    assert all("language" not in document.meta for document in result["documents"])
    assert all(document.meta["language_confidence"] < 0.8 for document in result["documents"])


def test_a_given_language_stays_as_it_is() -> None:
    tagged = [
        Document(content="Where is the station?", meta={"language": "de"}),
        Document(content="Where is the station?", meta={"language": "zho_Hans", "language_confidence": 0.1}),
        Document(content="42", meta={"language": "xx"}),
    ]
    result = LanguageTagger().run(documents=tagged)
    assert [document is before for document, before in zip(result["documents"], tagged, strict=True)] == [True] * 3
    assert result["undetermined_documents"] == 0


@pytest.mark.parametrize("empty", [None, "", "nan", float("nan")])
def test_an_empty_language_is_filled(empty: object) -> None:
    document = Document(content="Where is the station?", meta={"language": empty, "page": 7})
    (tagged,) = LanguageTagger().run(documents=[document])["documents"]
    assert {key: tagged.meta[key] for key in ("language", "page")} == {"language": "en", "page": 7}


def test_inputs_are_not_changed_and_ids_and_vectors_are_kept() -> None:
    document = Document(content="Where is the station?", meta={"page": 7}, embedding=[0.5, 0.25])
    before = copy.deepcopy(document)
    (tagged,) = LanguageTagger().run(documents=[document])["documents"]
    assert document == before
    assert (tagged.id, tagged.content, tagged.embedding) == (before.id, before.content, [0.5, 0.25])


def test_fields_can_be_named() -> None:
    tagger = LanguageTagger(language_field="lang", confidence_field="lang_p")
    document = Document(content="Where is the station?", meta={"language": "de"})
    (tagged,) = tagger.run(documents=[document])["documents"]
    assert tagged.meta["lang"] == "en"
    assert tagged.meta["language"] == "de"
    assert 0.8 <= tagged.meta["lang_p"] <= 1.0


def test_queries_get_languages_beside_them() -> None:
    queries = ["Where is the station?", "42", "Wo ist denn hier der nächste Bahnhof?"]
    result = LanguageTagger().run(queries=queries)
    assert result["queries"] == queries
    assert result["query_languages"] == ["en", None, "de"]
    assert [confidence >= 0.8 for confidence in result["query_confidences"]] == [True, False, True]
    assert result["undetermined_queries"] == 1
    assert set(result) == {
        "queries", "query_languages", "query_confidences", "undetermined_between", "undetermined_queries",
    }  # fmt: skip


def test_one_text_gets_its_language() -> None:
    result = LanguageTagger().run(text="今天天气很好，我们去公园吧。")
    assert result["text"] == "今天天气很好，我们去公园吧。"
    assert result["language"] == "zh"
    assert LanguageTagger().run(text="42") == {
        "text": "42", "language": None, "confidence": 0.0, "undetermined_between": {},
    }  # fmt: skip


def test_languages_that_look_alike_are_named_for_texts_that_stay_without_one() -> None:
    # Words that are in both; neither text has one that tells.
    alike = ["Saya suka makan nasi dan ikan di rumah ibu saya", "Dia tidak ada di rumah hari ini"]
    documents = [Document(content=alike[0]), Document(content="42"), Document(content="Where is the station?")]
    result = LanguageTagger().run(documents=documents, queries=[alike[1]], text="42")
    assert (result["undetermined_documents"], result["undetermined_queries"], result["language"]) == (2, 1, None)
    assert result["undetermined_between"] == {"id, ms": 2}
    assert LanguageTagger(languages=["id", "en"]).run(queries=alike)["undetermined_between"] == {}


def test_no_documents_are_no_error() -> None:
    assert LanguageTagger().run(documents=[], queries=[]) == {
        "documents": [],
        "undetermined_documents": 0,
        "queries": [],
        "query_languages": [],
        "query_confidences": [],
        "undetermined_queries": 0,
        "undetermined_between": {},
    }


def test_no_input_at_all_is_refused() -> None:
    with pytest.raises(InputError, match="nothing to tag"):
        LanguageTagger().run()


def test_wrong_settings_are_refused_when_warming_up() -> None:
    with pytest.raises(InputError, match="cannot be detected"):
        LanguageTagger(languages=["cy"]).warm_up()
    with pytest.raises(InputError, match="minimum confidence"):
        LanguageTagger(minimum_confidence=2).warm_up()


def test_warming_up_twice_keeps_the_detector() -> None:
    tagger = LanguageTagger()
    tagger.warm_up()
    first = tagger._detector
    tagger.warm_up()
    assert tagger._detector is first


async def test_the_async_run_gives_the_same(passages: dict[str, str]) -> None:
    inputs: dict[str, Any] = {
        "documents": [Document(content=text) for text in passages.values()],
        "queries": ["Where is the station?", "42"],
        "text": "Wo ist denn hier der nächste Bahnhof?",
    }
    assert await LanguageTagger().run_async(**inputs) == LanguageTagger().run(**inputs)


def test_the_full_dict_round_trips() -> None:
    data = {
        "type": TYPE,
        "init_parameters": {
            "languages": ["en", "zh"],
            "minimum_confidence": 0.9,
            "language_field": "lang",
            "confidence_field": "lang_confidence",
        },
    }
    tagger = LanguageTagger(
        languages=["en", "zh"], minimum_confidence=0.9, language_field="lang", confidence_field="lang_confidence"
    )
    assert tagger.to_dict() == data
    assert LanguageTagger.from_dict(data).to_dict() == data


def test_the_dict_of_the_defaults() -> None:
    assert LanguageTagger().to_dict() == {
        "type": TYPE,
        "init_parameters": {
            "languages": None,
            "minimum_confidence": 0.8,
            "language_field": "language",
            "confidence_field": "language_confidence",
        },
    }


@component
class Count:
    """Counts the documents of each language."""

    @component.output_types(counts=dict[str, int])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        languages = [str(document.meta.get("language")) for document in documents]
        return {"counts": {language: languages.count(language) for language in sorted(set(languages))}}


def test_a_pipeline_branches_on_the_language_of_a_query() -> None:
    pipeline = Pipeline()
    pipeline.add_component("tagger", LanguageTagger(languages=["en", "de"]))
    pipeline.add_component(
        "router",
        ConditionalRouter(
            [
                {
                    "condition": "{{language == 'de'}}",
                    "output": "{{text}}",
                    "output_name": "german",
                    "output_type": str,
                },
                {"condition": "{{True}}", "output": "{{text}}", "output_name": "other", "output_type": str},
            ]
        ),
    )
    pipeline.connect("tagger.text", "router.text")
    pipeline.connect("tagger.language", "router.language")
    german, english = "Wo ist denn hier der nächste Bahnhof?", "Where is the next station?"
    assert pipeline.run({"tagger": {"text": german}})["router"] == {"german": german}
    assert pipeline.run({"tagger": {"text": english}})["router"] == {"other": english}
    assert pipeline.run({"tagger": {"text": "42"}})["router"] == {"other": "42"}


def test_a_pipeline_passes_tagged_documents_on(passages: dict[str, str]) -> None:
    pipeline = Pipeline()
    pipeline.add_component("tagger", LanguageTagger())
    pipeline.add_component("count", Count())
    pipeline.connect("tagger.documents", "count.documents")
    documents = [Document(content=text) for text in (passages["en"], passages["zh"], passages["en"], "42")]
    assert pipeline.run({"tagger": {"documents": documents}})["count"]["counts"] == {"None": 1, "en": 2, "zh": 1}


def test_a_pipeline_in_yaml_loads_and_runs(passages: dict[str, str]) -> None:
    pipeline = Pipeline.loads(YAML)
    documents = [Document(content=passages[language]) for language in ("en", "zh", "de", "ru")]
    tagged = pipeline.run({"tagger": {"documents": documents}})["tagger"]
    assert [document.meta.get("language") for document in tagged["documents"]] == ["en", "zh", "de", None]
    assert tagged["undetermined_documents"] == 1
    assert Pipeline.loads(pipeline.dumps()).to_dict() == pipeline.to_dict()


async def test_an_async_pipeline_runs() -> None:
    pipeline = Pipeline()
    pipeline.add_component("tagger", LanguageTagger())
    result = await pipeline.run_async({"tagger": {"queries": ["Where is the station?"]}})
    assert result["tagger"]["query_languages"] == ["en"]
