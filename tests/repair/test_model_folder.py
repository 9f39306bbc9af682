from __future__ import annotations

import json
import os
import subprocess
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from haystack_crossalign.errors import InputError
from haystack_crossalign.models.offline import resolve_offline_model
from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.directions import fit_language_directions
from haystack_crossalign.repair.model_folder import write_repaired_model
from haystack_crossalign.repair.scores import HeldOut, held_out_score


@pytest.fixture
def repair() -> AffineMap:
    generator = np.random.default_rng(0)
    matrix = np.eye(16) + 0.1 * generator.normal(size=(16, 16))
    return AffineMap(matrix.astype(np.float32), 0.1 * generator.normal(size=16).astype(np.float32))


def test_the_folder_gives_the_vectors_that_the_matrix_gives(tiny_model, make_texts, tmp_path: Path, repair) -> None:
    tiny_model.prompts = {"query": "w1 ", "document": "w2 "}
    texts = make_texts(1, 6)[0]
    folder = tmp_path / "repaired"
    write_repaired_model(tiny_model, repair, folder)
    again = SentenceTransformer(str(folder), device="cpu")
    assert again.prompts == tiny_model.prompts
    assert again.max_seq_length == tiny_model.max_seq_length
    for name in ("query", "document"):
        moved = repair.apply(tiny_model.encode(texts, prompt_name=name))
        np.testing.assert_allclose(again.encode(texts, prompt_name=name), moved, atol=1e-6)


@pytest.mark.process
def test_the_folder_holds_stock_modules_and_loads_without_this_package(
    tiny_model, tmp_path: Path, repair, quick_python: list[str]
) -> None:
    folder = tmp_path / "repaired"
    write_repaired_model(tiny_model, repair, folder)
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    assert [module["type"].rsplit(".", 1)[1] for module in modules] == [
        "Transformer",
        "Pooling",
        "Normalize",
        "Dense",
        "Normalize",
    ]
    assert all(module["type"].startswith("sentence_transformers.") for module in modules)
    dense = json.loads((folder / "3_Dense" / "config.json").read_text(encoding="utf-8"))
    assert dense["activation_function"] == "torch.nn.modules.linear.Identity"
    assert not [file for file in folder.rglob("*") if file.suffix in (".bin", ".pt", ".pkl", ".py")]
    code = (
        "import sys, sentence_transformers as s; s.SentenceTransformer(sys.argv[1], device='cpu').encode('w1');"
        "sys.exit('haystack_crossalign' in sys.modules)"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*quick_python, "-c", code, str(folder)], env=environment, check=False, cwd=tmp_path)
    assert done.returncode == 0


def test_a_map_of_another_dimension_and_a_full_folder_are_refused(tiny_model, tmp_path: Path, repair) -> None:
    with pytest.raises(InputError, match="dimension"):
        write_repaired_model(tiny_model, AffineMap(np.eye(3, dtype=np.float32), np.zeros(3, np.float32)), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="new or empty"):
        write_repaired_model(tiny_model, repair, tmp_path)


def test_sixty_real_parallel_passages_show_that_the_gap_between_languages_shrinks(
    shared_data: Path, offline_model: str
) -> None:
    """NTREX news sentences: the first half of a sentence asks for the sentence in both languages."""
    with (shared_data / "train" / "ntrex_16lang.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in islice(file, 400)]
    # Documents of their own: those that fit the directions are not those that judge them.
    fit, judged = rows[200::7], rows[:180:3]
    model = SentenceTransformer(str(resolve_offline_model(offline_model)), device="cpu")
    tags = ["en", "zh"]

    def encode(texts: list[str], prefix: str) -> NDArray[np.float32]:
        return model.encode([f"{prefix}: {text}" for text in texts], batch_size=16)

    fitted = fit_language_directions(
        np.concatenate([encode([row[tag] for row in fit], "passage") for tag in tags]),
        [tag for tag in tags for _ in fit],
    )
    languages = [tag for tag in tags for _ in judged]
    groups = [str(row["line"]) for row in judged] * 2
    queries = [encode([row[tag][: len(row[tag]) // 2] for row in judged], "query") for tag in tags]
    documents = [encode([row[tag] for row in judged], "passage") for tag in tags]
    score = held_out_score(
        HeldOut(np.concatenate(queries), languages, groups, np.concatenate(documents), languages, groups)
    )
    before, after = score(fitted.affine(0.0)), score(fitted.affine(1.0))
    assert after.bias < 0.75 * before.bias
    for tag in tags:
        assert after.quality[tag] >= before.quality[tag] - 0.02
