r"""What the weights of the terms do to the Thai and the Arabic recipe, judged on real questions, without XQuAD.

    python benchmarks/studies/terms_choice.py --thai iapp-wiki-qa-dataset/squad_format/data \
        --arabic SOQAL/data/arcd.json

The questions are those of multilingual_choice.py. They judge; nothing is trained on them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
from machine import machine, machine_line  # beside this file
from multilingual_choice import arabic_questions  # likewise
from repair_choice import Embeddings, Questions, losses
from sentence_transformers import SentenceTransformer
from share_choice import TOLERANCE, add_files, train_unless_there
from thai_choice import FILES, thai_questions

from haystack_crossalign.training.batches.packing import TextTable, embed_table
from haystack_crossalign.training.evaluation import HeldOutAudit
from haystack_crossalign.training.model_setup import load_base
from haystack_crossalign.training.recipe.recipe import Recipe, read_recipe
from haystack_crossalign.training.train_data import read_train_data
from training import MODEL, RECIPES, read_memory

HERE = Path(__file__).resolve().parent
SHARE = 0.5  # of the way: where thai_choice.md found a harm that is more than chance
# Seeds, and pairs of `distil.weight` and `loss.pool_weight`.
CASES: dict[str, tuple[tuple[int, ...], tuple[tuple[float, float], ...]]] = {
    "en_th": ((0,), ((0.3, 1.0), (1.0, 1.0), (0.3, 0.1), (0.3, 3.0))),
    "en_ar": ((1, 2), ((0.3, 1.0), (0.3, 3.0))),
}
DESCRIBED = f"""
`en_th.yaml` and `en_ar.yaml` with several weights of *hold* (`distil.weight`) and *pool* (`loss.pool_weight`), each
half of the way from the start to the tuned weights (`interpolate`), where the Thai recipe with the first of them costs
Thai more than chance (thai_choice.md). *Loss*: of same-language NDCG@1 by real questions, those of
multilingual_choice.md, in points, with its 95 % interval (Agresti and Min); a gain is negative. The other columns are
of the recipe's held-out part: sentences of NTREX-128 (and TICO-19) and headings of course sections in one pool of both
languages.

