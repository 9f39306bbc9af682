"""One repair for five languages on documents and questions it has not seen, without XQuAD.

    python benchmarks/studies/together_choice.py
    python benchmarks/studies/together_choice.py --questions iapp-wiki-qa-dataset/squad_format/data   # Thai too

The Thai questions are those of thai_choice.py.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Mapping
from contextlib import nullcontext
from importlib.metadata import version
from itertools import product
from pathlib import Path
from unittest import mock

import numpy as np
from repair_choice import (  # beside this file
    DATA,
    Embeddings,
    Half,
    Questions,
    english_questions,
    halves,
    judged,
    loss,
    repair_of,
    squad_pairs,
)
from thai_choice import FILES, thai_questions  # likewise

from haystack_crossalign.repair import directions, language_maps
from haystack_crossalign.repair.language_means import language_means
from haystack_crossalign.repair.matrix_file import VectorMap
from haystack_crossalign.triplets.corpora import read_course_sections

HERE = Path(__file__).resolve().parent
ALL = ("zh", "ar", "es", "th", "vi")
JUDGED = ("zh", "es", "vi")
SAMPLES = {
    "passages": ("the passages of the other half", False, True, True),
    "sections": ("the sections", True, False, True),
    "plain": ("both, means over what each language has", True, True, False),
    "both": ("**both, means over the same documents**", True, True, True),
}
SHARES = tuple(product((0.4, 0.5, 0.6), (3.0,), (None, 0.0, 0.1, 0.15, 0.2, 0.25)))
AT = (0.5, 3.0, 0.1)
DESCRIBED = """
The articles of the SQuAD training file are split in two by their names, as for `repair_choice.md`, with the same
queries and pools: English and one more language in each, and each of Chinese, Spanish and Vietnamese is judged by
itself. The repair is one for all five languages. It is fitted on the passages of the other half, in the languages that
they have, and on the course sections that are there in all six, Arabic and Thai with them; no half judges its own
repair. English is judged by its real questions in each pool, and at the end by all of them in one pool of the whole
file, and so is Thai by the questions of `thai_choice.md`: by the repair that is fitted on everything.

Each cell: Complete@10 in % of target-language queries and the loss of their same-language NDCG@1 in points; then
Complete@10 and loss of English queries in the same pool. A gain is negative. The losses of the other columns have their
95 % interval (Agresti and Min).
"""

Rows = dict[tuple[str, str], np.ndarray]


def section_rows(data: Path, embeddings: Embeddings) -> Rows:
    """Embeddings of the sections that are there in every language, by language and group."""
    built, _ = read_course_sections(data / "ms_coop_sections_6lang.jsonl", list(ALL))
    texts = {
        (tag, f"section {one.group}"): text
        for one in built.triplets
        if len(one.targets) == len(ALL)
        for tag, text in (("en", one.passage), *one.targets.items())
    }
    return dict(zip(texts, embeddings("document", list(texts.values())), strict=True))


def sample(kind: str, sections: Rows, parts: Mapping[str, list[Half]]) -> Rows:
    """What a repair is fitted on."""
    _, with_sections, with_passages, _ = SAMPLES[kind]
    rows = dict(sections) if with_sections else {}
    for tag, halves_of in parts.items() if with_passages else ():
        for part in halves_of:
            for name, english, other in zip(part.groups, *part.fit, strict=True):
                rows["en", name], rows[tag, name] = english, other
    return rows


def fitted(kind: str, rows: Rows, setting: tuple) -> VectorMap:
    # The estimator that this one replaced, to be compared with.
    def plain(vectors: np.ndarray, codes: np.ndarray, _: object) -> np.ndarray:
        return language_means(vectors, codes, None)

    same = SAMPLES[kind][3]
    with (
        nullcontext() if same else mock.patch.object(directions, "language_means", plain),
        nullcontext() if same else mock.patch.object(language_maps, "language_means", plain),
    ):
        return repair_of(rows, setting)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--questions", type=Path, metavar="FOLDER", help=f"with {', '.join(FILES)}")
    parser.add_argument("--embeddings", type=Path, help="file that keeps embeddings from one call to the next")
    parser.add_argument("--output", type=Path, default=HERE.parent / "results" / "together_choice.md")
    arguments = parser.parse_args()
    embeddings = Embeddings(arguments.embeddings)
    sections = section_rows(arguments.data, embeddings)
    pairs = {language: list(squad_pairs(language, arguments.data)) for language in JUDGED}
    articles = sorted({article for one in pairs.values() for article, _ in one})
    parts = {language: halves(one, embeddings, articles) for language, one in pairs.items()}
    whole = {"en": Questions(*english_questions(arguments.data), embeddings)}
    if arguments.questions is not None:
        whole["th"] = Questions(*thai_questions(arguments.questions), embeddings)
    before = {language: judged(one, [None, None]) for language, one in parts.items()}
    alone = {tag: one.found(None) for tag, one in whole.items()}
    heads = [*(f"{tag}; en" for tag in JUDGED), *(f"{tag}, all questions: loss" for tag in whole)]

    def row(name: str, kind: str, setting: tuple | None) -> str:
        cells = []
        repairs: list[VectorMap | None] = [None, None]
        if setting is not None:
            sides = [sample(kind, sections, {tag: [one[side]] for tag, one in parts.items()}) for side in (1, 0)]
            repairs = [fitted(kind, rows, setting) for rows in sides]
        for tag in JUDGED:
            after = judged(parts[tag], repairs)
            shown = []
            for foreign in (True, False):
                rows = before[tag]["foreign"] == foreign
                lost = before[tag]["found"][rows].mean() - after["found"][rows].mean()
                shown.append(f"{100 * (after['depth'][rows] <= 10).mean():.1f} {100 * lost:+.2f}")
            cells.append("; ".join(shown))
        everything = None
        if setting is not None:
            everything = fitted(kind, sample(kind, sections, {tag: list(one) for tag, one in parts.items()}), setting)
        cells += [loss(alone[tag], one.found(everything)) for tag, one in whole.items()]
        made = "| " + " | ".join([name, *cells]) + " |"
        print(made, flush=True)
        return made

    given = "" if arguments.questions is None else " --questions iapp-wiki-qa-dataset/squad_format/data"
    made = [
        "# One repair for five languages",
        "",
        f"`python benchmarks/studies/together_choice.py{given}`",
        DESCRIBED.rstrip(),
    ]
    made += ["", f"## What it is fitted on (share {AT[0]:g}, whitening {AT[1]:g}, own {AT[2]:g})", ""]
    made += ["| | " + " | ".join(heads) + " |", "|" + "---|" * (len(heads) + 1), row("base model", "both", None)]
    made += [row(SAMPLES[kind][0], kind, AT) for kind in SAMPLES]
    made += ["", "## Shares", "", "One share of their own for all languages here, *-*: no map of their own.", ""]
    made += ["| share, whitening, own | " + " | ".join(heads) + " |", "|" + "---|" * (len(heads) + 1)]
    for setting in SHARES:
        made.append(row(", ".join("-" if one is None else f"{one:g}" for one in setting), "both", setting))
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "torch", "sentence-transformers"))
    made += ["", f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"]
    arguments.output.write_text("\n".join(made) + "\n", encoding="utf-8")
    print(f"{arguments.output} written")


if __name__ == "__main__":
    main()
