"""What a repair's choices do to documents and questions it has not seen, without XQuAD.

python benchmarks/studies/repair_choice.py                       # Chinese, Spanish, Vietnamese
python benchmarks/studies/repair_choice.py --corpus translated   # Arabic, Thai: of them SQuAD has nothing
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np

from haystack_crossalign.data.triplets import article_of
from haystack_crossalign.measures import parse_measure
from haystack_crossalign.models.encoder import Encoder
from haystack_crossalign.models.names import OFFLINE_MODELS
from haystack_crossalign.ranks.exact import exact_ranks
from haystack_crossalign.ranks.ties import tie_order
from haystack_crossalign.repair.directions import fit_language_directions
from haystack_crossalign.repair.language_maps import fit_language_maps
from haystack_crossalign.repair.matrix_file import VectorMap
from haystack_crossalign.repair.scores import paired_share_interval
from haystack_crossalign.text.sentences import sentences
from haystack_crossalign.triplets.corpora import read_course_sections, read_ntrex, read_squad

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data" / "train"
SQUAD = """
The articles of the SQuAD training file are split in two by their names. The repair is fitted on the parallel passages
of one half and judged on the other, and the other way round. English asks its real questions. The other languages have
none: there each passage's first sentence asks for what is left of it. One pool holds the English passages and the
other language's without their first sentences; same-language retrieval is asked of the part in the query's language.
"""
TRANSLATED = """
The files of the course sections and the articles of NTREX-128 are split in two by their names. The repair is fitted on
one half, on the sections alone or on the blocks of NTREX-128 (three sentences) too, and judged on the other half, and
the other way round. Queries are in both languages: a sentence of NTREX-128 asks for the others of its block, the first
sentence of a section (in Thai, which ends sentences by no sign, up to 200 characters) for what is left of it. One pool
holds both languages' blocks and sections; same-language retrieval is asked of the part in the query's language.

