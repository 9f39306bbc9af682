"""How far from the start a recipe without real questions should go, judged on real ones, without XQuAD.

python benchmarks/studies/share_choice.py
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import machine, machine_line  # beside this file
from repair_choice import DATA, Embeddings, Half, Pair, loss, squad_pairs  # likewise
from sentence_transformers import SentenceTransformer

from haystack_crossalign.precision import resolve_precision
from haystack_crossalign.repair.matrix_file import VectorMap
from haystack_crossalign.repair.model_folder import repaired_model, with_map
from haystack_crossalign.training.batches.packing import TextTable
from haystack_crossalign.training.candidates import interpolate
from haystack_crossalign.training.linear_module import EmbeddingMemory, FinalSample, Vectors, encoder_of, fit_final_map
from haystack_crossalign.training.model_setup import choose_start, load_base, passage_sample
from haystack_crossalign.training.recipe.recipe import Recipe, read_recipe
from haystack_crossalign.training.train_data import read_train_data
from haystack_crossalign.training.trainer import train
from training import MODEL, RECIPES, read_memory, write_memory  # likewise

HERE = Path(__file__).resolve().parent
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
TOLERANCE = 0.5
DESCRIBED = f"""
The recipe `en_th.yaml` has no real questions to train on, and nobody has any in Thai to judge it on. So its data in
other languages (NTREX-128 and course sections, nothing else) train Chinese, Spanish and Vietnamese the same way, and
all of the SQuAD training file, whose passages are of another kind, judges: English asks its real questions; the other
language's first sentence of each passage asks for what is left of it. One pool holds the English passages and the other
language's without their first sentences; same-language retrieval is asked of the part in the query's language.

*Share*: of the way from the start to the tuned weights (`interpolate`), the repair and the maps fitted again each time;
at 0 nothing is trained. The columns of each side: Max@R, Complete@10 in %, loss of same-language NDCG@1 in points with
its 95 % interval (Agresti and Min); a gain is negative.

The rule, written down before the first run, is that of the repair's shares: of the shares by which neither side loses
more than {TOLERANCE:g} points, means of the pairs, the one with the highest Complete@10 of the other language's
queries. It is for the recipes whose data have no real questions: `en_th.yaml` and `en_ar.yaml`. (For Thai, real
questions were found later: thai_choice.md.)
"""


def recipe_for(language: str, seed: int) -> Recipe:
    return read_recipe(
        RECIPES / "en_th.yaml",
        [f"model.name={MODEL}", f"languages=[{language}]", "interpolate=1.0", f"seed={seed}", f"name=en_{language}"],
    )


def add_files(parser: argparse.ArgumentParser, table: str) -> None:
    """Options for what a script that chooses by tuned models keeps, and the name of its table."""
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="keep the tuned models; one there is not trained")
    parser.add_argument("--embeddings", type=Path, help="file that keeps the base model's embeddings for training")
    parser.add_argument("--judging", type=Path, help="file that keeps the base model's embeddings for judging")
    parser.add_argument("--output", type=Path, default=HERE.parent / "results" / table)


def train_unless_there(recipe: Recipe, folder: Path, memory: EmbeddingMemory, embeddings: Path | None) -> None:
    """The tuned model in its folder; the embeddings that it took stay in their file."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        train(recipe, folder, memory=memory)
        write_memory(memory, embeddings)


class Way:
    """The way from the repaired base model to a tuned one."""

    def __init__(self, recipe: Recipe, folder: Path, memory: EmbeddingMemory) -> None:
        self.recipe = recipe
        data, base = read_train_data(recipe), load_base(recipe.model, "cpu")
        table = TextTable(base.model, base.prompts, max_tokens=recipe.start.max_tokens)
        self.rows, self.tags, self.groups = passage_sample(data.fit, table, recipe.start.passages, recipe.seed)
        self.vectors = Vectors(table, "cpu", resolve_precision("auto", "cpu") == "bf16", memory)
        self.base = self.vectors.of_base(base, self.rows)
        self.choice = choose_start(recipe.start, self.base, self.tags, self.groups, None)
        self.model = repaired_model(base.model, self.choice.repair)
        self.start = {name: one.detach().clone() for name, one in self.model.named_parameters() if name[:2] == "0."}
        self.tuned = dict(SentenceTransformer(str(folder), device="cpu").named_parameters())

    def map_of_start(self) -> VectorMap:
        """What a share of 0 does to the embeddings of the base model."""
        return fit_final_map(self.recipe, self.model, self.choice, FinalSample(self.base, self.tags, self.groups))

    def model_at(self, share: float) -> SentenceTransformer:
        """The model that the recipe would hand over with this `interpolate`."""
        interpolate(self.model, self.start, self.tuned, share)
        found = self.vectors(encoder_of(self.model), self.rows)
        maps = fit_final_map(self.recipe, self.model, self.choice, FinalSample(found, self.tags, self.groups))
        return with_map(self.model, maps)


