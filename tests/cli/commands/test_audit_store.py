"""`crossalign audit --store` and `--pipeline` without an index: the same figures as from a file, on real stores."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from haystack import Document

Files = tuple[Path, Path]

IN_MEMORY = "haystack.document_stores.in_memory.document_store.InMemoryDocumentStore"
STORES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "qdrant": (
        "haystack_integrations.document_stores.qdrant", "QdrantDocumentStore",
        {"path": "PLACE", "index": "help", "embedding_dim": 8, "similarity": "cosine"},
    ),
    "chroma": (
        "haystack_integrations.document_stores.chroma", "ChromaDocumentStore",
        {"persist_path": "PLACE", "collection_name": "help", "distance_function": "cosine"},
    ),
    "faiss": (
        "haystack_integrations.document_stores.faiss", "FAISSDocumentStore", {"index_path": "PLACE", "embedding_dim": 8}
    ),
    "lancedb": ("lancedb_haystack", "LanceDBDocumentStore", {"database": "PLACE", "table_name": "help"}),
}  # fmt: skip


def documents_of(file: Path) -> list[Document]:
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return [
        Document(
            id=row["id"],
            content=row["text"],
            meta={key: row[key] for key in ("language", "parallel_id") if key in row},
            embedding=row["embedding"],
        )
        for row in rows
    ]


def fill(name: str, folder: Path, documents: list[Document], **changes: Any) -> Path:
    """Write documents with the store's own class, and the store as YAML."""
    module, kind, parameters = STORES[name]
    parameters = {key: str(folder / name) if value == "PLACE" else value for key, value in parameters.items()} | changes
    more: dict[str, Any] = {}
    if name == "lancedb":
        arrow: Any = importlib.import_module("pyarrow")
        fields = [("language", arrow.string()), ("parallel_id", arrow.string())]
        more = {"metadata_schema": arrow.struct(fields), "embedding_dims": 8}
    store = getattr(importlib.import_module(module), kind)(**parameters, **more)
    store.write_documents(documents)
    if name == "faiss":
        store.save(parameters["index_path"])
    if hasattr(store, "close"):
        store.close()
    file = folder / f"{name}.yaml"
    qualified = f"{type(store).__module__}.{kind}"
    file.write_text(yaml.safe_dump({"type": qualified, "init_parameters": parameters}), encoding="utf-8")
    return file


