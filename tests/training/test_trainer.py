from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonschema import Draft202012Validator
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from training_runs import made_recipe, made_triplets

from haystack_crossalign.data.formats.triplets import write_triplets
from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.report.training_html import render_training_html
from haystack_crossalign.training.outcome import TrainingOutcome, training_schema
from haystack_crossalign.training.output_folder import locked_output
from haystack_crossalign.training.trainer import train

pytestmark = pytest.mark.training

TOKENS = "0.model.embeddings.word_embeddings.weight"


def run(folder: Path, output: Path, *, count: int = 40, **changes: object) -> TrainingOutcome:
    return train(made_recipe(folder, **changes), output, triplets=made_triplets(count))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return SentenceTransformer(str(folder), device="cpu").state_dict()


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.fixture(scope="module")
def finished(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingOutcome, list]:
    """Last weights of three epochs, two languages, distillation, evaluated twice an epoch."""
    torch.set_num_threads(1)
    recipe = made_recipe(
        tiny_model_folder,
        languages=["zh", "ar"],
        optimiser={"epochs": 3},
        distil={"weight": 0.1},
        evaluate={"every": 0.5, "keep": "last"},
    )
    seen: list[tuple[str, int, int, dict[str, float]]] = []
    output = tmp_path_factory.mktemp("trained") / "model"
    outcome = train(
        recipe,
        output,
        triplets=made_triplets(60, ("zh", "ar")),
        progress=lambda *told: seen.append(told),
    )
    return outcome, seen


@pytest.fixture
def trained(finished) -> TrainingOutcome:
    return finished[0]


def test_the_output_is_a_stock_folder_and_nothing_else_is_left(trained: TrainingOutcome) -> None:
    folder = trained.path
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"model.safetensors", "modules.json", "README.md", "training.json", "report.html"} <= files
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
    assert "<title>" in (folder / "report.html").read_text(encoding="utf-8")
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    assert {module["type"].split(".")[0] for module in modules} == {"sentence_transformers"}


def test_training_brings_versions_together(trained: TrainingOutcome) -> None:
    steps = trained.data["curves"]["steps"]
    third = len(steps) // 3
    for term in ("jsd", "nce"):
        first, last = ([entry[term] for entry in part] for part in (steps[:third], steps[-third:]))
        assert sum(last) < sum(first)
    assert steps[-1]["step"] == trained.data["kept"]["of_steps"]


def test_training_json_fits_its_schema_and_says_what_was_done(trained: TrainingOutcome) -> None:
    text = (trained.path / "training.json").read_text(encoding="utf-8")
    data = json.loads(text)
    Draft202012Validator(training_schema()).validate(data)
    assert data["data"]["held_out"] == {"triplets": 6, "by": "group", "file": False}
    assert data["data"]["triplets"] == 54
    assert sum(data["data"]["rows"].values()) == 108
    assert data["recipe"]["optimiser"]["epochs"] == 3.0
    assert data["environment"]["packages"]["torch"] == torch.__version__.split("+")[0]
    assert str(trained.path.parent) not in text
    evaluated = [entry["step"] for entry in data["curves"]["evaluations"]]
    assert evaluated[0] == 0
    assert evaluated[-1] == data["kept"]["of_steps"]
    assert len(evaluated) == 7
    first, last = data["curves"]["evaluations"][0], data["curves"]["evaluations"][-1]
    assert data["result"]["alignment"]["start"] == first["alignment"]
    assert data["result"]["alignment"]["after"] == last["alignment"]
    assert "seconds" not in text
    times = json.loads((trained.path / "training.times.json").read_text(encoding="utf-8"))
    assert {"training", "evaluation", "before", "after"} <= times["seconds"].keys()


def test_progress_tells_both_loss_terms(finished) -> None:
    trained, seen = finished
    told = [one for one in seen if one[0] == "Training"]
    steps = trained.data["kept"]["of_steps"]
    assert [done for _, done, _, _ in told] == list(range(1, steps + 1))
    assert {"jsd", "nce", "distil"} <= told[-1][3].keys()


def test_the_token_table_stays_frozen_on_a_cpu_unless_asked(tiny_model_folder: Path, tmp_path: Path) -> None:
    before = weights(tiny_model_folder)
    changes = {"evaluate": {"every": None, "keep": "last"}, "optimiser": {"max_steps": 2}}
    run(tiny_model_folder, tmp_path / "frozen", **changes)
    run(tiny_model_folder, tmp_path / "free", freeze_token_table=False, **changes)
    frozen, free = moved(before, weights(tmp_path / "frozen")), moved(before, weights(tmp_path / "free"))
    assert TOKENS not in frozen
    assert TOKENS in free
    # All else but BERT's own pooler, which no embedding uses.
    assert {name for name in before if name not in free} == {name for name in before if "pooler" in name}


