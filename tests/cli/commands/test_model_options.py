"""The options of every command that opens a model: prompts, pooling, foreign code; and what the outputs say of them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import WORDS, tiny_model_folder, write_tiny_model

from haystack_crossalign.models.encoder import Encoder

__all__ = ["tiny_model_folder"]

CONFIGURATION = "from transformers import BertConfig\nclass OwnConfig(BertConfig):\n    model_type = 'own'\n"
MODEL = (
    "from transformers import BertModel\nfrom .configuration_own import OwnConfig\n"
    "class OwnModel(BertModel):\n    config_class = OwnConfig\n"
)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Documents and queries in two languages; the last document has more words than the model takes."""
    documents, queries = tmp_path / "documents.jsonl", tmp_path / "queries.jsonl"
    rows = [
        {
            "id": f"{tag}{number}",
            "text": f"{WORDS[number]} {WORDS[number + shift]}",
            "language": tag,
            "parallel_id": number,
        }
        for number in range(6)
        for tag, shift in (("en", 10), ("zh", 20))
    ]
    rows[-1]["text"] = " ".join(WORDS)
    documents.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = [{"id": f"q{n}", "text": WORDS[n], "language": "zh", "parallel_id": n} for n in range(6)]
    queries.write_text("".join(json.dumps(row) + "\n" for row in asked))
    return ["--documents", str(documents), "--queries", str(queries)]


@pytest.fixture
def prompted(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """The tiny model with prompts under other names than query and document."""
    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "prompted"))
    path = folder / "config_sentence_transformers.json"
    prompts = {"s2p_query": "w1 w2 ", "s2s_query": "w3 "}
    path.write_text(json.dumps({**json.loads(path.read_text()), "prompts": prompts}))
    return folder


@pytest.fixture
def foreign(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """The tiny model as one whose code lies in its folder."""
    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "foreign"))
    (folder / "configuration_own.py").write_text(CONFIGURATION)
    (folder / "modeling_own.py").write_text(MODEL)
    path = folder / "config.json"
    own = {"AutoConfig": "configuration_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"}
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "model_type": "own", "architectures": ["OwnModel"], "auto_map": own}))
    return folder


def test_every_output_says_how_texts_were_embedded(
    crossalign: Any, files: list[str], prompted: Path, tmp_path: Path
) -> None:
    outputs = [tmp_path / name for name in ("audit.json", "audit.md", "audit.html")]
    options = zip(("--json", "--markdown", "--report"), outputs, strict=True)
    done = crossalign("audit", *files, "--model", prompted, *(part for pair in options for part in pair))
    assert done.code == 0
    sentences = [
        "Embedded by prompted: queries with 'w1 w2 ' (prompt 's2p_query'), documents with no prompt (the model's own); "
        "mean pooling; texts of up to 32 tokens.",
        "1 document was longer than 32 tokens and was cut there.",
        "The model has more prompts, which are not in use: 's2s_query'; --query-prompt and --document-prompt take one "
        "by its name.",
    ]
    page = outputs[2].read_text().replace("&#39;", "'")
    for sentence in sentences:
        assert sentence in re.sub(r"\s+", " ", done.out)
        assert sentence in page
        assert sentence in outputs[1].read_text().replace("\\", "")
    model = json.loads(outputs[0].read_text())["provenance"]["model"]
    assert model["prompt_names"] == {"query": "s2p_query", "document": None}
    assert model["cut_texts"] == {"queries": 0, "documents": 1}
    assert (model["pooling"], model["pooling_from"]) == ("mean", "model")


def rankings(crossalign: Any, tmp_path: Path, *arguments: object) -> str:
    run = tmp_path / "run.trec"
    run.unlink(missing_ok=True)
    done = crossalign("audit", *arguments, "--run", run, "--quiet", "--precision", "fp32")
    assert done.code == 0, done.err
    return run.read_text()


def test_prompts_and_prefixes_of_file_audits(
    crossalign: Any, files: list[str], prompted: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    own = rankings(crossalign, tmp_path, *files, "--model", prompted)
    by_prefix = rankings(crossalign, tmp_path, *files, "--model", tiny_model_folder, "--query-prefix", "w1 w2 ")
    assert own == by_prefix
    chosen = ("--query-prompt", "s2s_query", "--document-prefix", "w4 ")
    named = rankings(crossalign, tmp_path, *files, "--model", prompted, *chosen)
    spelled = ("--query-prefix", "w3 ", "--document-prefix", "w4 ")
    assert named == rankings(crossalign, tmp_path, *files, "--model", tiny_model_folder, *spelled)
    assert named != own


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--query-prompt", "query_s2s"), "--query-prompt: the model has no prompt of this name; seen: 'query_s2s'"),
        (("--query-prompt", "s2s_query", "--query-prefix", "w1"), "--query-prefix and --query-prompt exclude"),
        (("--pooling", "max"), "--pooling: unknown pooling; seen: 'max'; allowed: mean, cls, lasttoken"),
        (("--pooling", "cls"), "--pooling: the model names its pooling itself"),
    ],
)
def test_what_the_model_does_not_have_is_one_line(
    options: tuple[str, ...], message: str, crossalign: Any, files: list[str], prompted: Path
) -> None:
    done = crossalign("audit", *files, "--model", prompted, *options)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("crossalign: ")
    assert message in done.err
    assert done.err.count("\n") == 1