A weight is better where the language loses less and the queries of both languages find at least as much. For Thai that
is no rule from before the first run. For Arabic the rule, written down before its first run with a pool of 3, is that
of the other choices: of the weights by which Arabic loses no more than {TOLERANCE:g} points, means of the seeds, the
one with the highest Complete@10 of Arabic queries in the held-out part.
"""


class HeldOut:
    """The held-out part of a recipe's data."""

    def __init__(self, recipe: Recipe) -> None:
        languages = list(recipe.languages)
        base = load_base(recipe.model, "cpu")
        self.table = TextTable(base.model, base.prompts, max_tokens=recipe.model.max_tokens)
        self.audit = HeldOutAudit(
            read_train_data(recipe).held_out, self.table, language="en", languages=languages, pool="pairs"
        )

    def measured(self, model: SentenceTransformer) -> dict[str, dict[str, float]]:
        """Measures in the pool of both languages, by language of the queries."""
        score = self.audit.score(embed_table(model, self.table, self.audit.rows, device="cpu", bf16=False))
        return {row.query_language: dict(row.measures) for row in score.rows if row.scenario == "multi"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--thai", type=Path, metavar="FOLDER")
    parser.add_argument("--arabic", type=Path, metavar="FILE")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), help="recipes")
    add_files(parser, "terms_choice.md")
    arguments = parser.parse_args()
    if arguments.thai is None or arguments.arabic is None:
        print(f"nothing done: --thai names the folder with {', '.join(FILES)} of iapp-wiki-qa-dataset, "
              "--arabic the file arcd.json of SOQAL")  # fmt: skip
        return
    state = arguments.output.with_suffix(".json")
    known = json.loads(state.read_text(encoding="utf-8")) if state.is_file() else {}
    memory, base = read_memory(arguments.embeddings), Embeddings(arguments.judging)
    asked = {"en_th": {"th": thai_questions(arguments.thai)}, "en_ar": {"ar": arabic_questions(arguments.arabic)}}
    with tempfile.TemporaryDirectory() as work:
        for name in arguments.only:
            seeds, variants = CASES[name]
            missing = [(seed, *one) for seed in seeds for one in variants if key_of(name, seed, *one) not in known]
            before = {tag: Questions(*one, base).found(None) for tag, one in asked[name].items()} if missing else {}
            for seed, hold, pool in missing:
                began = time.perf_counter()
                recipe = read_recipe(
                    RECIPES / f"{name}.yaml",
                    [f"model.name={MODEL}", f"interpolate={SHARE}", f"seed={seed}", f"distil.weight={hold}",
                     f"loss.pool_weight={pool}"],
                )  # fmt: skip
                folder = (arguments.models or Path(work)) / f"terms_{name}_{hold:g}_{pool:g}-{seed}"
                train_unless_there(recipe, folder, memory, arguments.embeddings)
                (found,) = losses(asked[name], before, Embeddings(None, str(folder)), None).values()
                key = key_of(name, seed, hold, pool)
                known[key] = {
                    "questions": found,
                    "held_out": HeldOut(recipe).measured(SentenceTransformer(str(folder), device="cpu")),
                    "machine": machine(),
                }
                state.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
                print(f"{key}: {found['shown']}, {time.perf_counter() - began:.0f} s", flush=True)
    head = ["# What the weights of the terms do to Thai and Arabic", "",
            "`python benchmarks/studies/terms_choice.py --thai iapp-wiki-qa-dataset/squad_format/data "
            "--arabic SOQAL/data/arcd.json`", DESCRIBED.rstrip(), "",
            f"Model `{MODEL}`. {machine_line()}."]  # fmt: skip
    arguments.output.write_text("\n".join([*head, *table(known)]) + "\n", encoding="utf-8")
    print(f"{arguments.output} written")


def key_of(name: str, seed: int, hold: float, pool: float) -> str:
    return f"{name}#{seed}@{hold:g}, {pool:g}"


def table(known: dict[str, dict]) -> list[str]:
    heads = [
        "recipe",
        "hold, pool",
        "loss",
        "its queries: Max@R",
        "Complete@10",
        "en queries: Max@R",
        "Complete@10",
        "seeds",
        "loss, mean",
    ]
    made = ["", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for recipe, (seeds, variants) in CASES.items():
        for hold, pool in variants:
            runs = [known[key] for seed in seeds if (key := key_of(recipe, seed, hold, pool)) in known]
            if not runs:
                continue
            cells = [f"`{recipe}.yaml`", f"{hold:g}, {pool:g}", "<br>".join(run["questions"]["shown"] for run in runs)]
            for tag in (recipe.removeprefix("en_"), "en"):
                for measure, scale, unit in (("Max@R", 1, ""), ("Complete@10", 100, " %")):
                    cells.append(f"{scale * np.mean([run['held_out'][tag][measure] for run in runs]):.1f}{unit}")
            cells += [str(len(runs)), f"{np.mean([run['questions']['loss'] for run in runs]):+.2f}"]
            made.append("| " + " | ".join(cells) + " |")
    return [*made, "", chosen_for_arabic(known)]


def chosen_for_arabic(known: dict[str, dict]) -> str:
    """What the rule takes, in words."""
    found: dict[float, list[dict]] = {}
    for seed, (hold, pool) in product(*CASES["en_ar"]):
        if (key := key_of("en_ar", seed, hold, pool)) in known:
            found.setdefault(pool, []).append(known[key])
    allowed = [one for one, runs in found.items() if np.mean([run["questions"]["loss"] for run in runs]) <= TOLERANCE]
    if not allowed:
        return "For Arabic the rule allows none."
    best = max(allowed, key=lambda one: np.mean([run["held_out"]["ar"]["Complete@10"] for run in found[one]]))
    return f"For Arabic the rule takes a pool of {best:g}."


if __name__ == "__main__":
    main()
