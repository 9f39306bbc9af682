"""The auditor component: on results of every kind of retriever, in Python and YAML, and by hand."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from haystack import Document, Pipeline
from haystack.components.joiners import DocumentJoiner
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore

from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.components import CrossAlignDocumentEmbedder, CrossAlignTextEmbedder, LanguageBiasAuditor
from haystack_crossalign.errors import InputError


def document(language: str, group: str, *, score: float | None = None, chunk: str = "", **meta: Any) -> Document:
    return Document(
        id=f"{language}:{group}{chunk}",
        content=f"content {group}{chunk} in {language}",
        meta={"language": language, "parallel_id": group, **meta},
        score=score,
    )


EN, ZH = document("en", "1"), document("zh", "1")
OTHERS = [document("zh", str(number)) for number in range(2, 9)]


def audit(
    retrieved: list[list[Document]], relevant: list[list[Document]] | None = None, **options: Any
) -> dict[str, Any]:
    pool_size = options.pop("pool_size", None)
    return LanguageBiasAuditor(**{"samples": 100, **options}).run(
        queries=[f"query {number}" for number in range(len(retrieved))],
        query_languages=["zh"] * len(retrieved),
        ground_truth_documents=[[EN, ZH]] * len(retrieved) if relevant is None else relevant,
        retrieved_documents=retrieved,
        pool_size=pool_size,
    )


def test_ranks_are_those_of_the_list() -> None:
    found = audit([[ZH, *OTHERS[:3], EN], [ZH, EN, *OTHERS[:3]]], pool_size=16)
    result: AuditResult = found["audit_result"]
    (row,) = result.rows
    assert (row["kind"], row["scenario"], row["pool_size"], row["query_language"]) == ("live", "multi", 16, "zh")
    assert row["measures"]["Max@R"] == (5 + 2) / 2
    assert (row["measures"]["Rank[en]"], row["measures"]["Rank[zh]"]) == (3.5, 1)
    # log2: D = 16, R = 2, so (4 - log2 Max@R) / (4 - 1) per query.
    assert row["measures"]["Max@R_norm"] == pytest.approx(((4 - 2.321928094887362) / 3 + 1) / 2)
    assert result.queries["above"][0] == [[0, 3], [0, 0]]
    assert (found["score"], found["individual_scores"]) == (1.0, [1.0, 1.0])


def test_scores_that_are_not_finite_leave_the_order_of_the_list_and_can_be_stored(tmp_path: Path) -> None:
    odd = [document("zh", "1", score=float("inf")), document("en", "1", score=float("nan"))]
    result: AuditResult = audit([odd])["audit_result"]
    assert result.rows[0]["measures"]["Max@R"] == 2
    result.save(tmp_path / "a.json")
    assert AuditResult.load(tmp_path / "a.json").to_json() == result.to_json()
    assert "null" in result.to_json()


@pytest.mark.parametrize("empty", ["", None, float("nan")])
def test_documents_with_an_empty_group_are_versions_of_nothing(empty: object) -> None:
    named = [Document(id=name, content=name, meta={"language": "en", "parallel_id": empty}) for name in "xya"]
    result = audit([named], [[named[2]]], document_comparison_field="id")["audit_result"]
    assert result.rows[0]["measures"]["Max@R"] == 3


def test_without_the_pools_size_max_at_r_norm_is_null_with_a_reason() -> None:
    row = audit([[ZH, EN]])["audit_result"].rows[0]
    assert row["measures"]["Max@R_norm"] is None
    assert "pool" in row["reasons"]["Max@R_norm"]


def test_censored_ranks_are_bounded_and_never_averaged() -> None:
    found = audit([[ZH, *OTHERS[:4]], [ZH, EN, *OTHERS[:3]], [ZH, EN, *OTHERS[:3]]], complete_at=5)
    row = found["audit_result"].rows[0]
    assert row["measures"]["Max@R"] is None
    assert row["reasons"]["Max@R"]
    # Five documents were seen: the missing version stands at rank 6 at best.
    assert row["censored"] == {
        "depth_min": 5, "depth_max": 5, "queries": 1, "share": 1 / 3, "nothing_found": 0,
        "Max@R_lower_bound": (6 + 2 + 2) / 3,
    }  # fmt: skip
    assert row["medians"]["Max@R"]["value"] == 2
    assert found["individual_scores"] == [0.0, 1.0, 1.0]
    assert found["score"] == pytest.approx(2 / 3)
    assert found["audit_result"].queries["ranks"][0] == [None, 1]


def test_a_score_deeper_than_the_lists_is_null() -> None:
    found = audit([[ZH, *OTHERS[:4]], [ZH, EN, *OTHERS[:3]]], complete_at=10)
    assert (found["score"], found["individual_scores"]) == (None, [None, 1.0])


def test_a_list_shorter_than_asked_for_has_ended() -> None:
    # A keyword search that matches two documents will not show the English one however far one reads.
    found = audit([[ZH, OTHERS[0]]], complete_at=10, depth=20)
    assert found["individual_scores"] == [0.0]
    assert found["audit_result"].rows[0]["censored"]["Max@R_lower_bound"] == 21


def test_what_a_list_that_ended_lacks_counts_as_never_found() -> None:
    # The second list holds one document of twenty asked for, and it is not relevant.
    found = audit([[ZH, EN], [OTHERS[0]]], complete_at=30, depth=20, pool_size=10)
    row = found["audit_result"].rows[0]
    assert (row["measures"]["MRR"], row["measures"]["Recall@10"], row["measures"]["NDCG@10"]) == (0.5, 0.5, 0.5)
    assert found["individual_scores"] == [1.0, 0.0]
    # Nothing is said of ranks beyond the pool: of 10 versions two are missing, so the deepest list there is has 8.
    assert found["audit_result"].queries["depth"] == [10, 8]
    assert row["measures"]["Max@R"] is None


def test_more_versions_than_k_have_no_score() -> None:
    relevant = [[document(tag, "1") for tag in ("en", "zh", "ar")]]
    found = audit([relevant[0]], relevant, complete_at=2)
    assert (found["score"], found["individual_scores"]) == (None, [None])
    row = found["audit_result"].rows[0]
    assert row["measures"]["Complete@2"] is None
    assert row["reasons"]["Complete@2"]


def test_chunks_count_as_one_version_at_their_best_rank() -> None:
    chunks = [document("en", "1", chunk=f"#{number}") for number in range(3)]
    others = [document("zh", "2", chunk=f"#{number}") for number in range(3)]
    found = audit([[ZH, *others, chunks[2], chunks[0]]], [[ZH, chunks[0]]])
    result = found["audit_result"]
    # Versions in the order of the list: zh 1, zh 2 (three chunks), en 1.
    assert dict(zip(result.queries["versions"][0], result.queries["ranks"][0], strict=True)) == {"zh": 1, "en": 3}


def test_equal_scores_are_ordered_by_hash_with_bounds() -> None:
    tied = [replace(one, score=0.5) for one in (OTHERS[0], ZH, EN)]
    result = audit([tied])["audit_result"]
    ranks = dict(zip(result.queries["versions"][0], result.queries["ranks"][0], strict=True))
    # In the order of the keyed BLAKE2b hashes of the three ids.
    order = sorted(
        (one.id for one in tied),
        key=lambda one: hashlib.blake2b(one.encode(), digest_size=16, key=b"crossalign.ties/1").digest(),
    )
    assert ranks == {"en": order.index(EN.id) + 1, "zh": order.index(ZH.id) + 1}
    assert (result.queries["optimistic"][0], result.queries["pessimistic"][0]) == ([1, 1], [3, 3])
    assert result.rows[0]["ties"]["queries"] == 1


def test_documents_are_compared_as_in_haystacks_evaluators() -> None:
    copies = [Document(id="a", content=ZH.content), Document(id="b", content=EN.content)]
    assert audit([copies])["score"] == 1.0
    assert audit([copies], document_comparison_field="id", depth=10)["score"] == 0.0
    keyed = [[document("zh", "1", source={"url": "u-zh"}), document("en", "1", source={"url": "u-en"})]]
    found = [[Document(content="x", meta={"source": {"url": f"u-{tag}"}, "language": tag}) for tag in ("zh", "en")]]
    assert audit(found, keyed, document_comparison_field="meta.source.url")["score"] == 1.0
    with pytest.raises(InputError, match=r"'document_comparison_field'.*'text'.*'content', 'id'"):
        audit([copies], document_comparison_field="text")


def test_retrieved_documents_without_a_language_are_counted_as_undetermined() -> None:
    stranger = Document(id="?", content="no language")
    result = audit([[ZH, stranger, EN]])["audit_result"]
    assert result.rows[0]["pool_languages"] == ["en", "zh", "und"]
    assert result.queries["above"][0] == [[0, 0, 1], [0, 0, 0]]


def test_queries_in_several_languages_make_a_row_each_and_scores_keep_the_order_of_the_input() -> None:
    found = LanguageBiasAuditor(samples=100, complete_at=2).run(
        queries=["一", "one", "二"],
        query_languages=["zho_Hans", "English", "zh-CN"],
        ground_truth_documents=[[EN, ZH]] * 3,
        retrieved_documents=[[ZH, EN], [EN, OTHERS[0], ZH], [ZH, OTHERS[0], EN]],
    )
    assert found["individual_scores"] == [1.0, 0.0, 0.0]
    rows = found["audit_result"].rows
    assert [(row["query_language"], row["queries"]) for row in rows] == [("en", 1), ("zh", 2)]
    assert found["audit_result"].queries["id"] == ["1", "0", "2"]


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"query_languages": ["zh", "zh"]}, "different lengths"),
        ({"query_languages": ["klingonish"]}, "klingonish"),
        ({"ground_truth_documents": [[]]}, "without relevant document"),
        ({"ground_truth_documents": [[Document(content="no language")]]}, "without meta.language"),
        ({"pool_size": 1}, "smaller than"),
        ({"queries": [], "query_languages": [], "ground_truth_documents": [], "retrieved_documents": []}, "no queries"),
    ],
)
def test_bad_inputs_are_named(changes: dict[str, Any], part: str) -> None:
    inputs: dict[str, Any] = {
        "queries": ["q"],
        "query_languages": ["zh"],
        "ground_truth_documents": [[EN, ZH]],
        "retrieved_documents": [[EN, ZH]],
    }
    with pytest.raises(InputError, match=part):
        LanguageBiasAuditor().run(**{**inputs, **changes})


def test_an_empty_list_that_ended_by_itself_completes_nothing() -> None:
    found = audit([[], [ZH, EN]], depth=5, complete_at=5)
    assert found["individual_scores"] == [0.0, 1.0]
    assert found["audit_result"].queries["top_language"] == [None, "zh"]


def test_run_async_gives_the_same() -> None:
    inputs: dict[str, Any] = {
        "queries": ["q"],
        "query_languages": ["zh"],
        "ground_truth_documents": [[EN, ZH]],
        "retrieved_documents": [[ZH, *OTHERS, EN]],
    }
    auditor = LanguageBiasAuditor(samples=100)
    plain, off_loop = auditor.run(**inputs), asyncio.run(auditor.run_async(**inputs))
    assert plain["audit_result"].to_json() == off_loop["audit_result"].to_json()
    assert plain["individual_scores"] == off_loop["individual_scores"]


def test_to_dict_is_complete_and_from_dict_its_inverse() -> None:
    auditor = LanguageBiasAuditor(
        document_comparison_field="id",
        language_field="lang",
        group_field="group",
        complete_at=5,
        depth=50,
        measures=["Max@R", "MRR"],
        samples=200,
        seed=3,
    )
    assert auditor.to_dict() == {
        "type": "haystack_crossalign.components.language_bias_auditor.LanguageBiasAuditor",
        "init_parameters": {
            "document_comparison_field": "id",
            "language_field": "lang",
            "group_field": "group",
            "complete_at": 5,
            "depth": 50,
            "measures": ["Max@R", "MRR"],
            "samples": 200,
            "seed": 3,
        },
    }
    assert LanguageBiasAuditor.from_dict(auditor.to_dict()).to_dict() == auditor.to_dict()


CONTENTS = {
    ("en", "1"): "The museum is closed on Mondays and on public holidays.",
    ("zh", "1"): "博物馆每周一及公共假日闭馆。",
    ("en", "2"): "Tickets can be returned until two days before the concert.",
    ("zh", "2"): "门票可在音乐会开始前两天退还。",
    ("en", "3"): "The ferry to the island leaves every half hour from pier four.",
    ("zh", "3"): "开往该岛的渡轮每半小时从四号码头出发。",
}
QUERIES = {"1": ("zh", "博物馆哪天不开门？"), "2": ("en", "Until when can I give back concert tickets?")}


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return [
        Document(id=f"{tag}:{group}", content=text, meta={"language": tag, "parallel_id": group})
        for (tag, group), text in CONTENTS.items()
    ]


@pytest.fixture(scope="module")
def store(documents: list[Document], offline_model: str) -> InMemoryDocumentStore:
    filled = InMemoryDocumentStore(embedding_similarity_function="cosine")
    embedder = CrossAlignDocumentEmbedder(model=offline_model, compute_precision="fp32", progress_bar=False)
    filled.write_documents(embedder.run(documents)["documents"])
    return filled


def pipeline(store: InMemoryDocumentStore, model: str, kind: str) -> Pipeline:
    """One query through a retriever into the auditor; Haystack wraps the one list into a list of lists."""
    built = Pipeline()
    built.add_component("auditor", LanguageBiasAuditor(document_comparison_field="id", samples=100))
    if kind != "bm25":
        built.add_component("text_embedder", CrossAlignTextEmbedder(model=model, compute_precision="fp32"))
        built.add_component("dense", InMemoryEmbeddingRetriever(store, top_k=6))
        built.connect("text_embedder.embedding", "dense.query_embedding")
    if kind != "dense":
        built.add_component("bm25", InMemoryBM25Retriever(store, top_k=6))
    if kind == "hybrid":
        built.add_component("joiner", DocumentJoiner(join_mode="reciprocal_rank_fusion"))
        built.connect("dense.documents", "joiner.documents")
        built.connect("bm25.documents", "joiner.documents")
    built.connect(
        {"dense": "dense", "bm25": "bm25", "hybrid": "joiner"}[kind] + ".documents", "auditor.retrieved_documents"
    )
    return built


def ask(built: Pipeline, kind: str, group: str, documents: list[Document]) -> dict[str, Any]:
    language, query = QUERIES[group]
    data: dict[str, Any] = {
        "auditor": {
            "queries": [query],
            "query_languages": [language],
            "ground_truth_documents": [[one for one in documents if one.meta["parallel_id"] == group]],
            "pool_size": len(documents),
        }
    }
    if kind != "bm25":
        data["text_embedder"] = {"text": query}
    if kind != "dense":
        data["bm25"] = {"query": query}
    found: dict[str, Any] = built.run(data)["auditor"]
    return found


@pytest.mark.parametrize("kind", ["dense", "bm25", "hybrid"])
def test_it_audits_any_retriever_in_a_pipeline_built_in_python_and_loaded_from_yaml(
    store: InMemoryDocumentStore, documents: list[Document], offline_model: str, kind: str
) -> None:
    built = pipeline(store, offline_model, kind)
    found = ask(built, kind, "1", documents)
    loaded = Pipeline.loads(built.dumps())
    assert ask(loaded, kind, "1", documents)["audit_result"].to_json() == found["audit_result"].to_json()
    # What the retriever itself says is the second opinion.
    names = [name for name in ("dense", "bm25") if kind in (name, "hybrid")]
    query = QUERIES["1"][1]
    lists = {
        "dense": lambda: InMemoryEmbeddingRetriever(store, top_k=6).run(
            CrossAlignTextEmbedder(model=offline_model, compute_precision="fp32").run(query)["embedding"]
        )["documents"],
        "bm25": lambda: InMemoryBM25Retriever(store, top_k=6).run(query)["documents"],
    }
    listed = [lists[name]() for name in names]
    order = (
        DocumentJoiner(join_mode="reciprocal_rank_fusion").run(listed)["documents"] if kind == "hybrid" else listed[0]
    )
    places = {one.id: place for place, one in enumerate(order, start=1)}
    columns = found["audit_result"].queries
    for tag, low, high in zip(columns["versions"][0], columns["optimistic"][0], columns["pessimistic"][0], strict=True):
        place = places.get(f"{tag}:1")
        assert (low is None and place is None) or low <= place <= high
    if kind == "dense":
        assert columns["ranks"] == columns["optimistic"] == columns["pessimistic"]