The last column is of other texts than those that are fitted on: the real English questions of the SQuAD training file
and its English passages, by the repair that was fitted on all sections (and blocks). English has no map of its own, so
it does not depend on *own*.
"""
CORPORA = {
    "squad": (SQUAD, ("zh", "es", "vi"), "repair_choice"),
    "translated": (TRANSLATED, ("ar", "th"), "repair_choice_translated"),
}
# Share of the common mean, shrinkage of the whitening, own share of the other language, which None gives no map.
ONE_MAP = [(0.0, None, None), *((share, kind, None) for share, kind in product((0.6, 0.8), (None, 10.0, 3.0)))]
MAPS = [*product((0.4, 0.5, 0.6, 0.8), (10.0, 3.0), (0.0, 0.1, 0.15, 0.2, 0.25))]


class Embeddings:
    """Embeddings of texts by a model, the base model unless told, kept in a file from one call to the next."""

    def __init__(self, path: Path | None, model: str = OFFLINE_MODELS[0]) -> None:
        self.encoder = Encoder(model)
        self.path = path
        self.known: dict[str, np.ndarray] = {}
        if path is not None and path.is_file():
            with np.load(path) as file:
                names = json.loads(file["texts"].tobytes())
                self.known = dict(zip(names, file["vectors"], strict=True))

    def __call__(self, role: str, texts: list[str]) -> np.ndarray:
        keys = [f"{role} {text}" for text in texts]
        new = list(dict.fromkeys(text for key, text in zip(keys, texts, strict=True) if key not in self.known))
        if new:
            encode = self.encoder.encode_queries if role == "query" else self.encoder.encode_documents
            self.known.update({f"{role} {text}": one for text, one in zip(new, encode(new), strict=True)})
            if self.path is not None:
                names = np.frombuffer(json.dumps(list(self.known)).encode(), dtype=np.uint8)
                temporary = self.path.with_name(f".{self.path.name}.npz")
                np.savez(temporary, texts=names, vectors=np.stack(list(self.known.values())))
                temporary.replace(self.path)
        return np.stack([self.known[key] for key in keys])


@dataclass(frozen=True)
class Pair:
    """A passage in English and in the other language, each as it is fitted on and as it stands in the pool."""

    group: str
    fits: bool
    fit: tuple[str, str]
    pool: tuple[str, str]
    queries: tuple[tuple[int, str], ...]  # 0 for English


class Half:
    """The vectors of one half of the articles."""

    def __init__(self, pairs: list[Pair], embeddings: Embeddings) -> None:
        fits = [pair for pair in pairs if pair.fits]
        self.groups = [pair.group for pair in fits]
        if fits:
            self.fit = np.stack([embeddings("document", [pair.fit[side] for pair in fits]) for side in (0, 1)])
        self.documents = np.concatenate(
            [embeddings("document", [pair.pool[side] for pair in pairs]) for side in (0, 1)]
        )
        asked = [(side, text, row) for row, pair in enumerate(pairs) for side, text in pair.queries]
        asked.sort(key=lambda one: one[0])
        self.queries = embeddings("query", [text for _, text, _ in asked])
        self.foreign = np.array([side == 1 for side, _, _ in asked])
        rows = np.array([row for _, _, row in asked], dtype=np.int32)
        self.count = len(pairs)
        self.relevant = np.stack([rows, rows + self.count], axis=1)
        self.own = np.where(self.foreign, rows + self.count, rows).astype(np.int32)

    def ranked(self, repair: VectorMap | None) -> dict[str, np.ndarray]:
        """Max@R in the pool of both languages and NDCG@1 in that of the query's own, of each query."""
        queries, documents = self.queries, self.documents
        if repair is not None:
            queries, documents = repair.apply(queries), repair.apply(documents)
        count = self.count
        codes = np.repeat(np.arange(2, dtype=np.int32), count)
        depths, found = np.zeros(len(queries)), np.zeros(len(queries))
        for code in (0, 1):
            rows = self.foreign == bool(code)
            common = {"languages": ("en", "xx"), "query_languages": np.full(int(rows.sum()), code, dtype=np.int32)}
            table = exact_ranks(queries[rows], documents, document_languages=codes, relevant=self.relevant[rows],
                                tie_order=tie_order([*map(str, range(2 * count))]), **common)  # fmt: skip
            depths[rows] = parse_measure("Max@R").per_query(table).values
            table = exact_ranks(queries[rows], documents[codes == code], document_languages=codes[codes == code],
                                relevant=self.own[rows, None] - code * count,
                                tie_order=tie_order([*map(str, range(count))]), **common)  # fmt: skip
            found[rows] = parse_measure("NDCG@1").per_query(table).values
        return {"depth": depths, "found": found, "foreign": self.foreign}


class Questions:
    """Real questions and the passages that answer them, in one language alone.

    :param passages: the pool.
    :param asked: each question and the row of its passage.
    """

    def __init__(self, passages: list[str], asked: list[tuple[str, int]], embeddings: Embeddings) -> None:
        self.documents = embeddings("document", passages)
        self.queries = embeddings("query", [text for text, _ in asked])
        self.relevant = np.array([[row] for _, row in asked], dtype=np.int32)

    def found(self, repair: VectorMap | None) -> np.ndarray:
        """NDCG@1 of each question."""
        queries, documents = self.queries, self.documents
        if repair is not None:
            queries, documents = repair.apply(queries), repair.apply(documents)
        table = exact_ranks(queries, documents, document_languages=np.zeros(len(documents), dtype=np.int32),
                            relevant=self.relevant, tie_order=tie_order([*map(str, range(len(documents)))]),
                            languages=("xx",), query_languages=np.zeros(len(queries), dtype=np.int32))  # fmt: skip
        return parse_measure("NDCG@1").per_query(table).values


def losses(
    asked: Mapping[str, tuple[list[str], list[tuple[str, int]]]],
    before: Mapping[str, np.ndarray],
    embeddings: Embeddings,
    repair: VectorMap | None,
) -> dict[str, dict]:
    """What the questions of each language lose, in points of NDCG@1, against what they found before.

    :param asked: by language, passages and questions as :class:`Questions` takes them.
    :param before: NDCG@1 of each question.
    """
    made = {}
    for tag, one in asked.items():
        after = Questions(*one, embeddings).found(repair)
        made[tag] = {
            "NDCG@1": float(100 * after.mean()),
            "loss": float(100 * (before[tag].mean() - after.mean())),
            "shown": loss(before[tag], after),
        }
    return made


