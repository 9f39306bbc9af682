"""What training gives: every recipe, its ablations, and what it has to beat, on XQuAD.

    python benchmarks/studies/training.py                          # everything, some hours on two cores
    python benchmarks/studies/training.py --only en_zh en_zh/repair  # some of it

Each run is `crossalign train` with a recipe of `training/recipes/` and the overrides of the table, by the same
function. Results are kept in `training.json` beside the table, run by run: a run that is there is not repeated.
Runs that share texts share their embeddings, and XQuAD is embedded once by the base model: a trained linear module is
applied to those vectors from its matrix file, as it would be to an index. `--check` audits one saved folder the long
way round.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from machine import machine  # beside this file
from training_figures import MODEL, Xquad, base_in_fp32, fused, measured  # likewise

from haystack_crossalign.models.names import MATRIX_FILE
from haystack_crossalign.precision import resolve_precision
from haystack_crossalign.repair.directions import fit_language_directions
from haystack_crossalign.repair.language_maps import fit_language_maps
from haystack_crossalign.repair.matrix_file import VectorMap, read_matrix_file
from haystack_crossalign.training.batches.packing import TextTable
from haystack_crossalign.training.linear_module import EmbeddingMemory, Vectors
from haystack_crossalign.training.model_setup import BaseModel, load_base, passage_sample
from haystack_crossalign.training.recipe.recipe import read_recipe
from haystack_crossalign.training.train_data import read_train_data
from haystack_crossalign.training.trainer import train

HERE = Path(__file__).resolve().parent
RECIPES = HERE.parents[1] / "training" / "recipes"
TARGETS = ("zh", "ar", "es", "th", "vi")

PAPER = ("loss.nce_weight=1", "loss.pool_weight=0", "loss.temperature=0.02")
# Strength, share of the common mean, shrinkage of the whitening; None: as the recipe starts, and its language maps.
REPAIRS = {
    "projection": (1.0, 0.0, None),
    "repair": (1.0, 0.6, None),
    "whitened": (1.0, 0.6, 3.0),
    "whitened-more": (1.0, 0.8, 3.0),
    "maps": None,
}
ABLATIONS = {
    "paper": ("the paper's loss: JSD + NCE of target passages against English queries", PAPER),
    "paper-passage-nce": (
        "... with the contrast between passages in place of JSD",
        (*PAPER, "loss.alignment=passage_nce"),
    ),
    "paper-no-jsd": ("... without JSD", (*PAPER, "loss.alignment_weight=0")),
    "jsd-only": ("JSD alone, no contrast", ("loss.pool_weight=0",)),
    "passage-nce": ("the recipe with the contrast between passages in place of JSD", ("loss.alignment=passage_nce",)),
    "no-jsd": ("the recipe without JSD", ("loss.alignment_weight=0",)),
    "all-terms": ("the recipe and the paper's NCE", ("loss.nce_weight=1",)),
    "no-hold": ("the recipe without the pull to the start", ("optimiser.to_start=0",)),
    "no-sentences": ("the recipe without sentences as queries", ("NO-SENTENCES",)),
    "no-squad": ("the recipe without the SQuAD file", ("NO-SQUAD",)),
    "no-whitening": (
        "the recipe from a repair that whitens nothing",
        ("start.whitening=null",),
    ),
    "one-map": ("the recipe with one map for all languages", ("start.own_share=null",)),
    "distil": (
        "the recipe and 0.3 x KL to the base model's same-language similarities",
        ("distil.weight=0.3", "distil.teacher=base"),
    ),
}


# Of the recipes that train every layer.
FULL_ABLATIONS = {
    "no-squad": ("... without the SQuAD file", ("NO-SQUAD",)),
    "lora": ("... by LoRA of rank 8 in place of the weights themselves", ("lora.rank=8",)),
    "half": ("... half of the way", ("interpolate=0.5",)),
    "pool-1": ("... with a pool weight of 1", ("loss.pool_weight=1",)),
    "pool-1-0.3": ("... with a pool weight of 1, 0.3 of the way", ("loss.pool_weight=1", "interpolate=0.3")),
    "pool-1-half": ("... with a pool weight of 1, half of the way", ("loss.pool_weight=1", "interpolate=0.5")),
}
# Of `en_zh_paper.yaml` and `en_th_paper.yaml`, which train every layer.
PAPER_ABLATIONS = {
    "passage-nce": ("... with the contrast between passages in place of JSD", ("loss.alignment=passage_nce",)),
    "no-jsd": ("... without JSD", ("loss.alignment_weight=0",)),
    "no-nce": ("... without NCE", ("loss.nce_weight=0",)),
}


@dataclass(frozen=True)
class Run:
    """One row of a table for one seed."""

    recipe: str
    variant: str = ""
    seed: int = 0

    @property
    def name(self) -> str:
        return f"{self.recipe}/{self.variant}" if self.variant else self.recipe

    @property
    def folder(self) -> str:
        return f"{self.name.replace('/', '_')}-{self.seed}"


def planned() -> Iterator[Run]:
    for tag in TARGETS:
        yield from (Run(f"en_{tag}", kind) for kind in ("base", "base-fp32", "fusion", *REPAIRS))
    yield from (Run("multilingual", kind) for kind in REPAIRS)
    for name in (*(f"en_{tag}" for tag in TARGETS), "multilingual"):
        yield from (Run(f"{name}_linear", seed=seed) for seed in range(3))
    for variant in ABLATIONS:
        yield from (Run("en_zh_linear", variant, seed) for seed in range(3))
        if variant != "no-squad":  # the Thai data has none
            yield Run("en_th_linear", variant)
    for variant in ("", *PAPER_ABLATIONS):
        yield from (Run("en_zh_paper", variant, seed) for seed in range(3))
        yield Run("en_th_paper", variant)
    for name in (*(f"en_{tag}" for tag in TARGETS), "multilingual"):
        yield from (Run(name, seed=seed) for seed in range(3))
    yield from (Run("en_zh", variant) for variant in ("no-squad", "lora"))
    for variant in ("pool-1-0.3", "pool-1-half"):
        yield from (Run("multilingual", variant, seed) for seed in range(3))
    for name, variant in (("en_th", "half"), ("en_ar", "pool-1")):
        yield from (Run(name, variant, seed) for seed in range(3))


@cache
def base_model() -> BaseModel:
    return load_base(read_recipe(RECIPES / "en_zh.yaml", [f"model.name={MODEL}"]).model, "cpu")


def ablations_of(recipe: str) -> dict[str, tuple]:
    if recipe.endswith("_linear"):
        return ABLATIONS
    return PAPER_ABLATIONS if recipe.endswith("_paper") else FULL_ABLATIONS


def overrides(run: Run) -> list[str]:
    """The overrides of a run, for `crossalign train --set`."""
    made = [f"model.name={MODEL}", f"seed={run.seed}"]
    recipe = read_recipe(RECIPES / f"{run.recipe}.yaml")
    for one in ablations_of(run.recipe)[run.variant][1] if run.variant else ():
        if one == "NO-SENTENCES":
            made += [f"data.{number}.sentence_queries=0" for number in range(len(recipe.data))]
        elif one != "NO-SQUAD":
            made.append(one)
    return made


def carried_out(run: Run, xquad: Xquad, memory: EmbeddingMemory, work: Path, *, check: bool) -> dict:
    languages = read_recipe(RECIPES / f"{run.recipe}.yaml").languages
    began = time.perf_counter()
    if run.variant == "base":
        return {"figures": {tag: measured(xquad, tag) for tag in languages}}
    if run.variant == "base-fp32":
        return {"figures": {tag: measured(base_in_fp32(), tag) for tag in languages}}
    if run.variant == "fusion":
        return {"figures": {tag: fused(xquad, tag) for tag in languages}}
    if run.variant in REPAIRS:
        # Fitted as the linear recipe is: the recipe that trains every layer takes a part of these passages.
        recipe = read_recipe(RECIPES / f"{run.recipe}_linear.yaml")
    else:
        recipe = read_recipe(RECIPES / f"{run.recipe}.yaml", overrides(run))
    if run.variant == "no-squad":
        # The repair is fitted on documents, so on the course sections here.
        recipe = replace(
            recipe,
            data=tuple(
                replace(source, fit_repair=source.format == "course_sections" and not source.aligned_sentences)
                for source in recipe.data
                if source.format != "squad"
            ),
        )
    if run.variant in REPAIRS:
        data, base = read_train_data(recipe), base_model()
        table = TextTable(base.model, base.prompts, max_tokens=recipe.start.max_tokens or recipe.model.max_tokens)
        rows, tags, groups = passage_sample(data.fit, table, recipe.start.passages, run.seed)
        vectors = Vectors(table, "cpu", resolve_precision("auto", "cpu") == "bf16", memory).of_base(base, rows)
        fitted, start = fit_language_directions(vectors, tags, groups), recipe.start
        strength, share, whitening = REPAIRS[run.variant] or (start.strength, start.common_share, start.whitening)
        repair: VectorMap = fitted.affine(strength, share, whitening=whitening)
        if REPAIRS[run.variant] is None and start.own_share is not None:
            own = {"own_share": start.own_share, "ridge": start.ridge}
            repair = fit_language_maps(repair, vectors, tags, groups, pivot=recipe.language, **own)
        return {
            "figures": {tag: measured(xquad, tag, repair) for tag in languages},
            "seconds": {"all": round(time.perf_counter() - began, 1)},
            "documents": dict(zip(fitted.languages, fitted.counts, strict=True)),
        }
    output = work / run.folder
    outcome = train(recipe, output, memory=memory)
    if recipe.freeze_encoder:
        by_model, by_map = xquad, read_matrix_file(output / MATRIX_FILE)
    else:
        by_model, by_map = Xquad(str(output)), None
    kept = outcome.data["kept"]
    made = {
        "figures": {tag: measured(by_model, tag, by_map) for tag in languages},
        "seconds": {name: round(value, 1) for name, value in outcome.seconds.items()},
        "triplets": outcome.data["data"]["triplets"],
        "kept": f"step {kept['step']} of {kept['of_steps']}",
        "held_out": {"alignment": outcome.data["result"]["alignment"], "harm": outcome.data["result"]["harm"]},
    }
    if check:
        made["by the folder"] = measured(Xquad(str(output)), languages[0])
    return made


def measured_folder(run: Run, folder: Path) -> dict:
    """Figures of a saved folder, which must have been made by the recipe."""
    recipe = read_recipe(RECIPES / f"{run.recipe}.yaml", overrides(run))
    facts = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    expected = json.loads(json.dumps(recipe.public()))
    # Names and licence notes do not train.
    plain = [
        [*(value for name, value in sorted(one.items()) if name not in ("name", "data"))]
        + [{name: value for name, value in source.items() if name != "licence"} for source in one["data"]]
        for one in (facts["recipe"], expected)
    ]
    if plain[0] != plain[1]:
        raise SystemExit(f"{folder}: made by another recipe")
    times = json.loads((folder / "training.times.json").read_text(encoding="utf-8"))["seconds"]
    xquad = Xquad(str(folder))
    return {
        "figures": {tag: measured(xquad, tag) for tag in recipe.languages},
        "seconds": {name: round(value, 1) for name, value in times.items()},
        "triplets": facts["data"]["triplets"],
        "kept": f"step {facts['kept']['step']} of {facts['kept']['of_steps']}",
        "held_out": {"alignment": facts["result"]["alignment"], "harm": facts["result"]["harm"]},
    }


def read_memory(path: Path | None) -> EmbeddingMemory:
    if path is None or not path.is_file():
        return EmbeddingMemory()
    with np.load(path) as file:
        keys = json.loads(file["keys"].tobytes())
        return EmbeddingMemory(
            {(tuple(model), *text): row for (model, *text), row in zip(keys, file["rows"], strict=True)}
        )


def write_memory(memory: EmbeddingMemory, path: Path | None) -> None:
    if path is not None and memory.known:
        keys = np.frombuffer(json.dumps(list(memory.known)).encode(), dtype=np.uint8)
        temporary = path.with_name(f".{path.name}.npz")
        np.savez(temporary, keys=keys, rows=np.stack(list(memory.known.values())))
        temporary.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", help="names such as en_zh, en_zh_linear/no-jsd, multilingual, en_th/base")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--models", type=Path, metavar="FOLDER",
                        help="keep the trained models; one that is there is measured, not trained again")  # fmt: skip
    parser.add_argument("--check", action="store_true", help="also audit the saved folder itself")
    parser.add_argument("--embeddings", type=Path, help="file that keeps embeddings from one call to the next")
    parser.add_argument("--output", type=Path, default=HERE.parent / "results" / "training.md")
    arguments = parser.parse_args()
    state = arguments.output.with_suffix(".json")
    known = json.loads(state.read_text(encoding="utf-8")) if state.is_file() else {}
    wanted = [
        run for run in planned() if run.seed in arguments.seeds and (not arguments.only or run.name in arguments.only)
    ]
    xquad, memory = None, read_memory(arguments.embeddings)
    if arguments.models is not None:
        arguments.models.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for run in wanted:
            key = f"{run.name}#{run.seed}"
            if key in known:
                continue
            xquad = xquad or Xquad(MODEL)
            began = time.perf_counter()
            models = arguments.models or Path(folder)
            there = models / run.folder
            found = (
                measured_folder(run, there)
                if there.is_dir()
                else carried_out(run, xquad, memory, models, check=arguments.check)
            )
            known[key] = found | {"machine": machine()}
            write_memory(memory, arguments.embeddings)
            state.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            first = next(iter(known[key]["figures"].values()))["questions multi x"]
            print(f"{key}: Max@R {first['Max@R']:.1f}, Complete@10 {first['Complete@10']:.1%}, "
                  f"{time.perf_counter() - began:.0f} s", flush=True)  # fmt: skip
    from training_table import table  # beside this file

    arguments.output.write_text(table(known, ABLATIONS, FULL_ABLATIONS, PAPER_ABLATIONS, TARGETS), encoding="utf-8")
    print(f"{arguments.output} written")


if __name__ == "__main__":
    main()