def judged(pairs: list[Pair], model: Path | str, path: Path | None = None) -> dict[str, np.ndarray]:
    return Half(pairs, Embeddings(path, str(model))).ranked(None)


def figures(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> dict[str, dict]:
    made = {}
    for side, foreign in (("other", True), ("en", False)):
        rows = before["foreign"] == foreign
        depth = after["depth"][rows]
        made[side] = {
            "queries": int(rows.sum()),
            "Max@R": float(depth.mean()),
            "Complete@10": float(100 * (depth <= 10).mean()),
            "loss": float(100 * (before["found"][rows].mean() - after["found"][rows].mean())),
            "shown": loss(before["found"][rows], after["found"][rows]),
        }
    return made


def chosen(means: dict[float, dict[str, dict[str, float]]]) -> float | None:
    """The share that the rule takes."""
    allowed = [share for share, one in means.items() if max(side["loss"] for side in one.values()) <= TOLERANCE]
    return max(allowed, key=lambda share: means[share]["other"]["Complete@10"], default=None)


def table(known: dict[str, dict]) -> list[str]:
    runs = sorted({key.rsplit("@", 1)[0] for key in known})
    heads = ["share", "Max@R", "Complete@10", "loss", "en: Max@R", "Complete@10", "loss"]
    made: list[str] = []

    def add(title: str, rows: dict[str, dict], *, mean: bool) -> None:
        made.extend(["", f"## {title}", "", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)])
        for share, one in rows.items():
            cells = [share]
            for side in (one["other"], one["en"]):
                shown = f"{side['loss']:+.2f}" if mean else side["shown"]
                cells += [f"{side['Max@R']:.1f}", f"{side['Complete@10']:.1f}", shown]
            made.append("| " + " | ".join(cells) + " |")

    for run in runs:
        rows = {
            key.rsplit("@", 1)[1]: one["figures"] for key, one in sorted(known.items()) if key.startswith(f"{run}@")
        }
        first = next(iter(rows.values()))
        language, seed = run.split("#")
        counts = f"{first['other']['queries']} sentences, {first['en']['queries']} English questions"
        add(f"en, {language}, seed {seed}: {counts}", rows, mean=False)
    means = {
        share: {
            side: {
                name: float(np.mean([known[f"{run}@{share:g}"]["figures"][side][name] for run in runs]))
                for name in ("Max@R", "Complete@10", "loss")
            }
            for side in ("other", "en")
        }
        for share in SHARES
        if all(f"{run}@{share:g}" in known for run in runs)
    }
    if means:
        add("Means", {f"{share:g}": one for share, one in means.items()}, mean=True)
        share = chosen(means)
        made.extend(["", "The rule allows none." if share is None else f"The rule takes {share:g}."])
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--languages", nargs="+", default=["zh", "es", "vi"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    add_files(parser, "share_choice.md")
    arguments = parser.parse_args()
    state = arguments.output.with_suffix(".json")
    known = json.loads(state.read_text(encoding="utf-8")) if state.is_file() else {}
    memory = read_memory(arguments.embeddings)
    with tempfile.TemporaryDirectory() as work:
        for seed in arguments.seeds:
            for language in arguments.languages:
                if all(f"{language}#{seed}@{share:g}" in known for share in SHARES):
                    continue
                began = time.perf_counter()
                recipe = recipe_for(language, seed)
                folder = (arguments.models or Path(work)) / f"share_{language}-{seed}"
                train_unless_there(recipe, folder, memory, arguments.embeddings)
                way = Way(recipe, folder, memory)
                pairs = [replace(pair, fits=False) for _, pair in squad_pairs(language, arguments.data)]
                before = judged(pairs, MODEL, arguments.judging)
                for share in SHARES:
                    key = f"{language}#{seed}@{share:g}"
                    if key in known:
                        continue
                    at = Path(work) / key.replace("#", "-")
                    way.model_at(share).save(str(at), safe_serialization=True)
                    after = judged(pairs, at)
                    known[key] = {"figures": figures(before, after), "machine": machine()}
                    state.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
                    one = known[key]["figures"]
                    print(f"{key}: Complete@10 {one['other']['Complete@10']:.1f}, loss {one['other']['shown']}, "
                          f"en {one['en']['shown']}, {time.perf_counter() - began:.0f} s", flush=True)  # fmt: skip
    head = ["# How far from the start, without real questions to train on", "",
            f"`python benchmarks/studies/share_choice.py --seeds {' '.join(map(str, arguments.seeds))}`",
            DESCRIBED.rstrip(), "", f"{machine_line()}."]  # fmt: skip
    arguments.output.write_text("\n".join([*head, *table(known)]) + "\n", encoding="utf-8")
    print(f"{arguments.output} written")


if __name__ == "__main__":
    main()