@pytest.fixture(params=list(STORES))
def store(
    request: pytest.FixtureRequest, parallel_files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A store of each kind with the documents of the files; those that are not installed are left out."""
    if request.param != "qdrant":
        pytest.importorskip(STORES[request.param][0], reason=f"{request.param}: pip install --group stores")
    monkeypatch.setenv("HAYSTACK_DESERIALIZATION_ALLOWLIST", "haystack_crossalign.*,lancedb_haystack.*")
    return fill(request.param, tmp_path, documents_of(parallel_files[0]))


@pytest.fixture
def qdrant(parallel_files: Files, tmp_path: Path) -> Callable[..., Path]:
    """A Qdrant store with the documents, some of them changed."""

    def make(change: Callable[[list[Document]], list[Document]] = list) -> Path:
        return fill("qdrant", tmp_path, change(documents_of(parallel_files[0])))

    return make


def rows_of(file: Path) -> Any:
    data = json.loads(file.read_text("utf-8"))
    return data["rows"], data["queries"]


def test_a_store_gives_the_figures_of_the_same_documents_in_a_file(
    crossalign: Any, store: Path, parallel_files: Files, tmp_path: Path
) -> None:
    documents, queries = parallel_files
    plain, live = tmp_path / "plain.json", tmp_path / "live.json"
    assert crossalign("audit", "--documents", documents, "--queries", queries, "--json", plain, "-q").code == 0
    done = crossalign("audit", "--store", store, "--queries", queries, "--json", live)
    assert done.code == 0, done.err
    assert rows_of(live) == rows_of(plain)
    assert "kept from writing by its methods" in done.err
    data = json.loads(live.read_text("utf-8"))["provenance"]
    assert data["data"]["files"][0]["name"] == store.name
    if store.stem in ("qdrant", "chroma"):
        assert data["similarity"] == {"name": "cosine", "from": "store"}
        assert "Ranked by cosine similarity, as the document store does." in done.out
    first = live.read_bytes()
    assert crossalign("audit", "--store", store, "--queries", queries, "--json", live, "-q").code == 0
    assert live.read_bytes() == first


def test_a_query_pipeline_over_a_store_gives_its_exact_figures(
    crossalign: Any, qdrant: Callable[..., Path], parallel_files: Files, tmp_path: Path
) -> None:
    documents, queries = parallel_files
    pipeline = tmp_path / "query.yaml"
    retriever = {
        "type": "haystack_integrations.components.retrievers.qdrant.retriever.QdrantEmbeddingRetriever",
        "init_parameters": {"top_k": 3, "document_store": yaml.safe_load(qdrant().read_text("utf-8"))},
    }
    pipeline.write_text(yaml.safe_dump({"components": {"retriever": retriever}}), encoding="utf-8")
    result = tmp_path / "a.json"
    arguments = ["audit", "--pipeline", pipeline, "--queries", queries, "--json", result]
    exact = tmp_path / "exact.json"
    assert crossalign("audit", "--documents", documents, "--queries", queries, "--json", exact, "-q").code == 0
    # From a file, or from the very store of the pipeline.
    for pool in (["--documents", documents], ["--store", pipeline]):
        done = crossalign(*arguments, *pool, "--precision", "fp32")
        assert done.code == 0, done.err
        sentence = "the queries carry vectors, so no model is used, and --precision has no effect"
        assert f"crossalign: {sentence}\n" in done.err
        (row,), (expected,) = rows_of(result)[0], rows_of(exact)[0]
        assert row["measures"] == expected["measures"]
        options = json.loads(result.read_text("utf-8"))["provenance"]["options"]
        assert options["pipeline"]["depth_set_on"] == ["retriever.top_k"]
        assert (options["depth"], options["results"]["name"]) == (100, "query.yaml")
    # The English version stands at rank 7: below the fifth, all that is known is that it is not among them.
    short = crossalign(*arguments, "--store", pipeline, "--depth", 5)
    assert short.code == 0, short.err
    (row,), _ = rows_of(result)
    assert row["measures"]["Rank[zh]"] == 1
    assert row["measures"]["Max@R"] is None


def test_documents_of_a_store_without_language_or_vector(
    crossalign: Any, qdrant: Callable[..., Path], parallel_files: Files, tmp_path: Path
) -> None:
    def change(documents: list[Document]) -> list[Document]:
        text = "Die Bibliothek ist jeden Tag geöffnet, außer am Sonntag und an den Feiertagen."
        untold = Document(id="untold", content=text, meta={"parallel_id": "u"}, embedding=[1.0] * 8)
        return [*documents, untold]

    store = qdrant(change)
    arguments = ["audit", "--store", store, "--queries", parallel_files[1], "--json", tmp_path / "a.json"]
    refused = crossalign(*arguments)
    assert refused.code == 2
    assert "field 'meta.language': document without a language; seen: 'untold'" in refused.err
    assert "--detect-languages" in refused.err
    assert len(refused.err.strip().splitlines()) == 1
    assert crossalign(*arguments, "--skip-invalid").code == 0
    left_out = json.loads((tmp_path / "a.json").read_text("utf-8"))["provenance"]["data"]["left_out"]
    assert [(one["what"], one["count"]) for one in left_out] == [("document", 1)]
    detected = crossalign(*arguments, "--detect-languages")
    assert detected.code == 0, detected.err
    (row,), _ = rows_of(tmp_path / "a.json")
    assert row["pool_languages"] == ["de", "en", "zh"]


def test_queries_are_embedded_by_the_model_of_the_store_and_by_no_other(
    crossalign: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from tiny_models import WORDS, write_tiny_model

    from haystack_crossalign.models.encoder import Encoder

    model, other = (write_tiny_model(tmp_path_factory.mktemp("m"), seed=seed) for seed in (0, 1))
    texts = {f"{tag}{group}": f"{WORDS[group]} {WORDS[group + 9]} {WORDS[30 * place + group]}"
             for group in range(8) for place, tag in enumerate(("en", "zh"))}  # fmt: skip
    vectors = Encoder(str(model)).encode_documents(list(texts.values()))
    documents = [
        Document(id=name, content=text, meta={"language": name[:2], "parallel_id": name[2:]}, embedding=vector.tolist())
        for (name, text), vector in zip(texts.items(), vectors, strict=True)
    ]
    store = fill("qdrant", tmp_path, documents, embedding_dim=16)
    queries = tmp_path / "q.jsonl"
    queries.write_text(
        json.dumps({"id": "q", "text": "w1 w10", "language": "en", "parallel_id": "1"}), encoding="utf-8"
    )
    arguments = ["audit", "--store", store, "--queries", queries, "-q", "--json", tmp_path / "a.json"]
    done = crossalign(*arguments, "--model", model)
    assert done.code == 0, done.err
    wrong = crossalign(*arguments, "--model", other)
    assert wrong.code == 2
    assert "--model: does not seem to be the model of the vectors" in wrong.err
    assert crossalign(*arguments, "--model", other, "--accept-model").code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("components: {}", "holds 0 document stores"),
        (f"type: {IN_MEMORY}", "the store holds no documents"),
        ("type: os.NoDocumentStore", "is no Haystack document store"),
        (f"{{type: {IN_MEMORY}, init_parameters: {{no: 1}}}}",
         "is no Haystack document store"),
        ("{type: haystack_integrations.document_stores.qdrant.document_store.QdrantDocumentStore, "
         "init_parameters: {path: nowhere}}", "field 'init_parameters.path': no such file or folder"),
        ("{type: haystack_integrations.document_stores.qdrant.document_store.QdrantDocumentStore, "
         "init_parameters: {location: ':memory:', recreate_index: true}}",
         "field 'init_parameters.recreate_index': would delete the documents"),
        ("{a: [", "not YAML"),
        ("&a [*a]", "contains itself"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_store_is_told_in_one_line(
    crossalign: Any, parallel_files: Files, tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "store.yaml"
    file.write_text(text, encoding="utf-8")
    done = crossalign("audit", "--store", file, "--queries", parallel_files[1])
    assert done.code == 2
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--store", "s.yaml", "--documents", "d.jsonl"], "--store and --documents exclude each other"),
        (["--store", "s.yaml", "--index", "i"], "--store and --index exclude each other"),
        (["--pipeline", "p.yaml", "--results", "r.run", "--documents", "d"], "--pipeline and --results exclude each"),
        (
            ["--pipeline", "p.yaml", "--documents", "d", "--document-vectors", "v.npy"],
            "--pipeline and --document-vectors exclude each other",
        ),
        (["--pipeline", "p.yaml", "--documents", "d", "--languages", "en,zh"], "--pipeline: a pipeline searches all"),
        (["--pipeline", "p.yaml", "--documents", "d", "--run", "r"], "allowed: --pipeline without --run"),
        (["--documents", "d.jsonl", "--id-field", "key"], "--id-field"),
        (["--store", "s.yaml", "--sample", "0.5"], "--sample is for an audit of an index"),
        (["--store", "s.yaml"], "s.yaml: no such file"),
    ],
)
def test_options_that_exclude_each_other_are_named(
    crossalign: Any, parallel_files: Files, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(parallel_files[0].parent)
    done = crossalign("audit", "--queries", parallel_files[1], *arguments)
    assert done.code == 2
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1
