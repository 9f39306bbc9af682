"""`crossalign repair --index` and `crossalign triplets build --index`, on a real server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import write_tiny_model

from haystack_crossalign.data.formats.triplets import read_triplets
from haystack_crossalign.models.encoder import Encoder

INDEX, GROUPS, TAGS = "from-index", 24, ("en", "zh")


def text_of(group: int, place: int) -> str:
    words = np.random.default_rng([group, place]).integers(30, size=20) + 30 * place
    sentence = " ".join(f"wort{'abcdefghijklmnopqrstuvwxyz'[word % 26]}{'xyz'[word // 26]}" for word in words[:10])
    return f"{sentence}. " + " ".join(f"w{word}" for word in words[10:]) + " and more of the same text."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Parallel documents in two languages; two documents name no language, one content is in one language only."""
    rows = [
        {"id": f"{tag}{group}", "content": text_of(group, place), "language": tag, "group": f"g{group}"}
        for group in range(GROUPS)
        for place, tag in enumerate(TAGS)
    ]
    rows.append({"id": "alone", "content": text_of(900, 0), "language": "en", "group": "alone"})
    french = "La bibliothèque municipale est ouverte tous les jours sauf le dimanche. On y trouve aussi des journaux."
    english = "The public library is open every day except on Sunday. You will also find newspapers there."
    rows += [
        {"id": "untold-fr", "content": french, "group": "u"},
        {"id": "untold-en", "content": english, "group": "u"},
    ]
    return rows


@pytest.fixture(scope="module")
def index(opensearch: Any, indexing: Any, model: Path, rows: list[dict[str, Any]]) -> str:
    encoder = Encoder(str(model))
    vectors = encoder.encode_documents([row["content"] for row in rows])
    documents = {
        row["id"]: {key: value for key, value in row.items() if key != "id"} | {"embedding": [float(x) for x in vector]}
        for row, vector in zip(rows, vectors, strict=True)
    }
    indexing.create(opensearch, INDEX, documents, indexing.mapping(encoder.dimension))
    return INDEX


