"""What a bound on the own language first costs and keeps, on XQuAD and on the sample that ships with the package.

python benchmarks/studies/keep_own_first.py
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine_line
from numpy.typing import NDArray
from repair_choice import Embeddings

from haystack_crossalign.data.sample import sample_folder
from haystack_crossalign.ranks import exact_ranks, tie_order
from haystack_crossalign.repair.fit import RepairOutcome, fit_repair
from haystack_crossalign.repair.maps.margins import describe_margins
from haystack_crossalign.repair.matrix_file import VectorMap
from haystack_crossalign.repair.options import RepairOptions
from haystack_crossalign.repair.other_languages import read_other_languages
from haystack_crossalign.repair.sample import make_sample
from haystack_crossalign.repair.texts import read_repair_texts

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
SETS = (("en", "es"),)
SMALL = ("en", "es", "zh")
SEEDS = range(4)
BOUNDS = (None, 0.1, 0.05, 0.02)
QUESTIONS = 400
TEXT = """
`crossalign repair` with each bound (`--keep-own-first`), all other options as they come. It is fitted and chosen on
NTREX-128 in blocks of two sentences (one asks for the other), half of them held out; the last table draws 30 groups to
fit on and 30 to judge on, by four seeds, and shows the means. XQuAD is only reported: 240 passages in each language of
the set, one pool, and 400 questions in each language.