def english_questions(data: Path) -> tuple[list[str], list[tuple[str, int]]]:
    """The real questions of the SQuAD file, and its passages, in English alone."""
    drop = data / "drop_8gram_overlap_with_xquad.json"
    path = data / "squad_dev_minus_xquad_en_zh_es_vi.jsonl"
    built, _ = read_squad(path, ["zh", "es", "vi"], drop=drop)
    groups = {name: row for row, name in enumerate(dict.fromkeys(one.group for one in built.triplets))}
    passages = list({one.group: one.passage for one in built.triplets}.values())
    return passages, [(one.query, groups[one.group]) for one in built.triplets]


def fitted(parts: Sequence[Half], setting: tuple, language: str) -> VectorMap:
    rows: dict[tuple[str, str], np.ndarray] = {}
    for part in parts:
        for name, english, other in zip(part.groups, *part.fit, strict=True):
            rows["en", name], rows[language, name] = english, other
    return repair_of(rows, setting)


def repair_of(rows: Mapping[tuple[str, str], np.ndarray], setting: tuple) -> VectorMap:
    """The repair of passages by language and group.

    :param setting: share of the common mean, shrinkage of the whitening, own share; see `MAPS`.
    """
    share, whitening, own = setting
    vectors = np.stack(list(rows.values())).astype(np.float32)
    tags, groups = [tag for tag, _ in rows], [name for _, name in rows]
    shared = fit_language_directions(vectors, tags, groups).affine(1.0, share, whitening=whitening)
    if own is None:
        return shared
    return fit_language_maps(shared, vectors, tags, groups, pivot="en", own_share=own)


def squad_pairs(language: str, data: Path) -> Iterator[tuple[str, Pair]]:
    """Pairs and the article of each."""
    drop = data / "drop_8gram_overlap_with_xquad.json"
    built, _ = read_squad(data / "squad_dev_minus_xquad_en_zh_es_vi.jsonl", [language], drop=drop)
    questions: dict[str, list[str]] = {}
    for one in built.triplets:
        questions.setdefault(one.group, []).append(one.query)
    for group, (english, other) in {one.group: (one.passage, one.targets[language]) for one in built.triplets}.items():
        found = sentences(other, longest=None)
        parted = len(found) > 1
        queries = [(0, text) for text in questions[group]] + [(1, found[0])] * parted
        pool = (english, " ".join(found[1:]) if parted else other)
        yield article_of(group), Pair(group, True, (english, other), pool, tuple(queries))


def translated_pairs(language: str, data: Path, *, fit_blocks: bool) -> Iterator[tuple[str, Pair]]:
    built, _ = read_ntrex(data / "ntrex_16lang.jsonl", [language])
    for one in built.triplets:
        texts = (one.passage, one.targets[language])
        queries = ((0, one.query), (1, one.target_queries[language]))
        yield article_of(one.group), Pair(one.id, fit_blocks, texts, texts, queries)
    built, _ = read_course_sections(data / "ms_coop_sections_6lang.jsonl", [language])
    for one in built.triplets:
        texts = (one.passage, one.targets[language])
        parts = [sentences(text) for text in texts]
        if min(len(found) for found in parts) > 1:
            queries = tuple((side, found[0]) for side, found in enumerate(parts))
            pool = tuple(" ".join(found[1:]) for found in parts)
            yield article_of(one.group), Pair(one.id, True, texts, pool, queries)


def halves(
    pairs: Iterable[tuple[str, Pair]], embeddings: Embeddings, articles: Sequence[str] = ()
) -> tuple[Half, Half]:
    """The pairs in two by their articles, which may be those of several languages."""
    made = list(pairs)
    articles = articles or sorted({article for article, _ in made})
    split = [[pair for article, pair in made if articles.index(article) % 2 == number] for number in (0, 1)]
    return tuple(Half(part, embeddings) for part in split)  # type: ignore[return-value]


def both(language: str, parts: tuple[Half, Half], setting: tuple | None) -> dict[str, np.ndarray]:
    """Each half by the repair that was fitted on the other one."""
    return judged(parts, [None if setting is None else fitted([parts[fit]], setting, language) for fit in (1, 0)])


