"""What a model gives on XQuAD: the figures of `benchmarks/studies/training.py`."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from haystack_crossalign.audit.run import audit_vectors
from haystack_crossalign.audit.scenarios import Scenario
from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.corpora.xquad import read_xquad
from haystack_crossalign.models.encoder import Encoder
from haystack_crossalign.models.names import OFFLINE_MODELS
from haystack_crossalign.repair.matrix_file import VectorMap

XQUAD = Path(__file__).resolve().parents[3] / "shared" / "data" / "xquad"
MODEL = OFFLINE_MODELS[0]
COLUMNS = (
    ("multi x", "Max@R"),
    ("multi x", "Complete@10"),
    ("multi x", "Top1[relevant,same]"),
    ("mono-same x", "NDCG@1"),
    ("multi en", "Max@R"),
    ("multi en", "Complete@10"),
    ("multi en", "Top1[relevant,same]"),
    ("mono-same en", "NDCG@1"),
)
"""Of the tables of studies: the row of `measured` without its pool, and the measure."""
MEASURES = ("Max@R", "Max@R_norm", "Complete@10", "NDCG@1", "Top1[relevant,same]")


class Xquad:
    """XQuAD in the vectors of one model; a text is embedded once."""

    def __init__(self, model: str, precision: str = "auto") -> None:
        self.encoder = Encoder(model, precision=precision)
        self.known: dict[tuple[str, str], np.ndarray] = {}

    def collection(self, language: str, pool: str) -> JudgedCollection:
        made = read_xquad(XQUAD, ["en", language], pool=pool)
        return replace(
            made,
            documents=replace(made.documents, vectors=self._vectors("document", made.documents.texts)),
            queries=replace(made.queries, vectors=self._vectors("query", made.queries.texts)),
        )

    def _vectors(self, role: str, texts: tuple[str, ...]) -> np.ndarray:
        new = list(dict.fromkeys(text for text in texts if (role, text) not in self.known))
        if new:
            encode = self.encoder.encode_queries if role == "query" else self.encoder.encode_documents
            self.known.update({(role, text): vector for text, vector in zip(new, encode(new), strict=True)})
        return np.stack([self.known[role, text] for text in texts])


@cache
def base_in_fp32() -> Xquad:
    """The base model as a machine without bf16 has it: what runs on such a machine are compared with."""
    return Xquad(MODEL, precision="fp32")


def measured(xquad: Xquad, language: str, repair: VectorMap | None = None) -> dict:
    """Figures of one language pair."""
    figures = {}
    for pool in ("questions", "passages"):
        collection = xquad.collection(language, pool)
        if repair is not None:
            # Equal vectors stay equal, so that the copies of a passage still tie.
            collection = replace(
                collection,
                documents=replace(collection.documents, vectors=repair.apply(collection.documents.vectors)),
                queries=replace(collection.queries, vectors=repair.apply(collection.queries.vectors)),
            )
        plan = [Scenario("multi", ("en", language), tag) for tag in (language, "en")]
        if pool == "passages":
            plan += [Scenario("mono-same", (tag,), tag) for tag in (language, "en")]
            plan += [Scenario("mono-cross", ("en",), language)]
        result = audit_vectors(collection, plan, provenance={}, samples=1000 if pool == "questions" else 0, examples=0)
        for number, (scenario, row) in enumerate(zip(plan, result.rows, strict=True)):
            asked = "en" if scenario.query_language == "en" else "x"
            measures = {name: row["measures"][name] for name in MEASURES if name in row["measures"]}
            figures[f"{pool} {scenario.name} {asked}"] = measures | {
                f"{name} interval": row["intervals"][name]
                for name in ("Max@R", "Complete@10")
                if row.get("intervals", {}).get(name) is not None and pool == "questions"
            }
            if scenario.name == "mono-same":
                values = result.queries["measures"]["NDCG@1"]
                found = np.array([values[place] == 1 for place in result.row_queries(number)])
                figures[f"{pool} {scenario.name} {asked}"] |= {
                    "queries": len(found),
                    "found": np.packbits(found).tobytes().hex(),
                }
    return figures


def fused(xquad: Xquad, language: str) -> dict:
    """Retrieval per language by the base model, the lists fused by reciprocal rank: they take turns."""
    figures = {}
    for pool in ("questions", "passages"):
        collection = xquad.collection(language, pool)
        documents, queries = collection.documents, collection.queries
        ties = documents.tie_order()
        place: dict[int, tuple[str, int]] = {}
        members = {}
        for tag in ("en", language):
            rows = np.array([row for row, own in enumerate(documents.languages) if own == tag])
            members[tag] = rows[np.argsort(ties[rows])]
            place |= {int(row): (tag, column) for column, row in enumerate(members[tag])}
        deepest: dict[str, list[int]] = {"en": [], language: []}
        scores = {tag: queries.vectors @ documents.vectors[rows].T for tag, rows in members.items()}
        # Equal texts may differ in the last bit of a product; the exact audit computes each distinct text once.
        scores = {tag: np.round(one.astype(np.float64), 6) for tag, one in scores.items()}
        order = sorted(members, key=lambda tag: tag.encode())
        for row, relevant in enumerate(collection.relevant):
            last = 0
            for document in relevant:
                tag, column = place[document]
                own = scores[tag][row]
                rank = 1 + int((own > own[column]).sum() + (own[:column] == own[column]).sum())
                last = max(last, 2 * rank - 1 + order.index(tag))
            deepest[queries.languages[row]].append(last)
        for tag, asked in ((language, "x"), ("en", "en")):
            values = np.array(deepest[tag])
            figures[f"{pool} multi {asked}"] = {"Max@R": values.mean(), "Complete@10": (values <= 10).mean()}
    return figures
