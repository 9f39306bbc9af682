"""Whether a further term of the loss helps a recipe that trains every layer: the paper's two, and tokens, on XQuAD.

    python benchmarks/studies/further_terms.py --seeds 0      # a quarter to half an hour for each run on two cores
    python benchmarks/studies/further_terms.py --only plain jsd-0.3 --seeds 1 2

Each run is `en_zh.yaml` with and without a term of docs/training.md. Its weight is chosen on the held-out part of the
training data with the first seed; XQuAD is only reported. Results are kept beside the table, run by run: a run that is
there is not repeated.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import machine, machine_line  # beside this file
from training_figures import COLUMNS, MODEL, Xquad, measured  # likewise

from haystack_crossalign.training.outcome import TrainingOutcome
from haystack_crossalign.training.recipe.recipe import Recipe, read_recipe
from haystack_crossalign.training.trainer import train
from training import RECIPES, read_memory, write_memory

HERE = Path(__file__).resolve().parent
LANGUAGE = "zh"
HELD_OUT = ("Max@R", "Complete@10")
ALL = "distil.anchor_share=1"
# JSD compares vectors after normalization: three quarters of the English texts have none from before it.
JSD = "loss.z_from=after_normalization"
VARIANTS = {
    "plain": ("as it is", ()),
    "jsd-0.3": ("JSD, weight 0.3", ("loss.alignment_weight=0.3", JSD)),
    "jsd-1": ("JSD, weight 1", ("loss.alignment_weight=1", JSD)),
    "nce-0.1": ("NCE, weight 0.1", ("loss.nce_weight=0.1",)),
    "nce-0.3": ("NCE, weight 0.3", ("loss.nce_weight=0.3",)),
    "both-0.3": ("JSD and NCE, weight 0.3", ("loss.alignment_weight=0.3", "loss.nce_weight=0.3", JSD)),
    "token-0.3": ("tokens, weight 0.3", ("loss.token_weight=0.3",)),
    "token-1": ("tokens, weight 1", ("loss.token_weight=1",)),
    "plain-all": ("every English text embedded in training", (ALL,)),
    "token-1-all": ("... and tokens, weight 1", (ALL, "loss.token_weight=1")),
}
DEFAULT = tuple(name for name in VARIANTS if not name.endswith("-all"))
DESCRIBED = f"""
`en_zh.yaml` with and without a further term, over the same model, data and seeds, with the languages that a repair
protects. JSD and NCE are the paper's terms; *tokens* draws the tokens of translated passages together. In the recipe a
quarter of the English texts is embedded by the model (`distil.anchor_share`), and tokens are aligned in the rows whose
English passage is one of those; `{ALL}` embeds all of them, at a higher cost. Means of the seeds,
with the smallest and the largest. *Own first*: the first hit is relevant and in the language of the query,
Top1[relevant,same]. *Same*: NDCG@1 in the pool of the query's own language. *Held out*: Max@R and Complete@10 of the
held-out part of the training data, means of the queries of both languages in the pool of both; weights are chosen by
it, and XQuAD is only reported. *Token*: the term itself, mean of the first and of the last tenth of the steps, divided
by its weight. The times of training include what else the machine did meanwhile.
"""


def recipe_of(variant: str, seed: int) -> Recipe:
    """The recipe of a run."""
    return read_recipe(RECIPES / f"en_{LANGUAGE}.yaml", [f"model.name={MODEL}", f"seed={seed}", *VARIANTS[variant][1]])


def held_out(outcome: TrainingOutcome) -> dict[str, float]:
    """Measures in the pool of both languages, means of the languages of the queries."""
    rows = [row["measures"] for row in outcome.data["result"]["rows"] if row["name"].startswith("multi")]
    return {measure: float(np.mean([row[measure]["after"] for row in rows])) for measure in HELD_OUT}


def ends(values: list[float]) -> list[float]:
    """Means of the first and of the last tenth."""
    tenth = max(1, len(values) // 10)
    return [float(np.mean(values[:tenth])), float(np.mean(values[-tenth:]))]


def table(known: dict) -> list[str]:
    """A row for each pool and variant."""
    lines = [
        "| `en_zh.yaml` | pool | zh queries: Max@R | Complete@10 | own first | same | en queries: Max@R | Complete@10 "
        "| own first | same | held out | token | training | seeds |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|---|--:|--:|",
    ]
    for pool in ("questions", "passages"):
        for variant, (described, _) in VARIANTS.items():
            runs = [run for key, run in sorted(known.items()) if key.partition("#")[0] == variant]
            if not runs:
                continue
            cells = []
            for row, measure in COLUMNS:
                values = [run["figures"].get(f"{pool} {row}", {}).get(measure) for run in runs]
                cells.append(shown(values, 1, "") if measure == "Max@R" else shown(values, 100, " %"))
            held = [np.mean([run["held out"][measure] for run in runs]) for measure in HELD_OUT]
            cells.append(f"{held[0]:.1f}, {held[1]:.1%}".replace("%", " %"))
            tokens = [run["token"] for run in runs if run["token"]]
            cells.append(" → ".join(f"{value:.2f}" for value in np.mean(tokens, axis=0)) if tokens else "")
            cells += [f"{np.mean([run['seconds'] for run in runs]):.0f} s", str(len(runs))]
            lines.append(f"| {described} | {pool} | {' | '.join(cells)} |")
    return lines


def shown(values: list[float | None], scale: float, unit: str) -> str:
    """The mean of figures, and what the seeds span."""
    found = scale * np.array([value for value in values if value is not None])
    if not len(found):
        return ""
    span = f" ({found.min():.1f} to {found.max():.1f})" if len(found) > 1 else ""
    return f"{found.mean():.1f}{unit}{span}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(DEFAULT))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--embeddings", type=Path, help="file that keeps embeddings from one call to the next")
    parser.add_argument("--output", type=Path, default=HERE.parent / "results" / "further_terms.md")
    arguments = parser.parse_args()
    state = arguments.output.with_suffix(".json")
    known = json.loads(state.read_text(encoding="utf-8")) if state.is_file() else {}
    memory = read_memory(arguments.embeddings)
    with tempfile.TemporaryDirectory() as work:
        for seed in arguments.seeds:
            for variant in arguments.only:
                key = f"{variant}#{seed}"
                if key in known:
                    continue
                began, recipe = time.perf_counter(), recipe_of(variant, seed)
                outcome = train(recipe, Path(work) / key.replace("#", "-"), memory=memory)
                steps = [entry["token"] for entry in outcome.data["curves"]["steps"] if "token" in entry]
                known[key] = {
                    "figures": measured(Xquad(str(outcome.path)), LANGUAGE),
                    "held out": held_out(outcome),
                    "token": [value / recipe.loss.token_weight for value in ends(steps)] if steps else None,
                    "seconds": round(outcome.seconds["training"], 1),
                    "machine": machine(),
                }
                write_memory(memory, arguments.embeddings)
                state.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
                first = known[key]["figures"]["questions multi x"]
                print(f"{key}: Max@R {first['Max@R']:.1f}, Complete@10 {first['Complete@10']:.1%}, "
                      f"{time.perf_counter() - began:.0f} s", flush=True)  # fmt: skip
    head = ["# What further terms of the loss add", "", "`python benchmarks/studies/further_terms.py`",
            DESCRIBED.rstrip(), "", f"Model `{MODEL}`. {machine_line()}.", ""]  # fmt: skip
    arguments.output.write_text("\n".join([*head, *table(known)]) + "\n", encoding="utf-8")
    print(f"{arguments.output} written")


if __name__ == "__main__":
    main()