def test_prompts_travel_with_the_model(tiny_model_folder: Path, tmp_path: Path) -> None:
    recipe = {"name": str(tiny_model_folder), "query_prefix": "w1 ", "document_prefix": "w2 ", "max_tokens": 8}
    run(tiny_model_folder, tmp_path / "out", model=recipe, optimiser={"max_steps": 1})
    model = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    assert (model.prompts["query"], model.prompts["document"]) == ("w1 ", "w2 ")
    assert model.max_seq_length == 32


def test_prompts_are_chosen_by_their_names_and_travel_with_the_model(tiny_model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_folder, folder)
    config = json.loads((folder / "config_sentence_transformers.json").read_text(encoding="utf-8"))
    config["prompts"] = {"s2p": "w1 ", "s2s": "w2 ", "other": "w3 "}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(config), encoding="utf-8")
    recipe = {"name": str(folder), "query_prompt": "s2p", "document_prompt": "s2s"}
    run(folder, tmp_path / "out", model=recipe, optimiser={"max_steps": 1})
    model = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    assert (model.prompts["query"], model.prompts["document"]) == ("w1 ", "w2 ")
    assert model.prompts["other"] == "w3 "
    with pytest.raises(InputError, match=r"field 'model\.query_prompt': the model has no prompt of this name"):
        run(folder, tmp_path / "no", model=recipe | {"query_prompt": "s2x"})
    with pytest.raises(InputError, match=r"field 'model\.query_prompt': query_prefix and query_prompt exclude each"):
        run(folder, tmp_path / "no", model=recipe | {"query_prefix": "q"})
    assert not (tmp_path / "no").exists()


def test_texts_that_were_cut_are_counted_in_every_output(tiny_model_folder: Path, tmp_path: Path) -> None:
    def trained_with(name: str, max_tokens: int | None) -> TrainingOutcome:
        recipe = {"name": str(tiny_model_folder), "max_tokens": max_tokens}
        return run(tiny_model_folder, tmp_path / name, model=recipe, optimiser={"max_steps": 1})

    whole = trained_with("whole", None).data["model"]
    assert (whole["max_tokens"], whole["cut_texts"]) == (32, {"queries": 0, "documents": 0})
    outcome = trained_with("cut", 8)
    Draft202012Validator(training_schema()).validate(json.loads((outcome.path / "training.json").read_text()))
    triplets = made_triplets(40)
    # Each word is one token, and two special ones come to each text.
    texts = {text for one in triplets for text in (one.passage, *one.targets.values())}
    asked = {text for one in triplets for text in (one.query, *one.target_queries.values())}
    expected = {
        "queries": sum(len(text.split()) + 2 > 8 for text in asked),
        "documents": sum(len(text.split()) + 2 > 8 for text in texts),
    }
    assert expected["documents"] > 0
    assert outcome.data["model"]["cut_texts"] == expected
    sentence = "longer than 8 tokens and were cut there."
    assert sentence in (outcome.path / "README.md").read_text(encoding="utf-8")
    assert sentence in render_training_html(outcome.data)


def test_the_same_run_gives_the_same_weights_and_another_seed_others(tiny_model_folder: Path, tmp_path: Path) -> None:
    changes = {"evaluate": {"keep": "last"}, "optimiser": {"max_steps": 3}}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(tiny_model_folder, tmp_path / name, seed=seed, **changes)
    a, b, c = (weights(tmp_path / name) for name in "abc")
    assert not moved(a, b)
    assert moved(a, c)
    hashes = [json.loads((tmp_path / name / "training.json").read_text())["weights"] for name in "abc"]
    assert hashes[0] == hashes[1] != hashes[2]


def test_what_harms_is_not_kept(tiny_model_folder: Path, tmp_path: Path) -> None:
    """At this learning rate the model forgets everything; no evaluation in between can be better than the start."""
    changes = {"optimiser": {"learning_rate": 0.5, "epochs": 1}, "evaluate": {"every": 1, "tolerance": 0}}
    changes["loss"] = {"nce_weight": 0, "alignment_weight": 5}
    outcome = run(tiny_model_folder, tmp_path / "out", **changes)
    base = outcome.data["curves"]["evaluations"][0]
    harmless = [one for one in outcome.data["curves"]["evaluations"] if one["harm"] <= 1e-9]
    best = max(harmless, key=lambda one: (one["alignment"], -one["step"]))
    assert outcome.data["kept"]["step"] == best["step"]
    assert outcome.harmless
    if best is base:
        assert not moved(weights(tiny_model_folder), weights(tmp_path / "out"))


