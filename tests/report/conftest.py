"""Results to report on: real audits of the package's sample, and invented ones where only size counts.

Most of the sample is embedded once, in three languages and cut to 32 tokens, which takes seconds; every real result
below is made from these vectors.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic
from xquad_files import write_xquad

from haystack_crossalign.audit.compare import compare_results
from haystack_crossalign.audit.provenance import build_provenance, describe_data
from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.audit.result_lists import audit_run
from haystack_crossalign.audit.run import audit_vectors, embed_collection
from haystack_crossalign.audit.scenarios import plan_scenarios
from haystack_crossalign.audit.trec import trec_run
from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.corpora.xquad import read_xquad
from haystack_crossalign.data.detect import detect_languages
from haystack_crossalign.data.formats.run_files import read_run
from haystack_crossalign.languages import UNDETERMINED

LANGUAGES = ("en", "ar", "de", "el", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")
ARTICLES = 40
DEPTH = 20
SCENARIOS = ("multi", "mono-same", "mono-cross")
STATE = {"uuid": "u1", "documents": 200, "sequence_number": 205}
SNAPSHOT = {"name": "prod", "indices": {"prod-1": STATE}, "aliases": {"prod-1": ["prod"]}}

Result = dict[str, Any]
Audit = Callable[[JudgedCollection, Sequence[str]], Result]


@pytest.fixture(scope="session")
def make_result() -> Callable[..., Result]:
    """The generator of invented results, for results of any size and for hostile texts."""
    return synthetic.synthetic_result


@pytest.fixture(scope="session")
def model(offline_model: str) -> Any:
    from haystack_crossalign.models.encoder import Encoder

    return Encoder(offline_model, max_tokens=32)


@pytest.fixture(scope="session")
def collection(model: Any, tmp_path_factory: pytest.TempPathFactory) -> JudgedCollection:
    """Articles and questions of the sample in English, Chinese and Arabic, with real vectors."""
    folder = write_xquad(tmp_path_factory.mktemp("sample"), ("en", "zh", "ar"), ARTICLES)
    return embed_collection(read_xquad(folder), model)


@pytest.fixture(scope="session")
def audit(model: Any) -> Audit:
    def over(part: JudgedCollection, scenarios: Sequence[str] = SCENARIOS) -> Result:
        plan = plan_scenarios(scenarios, part.document_languages, part.query_languages)
        options = {"scenarios": ",".join(scenarios), "samples": 200}
        provenance = build_provenance("audit", describe_data(part), model=model.provenance(), options=options, seed=0)
        return audit_vectors(part, plan, provenance=provenance, samples=200).to_dict()

    return over


@pytest.fixture(scope="session")
def two(collection: JudgedCollection, audit: Audit) -> Result:
    """As `pair`, shared by tests that only read it."""
    return audit(collection.restrict(["en", "zh"], ["en", "zh"]), SCENARIOS)


@pytest.fixture
def pair(two: Result) -> Result:
    """English and Chinese, mixed and one-language pools: the usual case."""
    return copy.deepcopy(two)


@pytest.fixture(scope="session")
def live(collection: JudgedCollection, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Results as served: a TREC run over English and Arabic that is cut at rank 20."""
    part = collection.restrict(["en", "ar"], ["en", "ar"])
    path = tmp_path_factory.mktemp("live") / "served.run"
    plan = plan_scenarios(["multi"], part.document_languages)
    path.write_text(trec_run(part, plan, DEPTH), encoding="utf-8")
    provenance = build_provenance("audit", describe_data(part), model=None, options={"results": path.name}, seed=0)
    return audit_run(part, read_run(path), provenance=provenance, samples=200).to_dict()


@pytest.fixture(scope="session")
def detected(collection: JudgedCollection, audit: Audit) -> Result:
    """English and Chinese whose tags are forgotten and detected again; three documents and two queries say nothing."""
    part = collection.restrict(["en", "zh"], ["en", "zh"])
    unclear = ("4711", "1984 / 2001", "x[i] += 1;")

    def forget(texts: tuple[str, ...], count: int) -> dict[str, Any]:
        return {"languages": (UNDETERMINED,) * len(texts), "texts": (*unclear[:count], *texts[count:])}

    documents = replace(part.documents, **forget(part.documents.texts, 3))
    queries = replace(part.queries, **forget(part.queries.texts, 2))
    return audit(detect_languages(replace(part, documents=documents, queries=queries)), ["multi", "mono-same"])


