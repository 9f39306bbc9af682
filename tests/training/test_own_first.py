"""A bound on what training takes from users: a document in their own language first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from training_runs import made_recipe, quoted_triplets

from haystack_crossalign.data.formats.triplets import write_triplets
from haystack_crossalign.report.training_html import own_first_sentence, render_training_html
from haystack_crossalign.training import trainer
from haystack_crossalign.training.candidates import Finish
from haystack_crossalign.training.outcome import OwnFirstLostError, TrainingOutcome
from haystack_crossalign.training.trainer import train

pytestmark = pytest.mark.training

BOUND = 0.1
HARSH = {"learning_rate": 0.03, "max_steps": 6}
"""A rate at which the tiny model forgets what tells texts apart."""


HELD_OUT = quoted_triplets(30, 1)


def own_first(folder: Path | str) -> dict[str, float]:
    """Share of queries whose nearest passage, of both languages, is their own version: by the stock model and numpy."""
    model = SentenceTransformer(str(folder), device="cpu")
    passages = model.encode_document([one.passage for one in HELD_OUT] + [one.targets["zh"] for one in HELD_OUT])
    shares = {}
    for shift, tag in enumerate(("en", "zh")):
        queries = model.encode_query([one.query if tag == "en" else one.target_queries["zh"] for one in HELD_OUT])
        cosines = (queries @ passages.T) / (
            np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(passages, axis=1)[None, :]
        )
        shares[tag] = float((cosines.argmax(axis=1) == np.arange(len(HELD_OUT)) + shift * len(HELD_OUT)).mean())
    return shares


def trained(model: Path, folder: Path, name: str, **changes: Any) -> TrainingOutcome:
    write_triplets(folder / "held_out.jsonl", HELD_OUT)
    changes["held_out"] = {"path": str(folder / "held_out.jsonl"), "limit": 400}
    changes.setdefault("optimiser", HARSH)
    return train(made_recipe(model, **changes), folder / name, triplets=quoted_triplets(60, 2))


def lost(model: Path, output: Path) -> float:
    before, after = own_first(model), own_first(output)
    return max(before[tag] - after[tag] for tag in before)


@pytest.mark.parametrize(
    "changes",
    [
        {"evaluate": {"keep": "last"}},
        {"evaluate": {"keep": "best", "tolerance": 1}},
        {"evaluate": {"keep": "last"}, "interpolate": "auto"},
    ],
)
def test_weights_that_take_too_much_of_the_own_language_first_are_not_kept(
    tiny_model_folder: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    free = trained(tiny_model_folder, tmp_path, "free", **changes | {"evaluate": {"keep": "last"}, "interpolate": 1.0})
    assert lost(tiny_model_folder, free.path) > BOUND
    assert free.data["result"]["own_first_lost"] == pytest.approx(lost(tiny_model_folder, free.path))
    changes["evaluate"] = changes["evaluate"] | {"keep_own_first": BOUND}
    kept = trained(tiny_model_folder, tmp_path, "kept", **changes)
    assert lost(tiny_model_folder, kept.path) <= BOUND + 1e-9
    assert kept.data["result"]["own_first_lost"] <= BOUND + 1e-9
    assert kept.data["kept"]["share"] < 1
    for text in ((kept.path / "README.md").read_text(encoding="utf-8"), render_training_html(kept.data)):
        assert own_first_sentence(kept.data["result"]) in text


def test_the_largest_share_of_the_tuned_weights_within_the_bound_is_taken(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    free = trained(tiny_model_folder, tmp_path, "free", evaluate={"keep": "last"})
    taken = free.data["result"]["own_first_lost"]
    bound = taken - 0.01
    kept = trained(tiny_model_folder, tmp_path, "kept", evaluate={"keep": "last", "keep_own_first": bound}).data["kept"]
    tried = {one["share"]: one["own_first_lost"] for one in kept["tried"]}
    assert tried[1.0] == pytest.approx(taken)
    assert list(tried) == [1.0, 0.85, 0.7, 0.5, 0.3][: len(tried)]
    assert kept["share"] == min(tried)
    assert [share for share, loss in tried.items() if loss <= bound + 1e-9] == [kept["share"]]


def test_a_final_map_is_weakened_until_it_keeps_the_own_language_first(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights hardly move: what takes the own language first is the repair that is fitted again at the end."""
    start = {"kind": "repair", "strength": 1, "common_share": 0, "whitening": None, "closed": True, "refit": True,
             "train_dense": False, "own_share": 0.5}  # fmt: skip
    changes = {"start": start, "optimiser": {"learning_rate": 1e-6, "max_steps": 2}}
    free = trained(tiny_model_folder, tmp_path, "free", evaluate={"keep": "last"}, **changes)
    taken = lost(tiny_model_folder, free.path)
    assert taken > 0
    bound = taken / 2
    embedded = []

    def counted(*parts: Any) -> Finish:
        encode, embed = parts[4:6]
        return Finish(
            *parts[:4], lambda: embedded.append("encoder") or encode(),
            lambda final: embedded.append("model") or embed(final), *parts[6:],
        )  # fmt: skip

    monkeypatch.setattr(trainer, "Finish", counted)
    kept = trained(tiny_model_folder, tmp_path, "kept", evaluate={"keep": "last", "keep_own_first": bound}, **changes)
    assert lost(tiny_model_folder, kept.path) <= bound + 1e-9
    settings = kept.data["kept"]["refitted"]
    assert float(settings["strength"]) < 1 or "ridge" not in settings
    # However many maps are tried, the texts are embedded with the first, once for all that are tried, with the last.
    assert embedded == ["model", "encoder", "model"]


def test_where_nothing_keeps_it_the_run_ends_with_one_line_and_writes_nothing(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    start = {"kind": "repair", "strength": 1, "common_share": 1, "whitening": None, "closed": True,
             "train_dense": False}  # fmt: skip
    with pytest.raises(OwnFirstLostError, match=r"no model is written.*evaluate.keep_own_first") as raised:
        trained(tiny_model_folder, tmp_path, "out", start=start, evaluate={"keep": "last", "keep_own_first": 0})
    assert raised.value.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["held_out.jsonl"]


def test_the_repair_that_training_starts_from_keeps_to_the_bound(tiny_model_folder: Path, tmp_path: Path) -> None:
    changes = {"start": {"kind": "repair", "closed": True}, "optimiser": {"max_steps": 1, "learning_rate": 1e-9}}
    outcome = trained(tiny_model_folder, tmp_path, "out", evaluate={"keep_own_first": 0}, **changes)
    trials = outcome.data["start"]["trials"]
    assert {one["strength"] for one in trials} == {round(0.1 * step, 1) for step in range(11)}
    assert lost(tiny_model_folder, outcome.path) <= 1e-9
    assert json.loads((outcome.path / "training.json").read_text())["result"]["keep_own_first"] == 0
