"""`crossalign benchmark paper`: several models on one page, with a cache of rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from model_fixtures import tiny_model_folder
from xquad_files import write_xquad

from haystack_crossalign.api.collection import audit_collection
from haystack_crossalign.api.paper.measure import PaperOptions, measure_models, paper_schema
from haystack_crossalign.api.paper.published import DIFFERENCES, PUBLISHED
from haystack_crossalign.data.corpora.xquad import read_xquad
from haystack_crossalign.models.encoder import Encoder

__all__ = ["tiny_model_folder"]

LANGUAGES = ("es", "zh")
FILES = ("paper.html", "paper.json", "paper.md", "paper.tex")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpora")
    write_xquad(folder / "xquad", ["en", *LANGUAGES], passages=6)
    return folder


def call(crossalign: Any, data: Path, output: Path, *models: object, **more: object) -> Any:
    flags = [part for model in models for part in ("--model", model)]
    flags += [part for name, value in more.items() for part in (f"--{name}", value)]
    return crossalign(
        "benchmark", "paper", "--data", data, "--output", output, "--languages", ",".join(LANGUAGES), "--samples", 100,
        *flags,
    )  # fmt: skip


def test_the_page_has_the_rows_of_single_audits_and_the_published_figures(
    crossalign: Any, data: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    done = call(crossalign, data, tmp_path / "out", f"base={tiny_model_folder}")
    assert done.code == 0, done.err
    assert "Belebele was not found" in done.out
    texts = {name: (tmp_path / "out" / name).read_text(encoding="utf-8") for name in FILES}
    found = measure_models(
        data, {"base": lambda: Encoder(str(tiny_model_folder))}, PaperOptions(LANGUAGES, samples=100),
        cache=tmp_path / "out" / "cache",
    )  # fmt: skip
    pools = {(row["scenario"], "+".join(row["pool_languages"])) for row in found["rows"]}
    assert {pool for scenario, pool in pools if scenario == "multi"} == {"en+es", "en+zh", "en+es+zh"}
    assert {pool for scenario, pool in pools if scenario == "mono-same"} == {"en", "es", "zh"}
    collection = read_xquad(data / "xquad", ["en", "zh"], pool="questions")
    scenarios = ("multi", "mono-same", "mono-cross")
    alone = audit_collection(collection, str(tiny_model_folder), scenarios=scenarios, samples=100)
    for row in alone.rows:
        (same,) = [
            one
            for one in found["rows"]
            if (one["scenario"], one["query_language"]) == (row["scenario"], row["query_language"])
            and one["pool_languages"] == row["pool_languages"]
        ]
        for name, value in same["measures"].items():
            other = row["measures"][name]
            assert value == (other if other is None else pytest.approx(other, rel=1e-6)), name
    # What the paper publishes of Chinese queries over XQuAD, as docs/method.md and the paper have it.
    for text in (texts["paper.html"], texts["paper.md"]):
        assert "55.9" in text
        assert "multilingual-e5-base" in text
    assert r"55.9~\%" in texts["paper.tex"]
    stored = json.loads(texts["paper.json"])
    jsonschema.validate(stored, paper_schema())
    assert [row["measures"] for row in stored["rows"]] == [row["measures"] for row in found["rows"]]
    assert len(stored["published"]) == len(PUBLISHED)
    assert texts["paper.tex"].count(r"\begin{tabular}") == texts["paper.tex"].count(r"\end{tabular}") > 3
    assert all(sentence.split()[3] in texts["paper.md"] for sentence in DIFFERENCES)


def test_belebele_is_read_in_the_layout_of_its_archive(
    crossalign: Any, tiny_model_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "corpora" / "Belebele"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("# Belebele", encoding="utf-8")
    for code in ("eng_Latn", "spa_Latn", "zho_Hans", "zho_Hant"):
        rows = [
            {
                "link": f"https://en.wikinews.org/wiki/{page}", "split": split, "question_number": number,
                "flores_passage": f"w{page} w{len(split)} {code}",
                "question": f"w{page} w{number} w{len(split)} {code}",
                **{f"mc_answer{answer}": str(answer) for answer in range(1, 5)},
                "correct_answer_num": "2", "dialect": code,
            }
            for page in range(4) for split in ("dev", "devtest") for number in (1, 2)
        ]  # fmt: skip
        text = "".join(json.dumps(row) + "\n" for row in (rows if code == "eng_Latn" else rows[::-1]))
        (folder / f"{code}.jsonl").write_text(text, encoding="utf-8")
    done = call(crossalign, tmp_path / "corpora", tmp_path / "out", f"base={tiny_model_folder}")
    assert done.code == 0, done.err
    assert "XQuAD was not found" in done.out
    stored = json.loads((tmp_path / "out" / "paper.json").read_text(encoding="utf-8"))
    assert [corpus["name"] for corpus in stored["corpora"]] == ["belebele"]
    assert {row["pool_size"] for row in stored["rows"] if len(row["pool_languages"]) == 2} == {32}
    assert {row["queries"] for row in stored["rows"]} == {16}


def test_a_further_model_costs_only_its_own_rows(
    crossalign: Any, data: Path, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, cache = tmp_path / "out", tmp_path / "cache"
    assert call(crossalign, data, output, f"base={tiny_model_folder}", cache=cache).code == 0
    first = {name: (output / name).read_bytes() for name in FILES}
    kept = {file.name: file.read_bytes() for file in cache.iterdir()}
    assert len(kept) == 3  # one for each pool

    def never(*_: object, **__: object) -> None:
        raise AssertionError("embedded again")

    with monkeypatch.context() as patched:
        patched.setattr(Encoder, "encode_documents", never)
        assert call(crossalign, data, output, f"base={tiny_model_folder}", cache=cache).code == 0
    assert {name: (output / name).read_bytes() for name in FILES} == first
    # A second label for the same weights is the same model, and takes its rows.
    shutil.copytree(tiny_model_folder, tmp_path / "copy")
    with monkeypatch.context() as patched:
        patched.setattr(Encoder, "encode_documents", never)
        models = (f"base={tiny_model_folder}", f"same={tmp_path / 'copy'}")
        assert call(crossalign, data, output, *models, cache=cache).code == 0
    assert "same" in (output / "paper.md").read_text(encoding="utf-8")
    # Other settings are other rows; a damaged file is made again.
    done = call(crossalign, data, output, f"base={tiny_model_folder}", cache=cache, **{"max-tokens": 16})
    assert done.code == 0
    assert len(list(cache.iterdir())) == 6
    name = next(iter(kept))
    (cache / name).write_text("[{", encoding="utf-8")
    assert call(crossalign, data, output, f"base={tiny_model_folder}", cache=cache).code == 0
    assert (cache / name).read_bytes() == kept[name]
    assert json.loads(kept[name])[0]["corpus"] == "xquad"


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"languages": "en"}, "no language to pair"),
        ({"pool": "judged"}, "unknown pool"),
        ({"data": "."}, "none of the paper's corpora"),
        ({"data": "nowhere"}, "no folder of corpora"),
        ({"languages": "tlh"}, "tlh"),
    ],
)
def test_wrong_input_is_one_line(
    crossalign: Any, data: Path, tiny_model_folder: Path, tmp_path: Path, change: dict[str, str], part: str
) -> None:
    given = {"data": str(data), "languages": "zh", "output": str(tmp_path / "out")} | change
    if given["data"] in (".", "nowhere"):
        given["data"] = str(tmp_path / given["data"])
    flags = [part for name, value in given.items() for part in (f"--{name}", value)]
    done = crossalign("benchmark", "paper", "--model", tiny_model_folder, *flags)
    assert done.code == 2
    assert part in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_two_models_need_two_labels_and_help_is_its_own(crossalign: Any, data: Path) -> None:
    done = crossalign("benchmark", "paper", "--data", data, "--model", "a=x", "--model", "a=y")
    assert (done.code, "two models with one label" in done.err) == (2, True)
    assert "--cache" in crossalign("benchmark", "paper", "--help").out
    assert "CORPUS" in crossalign("benchmark", "--help").out
    assert len({(one.corpus, one.language, one.query_language, one.measure) for one in PUBLISHED}) == len(PUBLISHED)
