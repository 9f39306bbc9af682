"""The table of `benchmarks/studies/training.py` from its results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from haystack_crossalign.measures.statistics import paired_bootstrap_difference

NAMES = {
    "base": "base model",
    "base-fp32": "base model in float32",
    "fusion": "base model, retrieval per language, lists fused by rank",
    "projection": "repair alone: language directions projected out",
    "repair": "... and 0.6 of the common mean taken away",
    "whitened": "... and the differences between translations whitened",
    "whitened-more": "... and 0.8 of the common mean in place of 0.6",
    "maps": "**no training: what the recipe starts from, and its maps per language**",
}
BASES = ("base", "base-fp32")
REPAIRS = ("projection", "repair", "whitened", "whitened-more", "maps")


def table(
    known: Mapping[str, Any],
    ablations: Mapping[str, tuple],
    full_ablations: Mapping[str, tuple],
    paper_ablations: Mapping[str, tuple],
    targets: Sequence[str],
) -> str:
    """Markdown."""
    full = {name: text for name, (text, *_) in full_ablations.items()}
    made = [
        "# What training gives, on XQuAD",
        "",
        "`python benchmarks/studies/training.py`; every run with its figures, intervals and times: `training.json`.",
        "",
        "Model `offline:multilingual-e5-small`, training data `shared/data/train`, recipes of `training/recipes`.",
        "Recipes are chosen on held-out parts of the training data and by leaving out a whole corpus; the strengths of",
        "the repair for Chinese, Spanish and Vietnamese on `repair_choice.md`, for all five together on",
        "`together_choice.md`, how far Thai goes on `thai_choice.md`, and all five on `multilingual_choice.md`.",
        "XQuAD has been looked at before the recipes were final: docs/training.md says what was changed afterwards.",
        "Runs that are not in the table have not been carried out.",
        "",
        "Pool *questions*: one document per question, English and the target language, 2,380 in all;",
        "pool *passages*: 240 per language.",
        "Copies of a passage have equal scores. All runs here ordered them by document id, which puts one language",
        "first; since then a hash of the id does, which moves Max@R and Complete@10 of the pool *questions* a little.",
        "Same-language NDCG@1 is asked of the pool of one language.",
        "*Worse than base* is the loss in points against the base model in the precision of the run (bf16 where the",
        "machine has it, which older runs do not say); a gain is negative. In brackets its 95 % interval (paired",
        "bootstrap over the queries, of the mean over the seeds), where the runs kept what each query found.",
        "Trained rows are means over the seeds, with the smallest and the largest in brackets.",
        "",
        "## Recipes",
        "",
        "`*_linear.yaml` trains the linear module of the repair alone, the others every layer.",
        "",
        *_rows(
            known,
            [row for tag in targets for row in _recipes(f"en_{tag}", [tag], (*BASES, "fusion", *REPAIRS), full)],
            full,
        ),
        "",
    ]
    several = _recipes("multilingual", targets, REPAIRS, full)
    if any(_runs(known, recipe, kind) for recipe, kind, _ in several):
        made += ["## One model for five languages", "", *_rows(known, several, full), ""]
    linear = {name: text for name, (text, *_) in ablations.items()}
    for tag, title in (("zh", "Chinese"), ("th", "Thai")):
        made += _ablations(known, f"Ablations of the linear module, {title}", f"en_{tag}_linear", REPAIRS, linear, tag)
    paper = {name: text for name, (text, *_) in paper_ablations.items()}
    for tag, title in (("zh", "Chinese"), ("th", "Thai")):
        made += _ablations(known, f"The paper's loss on every layer, {title}", f"en_{tag}_paper", (), paper, tag)
    return "\n".join([*made, *_footer(known)]) + "\n"


def _recipes(
    name: str, tags: Sequence[str], untrained: Sequence[str], ablations: Iterable[str]
) -> list[tuple[str, str, str]]:
    kinds = [*((name, kind) for kind in untrained), (f"{name}_linear", ""), (name, "")]
    kinds += [(name, kind) for kind in ablations]
    return [(recipe, kind, tag) for recipe, kind in kinds for tag in tags]


def _ablations(
    known: Mapping[str, Any], title: str, recipe: str, before: Sequence[str], ablations: Mapping[str, str], tag: str
) -> list[str]:
    """A section: the base model and the repairs, the recipe, its ablations."""
    if not any(_runs(known, recipe, name) for name in ("", *ablations)):
        return []
    rows = [(f"en_{tag}", kind, tag) for kind in (*BASES, *before)]
    rows += [(recipe, kind, tag) for kind in ("", *ablations)]
    return [
        f"## {title}",
        "",
        *_rows(known, rows, ablations),
        "",
        "95 % bootstrap intervals over the queries, seed 0, target-language queries, pool *questions*:",
        "",
        "| | Max@R | Complete@10 |",
        "|---|---|---|",
        *_intervals(known, rows, ablations),
        "",
    ]


def _runs(known: Mapping[str, Any], recipe: str, kind: str) -> list[Any]:
    name = f"{recipe}/{kind}" if kind else recipe
    return [known[key] for key in sorted(known) if key.rpartition("#")[0] == name]


def _label(recipe: str, kind: str, ablations: Mapping[str, str]) -> str:
    if not kind:
        return f"**`{recipe}.yaml`**"
    return NAMES.get(kind) or ablations[kind]


def _rows(
    known: Mapping[str, Any], wanted: Sequence[tuple[str, str, str]], ablations: Mapping[str, str] | None = None
) -> list[str]:
    made = [
        "| | queries | Max@R | Complete@10 | Max@R, English queries | Complete@10, English queries "
        "| NDCG@1 same-language | English NDCG@1 | worse than base | English, worse than base | seeds |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for recipe, kind, tag in wanted:
        runs = _runs(known, recipe, kind)
        if not runs:
            continue
        figures = [run["figures"][tag] for run in runs]
        bases = [_base_of(known, tag, run) for run in runs]
        cells = [
            _cell(figures, "questions multi x", "Max@R"),
            _cell(figures, "questions multi x", "Complete@10", percent=True),
            _cell(figures, "questions multi en", "Max@R"),
            _cell(figures, "questions multi en", "Complete@10", percent=True),
            _cell(figures, "passages mono-same x", "NDCG@1", percent=True),
            _cell(figures, "passages mono-same en", "NDCG@1", percent=True),
            _loss(figures, bases, "passages mono-same x"),
            _loss(figures, bases, "passages mono-same en"),
        ]
        made.append(f"| {_label(recipe, kind, ablations or {})} | {tag} | {' | '.join(cells)} | {len(runs)} |")
    return made


def _cell(figures: Sequence[Any], row: str, measure: str, *, percent: bool = False) -> str:
    values = [one[row][measure] for one in figures if row in one]
    if not values:
        return "as base" if row.startswith("passages mono") else ""
    scale, digits, sign = (100, 1, " %") if percent else (1, 1, "")
    shown = f"{np.mean(values) * scale:.{digits}f}{sign}"
    if len(values) > 1:
        shown += f" ({min(values) * scale:.{digits}f} to {max(values) * scale:.{digits}f})"
    return shown


def _base_of(known: Mapping[str, Any], tag: str, run: Mapping[str, Any]) -> Any:
    """Figures of the base model in the precision that the run was measured in; None where there are none."""
    kind = "base-fp32" if run["machine"].get("bf16") == [] else "base"
    found = _runs(known, f"en_{tag}", kind)
    return found[0]["figures"][tag] if found else None


def _loss(figures: Sequence[Any], bases: Sequence[Any], row: str) -> str:
    if None in bases or row not in figures[0]:
        return "" if None in bases else "0"
    pairs = [(base[row], one[row]) for base, one in zip(bases, figures, strict=True)]
    shown = f"{100 * np.mean([base['NDCG@1'] - one['NDCG@1'] for base, one in pairs]):+.2f}"
    if all("found" in one for pair in pairs for one in pair):
        before, after = (np.mean([_found(pair[place]) for pair in pairs], axis=0) for place in (0, 1))
        _, low, high = paired_bootstrap_difference(after, before, samples=10_000, seed=0)
        if low != high:
            shown += f" ({100 * low:+.2f} to {100 * high:+.2f})"
    return shown


def _found(row: Any) -> Any:
    """1.0 for each query whose relevant passage is the first, 0.0 for the others."""
    bits = np.frombuffer(bytes.fromhex(row["found"]), dtype=np.uint8)
    return np.unpackbits(bits, count=row["queries"]).astype(np.float64)


def _intervals(
    known: Mapping[str, Any], wanted: Sequence[tuple[str, str, str]], ablations: Mapping[str, str]
) -> list[str]:
    made = []
    for recipe, kind, tag in wanted:
        runs = _runs(known, recipe, kind)
        if runs:
            row = runs[0]["figures"][tag]["questions multi x"]
            low, high = row["Max@R interval"]
            least, most = row["Complete@10 interval"]
            made.append(f"| {_label(recipe, kind, ablations)} | {low:.1f} to {high:.1f} | {least:.1%} to {most:.1%} |")
    return made


def _footer(known: Mapping[str, Any]) -> list[str]:
    machine = next(iter(known.values()))["machine"]
    seconds = [
        f"{key}: {run['seconds']['training']:.0f} s"
        for key, run in sorted(known.items())
        # Where a run says what it had beside it, its time says little.
        if "training" in run.get("seconds", {}) and "times" not in run
    ]
    return [
        "## Versions, hardware, times",
        "",
        f"{machine['cores']} cores ({machine['processor']}), Python {machine['python']}, torch {machine['torch']}, "
        f"sentence-transformers {machine['sentence-transformers']}.",
        "",
        "Seconds of training alone, without embedding (which runs share), on machines of which some have AMX and train",
        "about twice as fast (`bf16` in `training.json`, where the run says): " + "; ".join(seconds) + ".",
    ]