@pytest.mark.parametrize("changes", [{}, {"held_out": {"share": 0}}])
def test_a_run_that_diverges_is_told_as_such(tiny_model_folder: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"optimiser\.learning_rate.*diverged at step 1"):
        run(tiny_model_folder, tmp_path / "out", loss={"temperature": 1e-300}, **changes)
    assert not (tmp_path / "out").exists()


def test_early_stop_ends_a_run_that_gets_no_better(tiny_model_folder: Path, tmp_path: Path) -> None:
    changes = {"optimiser": {"learning_rate": 1e-9, "epochs": 3}, "evaluate": {"every": 1, "patience": 2}}
    outcome = run(tiny_model_folder, tmp_path / "out", **changes)
    assert outcome.data["kept"]["of_steps"] == 2
    assert outcome.data["kept"]["step"] == 0
    assert outcome.data["kept"]["share"] == 0


@pytest.mark.parametrize("lora", [None, {"rank": 2}])
def test_interpolated_weights_lie_between_the_start_and_the_tuned_ones(
    tiny_model_folder: Path, tmp_path: Path, lora: dict[str, int] | None
) -> None:
    changes = {"optimiser": {"max_steps": 4}, "evaluate": {"every": None, "keep": "last"}, "lora": lora}
    for name, share in (("tuned", 1.0), ("mean", 0.25), ("start", 0.0)):
        run(tiny_model_folder, tmp_path / name, interpolate=share, **changes)
    start, tuned, mean = weights(tiny_model_folder), weights(tmp_path / "tuned"), weights(tmp_path / "mean")
    assert not moved(start, weights(tmp_path / "start"))
    changed = moved(start, tuned)
    assert len(changed) >= 12
    assert not any("lora" in name for name in tuned)
    for name in changed:
        torch.testing.assert_close(mean[name], start[name] + 0.25 * (tuned[name] - start[name]), rtol=1e-4, atol=1e-7)


def test_adapters_change_linear_modules_only(tiny_model_folder: Path, tmp_path: Path) -> None:
    changes = {"optimiser": {"max_steps": 2}, "evaluate": {"keep": "last"}, "lora": {"rank": 2, "targets": ["query"]}}
    run(tiny_model_folder, tmp_path / "out", **changes)
    changed = moved(weights(tiny_model_folder), weights(tmp_path / "out"))
    assert changed == {f"0.model.encoder.layer.{layer}.attention.self.query.weight" for layer in (0, 1)}


@pytest.mark.parametrize("lora", [None, {"rank": 4}])
def test_tokens_of_versions_are_aligned_by_training(
    tiny_model_folder: Path, tmp_path: Path, lora: dict[str, int] | None
) -> None:
    outcome = run(
        tiny_model_folder,
        tmp_path / "out",
        loss={"alignment_weight": 0, "nce_weight": 0, "token_weight": 1, "token_temperature": 0.1},
        optimiser={"epochs": 3, "learning_rate": 1e-2},
        held_out={"share": 0},
        lora=lora,
    )
    values = [entry["token"] for entry in outcome.data["curves"]["steps"]]
    third = len(values) // 3
    assert sum(values[-third:]) < 0.98 * sum(values[:third])


def test_shares_are_chosen_on_held_out_data(tiny_model_folder: Path, tmp_path: Path) -> None:
    outcome = run(tiny_model_folder, tmp_path / "out", interpolate="auto", evaluate={"keep": "last"})
    kept = outcome.data["kept"]
    assert [one["share"] for one in kept["tried"]] == [1.0, 0.85, 0.7, 0.5, 0.3]
    ranked = [(one["harm"] <= 0.005 + 1e-9, one["alignment"], one["share"]) for one in kept["tried"]]
    harmless = [one for one in ranked if one[0]]
    if harmless:
        assert kept["share"] == max(harmless)[2]


def test_the_pull_to_the_start_keeps_weights_near_it(tiny_model_folder: Path, tmp_path: Path) -> None:
    start = weights(tiny_model_folder)
    distances, pulls = [], []
    for pull in (0.0, 10.0):
        output = tmp_path / str(pull)
        optimiser = {"to_start": pull, "epochs": 2, "max_grad_norm": 0}
        outcome = run(tiny_model_folder, output, optimiser=optimiser, evaluate={"keep": "last"})
        after = weights(output)
        distances.append(sum(float((after[name] - start[name]).square().sum()) for name in start))
        pulls.append([entry.get("to_start") for entry in outcome.data["curves"]["steps"]])
    assert distances[1] < 0.7 * distances[0]
    assert set(pulls[0]) == {None}
    assert max(pulls[1]) > 0


