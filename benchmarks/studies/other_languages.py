"""What a repair fitted on two languages does to languages it was not fitted on, and what protects them.

python benchmarks/studies/other_languages.py
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from machine import machine_line
from repair_choice import Embeddings

from haystack_crossalign.data.triplets import article_of
from haystack_crossalign.measures.statistics import holm, paired_permutation_test
from haystack_crossalign.ranks import exact_ranks, tie_order
from haystack_crossalign.repair.directions import fit_language_directions
from haystack_crossalign.repair.matrix_file import VectorMap
from haystack_crossalign.repair.other_languages import OtherLanguages, known_languages, shipped_texts
from haystack_crossalign.triplets.corpora import read_ntrex, read_tico19

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data" / "train"
LANGUAGES = ("sw", "th", "zh", "de", "hi", "ru", "ar", "vi", "bn", "es", "ja", "tr", "ko", "el", "ro")
TEXT = """
The articles of NTREX-128 are split in two. The repair of English and one other language is fitted on the blocks of one
half (three sentences: a query and a passage of two) and on 450 blocks of TICO-19 (four sentences), 776 documents in
each of two languages, and judged on 220 blocks of the other half. A pool holds the 440 passages of two languages,
queries are in both. English is paired with each of the 14 languages that were not fitted, and so is the fitted one: 28
pools, 56 sets of queries.

*Protected* takes the texts of 32 languages that ship with the package, except those of the language of the pool: of
that language the repair knows nothing. *Texts* and *languages* take a part of them. *Known* are the figures where the
language is among the texts, as it is by default for these 14.

