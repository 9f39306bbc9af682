"""Texts for a repair from corpora that are published to evaluate: pools without English, with their questions."""

from __future__ import annotations

from pathlib import Path

import pytest
from xquad_files import write_xquad

from haystack_crossalign.data.corpora.xquad import read_xquad
from haystack_crossalign.errors import InputError
from haystack_crossalign.repair.sample import make_sample
from haystack_crossalign.repair.texts import read_repair_texts


@pytest.mark.parametrize("languages", [("ar", "zh"), ("es", "ar", "zh")])
def test_a_pool_without_english_is_that_of_the_corpus(tmp_path: Path, languages: tuple[str, ...]) -> None:
    folder = write_xquad(tmp_path / "xquad")
    texts = read_repair_texts(tmp_path, kind="xquad", language=languages[0], target_languages=languages[1:])
    collection = read_xquad(folder, languages)
    documents, queries = collection.documents, collection.queries
    assert {(one.language, one.group, one.text) for one in texts.passages} == set(
        zip(documents.languages, documents.groups, documents.texts, strict=True)
    )
    expected = {
        (documents.groups[relevant[0]], tag, text)
        for relevant, tag, text in zip(collection.relevant, queries.languages, queries.texts, strict=True)
    }
    assert {(one.group, one.language, one.text) for one in texts.questions} == expected
    sample = make_sample(texts)
    assert sample.languages == tuple(sorted(languages))
    assert all(probe.kind == "query" for probe in sample.probes)
    assert any("published to evaluate" in note for note in sample.notes)


def test_its_languages_must_be_named_and_there(tmp_path: Path) -> None:
    folder = write_xquad(tmp_path / "xquad")
    with pytest.raises(InputError, match="languages to take from xquad are not named"):
        read_repair_texts(folder, kind="xquad")
    with pytest.raises(InputError, match="language without data"):
        read_repair_texts(folder, kind="xquad", language="zh", target_languages=["ja"])
    with pytest.raises(InputError, match="no blocks of sentences"):
        read_repair_texts(folder, kind="xquad", language="zh", target_languages=["ar"], block=3)
