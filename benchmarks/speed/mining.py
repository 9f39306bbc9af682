"""Precision and recall of mined translation pairs on human translations, of which each side lacks a part.

    python benchmarks/speed/mining.py [--output benchmarks/results/mining.md]

Of the lines of a corpus, drawn by a seed, a third exist in both languages, a third in English only and a third in the
other language only: a pair is right when both texts are of one line of the first third. The lines without a partner
stand in the same documents as those with one. Every setting is measured with the vectors as they are and with the
language directions of the collection itself taken out (no pair is known to that repair), without and with its mean.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np

from haystack_crossalign.mining.pairs import NEIGHBOURS, language_repair, mine_pairs
from haystack_crossalign.models.encoder import Encoder
from haystack_crossalign.models.names import OFFLINE_MODELS

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "train"
SETS = (("NTREX-128", "ntrex_16lang.jsonl", ("zh", "th")), ("TICO-19", "tico19_8lang.jsonl", ("zh", "ar")))
THRESHOLDS = {  # centring spreads the cosines, and with them the margins
    "as they are": (0.0, 1.0, 1.01, 1.015, 1.02, 1.025, 1.03, 1.04, 1.05),
    "repaired": (0.0, 1.0, 1.01, 1.015, 1.02, 1.025, 1.03, 1.04, 1.05),
    "repaired and centered": (0.0, 1.0, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3, 1.4, 1.5),
}


def distinct(texts: list[str], rows: np.ndarray) -> np.ndarray:
    """Rows of the first copy of each text."""
    first: dict[str, int] = {}
    return np.asarray([row for row in rows.tolist() if first.setdefault(texts[row], row) == row])


def scored(pairs, left: np.ndarray, right: np.ndarray, gold: int) -> tuple[int, float, float, float]:
    right_ones = int((left[pairs.sources] == right[pairs.targets]).sum())
    precision, recall = right_ones / max(len(pairs), 1), right_ones / gold
    return len(pairs), precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def nearest(left: np.ndarray, right: np.ndarray, rows_left: np.ndarray, rows_right: np.ndarray, gold: int) -> tuple:
    """Mutual nearest neighbours by the bare cosine, for comparison."""
    cosines = left @ right.T
    forward, back = cosines.argmax(axis=1), cosines.argmax(axis=0)
    mutual = np.flatnonzero(back[forward] == np.arange(len(left)))
    hits = int((rows_left[mutual] == rows_right[forward[mutual]]).sum())
    precision, recall = hits / len(mutual), hits / gold
    return len(mutual), precision, recall, 2 * precision * recall / (precision + recall)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--limit", type=int, default=1997, help="lines per corpus, from its beginning")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    encoder = Encoder(OFFLINE_MODELS[0], device="cpu")
    out = [
        "# Mined translation pairs", "",
        f"`python benchmarks/speed/mining.py --limit {options.limit}`: {OFFLINE_MODELS[0]} "
        f"({encoder.provenance()['precision']}), {platform.machine()}, k = {NEIGHBOURS}, seed {options.seed}, "
        f"first {options.limit:,} lines of each corpus.", "",
        *" ".join(__doc__.split("\n\n")[2].split()).split("\n"), "",
    ]  # fmt: skip
    for name, file, languages in SETS:
        with (options.data / file).open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line, _ in zip(lines, range(options.limit), strict=False)]
        order = np.random.default_rng(options.seed).permutation(len(rows))
        third = len(rows) // 3
        english = [row["en"] for row in rows]
        started = time.perf_counter()
        vectors = {"en": encoder.encode_documents(english)}
        for language in languages:
            texts = [row[language] for row in rows]
            vectors[language] = encoder.encode_documents(texts)
            left = distinct(english, np.sort(order[: 2 * third]))
            right = distinct(texts, np.sort(np.concatenate([order[:third], order[2 * third :]])))
            gold = len(set(left.tolist()) & set(right.tolist()))
            a, b = vectors["en"][left], vectors[language][right]
            sides = {"as they are": (a, b)}
            for kind, share in (("repaired", 0.0), ("repaired and centered", 1.0)):
                repair = language_repair([a, b], ["en", language], common_share=share)
                sides[kind] = (repair.apply(a), repair.apply(b))
            out += [
                f"## {name}, en-{language}: {len(left)} and {len(right)} texts, {gold} pairs", "",
                "| vectors | least margin | pairs | precision | recall | F1 |", "|---|---|---|---|---|---|",
            ]  # fmt: skip
            for kind, (x, y) in sides.items():
                row = nearest(x, y, left, right, gold)
                out.append(f"| {kind} | none, mutual by cosine | {row[0]} | " + percent(row) + " |")
                pairs = mine_pairs(x, y, threshold=0.0)
                for threshold in THRESHOLDS[kind]:
                    row = scored(pairs.above(threshold), left, right, gold)
                    shown = f"{threshold:.3f}" if threshold else "none"
                    out.append(f"| {kind} | {shown} | {row[0]} | {percent(row)} |")
            out.append("")
        out += [f"Embedding and mining {name}: {time.perf_counter() - started:.0f} s.", ""]
    text = "\n".join(out)
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")


def percent(row: tuple) -> str:
    return " | ".join(f"{100 * value:.1f} %" for value in row[1:])


if __name__ == "__main__":
    main()