def test_a_repaired_start_ends_in_a_linear_module_that_is_trained_or_not(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    changes = {"optimiser": {"max_steps": 3}, "evaluate": {"every": None, "keep": "last"}}
    for name, dense in (("trained", True), ("fixed", False)):
        section = {"kind": "repair", "strength": 1.0, "common_share": 0.2, "train_dense": dense}
        outcome = run(tiny_model_folder, tmp_path / name, start=section, **changes)
        assert outcome.data["start"]["repair"]["strength"] == "1"
        assert outcome.data["start"]["trials"] == []
    run(tiny_model_folder, tmp_path / "start", start=section, interpolate=0.0, **changes)
    start, free, fixed = (weights(tmp_path / name) for name in ("start", "trained", "fixed"))
    assert {"3.linear.weight", "3.linear.bias"} <= moved(start, free)
    assert not {"3.linear.weight", "3.linear.bias"} & moved(start, fixed)
    types = [type(module).__name__ for module in SentenceTransformer(str(tmp_path / "fixed"))]
    assert types == ["Transformer", "Pooling", "Normalize", "Dense", "Normalize"]


def test_the_strengths_of_a_repair_are_chosen_on_held_out_data(tiny_model_folder: Path, tmp_path: Path) -> None:
    outcome = run(tiny_model_folder, tmp_path / "out", start="repair", optimiser={"max_steps": 1})
    trials = outcome.data["start"]["trials"]
    assert len(trials) == 75  # 5 strengths, 5 shares of the common mean, 3 whitenings
    assert {one["whitening"] for one in trials} == {None, 10.0, 3.0}
    chosen = min((one for one in trials if one["harmless"]), key=lambda one: one["bias"])
    assert outcome.data["start"]["repair"]["strength"] == f"{chosen['strength']:g}"
    with pytest.raises(InputError, match="held-out"):
        run(tiny_model_folder, tmp_path / "none", start="repair", held_out={"share": 0})


def test_without_a_held_out_part_the_last_weights_are_kept(tiny_model_folder: Path, tmp_path: Path) -> None:
    outcome = run(tiny_model_folder, tmp_path / "out", held_out={"share": 0}, optimiser={"max_steps": 2})
    assert outcome.data["result"] is None
    assert (outcome.harmless, outcome.improved, outcome.metrics()) == (None, None, {})
    Draft202012Validator(training_schema()).validate(json.loads((tmp_path / "out" / "training.json").read_text()))
    assert moved(weights(tiny_model_folder), weights(tmp_path / "out"))


def test_dropout_is_set_for_training_and_not_saved(tiny_model_folder: Path, tmp_path: Path) -> None:
    run(tiny_model_folder, tmp_path / "out", dropout=0.0, optimiser={"max_steps": 1})
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert config["hidden_dropout_prob"] == 0.1


def test_an_output_that_is_not_ours_is_refused_and_one_of_ours_replaced(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("all my work", encoding="utf-8")
    with pytest.raises(InputError, match="not written by a training run"):
        run(tiny_model_folder, mine)
    (mine / "training.json").write_text('{"my": "config"}', encoding="utf-8")
    with pytest.raises(InputError, match="not written by a training run"):
        run(tiny_model_folder, mine)
    assert sorted(path.name for path in mine.iterdir()) == ["thesis.txt", "training.json"]
    with pytest.raises(InputError, match="no such folder"):
        run(tiny_model_folder, tmp_path / "missing" / "out")
    output = tmp_path / "out"
    output.mkdir()
    run(tiny_model_folder, output, optimiser={"max_steps": 1}, evaluate={"keep": "last"})
    first = load_file(output / "model.safetensors")
    # Whoever serves the model reads it, too: safetensors writes files for their owner alone.
    umask = os.umask(0)
    os.umask(umask)
    assert {path.stat().st_mode & 0o777 for path in output.rglob("*") if path.is_file()} == {0o666 & ~umask}
    run(tiny_model_folder, output, optimiser={"max_steps": 2}, evaluate={"keep": "last"})
    assert moved(first, load_file(output / "model.safetensors"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]


def test_two_runs_cannot_write_one_output(tiny_model_folder: Path, tmp_path: Path) -> None:
    with locked_output(tmp_path / "out"), pytest.raises(ExternalError, match="another training run"):
        run(tiny_model_folder, tmp_path / "out")


def test_a_batch_size_that_no_process_can_fill_is_no_reason_to_fail(tiny_model_folder: Path, tmp_path: Path) -> None:
    outcome = run(tiny_model_folder, tmp_path / "out", count=30, optimiser={"batch_size": 64})
    assert outcome.data["kept"]["of_steps"] == 2  # rows with and without target-language queries


def test_anchors_bring_translations_to_where_the_start_had_the_originals(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    triplets = made_triplets(40)
    outcome = run(
        tiny_model_folder,
        tmp_path / "out",
        distil={"anchor_weight": 1.0},
        loss={"alignment_weight": 0, "nce_weight": 0, "pool_weight": 1e-6},
        optimiser={"epochs": 30, "learning_rate": 3e-3},
        dropout=0.0,
        evaluate={"every": None, "keep": "last"},
        held_out={"share": 0},
    )
    assert "anchor" in outcome.data["curves"]["steps"][-1]
    base, tuned = (SentenceTransformer(str(one), device="cpu") for one in (tiny_model_folder, tmp_path / "out"))
    originals = base.encode([one.passage for one in triplets], normalize_embeddings=True)

    def margin(model: SentenceTransformer) -> float:
        """How much closer a translation is to its own original than to the others."""
        targets = model.encode([one.targets["zh"] for one in triplets], normalize_embeddings=True)
        cosines = targets @ originals.T
        return float(cosines.diagonal().mean() - cosines.mean())

    assert margin(tuned) > margin(base) + 0.01


def test_the_best_step_is_interpolated_where_the_best_is_kept(tiny_model_folder: Path, tmp_path: Path) -> None:
    changes = {
        "optimiser": {"learning_rate": 5e-3, "epochs": 4},
        "evaluate": {"every": 1, "tolerance": 1},
        "dropout": 0,
    }
    first = run(tiny_model_folder, tmp_path / "whole", **changes)
    step = first.data["kept"]["step"]
    assert 0 < step < first.data["kept"]["of_steps"]
    mean = run(tiny_model_folder, tmp_path / "mean", interpolate=0.9, **changes)
    assert (mean.data["kept"]["step"], mean.data["kept"]["share"]) == (step, 0.9)
    start, best, found = weights(tiny_model_folder), weights(tmp_path / "whole"), weights(tmp_path / "mean")
    for name in moved(start, best):
        torch.testing.assert_close(found[name], start[name] + 0.9 * (best[name] - start[name]), rtol=1e-4, atol=1e-7)


def test_a_run_that_is_shorter_than_an_epoch_is_evaluated_and_kept_in_its_quarters(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    changes = {"optimiser": {"max_steps": 8, "batch_size": 2}, "evaluate": {"every": 0.25}}
    outcome = run(tiny_model_folder, tmp_path / "out", count=80, **changes)
    assert [one["step"] for one in outcome.data["curves"]["evaluations"]] == [0, 2, 4, 6, 8]


def test_weights_that_are_no_numbers_are_told_before_they_are_evaluated(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    changes = {"optimiser": {"learning_rate": 1.0, "max_grad_norm": 0, "weight_decay": 1e308, "epochs": 1}}
    with pytest.raises(InputError, match=r"optimiser\.learning_rate.*diverged at step 2"):
        run(tiny_model_folder, tmp_path / "out", evaluate={"every": 1}, **changes)


def test_a_language_with_too_little_held_out_is_named_and_nothing_is_said_of_its_harm(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    write_triplets(tmp_path / "held.jsonl", made_triplets(12, seed=9))
    recipe = made_recipe(
        tiny_model_folder,
        languages=["zh", "ar"],
        evaluate={"tolerance": 1},
        held_out={"path": str(tmp_path / "held.jsonl")},
    )
    outcome = train(recipe, tmp_path / "out", triplets=made_triplets(40, ("zh", "ar")))
    result = outcome.data["result"]
    assert (result["unmeasured"], result["harmless"], outcome.harmless) == (["ar"], None, None)
    Draft202012Validator(training_schema()).validate(json.loads((tmp_path / "out" / "training.json").read_text()))
    assert "Too little was held out to measure Arabic" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_another_device_than_the_one_that_the_process_has_trained_on_is_refused(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process has one device for good; that there is a GPU is made up."""
    run(tiny_model_folder, tmp_path / "first")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(InputError, match=r"field 'device'.*trained on another device.*cuda here.*allowed: cpu"):
        run(tiny_model_folder, tmp_path / "second", device="auto")
    assert not (tmp_path / "second").exists()