@pytest.fixture
def base(opensearch: Any, index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.chdir(tmp_path)
    return ["--index", index, "--hosts", opensearch.url, "--group-field", "group"]


def test_a_repair_from_the_index_is_that_of_the_same_documents_in_a_file(
    crossalign: Any, base: list[Any], model: Path, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    options = ["--model", model, "--samples", 100, "--languages", "en,zh", "--quiet"]
    done = crossalign("repair", *base, *options, "--output", tmp_path / "live")
    assert (done.code, done.out) == (0, ""), done.err
    file = tmp_path / "parallel.jsonl"
    parallel = [row for row in rows if row["group"] not in ("alone", "u")]
    file.write_text("".join(json.dumps(row) + "\n" for row in parallel), encoding="utf-8")
    plain = crossalign("repair", "--parallel", file, "--group-field", "group", *options, "--output", tmp_path / "plain")
    assert plain.code == 0, plain.err
    live, plainly = (json.loads((tmp_path / name / "repair.json").read_text("utf-8")) for name in ("live", "plain"))
    # The same documents fit and judge, whatever order they were read in.
    apart = {"data", "notes"}
    assert {key: value for key, value in live.items() if key not in apart} == {
        key: value for key, value in plainly.items() if key not in apart
    }
    assert live["data"][0]["name"] == INDEX
    assert any("2 without a language" in note for note in live["notes"])


def test_a_repair_with_another_model_than_that_of_the_index_is_refused(
    crossalign: Any, base: list[Any], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = write_tiny_model(tmp_path_factory.mktemp("other"), seed=1)
    arguments = ["repair", *base, "--model", other, "--output", tmp_path / "r", "--samples", 100, "--quiet"]
    done = crossalign(*arguments)
    assert done.code == 2
    assert "field 'model'" in done.err
    assert not (tmp_path / "r").exists()
    accepted = crossalign(*arguments, "--accept-model")
    assert accepted.code == 0, accepted.err
    notes = json.loads((tmp_path / "r" / "repair.json").read_text("utf-8"))["notes"]
    assert any("cosine" in note for note in notes)


def test_a_repair_without_parallel_groups_takes_documents_by_language(
    crossalign: Any, base: list[Any], model: Path, tmp_path: Path
) -> None:
    alone = ["--group-field", "content.raw", "--languages", "en,zh"]
    done = crossalign("repair", *base, *alone, "--model", model, "--output", tmp_path / "r", "--samples", 100,
                      "--matrix-only")  # fmt: skip
    assert done.code == 0, done.err
    # Half of the documents, whatever their languages; the others judge.
    (fitted,) = re.findall(r"Documents fitted on: (\d+) in en, (\d+) in zh", done.out)
    assert sum(map(int, fitted)) == (2 * GROUPS + 2) // 2
    assert f"crossalign upgrade --index {INDEX} --matrix" in done.out


def test_triplets_from_the_index_take_titles_or_first_sentences_as_queries(
    crossalign: Any, base: list[Any], tmp_path: Path
) -> None:
    arguments = ["triplets", "build", *base, "--languages", "zh", "--output", tmp_path / "t.jsonl"]
    done = crossalign(*arguments)
    assert done.code == 0, done.err
    triplets, _ = read_triplets(tmp_path / "t.jsonl")
    assert {one.group for one in triplets} == {f"g{group}" for group in range(GROUPS)}
    for one in triplets:
        first, rest = text_of(int(one.group[1:]), 0).split(". ")
        assert (one.query, one.passage) == (f"{first}.", rest)
        assert one.targets == {"zh": text_of(int(one.group[1:]), 1).split(". ")[1]}
        assert one.target_queries == {"zh": text_of(int(one.group[1:]), 1).split(". ")[0] + "."}
    first_bytes = (tmp_path / "t.jsonl").read_bytes()
    assert crossalign(*arguments, "--quiet").out == ""
    assert (tmp_path / "t.jsonl").read_bytes() == first_bytes


def test_languages_that_documents_of_the_index_do_not_name_are_detected(
    crossalign: Any, base: list[Any], tmp_path: Path
) -> None:
    arguments = ["triplets", "build", *base, "--languages", "fr", "--output", tmp_path / "t.jsonl"]
    without = crossalign(*arguments)
    assert without.code == 2
    assert "--detect-languages" in without.err
    done = crossalign(*arguments, "--detect-languages")
    assert done.code == 0, done.err
    (one,) = read_triplets(tmp_path / "t.jsonl")[0]
    assert (one.group, one.query) == ("u", "The public library is open every day except on Sunday.")
    assert one.targets == {"fr": "On y trouve aussi des journaux."}


def test_triplets_of_judged_queries_of_the_index(crossalign: Any, base: list[Any], tmp_path: Path) -> None:
    queries = tmp_path / "q.jsonl"
    asked = [
        {"id": "a", "text": "which?", "language": "en", "relevant": ["en3"]},
        {"id": "b", "text": "all of it?", "language": "en", "group": "g4"},
        {"id": "c", "text": "the other one?", "language": "en", "relevant": ["alone"]},
    ]
    queries.write_text("".join(json.dumps(row) + "\n" for row in asked), encoding="utf-8")
    done = crossalign("triplets", "build", *base, "--queries", queries, "--languages", "zh",
                      "--output", tmp_path / "t.jsonl")  # fmt: skip
    assert done.code == 0, done.err
    assert "left out, no version in a target language: 1" in done.out
    triplets, _ = read_triplets(tmp_path / "t.jsonl")
    assert [(one.query, one.passage, one.targets) for one in triplets] == [
        ("which?", text_of(3, 0), {"zh": text_of(3, 1)}),
        ("all of it?", text_of(4, 0), {"zh": text_of(4, 1)}),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["repair", "--parallel", "d.jsonl", "--index", "i", "--output", "o"], "--parallel and --index exclude"),
        (["repair", "--user", "me", "--parallel", "d.jsonl", "--output", "o"], "--user is for a repair from an index"),
        (["repair", "--output", "o"], "no documents; allowed: --parallel FILE, --tagged FILE"),
        (["triplets", "build", "--index", "i", "--corpus", "ntrex", "--languages", "zh", "--output", "o.jsonl"],
         "give either a corpus, documents or an index"),
        (["triplets", "build", "--index", "i", "--drop", "d", "--languages", "zh", "--output", "o.jsonl"],
         "--drop: only works with --corpus"),
        (["triplets", "build", "--documents", "d", "--groups", 3, "--languages", "zh", "--output", "o.jsonl"],
         "--groups is for triplets from an index"),
    ],
)  # fmt: skip
def test_options_that_exclude_each_other_are_named(
    crossalign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = crossalign(*arguments)
    assert done.code == 2
    assert message in done.err
    assert len(done.err.splitlines()) == 1
