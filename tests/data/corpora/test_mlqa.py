"""MLQA as it is published: questions that only some languages have, passages that are no translations."""

from __future__ import annotations

from pathlib import Path

import pytest
from published_corpora import squad, write

from haystack_crossalign.data.corpora.mlqa import read_mlqa
from haystack_crossalign.errors import InputError

ENGLISH = {
    "Lakes": {"The lake froze. The ferry stayed.": {"q1": "What froze?", "q2": "What stayed?"}},
    "Fairs": {"The fair opens on Friday.": {"q3": "When does it open?"}, "Bread is baked.": {"q4": "What is baked?"}},
}
# The passage of q1 and q2 corresponds to two in Spanish; nobody asks q4.
SPANISH = {
    "Lagos": {"El lago se heló.": {"q1": "¿Qué se heló?"}, "El ferri se quedó.": {"q2": "¿Qué se quedó?"}},
    "Ferias": {"La feria abre el viernes.": {"q3": "¿Cuándo abre?"}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for tag, articles in (("en", ENGLISH), ("es", SPANISH)):
        for other in ("en", "es"):
            content = squad(articles if other == tag else {"x": {"y": {"z": "?"}}})
            write(tmp_path / "MLQA_V1" / "test" / f"test-context-{tag}-question-{other}.json", content)
    return tmp_path / "MLQA_V1"


def test_questions_that_all_languages_have_find_their_passages(folder: Path) -> None:
    collection = read_mlqa(folder, ["en", "es"])
    assert collection.queries.ids == ("en:q1", "en:q3", "es:q1", "es:q3")
    assert collection.queries.texts == ("What froze?", "When does it open?", "¿Qué se heló?", "¿Cuándo abre?")
    relevant = [{collection.documents.texts[place] for place in places} for places in collection.relevant]
    lake = {"The lake froze. The ferry stayed.", "El lago se heló."}
    fair = {"The fair opens on Friday.", "La feria abre el viernes."}
    assert relevant == [lake, fair, lake, fair]
    assert [(one.reason, one.first) for one in collection.omissions] == [
        ("its passages belong to different passages in another language", ("q2",)),
        ("not in all of the languages", ("q4",)),
    ]
    assert read_mlqa(folder / "test", ["en", "es"]).queries.ids == collection.queries.ids


def test_one_language_keeps_all_of_its_questions(folder: Path) -> None:
    assert len(read_mlqa(folder, ["en"]).queries) == 4


def test_faults_are_named(folder: Path) -> None:
    with pytest.raises(InputError, match=r"'th'.*allowed: en, es"):
        read_mlqa(folder, ["en", "th"])
    with pytest.raises(InputError, match=r"unknown split.*dev, test"):
        read_mlqa(folder, split="train")
    with pytest.raises(InputError, match=r"no files of the corpus.*dev-context-en-question-en.json"):
        read_mlqa(folder, split="dev")
    write(folder / "test" / "test-context-es-question-es.json", squad({"a": {"b": {"q9": "¿?"}}}))
    with pytest.raises(InputError, match="no question exists in all of the languages"):
        read_mlqa(folder, ["en", "es"])