Fitted languages: Max@R, Complete@10, relevant document in the query's language at rank 1 (own), NDCG@1 in the pool of
the query's language (same). Languages that were not fitted: Complete@10 in %, means over the 14 pools with English,
queries in English and in the other language; likewise with the fitted language; sets of queries of 56 that got worse
than with the base model (paired permutation test of log2 Max@R, Holm, p < 0.05) and better.
"""


@dataclass(frozen=True)
class Half:
    """Vectors of passages and queries by language; row i of all is the same content."""

    documents: dict[str, np.ndarray]
    queries: dict[str, np.ndarray]


@dataclass(frozen=True)
class Ranked:
    """Of each query in one language: Max@R, whether its own version is at rank 1, and in the pool of its language."""

    depth: np.ndarray
    own: np.ndarray
    same: np.ndarray


def ranked(half: Half, pair: tuple[str, str], repair: VectorMap | None) -> dict[str, Ranked]:
    move = (lambda vectors: vectors) if repair is None else repair.apply
    documents = {tag: move(half.documents[tag]) for tag in pair}
    count = len(documents[pair[0]])
    rows, made = np.arange(count, dtype=np.int32), {}
    for code, tag in enumerate(pair):
        queries = move(half.queries[tag])
        common = {"languages": pair, "query_languages": np.full(count, code, dtype=np.int32)}
        pool = np.concatenate([documents[one] for one in pair])
        codes, ties = np.repeat(np.arange(2, dtype=np.int32), count), tie_order([*map(str, range(2 * count))])
        relevant = np.stack([rows, rows + count], axis=1)
        table = exact_ranks(queries, pool, document_languages=codes, relevant=relevant, tie_order=ties, **common)
        own = {"relevant": rows[:, None], "tie_order": tie_order([*map(str, range(count))])}
        alone = exact_ranks(queries, documents[tag], document_languages=codes[codes == code], **own, **common)
        made[tag] = Ranked(table.ranks.max(axis=1), table.ranks[:, code] == 1, alone.ranks[:, 0] == 1)
    return made


def part_of(others: OtherLanguages, texts: int, languages: int, fitted: Sequence[str]) -> OtherLanguages:
    """The first texts, in the fitted languages and some others."""
    groups = sorted(set(others.groups))[:texts]
    rest = [tag for tag in others.languages if tag not in fitted]
    places = np.linspace(0, len(rest) - 1, min(languages, len(rest)))  # spread over the alphabet
    chosen = {*fitted, *(rest[int(place)] for place in places)}
    rows = [row for row, group in enumerate(others.groups) if group in groups and others.tags[row] in chosen]
    kept = tuple(tag for tag in others.languages if tag in chosen)
    named = (tuple(values[row] for row in rows) for values in (others.tags, others.groups))
    return OtherLanguages(kept, others.vectors[rows], *named)


def settings() -> Iterator[tuple[str, tuple[float, float, float | None] | None, tuple[int, int] | None, bool]]:
    """Name; strength, share and whitening; texts and languages; whether the language of the pool is left out."""
    yield "base model", None, None, True
    for share, whitening in ((0.0, None), (0.6, None), (0.6, 3.0)):
        yield "two languages alone", (1.0, share, whitening), None, True
    for share, whitening in ((0.0, None), (0.6, None), (0.6, 3.0), (0.8, 3.0)):
        yield "protected", (1.0, share, whitening), (12, 30), True
    for texts in (4, 8):
        yield f"protected, {texts} texts", (1.0, 0.6, 3.0), (texts, 30), True
    for languages in (7, 15):
        yield f"protected, {languages} languages", (1.0, 0.6, 3.0), (12, languages), True
    yield "known", (1.0, 0.6, 3.0), (12, 30), False


def repair_of(
    sample: tuple[np.ndarray, list[str], list[str]],
    known: OtherLanguages | None,
    strengths: tuple[float, float, float | None] | None,
    without: str | None,
) -> VectorMap | None:
    """The repair with some strengths, as if nothing were known of one language."""
    if strengths is None:
        return None
    texts = known if known is None or without is None else known.without(without)
    strength, share, whitening = strengths
    return fit_language_directions(*sample, texts).affine(strength, share, None, whitening)


def table(fitted: tuple[str, str], fit: dict[str, np.ndarray], half: Half, others: OtherLanguages) -> list[str]:
    vectors = np.concatenate([fit[tag] for tag in fitted])
    tags = [tag for tag in fitted for _ in fit[tag]]
    groups = [str(number) for tag in fitted for number in range(len(fit[tag]))]
    first, second = fitted
    lines = [
        "",
        f"## Fitted on {first} and {second}",
        "",
        f"| | share, whitening | {first}: Max@R | C@10 | own | same | {second}: Max@R | C@10 | own | same | {first}+L, "
        f"{first} | L | {second}+L, {second} | L | worse | better |",
        "|---|---|" + "--:|" * 14,
    ]
    rest = [tag for tag in LANGUAGES if tag not in fitted]
    before: dict[tuple[str, str], dict[str, Ranked]] = {}
    for name, strengths, size, left_out in settings():
        known = None if size is None else part_of(others, *size, fitted)
        made = partial(repair_of, (vectors, tags, groups), known, strengths)
        whole = ranked(half, fitted, made(None))
        complete, tests = [], []
        for language in rest:
            repair = made(language if left_out else None)
            for own in fitted:
                pair = (own, language)
                after = ranked(half, pair, repair)
                base = before.setdefault(pair, after)
                for tag in pair:
                    complete.append(100 * (after[tag].depth <= 10).mean())
                    logs = np.log2(base[tag].depth), np.log2(after[tag].depth)
                    tests.append((logs[1].mean() - logs[0].mean(), paired_permutation_test(*logs, seed=0)))
        p_values = holm([p for _, p in tests])
        shown = [change for (change, _), p in zip(tests, p_values, strict=True) if p < 0.05]
        cells = [name, "" if strengths is None else f"{strengths[1]:g}, {strengths[2] or '–'}"]
        for tag in fitted:
            one = whole[tag]
            cells += [f"{one.depth.mean():.1f}", f"{100 * (one.depth <= 10).mean():.1f}"]
            cells += [f"{100 * one.own.mean():.1f}", f"{100 * one.same.mean():.1f}"]
        cells += [f"{mean:.1f}" for mean in np.array(complete).reshape(len(rest), 4).mean(axis=0)]
        cells += [str(sum(change > 0 for change in shown)), str(sum(change < 0 for change in shown))]
        lines.append("| " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--embeddings", type=Path, help="file that keeps embeddings from one call to the next")
    parser.add_argument("--output", type=Path, default=HERE.parent / "results" / "other_languages.md")
    options = parser.parse_args()
    embeddings = Embeddings(options.embeddings)
    triplets = read_ntrex(options.data / "ntrex_16lang.jsonl", LANGUAGES, block=3)[0].triplets
    articles = sorted({article_of(one.group) for one in triplets})
    parts = [[one for one in triplets if articles.index(article_of(one.group)) % 2 == number] for number in (0, 1)]
    draw = np.random.default_rng(0)
    fit, judged = ([part[row] for row in draw.permutation(len(part))] for part in parts)
    blocks = read_tico19(options.data / "tico19_8lang.jsonl", ["sw", "zh"], block=4)[0].triplets
    fit += [blocks[row] for row in draw.permutation(len(blocks))[:450]]
    judged = judged[:220]

    def passages(chosen: Sequence, tag: str) -> np.ndarray:
        return embeddings("document", [one.passage if tag == "en" else one.targets[tag] for one in chosen])

    tags = ("en", *LANGUAGES)
    half = Half(
        {tag: passages(judged, tag) for tag in tags},
        {tag: embeddings("query", [one.query if tag == "en" else one.target_queries[tag] for one in judged])
         for tag in tags},
    )  # fmt: skip
    texts = shipped_texts().passages
    vectors = embeddings("document", [one.text for one in texts])
    others = known_languages(vectors, [one.language for one in texts], [one.group for one in texts], "en")
    made = ["# Languages that a repair is not fitted on", "", "`python benchmarks/studies/other_languages.py`", ""]
    made += TEXT.strip().splitlines()
    for language in ("sw", "zh"):
        made += table(("en", language), {tag: passages(fit, tag) for tag in ("en", language)}, half, others)
    made += ["", machine_line()]
    options.output.write_text("\n".join(made) + "\n", encoding="utf-8")
    print(f"{options.output} written")


if __name__ == "__main__":
    main()