@pytest.fixture(scope="session")
def compared(collection: JudgedCollection, audit: Audit, two: Result) -> Result:
    """Before and after the simplest repair there is: the mean vector of each language is taken away."""

    def centered(texts: Any) -> Any:
        languages, vectors = np.array(texts.languages), texts.vectors.copy()
        for language in set(texts.languages):
            vectors[languages == language] -= vectors[languages == language].mean(axis=0)
        return replace(texts, vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    part = collection.restrict(["en", "zh"], ["en", "zh"])
    after = audit(replace(part, documents=centered(part.documents), queries=centered(part.queries)), SCENARIOS)
    results = AuditResult.from_dict(two), AuditResult.from_dict(after)
    comparison = compare_results(*results, samples=200, permutations=2000).to_dict()
    return {"comparison": comparison, "a": two, "b": after}


@pytest.fixture(scope="session")
def twelve(shared_data: Path) -> Result:
    """Twelve languages in one mixed pool: invented ranks over real texts, see `synthetic.py`."""
    return synthetic.synthetic_result(LANGUAGES, 120, xquad=shared_data / "xquad", mono=True, examples=4)


@pytest.fixture(scope="session")
def large(shared_data: Path) -> Result:
    """As many queries as XQuAD has, 1,190 in each of two languages: invented ranks over real texts."""
    return synthetic.synthetic_result(("en", "zh"), 1190, xquad=shared_data / "xquad")


@pytest.fixture
def indexed(pair: dict[str, Any]) -> dict[str, Any]:
    """A real exact result, with live rows of invented recall beside its rows and the block of a live audit."""
    result = copy.deepcopy(pair)
    rows, columns = [], {name: [] for name in result["queries"] if name != "measures"}
    measures: dict[str, list[Any]] = {name: [] for name in result["queries"]["measures"]}
    for number, row in enumerate(pair["rows"]):
        censored = {"depth_min": 50, "depth_max": 50, "queries": 3, "share": 0.25, "Max@R_lower_bound": 61.5}
        more = {"kind": "live", "retrieval": "knn", "censored": censored}
        more["recall"] = {"k": 10, "value": 0.9 + number / 100, "interval": [0.85, 0.97], "queries": row["queries"]}
        more["measures"] = {**row["measures"], "Max@R": None, "Max@R_norm": None}
        more["reasons"] = {"Max@R": "unknown for 3 queries", "Max@R_norm": "unknown for 3 queries"}
        for one in (row, {**row, **more}):
            places = [place for place, own in enumerate(pair["queries"]["row"]) if own == number]
            for name, column in columns.items():
                own = pair["queries"][name]
                column += [len(rows) if name == "row" else own[place] for place in places]
            for name, column in measures.items():
                column += [pair["queries"]["measures"][name][place] for place in places]
            rows.append(one)
    tags = rows[0]["pool_languages"]
    shares = {tag: {"plain": 0.5, "discounted": 0.6, "pool": 1 / len(tags)} for tag in tags}
    exposure = [{"query_language": row["query_language"], "queries": 3, "shares": shares} for row in pair["rows"]]
    pairs = [{"languages": tags[:2], "mrc": -0.25, "queries": 4}]
    parallel = [
        {"kind": kind, "retrieval": name, "k": 10, "mrc": -0.25, "pairs": pairs, "undefined": 0, "exposure": exposure}
        for kind, name in (("exact", None), ("live", "knn"))
    ]
    result.update(rows=rows, queries={**columns, "measures": measures}, examples=[], documents={})
    result["live"] = {
        "index": "prod",
        "cluster": {"version": "3.4.0", "uuid": "c1"},
        "point_in_time": True,
        "snapshot": {"before": SNAPSHOT, "after": SNAPSHOT},
        "queries": {"kind": "known-item", "count": 12, "notes": ["12 groups were asked for"]},
        "sample": None,
        "depth": 50,
        "plan": {"queries": 12, "documents_scored": 4800, "max_load": None},
        "partial": {"reason": "interrupted by the user", "queries": 12, "of": 40},
        "warnings": ["the index 'prod-1' was written to while the audit ran"],
        "pool": {"documents": 200, "by_language": dict.fromkeys(tags, 1), "without_vector": 2, "without_language": 0},
        "languages_detected": None,
        "retrievals": [{"name": "knn"}],
        "unranked": {"count": 3, "reasons": {"no vector": 2, "outside of the filter": 1}, "first": []},
        "parallel": parallel,
    }
    return AuditResult.from_dict(result).to_dict()
