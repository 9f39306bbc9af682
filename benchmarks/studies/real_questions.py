"""What trained models lose by real Thai and Arabic questions, beside what XQuAD says.

    python benchmarks/studies/training.py --only multilingual --seeds 1 --models models
    python benchmarks/studies/real_questions.py --thai iapp-wiki-qa-dataset/squad_format/data \
        --arabic SOQAL/data/arcd.json --models models --only th:multilingual-1 ar:multilingual-1

The questions are those of multilingual_choice.py, where they chose by one seed how far a recipe goes; this is for the
others.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from machine import machine, machine_line  # beside this file
from multilingual_choice import arabic_questions  # likewise
from repair_choice import Embeddings, Questions, losses
from thai_choice import thai_questions

from training import MODEL

HERE = Path(__file__).resolve().parent
DESCRIBED = """
Models as `benchmarks/studies/training.py --models` keeps them: recipe, variant if it is one, and seed; judged by the
questions of [multilingual_choice.md](multilingual_choice.md) in one language. Loss of same-language NDCG@1 in
points, with its 95 % interval (Agresti and Min); a gain is negative. Nothing is trained on the questions, and
nothing was chosen by this table.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--thai", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--arabic", type=Path, required=True, metavar="FILE")
    parser.add_argument("--models", type=Path, required=True, metavar="FOLDER", help="where the models are")
    parser.add_argument("--only", nargs="+", required=True, metavar="LANGUAGE:MODEL", help="for instance ar:en_ar-2")
    parser.add_argument("--judging", type=Path, help="file that keeps the base model's embeddings")
    parser.add_argument("--output", type=Path, default=HERE.parent / "results" / "real_questions.md")
    arguments = parser.parse_args()
    state = arguments.output.with_suffix(".json")
    known = json.loads(state.read_text(encoding="utf-8")) if state.is_file() else {}
    base = Embeddings(arguments.judging)
    asked = {"th": thai_questions(arguments.thai), "ar": arabic_questions(arguments.arabic)}
    for name in arguments.only:
        if name in known:
            continue
        tag, _, folder = name.partition(":")
        if tag not in asked or not folder:
            raise SystemExit(f"--only {name}: not LANGUAGE:MODEL with one of the languages {', '.join(asked)}")
        if not (arguments.models / folder).is_dir():
            raise SystemExit(f"{arguments.models / folder}: no such model")
        began = time.perf_counter()
        one = {tag: asked[tag]}
        before = {tag: Questions(*asked[tag], base).found(None)}
        found = losses(one, before, Embeddings(None, str(arguments.models / folder)), None)[tag]
        known[name] = {
            **found,
            "base": float(100 * before[tag].mean()),
            "questions": len(before[tag]),
            "machine": machine(),
        }
        state.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{name}: {found['shown']}, {time.perf_counter() - began:.0f} s", flush=True)
    lines = ["# What trained models lose by real Thai and Arabic questions", "",
             "`python benchmarks/studies/real_questions.py --thai iapp-wiki-qa-dataset/squad_format/data "
             f"--arabic SOQAL/data/arcd.json --models models --only {' '.join(sorted(known))}`", DESCRIBED.rstrip(), "",
             f"Base model `{MODEL}`. {machine_line()}.", "",
             "| model | seed | language | questions | NDCG@1 of the base model | loss |",
             "|---|--:|---|--:|--:|---|"]  # fmt: skip
    for name, one in sorted(known.items()):
        tag, folder = name.split(":", 1)
        recipe, seed = folder.rsplit("-", 1)
        lines.append(f"| `{recipe}` | {seed} | {tag} | {one['questions']:,} | {one['base']:.1f} | {one['shown']} |")
    arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{arguments.output} written")


if __name__ == "__main__":
    main()
