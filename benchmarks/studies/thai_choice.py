"""How far the Thai recipe should go from its start, judged on real Thai questions, without XQuAD.

    python benchmarks/studies/thai_choice.py --questions iapp-wiki-qa-dataset/squad_format/data

The questions are those of iApp Technology's Thai Wikipedia QA dataset (MIT licence), `train.jsonl`, `valid.jsonl` and
`test.jsonl` of its folder in SQuAD's format. They judge; nothing is trained on them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import machine, machine_line  # beside this file
from repair_choice import DATA, Embeddings, Questions, english_questions, losses  # likewise
from share_choice import TOLERANCE, Way, add_files, recipe_for, train_unless_there
from training_figures import XQUAD

from training import MODEL, read_memory

HERE = Path(__file__).resolve().parent
SHARES = (0.0, 0.25, 0.5)  # of which share_choice.md takes the last; it rules out going further
SEEDS = [0, 1]
FILES = ("train.jsonl", "valid.jsonl", "test.jsonl")
SHORTEST = 200  # characters; a shorter paragraph is a heading or a caption and goes with the next one
OVERLAP = 50  # characters in a row
DESCRIBED = f"""
share_choice.md has no Thai in it, for want of Thai questions in the training data. Here are some: iApp Technology's
Thai Wikipedia QA dataset (MIT licence), real Thai questions about Thai Wikipedia. Its articles are cut into paragraphs
(of at least {SHORTEST} characters, where the article has as many), and a question's relevant passage is the paragraph
that its answer stands in, in one pool of all paragraphs of all articles. Paragraphs that share {OVERLAP} characters in
a row with a Thai passage of XQuAD would be left out; English is judged by the real questions of the SQuAD training
file. Nothing is trained on either: the Thai recipe trains on NTREX-128 and course sections.

*Share*: of the way from the start to the tuned weights (`interpolate`), the repair and the map of Thai fitted again
each time; at 0 nothing is trained. *Loss*: of same-language NDCG@1 in points, with its 95 % interval (Agresti and Min);
a gain is negative.

The rule, written down before the first run: the largest of these shares by which neither Thai nor English loses more
than {TOLERANCE:g} points, means of the seeds, and nothing trained where there is none. share_choice.md says that they
find the more the larger they are, and that three quarters of the way cost English too much.
"""


def paragraphs(text: str) -> list[tuple[int, int]]:
    """Where the paragraphs of an article begin and end."""
    ends = [at for at in range(len(text)) if text.startswith("\n\n", at)]
    made: list[tuple[int, int]] = []
    start = 0
    for end in [*ends, len(text)]:
        if len(text[start:end].strip()) >= SHORTEST:
            made.append((start, end))
            start = end
    if text[start:].strip():
        made[-1:] = [(made[-1][0] if made else 0, len(text))]
    return made


def parts_of(text: str) -> set[str]:
    """All its substrings of `OVERLAP` characters."""
    return {text[at : at + OVERLAP] for at in range(len(text) - OVERLAP + 1)}


def parts_of_xquad(language: str) -> set[str]:
    """Those of XQuAD's passages in one language."""
    articles = json.loads((XQUAD / f"xquad.{language}.json").read_text(encoding="utf-8"))["data"]
    return {part for article in articles for one in article["paragraphs"] for part in parts_of(one["context"])}