def judged(parts: tuple[Half, Half], repairs: Sequence[VectorMap | None]) -> dict[str, np.ndarray]:
    """Each half by a repair of its own."""
    found = [part.ranked(repair) for part, repair in zip(parts, repairs, strict=True)]
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def loss(before: np.ndarray, after: np.ndarray) -> str:
    low, high = (100 * one for one in paired_share_interval(before, after))
    return f"{100 * (before.mean() - after.mean()):+.2f} ({-high:+.2f} to {-low:+.2f})"


def row(name: str, before: dict[str, np.ndarray], after: dict[str, np.ndarray], *more: str) -> str:
    cells = [name]
    for foreign in (True, False):
        rows = before["foreign"] == foreign
        depth = after["depth"][rows]
        cells += [
            f"{depth.mean():.1f}",
            f"{100 * (depth <= 10).mean():.1f}",
            loss(before["found"][rows], after["found"][rows]),
        ]
    return "| " + " | ".join([*cells, *more]) + " |"


def table(language: str, title: str, parts: tuple[Half, Half], english: Questions | None = None) -> list[str]:
    before = both(language, parts, None)
    foreign = int(before["foreign"].sum())
    passages, asked = sum(one.count for one in parts), len(before["foreign"]) - foreign
    kind = "questions" if asked > foreign else "sentences"
    counts = f"{passages} passages in each language, {asked} English {kind}, {foreign} sentences in {language}"
    heads = ["share, whitening, own", f"{language}: Max@R", "Complete@10", "loss", "en: Max@R", "Complete@10", "loss"]
    more: dict[tuple[float, float | None], list[str]] = {}
    known = None
    if english is not None:
        counts += f"; {len(english.queries)} English questions on {len(english.documents)} other passages"
        heads.append("en, other texts: loss")
        known = english.found(None)
    made = ["", title, "", f"{counts}.", "", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads),
            row("base model", before, before, *([] if known is None else [loss(known, known)]))]  # fmt: skip
    for share, whitening, own in (*ONE_MAP, *MAPS):
        name = ", ".join("-" if one is None else f"{one:g}" for one in (share, whitening, own))
        after = both(language, parts, (share, whitening, own))
        if english is not None and known is not None and (share, whitening) not in more:
            repair = fitted(parts, (share, whitening, None), language)
            more[share, whitening] = [loss(known, english.found(repair))]
        made.append(row(name, before, after, *more.get((share, whitening), [])))
        print(language, made[-1], flush=True)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--corpus", choices=CORPORA, default="squad")
    parser.add_argument("--languages", nargs="+", help="default: those that the corpus is there for")
    parser.add_argument("--embeddings", type=Path, help="file that keeps embeddings from one call to the next")
    parser.add_argument("--output", type=Path, help="default: repair_choice[_translated].md in results/")
    arguments = parser.parse_args()
    described, languages, name = CORPORA[arguments.corpus]
    output = arguments.output or HERE.parent / "results" / f"{name}.md"
    embeddings = Embeddings(arguments.embeddings)
    made = [
        "# A repair on documents and questions it has not seen",
        "",
        "`python benchmarks/studies/repair_choice.py"
        f"{'' if arguments.corpus == 'squad' else f' --corpus {arguments.corpus}'}`",
        "",
        *described.strip().splitlines(),
        "",
        "The columns of each side: Max@R, Complete@10 in %, loss of same-language NDCG@1 in points with its 95 %",
        "interval (Agresti and Min); a gain is negative. *Share*: of the common mean that is taken away. *Own*: of its",
        "own mean that the other language gives up besides, by a map of its own.",
    ]
    chosen = arguments.languages or languages
    if arguments.corpus == "translated":
        english = Questions(*english_questions(arguments.data), embeddings)
        for language in chosen:
            for fit_blocks in (False, True):
                parts = halves(translated_pairs(language, arguments.data, fit_blocks=fit_blocks), embeddings)
                title = f"## en, {language}: fitted on sections{' and on blocks of NTREX-128' if fit_blocks else ''}"
                made += table(language, title, parts, english)
    else:
        for language in chosen:
            parts = halves(squad_pairs(language, arguments.data), embeddings)
            made += table(language, f"## en, {language}", parts)
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "torch", "sentence-transformers"))
    made += ["", f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"]
    output.write_text("\n".join(made) + "\n", encoding="utf-8")
    print(f"{output} written")


if __name__ == "__main__":
    main()
