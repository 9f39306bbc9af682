"""What a repair's choices do to documents and questions it has not seen, without XQuAD.

    python benchmarks/repair_choice.py [--embeddings FILE] [--output benchmarks/results/repair_choice.md]

The articles of the SQuAD training file are split in two by their names. The repair is fitted on the parallel passages
of one half and judged on the other, and the other way round. English asks its real questions. The other languages have
none: there each passage's first sentence asks for what is left of it. One pool holds the English passages and the
other language's without their first sentences; same-language retrieval is asked of the part in the query's language.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np

from haystack_crossalign.first_sentence import sentences
from haystack_crossalign.measures import parse_measure
from haystack_crossalign.models.encoder import Encoder
from haystack_crossalign.models.names import OFFLINE_MODELS
from haystack_crossalign.ranks.exact import exact_ranks
from haystack_crossalign.training.corpora import read_squad
from haystack_crossalign.training.language_maps import fit_language_maps
from haystack_crossalign.training.matrix_file import VectorMap
from haystack_crossalign.training.repair import fit_language_directions
from haystack_crossalign.training.repair_harm import paired_share_interval

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "shared" / "data" / "train"
LANGUAGES = ("zh", "es", "vi")
# Share of the common mean, shrinkage of the whitening, own share of the other language, which None gives no map.
ONE_MAP = [(0.0, None, None), *((share, kind, None) for share, kind in product((0.6, 0.8), (None, 10.0, 3.0)))]
MAPS = [*product((0.4, 0.5, 0.6, 0.8), (10.0, 3.0), (0.0, 0.1, 0.15, 0.2, 0.25))]


class Embeddings:
    """Embeddings of texts by the base model, kept in a file from one call to the next."""

    def __init__(self, path: Path | None) -> None:
        self.encoder = Encoder(OFFLINE_MODELS[0])
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


class Half:
    """The vectors of one half of the articles."""

    def __init__(self, groups: dict, asked: list, embeddings: Embeddings) -> None:
        self.groups = list(groups)
        place = {group: row for row, group in enumerate(self.groups)}
        english, other = zip(*groups.values(), strict=True)
        parts = [sentences(text, longest=None) for text in other]
        kept = [row for row, found in enumerate(parts) if len(found) > 1]
        self.english = embeddings("document", list(english))
        self.other = embeddings("document", list(other))  # whole: what is fitted on
        rests = [" ".join(found[1:]) if len(found) > 1 else text for found, text in zip(parts, other, strict=True)]
        self.documents = np.concatenate([self.english, embeddings("document", rests)])
        questions = [(one.query, place[one.group]) for one in asked if one.group in place]
        self.queries = np.concatenate(
            [
                embeddings("query", [text for text, _ in questions]),
                embeddings("query", [parts[row][0] for row in kept]),
            ]
        )
        rows = np.array([*(row for _, row in questions), *kept], dtype=np.int32)
        self.foreign = np.arange(len(rows)) >= len(questions)
        count = len(self.groups)
        self.relevant = np.stack([rows, rows + count], axis=1)
        self.own = np.where(self.foreign, rows + count, rows).astype(np.int32)

    def fitted(self, share: float, whitening: float | None, own: float | None, language: str) -> VectorMap:
        vectors = np.concatenate([self.english, self.other]).astype(np.float32)
        tags, groups = ["en"] * len(self.groups) + [language] * len(self.groups), self.groups * 2
        shared = fit_language_directions(vectors, tags, groups).affine(1.0, share, whitening=whitening)
        if own is None:
            return shared
        return fit_language_maps(shared, vectors, tags, groups, pivot="en", own_share=own)

    def ranked(self, repair: VectorMap | None) -> dict[str, np.ndarray]:
        """Max@R in the pool of both languages and NDCG@1 in that of the query's own, of each query."""
        queries, documents = self.queries, self.documents
        if repair is not None:
            queries, documents = repair.apply(queries), repair.apply(documents)
        count = len(self.groups)
        codes = np.repeat(np.arange(2, dtype=np.int32), count)
        depths, found = np.zeros(len(queries)), np.zeros(len(queries))
        for code in (0, 1):
            rows = self.foreign == bool(code)
            common = {"languages": ("en", "xx"), "query_languages": np.full(int(rows.sum()), code, dtype=np.int32)}
            table = exact_ranks(queries[rows], documents, document_languages=codes, relevant=self.relevant[rows],
                                id_order=np.arange(2 * count, dtype=np.int64), **common)  # fmt: skip
            depths[rows] = parse_measure("Max@R").per_query(table).values
            table = exact_ranks(queries[rows], documents[codes == code], document_languages=codes[codes == code],
                                relevant=self.own[rows, None] - code * count,
                                id_order=np.arange(count, dtype=np.int64), **common)  # fmt: skip
            found[rows] = parse_measure("NDCG@1").per_query(table).values
        return {"depth": depths, "found": found, "foreign": self.foreign}