def thai_questions(folder: Path) -> tuple[list[str], list[tuple[str, int]]]:
    """Paragraphs, and each question with the row of its paragraph."""
    forbidden = parts_of_xquad("th")
    rows: dict[str, int] = {}
    parts: dict[str, list[tuple[int, int]]] = {}
    asked: dict[tuple[str, int], None] = {}
    for name in FILES:
        for line in (folder / name).read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            article, begin = record["context"], record["answers"]["answer_start"][0]
            for start, end in parts.setdefault(article, paragraphs(article)):
                text = article[start:end].strip()
                if not forbidden.isdisjoint(parts_of(text)):
                    continue
                row = rows.setdefault(text, len(rows))
                if start <= begin < end:
                    asked[record["question"].strip(), row] = None
    return list(rows), list(asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=Path, metavar="FOLDER")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    add_files(parser, "thai_choice.md")
    arguments = parser.parse_args()
    if arguments.questions is None:
        print(f"nothing done: --questions names the folder with {', '.join(FILES)} of iapp-wiki-qa-dataset")
        return
    state = arguments.output.with_suffix(".json")
    known = json.loads(state.read_text(encoding="utf-8")) if state.is_file() else {}
    memory = read_memory(arguments.embeddings)
    asked = {"th": thai_questions(arguments.questions), "en": english_questions(arguments.data)}
    base = Embeddings(arguments.judging)
    before = {tag: Questions(*one, base).found(None) for tag, one in asked.items()}
    for tag, (passages, questions) in asked.items():
        found = f"NDCG@1 {before[tag].mean():.1%}"
        print(f"{tag}: {len(questions)} questions, {len(passages)} passages, base model {found}", flush=True)
    with tempfile.TemporaryDirectory() as work:
        for seed in arguments.seeds:
            shares = [share for share in SHARES if f"{seed}@{share:g}" not in known]
            if not shares:
                continue
            began = time.perf_counter()
            recipe = recipe_for("th", seed)
            folder = (arguments.models or Path(work)) / f"share_th-{seed}"
            train_unless_there(recipe, folder, memory, arguments.embeddings)
            way = Way(recipe, folder, memory)
            for share in shares:
                if share:
                    at = Path(work) / f"{seed}-{share:g}"
                    way.model_at(share).save(str(at), safe_serialization=True)
                    embeddings, maps = Embeddings(None, str(at)), None
                else:
                    embeddings, maps = base, way.map_of_start()
                figures = losses(asked, before, embeddings, maps)
                known[f"{seed}@{share:g}"] = {"figures": figures, "machine": machine()}
                state.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
                print(f"seed {seed}, share {share:g}: th {figures['th']['shown']}, en {figures['en']['shown']}, "
                      f"{time.perf_counter() - began:.0f} s", flush=True)  # fmt: skip
    seeds = "" if arguments.seeds == SEEDS else f"--seeds {' '.join(map(str, arguments.seeds))} "
    head = ["# How far the Thai recipe should go, by real Thai questions", "",
            f"`python benchmarks/studies/thai_choice.py {seeds}--questions iapp-wiki-qa-dataset/squad_format/data`",
            DESCRIBED.rstrip(), ""]  # fmt: skip
    for tag, (passages, questions) in asked.items():
        found = f"NDCG@1 of the base model {100 * before[tag].mean():.1f}"
        head.append(f"{tag}: {len(questions)} questions, {len(passages)} passages, {found}.  ")
    head += ["", f"Model `{MODEL}`. {machine_line()}."]  # fmt: skip
    arguments.output.write_text("\n".join([*head, *table(known)]) + "\n", encoding="utf-8")
    print(f"{arguments.output} written")


def table(known: dict[str, dict]) -> list[str]:
    seeds = sorted({key.split("@")[0] for key in known})
    heads = ["share", *(f"{tag}, seed {seed}" for seed in seeds for tag in ("th", "en")), "th, mean", "en, mean"]
    made = ["", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    allowed = []
    for share in SHARES:
        runs = [known[f"{seed}@{share:g}"]["figures"] for seed in seeds if f"{seed}@{share:g}" in known]
        if len(runs) < len(seeds):
            continue
        means = [float(np.mean([run[tag]["loss"] for run in runs])) for tag in ("th", "en")]
        cells = [run[tag]["shown"] for run in runs for tag in ("th", "en")] + [f"{one:+.2f}" for one in means]
        made.append(f"| {share:g} | " + " | ".join(cells) + " |")
        if max(means) <= TOLERANCE:
            allowed.append(share)
    return [*made, "", f"The rule takes {max(allowed):g}." if allowed else "The rule allows no training."]


if __name__ == "__main__":
    main()
