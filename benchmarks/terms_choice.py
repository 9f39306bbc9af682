"""What the weights of the terms do to the Thai recipe, judged on real Thai questions, without XQuAD.

    python benchmarks/terms_choice.py --questions iapp-wiki-qa-dataset/squad_format/data

The questions are those of thai_choice.py. They judge; nothing is trained on them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import machine, machine_line  # beside this file
from repair_choice import Embeddings, Questions, losses  # likewise
from sentence_transformers import SentenceTransformer
from share_choice import Way, add_files, train_unless_there
from thai_choice import FILES, thai_questions

from haystack_crossalign.training.evaluation import HeldOutAudit
from haystack_crossalign.training.model_setup import load_base
from haystack_crossalign.training.packing import TextTable, embed_table
from haystack_crossalign.training.recipe import Recipe, read_recipe
from haystack_crossalign.training.train_data import read_train_data
from training import MODEL, RECIPES, read_memory

HERE = Path(__file__).resolve().parent
SHARE = 0.5  # of the way: where thai_choice.md found a harm that is more than chance
# `distil.weight` and `loss.pool_weight`.
VARIANTS = ((0.3, 1.0), (1.0, 1.0), (0.3, 0.1), (0.3, 3.0))
DESCRIBED = """
`en_th.yaml` with several weights of *hold* (`distil.weight`) and *pool* (`loss.pool_weight`), each half of the way from
the start to the tuned weights (`interpolate`), where the first of them cost Thai more than chance (thai_choice.md).
*Loss*: of the same-language NDCG@1 of thai_choice.md's Thai questions, in points, with its 95 % interval (Agresti and
Min); a gain is negative. The other columns are of the recipe's held-out part: sentences of NTREX-128 and headings of
course sections in one pool of English and Thai passages.

A weight is better where Thai loses less and the queries of both languages find at least as much. That is no rule from
before the first run: no recipe has been chosen by this table.
"""


class HeldOut:
    """The held-out part of a recipe's data."""

    def __init__(self, recipe: Recipe) -> None:
        base = load_base(recipe.model, "cpu")
        self.table = TextTable(base.model, base.prompts, max_tokens=recipe.model.max_tokens)
        self.audit = HeldOutAudit(
            read_train_data(recipe).held_out, self.table, language="en", languages=["th"], pool="pairs"
        )

    def measured(self, model: SentenceTransformer) -> dict[str, dict[str, float]]:
        """Measures in the pool of both languages, by language of the queries."""
        score = self.audit.score(embed_table(model, self.table, self.audit.rows, device="cpu", bf16=False))
        return {row.query_language: dict(row.measures) for row in score.rows if row.scenario == "multi"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=Path, metavar="FOLDER")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    add_files(parser, "terms_choice.md")
    arguments = parser.parse_args()
    if arguments.questions is None:
        print(f"nothing done: --questions names the folder with {', '.join(FILES)} of iapp-wiki-qa-dataset")
        return
    state = arguments.output.with_suffix(".json")
    known = json.loads(state.read_text(encoding="utf-8")) if state.is_file() else {}
    memory = read_memory(arguments.embeddings)
    asked = {"th": thai_questions(arguments.questions)}
    before = {tag: Questions(*one, Embeddings(arguments.judging)).found(None) for tag, one in asked.items()}
    with tempfile.TemporaryDirectory() as work:
        for seed in arguments.seeds:
            for hold, pool in VARIANTS:
                name = f"{hold:g}, {pool:g}"
                if f"{seed}@{name}" in known:
                    continue
                began = time.perf_counter()
                recipe = read_recipe(
                    RECIPES / "en_th.yaml",
                    [f"model.name={MODEL}", "interpolate=1.0", f"seed={seed}", f"distil.weight={hold}",
                     f"loss.pool_weight={pool}"],
                )  # fmt: skip
                folder = (arguments.models or Path(work)) / f"terms_{hold:g}_{pool:g}-{seed}"
                train_unless_there(recipe, folder, memory, arguments.embeddings)
                at = Path(work) / f"{hold:g}-{pool:g}-{seed}"
                model = Way(recipe, folder, memory).model_at(SHARE)
                model.save(str(at), safe_serialization=True)
                known[f"{seed}@{name}"] = {
                    "questions": losses(asked, before, Embeddings(None, str(at)), None)["th"],
                    "held_out": HeldOut(recipe).measured(model),
                    "machine": machine(),
                }
                state.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
                print(f"seed {seed}, {name}: {known[f'{seed}@{name}']['questions']['shown']}, "
                      f"{time.perf_counter() - began:.0f} s", flush=True)  # fmt: skip
    head = ["# What the weights of the terms do to Thai", "",
            "`python benchmarks/terms_choice.py --questions iapp-wiki-qa-dataset/squad_format/data`",
            DESCRIBED.rstrip(), "",
            f"Model `{MODEL}`. {machine_line()}."]  # fmt: skip
    arguments.output.write_text("\n".join([*head, *table(known)]) + "\n", encoding="utf-8")
    print(f"{arguments.output} written")


def table(known: dict[str, dict]) -> list[str]:
    heads = [
        "hold, pool",
        "loss",
        "th queries: Max@R",
        "Complete@10",
        "en queries: Max@R",
        "Complete@10",
        "seeds",
        "loss, mean",
    ]
    made = ["", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for hold, pool in VARIANTS:
        name = f"{hold:g}, {pool:g}"
        runs = [known[key] for key in sorted(known) if key.split("@", 1)[1] == name]
        if not runs:
            continue
        cells = [name, "<br>".join(run["questions"]["shown"] for run in runs)]
        for tag in ("th", "en"):
            for measure, scale, unit in (("Max@R", 1, ""), ("Complete@10", 100, " %")):
                cells.append(f"{scale * np.mean([run['held_out'][tag][measure] for run in runs]):.1f}{unit}")
        cells += [str(len(runs)), f"{np.mean([run['questions']['loss'] for run in runs]):+.2f}"]
        made.append("| " + " | ".join(cells) + " |")
    return made


if __name__ == "__main__":
    main()
