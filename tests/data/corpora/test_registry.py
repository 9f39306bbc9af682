"""Where the corpora are found, and what is said where one is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from haystack_crossalign.data.corpora.collections import COLLECTIONS, read_corpus
from haystack_crossalign.data.corpora.registry import CORPORA, corpus_folder, find_corpus
from haystack_crossalign.errors import InputError
from haystack_crossalign.triplets.corpora import CORPORA as TRIPLETS


def test_every_corpus_has_the_readers_that_it_promises() -> None:
    assert {name for name, corpus in CORPORA.items() if corpus.judged} == set(COLLECTIONS)
    assert {name for name, corpus in CORPORA.items() if corpus.training} == set(TRIPLETS)


@pytest.mark.parametrize("name", CORPORA)
def test_a_missing_corpus_is_one_message_with_source_license_and_place(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = CORPORA[name]
    with pytest.raises(InputError) as missing:
        find_corpus(name, tmp_path)
    for part in (corpus.title, corpus.address, corpus.license, str(tmp_path / corpus.places[0]), corpus.holds):
        assert part in str(missing.value)
    monkeypatch.delenv("CROSSALIGN_DATA", raising=False)
    with pytest.raises(InputError) as unset:
        find_corpus(name)
    for part in (corpus.address, corpus.license, f"DIR/{corpus.places[0]}", "CROSSALIGN_DATA=DIR"):
        assert part in str(unset.value)


def test_the_variable_or_an_option_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("a/NTREX", "b/NTREX"):
        (tmp_path / place).mkdir(parents=True)
    monkeypatch.setenv("CROSSALIGN_DATA", str(tmp_path / "a"))
    assert find_corpus("ntrex") == tmp_path / "a" / "NTREX"
    assert find_corpus("ntrex", tmp_path / "b") == tmp_path / "b" / "NTREX"
    (tmp_path / "a" / "tico19.jsonl").touch()
    assert find_corpus("tico19") == tmp_path / "a" / "tico19.jsonl"


def test_the_option_of_a_benchmark_can_be_the_folder_of_the_corpus_itself(tmp_path: Path) -> None:
    (tmp_path / "xquad").mkdir()
    assert corpus_folder("xquad", tmp_path) == tmp_path / "xquad"
    assert corpus_folder("xquad", tmp_path / "xquad") == tmp_path / "xquad"


def test_unknown_names_and_pools_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown corpus.*ntrex, tico19"):
        find_corpus("ntrex128", tmp_path)
    with pytest.raises(InputError, match=r"unknown data set.*xquad, belebele"):
        read_corpus("squad", tmp_path, ["en"])
    for name in ("flores", "miracl", "mmarco", "mlqa", "xquad"):
        with pytest.raises(InputError):
            read_corpus(name, tmp_path, ["en"], pool="chunks")


def test_the_page_of_the_corpora_says_what_the_messages_say(project_root: Path) -> None:
    lines = (project_root / "docs" / "corpora.md").read_text(encoding="utf-8").splitlines()
    for name, corpus in CORPORA.items():
        uses = [use for use, wanted in (("training", corpus.training), ("benchmark", corpus.judged)) if wanted]
        cells = [f"`{name}`", corpus.title, corpus.license, corpus.address]
        row = " | ".join([*cells, f"`{corpus.places[0]}`: {corpus.holds}", " and ".join(uses)])
        assert f"| {row} |" in lines