Per language: Complete@10 in %, and the share of questions that find their own version first, Top1[relevant,same], in %.
*Kept* is the share of what the unbounded repair gains in mean Complete@10 over the languages that the bound leaves;
*most lost* the largest loss of the own version first in any language, in points, on XQuAD and, in brackets, on the
held-out documents that the map was chosen on.
"""


class Cached:
    """The encoder with its embeddings kept in a file."""

    def __init__(self, embeddings: Embeddings) -> None:
        self.embeddings = embeddings

    def encode_queries(
        self,
        texts: Sequence[str],
        *,
        progress: Callable[[int, int], None] | None = None,  # noqa: ARG002
    ) -> NDArray[np.float32]:
        return np.asarray(self.embeddings("query", list(texts)))

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        progress: Callable[[int, int], None] | None = None,  # noqa: ARG002
    ) -> NDArray[np.float32]:
        return np.asarray(self.embeddings("document", list(texts)))

    def provenance(self) -> dict[str, Any]:
        return dict(self.embeddings.encoder.provenance())


class Judged:
    """XQuAD's passages in some languages, and questions.

    :param embeddings: the model.
    :param files: paragraphs by language.
    """

    def __init__(self, embeddings: Embeddings, files: dict[str, list[dict[str, Any]]]) -> None:
        places = [row for row, one in enumerate(files["en"]) for _ in one["qas"]]
        drawn = np.sort(np.random.default_rng(0).permutation(len(places))[:QUESTIONS])
        self.passage = np.asarray(places)[drawn]
        asked = {tag: [each["question"] for one in file for each in one["qas"]] for tag, file in files.items()}
        self.documents = {tag: embeddings("document", [one["context"] for one in file]) for tag, file in files.items()}
        self.queries = {tag: embeddings("query", [asked[tag][row] for row in drawn]) for tag in files}

    def shares(self, repair: VectorMap | None, tags: Sequence[str]) -> dict[str, tuple[float, float]]:
        """Complete@10 and Top1[relevant,same] of each language, in percent."""
        move = (lambda vectors: vectors) if repair is None else repair.apply
        count = len(self.documents["en"])
        documents = np.concatenate([move(self.documents[tag]) for tag in tags])
        order = tie_order([f"{tag}:{row}" for tag in tags for row in range(count)])
        found = {}
        for code, tag in enumerate(tags):
            table = exact_ranks(
                move(self.queries[tag]), documents,
                document_languages=np.repeat(np.arange(len(tags), dtype=np.int32), count), languages=tuple(tags),
                query_languages=np.full(QUESTIONS, code, dtype=np.int32), tie_order=order,
                relevant=(self.passage[:, None] + count * np.arange(len(tags))).astype(np.int32),
            )  # fmt: skip
            complete, own = table.ranks.max(axis=1) <= 10, table.ranks[:, code] == 1
            found[tag] = (100 * float(complete.mean()), 100 * float(own.mean()))
        return found


def chosen_loss(outcome: RepairOutcome) -> float:
    """The largest loss of the own version first on the documents that the map was chosen on, in points."""
    before, after = outcome.choice.trials[0].score.own_first, outcome.choice.chosen.score.own_first
    if before is None or after is None:
        raise SystemExit("the own version first was not measured: the documents are not parallel")
    return 100 * max(before[tag] - after[tag] for tag in before)


def strength(outcome: RepairOutcome) -> str:
    trial = outcome.choice.chosen
    maps = "" if trial.own_share is None else ", own maps"
    margins = "" if not trial.own_margins else f", margins {describe_margins(trial.own_margins)}"
    return f"{trial.strength:g}{maps}{margins}"


def row(
    name: str, base: dict[str, tuple[float, float]], free: dict[str, tuple[float, float]],
    after: dict[str, tuple[float, float]], how: str, on_held_out: float,
) -> str:  # fmt: skip
    def gain(shares: dict[str, tuple[float, float]]) -> float:
        return float(np.mean([shares[tag][0] - base[tag][0] for tag in base]))

    lost = max(base[tag][1] - after[tag][1] for tag in base)
    cells = " | ".join(f"{complete:.1f}, {own:.1f}" for complete, own in after.values())
    return f"| {name} | {how} | {cells} | {100 * gain(after) / gain(free):.0f} % | {lost:.1f} ({on_held_out:.1f}) |"


def header(tags: Sequence[str], how: str = "strength") -> list[str]:
    return ["", f"| bound | {how} | {' | '.join(tags)} | kept | most lost |", "|---|---|" + "--:|" * (len(tags) + 2)]


def base_row(base: dict[str, tuple[float, float]]) -> str:
    return "| base model | | " + " | ".join(f"{complete:.1f}, {own:.1f}" for complete, own in base.values()) + " | | |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--embeddings", type=Path, help="file that keeps embeddings from one call to the next")
    parser.add_argument("--output", type=Path, default=HERE.parent / "results" / "keep_own_first.md")
    options = parser.parse_args()
    embeddings = Embeddings(options.embeddings)
    encoder = Cached(embeddings)
    files = {
        tag: [paragraph for article in
              json.loads((options.data / "xquad" / f"xquad.{tag}.json").read_text(encoding="utf-8"))["data"]
              for paragraph in article["paragraphs"]]
        for tag in SMALL
    }  # fmt: skip
    xquad = Judged(embeddings, files)
    others = read_other_languages(None, closed=False)
    corpus = options.data / "train" / "ntrex_16lang.jsonl"

    def repaired(tags: Sequence[str], bound: float | None, **limits: int) -> RepairOutcome:
        texts = read_repair_texts(corpus, kind="ntrex", language=tags[0], target_languages=tags[1:], block=2)
        sample = make_sample(texts.in_languages(tags), others=others, **limits)
        return fit_repair(sample, encoder, options=RepairOptions(keep_own_first=bound, samples=20))

    made = ["# What a bound on the own language first costs", "", "`python benchmarks/studies/keep_own_first.py`", ""]
    made += [*TEXT.strip().splitlines(), "", "## Fitted on about 500 documents per language, judged on about 500"]
    for tags in SETS:
        base, free = xquad.shares(None, tags), None
        made += [*header(tags), base_row(base)]
        for bound in BOUNDS:
            outcome = repaired(tags, bound)
            after = xquad.shares(outcome.repair, tags)
            free = free or after
            made.append(row("off" if bound is None else f"{bound:g}", base, free, after, strength(outcome),
                            chosen_loss(outcome)))  # fmt: skip
            print(made[-1], flush=True)
    made += ["", f"## Fitted on 30 documents per language, judged on 30, means of {len(SEEDS)} draws"]
    base, free = xquad.shares(None, SMALL), None
    made += [*header(SMALL, "strengths"), base_row(base)]
    for bound in BOUNDS:
        runs = [repaired(SMALL, bound, fit_limit=30, held_out_limit=30, seed=seed) for seed in SEEDS]
        each = [xquad.shares(outcome.repair, SMALL) for outcome in runs]
        after = {tag: tuple(np.mean([one[tag] for one in each], axis=0)) for tag in SMALL}
        free = free or after
        how = "; ".join(strength(outcome) for outcome in runs)
        losses = float(np.mean([chosen_loss(outcome) for outcome in runs]))
        made.append(row("off" if bound is None else f"{bound:g}", base, free, after, how, losses))
        print(made[-1], flush=True)
    made += ["", "## The sample that ships with the package", ""]
    made += ["About 28 documents per language, judged on 30 (these, as no others are at hand)."]
    for tags in (("en", "es", "zh"), ("ar", "en", "es", "hi", "th", "zh")):
        texts = read_repair_texts(
            sample_folder() / "documents.jsonl", kind="documents", language="en", target_languages=(), detect=True,
            parallel=True,
        )  # fmt: skip
        sample = replace(make_sample(texts.in_languages(tags), others=others))
        base, free = None, None
        for bound in BOUNDS:
            outcome = fit_repair(sample, encoder, options=RepairOptions(keep_own_first=bound, samples=20))
            before, chosen = outcome.choice.trials[0].score, outcome.choice.chosen.score
            if base is None:
                base = {tag: (100 * before.complete[tag], 100 * before.own_first[tag]) for tag in before.own_first}
                made += [*header(sorted(base)), base_row(dict(sorted(base.items())))]
            after = {tag: (100 * chosen.complete[tag], 100 * chosen.own_first[tag]) for tag in sorted(base)}
            free = free or after
            made.append(row("off" if bound is None else f"{bound:g}", dict(sorted(base.items())), free, after,
                            strength(outcome), chosen_loss(outcome)))  # fmt: skip
            print(made[-1], flush=True)
    made += ["", machine_line()]
    options.output.write_text("\n".join(made) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