def test_options_of_the_model_do_not_go_with_an_embedder(crossalign: Any, files: list[str], tmp_path: Path) -> None:
    (tmp_path / "embedder.yaml").write_text("components: {}\n")
    done = crossalign("audit", *files, "--embedder", tmp_path / "embedder.yaml", "--query-prompt", "query")
    assert done.code == 2
    assert "--query-prompt is for --model; with --embedder it stands in its file" in done.err


def test_damaged_weights_end_with_three_and_leave_no_output(
    crossalign: Any, files: list[str], tiny_model_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "damaged"))
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_hidden_layers": 3}))
    for _ in range(2):
        done = crossalign("audit", *files, "--model", folder, "--json", tmp_path / "out.json")
        assert done.code == 3
        assert "missing, so that they would be random: encoder.layer.2." in done.err
        assert not (tmp_path / "out.json").exists()


def test_code_of_a_model_is_run_when_it_is_allowed_and_not_before(
    crossalign: Any, files: list[str], foreign: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    refused = crossalign("audit", *files, "--model", foreign)
    assert refused.code == 3
    assert "it brings code of its own, which is run with --trust-remote-code only" in refused.err
    with_code = rankings(crossalign, tmp_path, *files, "--model", foreign, "--trust-remote-code")
    assert with_code == rankings(crossalign, tmp_path, *files, "--model", tiny_model_folder)


def test_every_command_that_opens_a_model_can_allow_its_code(crossalign: Any) -> None:
    commands = (
        ("audit",),
        ("benchmark",),
        ("repair",),
        ("demo",),
        ("train",),
        ("retrain",),
        ("doctor",),
        ("triplets", "mine"),
    )
    for command in commands:
        assert "--trust-remote-code" in crossalign(*command, "--help").out, command


def test_the_card_of_a_repaired_folder_names_no_place(crossalign: Any, tiny_model_folder: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(tiny_model_folder, tmp_path / "private" / "base"))
    rows = [
        {
            "id": f"{tag}{n}",
            "text": f"{WORDS[n]} {WORDS[shift]} {WORDS[n + 1]}",
            "language": tag,
            "parallel_id": f"p{n}",
        }
        for n in range(40)
        for tag, shift in (("en", 50), ("zh", 55))
    ]
    (tmp_path / "parallel.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = tmp_path / "out"
    done = crossalign("repair", "--model", base, "--parallel", tmp_path / "parallel.jsonl", "--output", output)
    assert done.code == 0, done.err
    assert "Embedded by base: no prompts; mean pooling" in done.out
    assert "base_model" not in (output / "README.md").read_text()
    assert "# base, repaired" in (output / "README.md").read_text()
    for path in output.rglob("*"):
        if path.is_file():
            assert str(tmp_path).encode() not in path.read_bytes(), path
    again = Encoder(str(output), device="cpu", precision="fp32").encode_queries(["w1 w2"])
    assert np.isfinite(again).all()


def test_the_card_of_a_model_from_the_hub_names_it() -> None:
    from haystack_crossalign.repair.card import repair_card

    data = {
        "model": {"sha256": "0" * 64},
        "chosen": {
            "own_share": None,
            "ridge": None,
            "strength": 1.0,
            "common_share": 0.0,
            "whitening": None,
            "own_margins": None,
        },
        "other_languages": {"languages": [], "left_out": []},
        "same_language": [],
        "fitted_on": {"en": 5, "no": 5},
        "matrix_file": "matrix.safetensors",
        "tool": {"version": "1"},
        "directions": 1,
        "criterion": "Max@R",
        "keep_own_first": None,
        "similarity": {"name": "cosine"},
        "data": [],
        "notes": [],
    }
    card = repair_card(data, "BAAI/bge-m3", "BAAI/bge-m3")
    assert '\nbase_model: "BAAI/bge-m3"\n' in card
    assert "base_model" not in repair_card(data, "folder")


def test_another_model_than_that_of_the_vectors_is_refused_in_one_line(
    crossalign: Any, files: list[str], tiny_model_folder: Path, tmp_path: Path
) -> None:
    other = write_tiny_model(tmp_path, seed=1)
    texts = [json.loads(line)["text"] for line in Path(files[1]).read_text(encoding="utf-8").splitlines()]
    np.save(tmp_path / "d.npy", Encoder(str(tiny_model_folder)).encode_documents(texts))
    arguments = ["audit", *files, "--document-vectors", tmp_path / "d.npy", "--json", tmp_path / "a.json"]
    assert crossalign(*arguments, "--model", tiny_model_folder).code == 0
    (tmp_path / "a.json").unlink()
    wrong = crossalign(*arguments, "--model", other)
    assert wrong.code == 2
    (line,) = wrong.err.splitlines()
    assert "--model: does not seem to be the model of the vectors: 12 documents embedded again have" in line
    assert not (tmp_path / "a.json").exists()
    assert crossalign(*arguments, "--model", other, "--accept-model").code == 0
    assert json.loads((tmp_path / "a.json").read_text())["provenance"]["options"]["accept_model"] is True