def halves(language: str, data: Path, embeddings: Embeddings) -> tuple[Half, Half]:
    drop = data / "drop_8gram_overlap_with_xquad.json"
    triplets, _ = read_squad(data / "squad_dev_minus_xquad_en_zh_es_vi.jsonl", [language], drop=drop)
    groups = {one.group: (one.passage, one.targets[language]) for one in triplets}
    articles = sorted({group.rsplit("#", 1)[0] for group in groups})
    split = [
        {group: texts for group, texts in groups.items() if articles.index(group.rsplit("#", 1)[0]) % 2 == number}
        for number in (0, 1)
    ]
    return tuple(Half(part, list(triplets), embeddings) for part in split)  # type: ignore[return-value]


def both(language: str, parts: tuple[Half, Half], setting: tuple | None) -> dict[str, np.ndarray]:
    """Each half by the repair that was fitted on the other one."""
    found = [
        judged.ranked(None if setting is None else fit.fitted(*setting, language))
        for judged, fit in (parts, parts[::-1])
    ]
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def row(name: str, before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> str:
    cells = [name]
    for foreign in (True, False):
        rows = before["foreign"] == foreign
        depth = after["depth"][rows]
        low, high = (100 * one for one in paired_share_interval(before["found"][rows], after["found"][rows]))
        lost = 100 * (before["found"][rows].mean() - after["found"][rows].mean())
        cells += [
            f"{depth.mean():.1f}",
            f"{100 * (depth <= 10).mean():.1f}",
            f"{lost:+.2f} ({-high:+.2f} to {-low:+.2f})",
        ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--languages", nargs="+", default=list(LANGUAGES))
    parser.add_argument("--embeddings", type=Path, help="file that keeps embeddings from one call to the next")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "repair_choice.md")
    arguments = parser.parse_args()
    embeddings = Embeddings(arguments.embeddings)
    made = [
        "# A repair on documents and questions it has not seen",
        "",
        "`python benchmarks/repair_choice.py`",
        "",
        *__doc__.split("\n\n", 2)[2].strip().splitlines(),
        "",
        "The columns of each side: Max@R, Complete@10 in %, loss of same-language NDCG@1 in points with its 95 %",
        "interval (Agresti and Min); a gain is negative. *Share*: of the common mean that is taken away. *Own*: of its",
        "own mean that the other language gives up besides, by a map of its own.",
    ]
    for language in arguments.languages:
        parts = halves(language, arguments.data, embeddings)
        before = both(language, parts, None)
        foreign = int(before["foreign"].sum())
        documents = sum(len(one.groups) for one in parts)
        made += ["", f"## en, {language}", "",
                 f"{documents} passages in each language, {len(before['foreign']) - foreign} English questions, "
                 f"{foreign} sentences in {language}.", "",
                 f"| share, whitening, own | {language}: Max@R | Complete@10 | loss | en: Max@R | Complete@10 | loss |",
                 "|---|---|---|---|---|---|---|", row("base model", before, before)]  # fmt: skip
        for share, whitening, own in (*ONE_MAP, *MAPS):
            name = ", ".join("-" if one is None else f"{one:g}" for one in (share, whitening, own))
            made.append(row(name, before, both(language, parts, (share, whitening, own))))
            print(language, made[-1], flush=True)
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "torch", "sentence-transformers"))
    made += ["", f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"]
    arguments.output.write_text("\n".join(made) + "\n", encoding="utf-8")
    print(f"{arguments.output} written")


if __name__ == "__main__":
    main()
