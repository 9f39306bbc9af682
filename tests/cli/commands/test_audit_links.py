"""`crossalign audit --url-field`: titles and links of documents in the outputs, from files, a store and an index."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from live_audit import parallel_documents, write_queries

Files = tuple[Path, Path]


def linked(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "title": f"Title of {entry['id']}", "page": {"url": f"https://example.org/{entry['id']}"}}


@pytest.fixture
def files(parallel_files: Files) -> list[str | Path]:
    documents, queries = parallel_files
    rows = [linked(json.loads(line)) for line in documents.read_text(encoding="utf-8").splitlines()]
    rows = [{**row, "url": row.pop("page")["url"]} for row in rows]
    documents.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return ["--documents", documents, "--queries", queries]


def test_titles_and_links_are_in_all_outputs(
    crossalign: Callable[..., Any], files: list[str | Path], tmp_path: Path
) -> None:
    written = [tmp_path / name for name in ("a.json", "a.html", "a.md")]
    outputs = ["--json", written[0], "--report", written[1], "--markdown", written[2]]
    done = crossalign("audit", *files, "--url-field", "url", *outputs)
    assert done.code == 0, done.err
    result = json.loads(written[0].read_text(encoding="utf-8"))
    assert result["provenance"]["options"]["url_field"] == "url"
    for name, entry in result["documents"].items():
        assert entry["title"] == f"Title of {name}"
        assert entry["url"] == f"https://example.org/{name}"
        assert entry["text"].startswith(entry["title"])
    name = result["examples"][0]["documents"][0]
    link = f'<a href="https://example.org/{name}" target="_blank" rel="noopener noreferrer">'
    assert f"{link}<bdi>Title of {name}</bdi></a>" in written[1].read_text(encoding="utf-8")
    assert f"[Title of {name}](<https://example.org/{name}>) {name}" in written[2].read_text(encoding="utf-8")


def test_without_texts_titles_are_left_out_too(
    crossalign: Callable[..., Any], files: list[str | Path], tmp_path: Path
) -> None:
    target, page = tmp_path / "a.json", tmp_path / "a.html"
    arguments = ["--url-field", "url", "--no-texts", "--json", target, "--report", page]
    assert crossalign("audit", *files, *arguments).code == 0
    documents = json.loads(target.read_text(encoding="utf-8"))["documents"]
    assert {field for entry in documents.values() for field in entry} == {"language", "group", "url"}
    assert "Title of" not in page.read_text(encoding="utf-8")


def test_a_field_that_no_document_has_is_one_line(crossalign: Callable[..., Any], files: list[str | Path]) -> None:
    done = crossalign("audit", *files, "--url-field", "link")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert "field 'link': no document has this field" in done.err


def test_a_store_gives_them_too(
    crossalign: Callable[..., Any], files: list[str | Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from haystack import Document
    from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

    monkeypatch.setenv("HAYSTACK_DESERIALIZATION_ALLOWLIST", "haystack_crossalign.*")
    rows = [json.loads(line) for line in Path(files[1]).read_text(encoding="utf-8").splitlines()]
    kept = ("language", "parallel_id", "title", "url")
    place = tmp_path / "qdrant"
    store = QdrantDocumentStore(path=str(place), index="help", embedding_dim=8, similarity="cosine")
    store.write_documents(
        [
            Document(
                id=row["id"], content=row["text"], meta={key: row[key] for key in kept}, embedding=row["embedding"]
            )
            for row in rows
        ]
    )
    store.close()
    file = tmp_path / "store.yaml"
    file.write_text(
        "type: haystack_integrations.document_stores.qdrant.document_store.QdrantDocumentStore\ninit_parameters: "
        + json.dumps({"path": str(place), "index": "help", "embedding_dim": 8, "similarity": "cosine"}),
        encoding="utf-8",
    )
    target = tmp_path / "a.json"
    done = crossalign("audit", "--store", file, *files[2:], "--url-field", "url", "--json", target)
    assert done.code == 0, done.err
    for name, entry in json.loads(target.read_text(encoding="utf-8"))["documents"].items():
        assert (entry["title"], entry["url"]) == (f"Title of {name}", f"https://example.org/{name}")
    done = crossalign("audit", "--store", file, *files[2:], "--title-field", "heading")
    assert done.code == 2
    assert "field 'heading': no document has this field" in done.err


def test_an_index_gives_them_too_and_a_field_without_links_is_told(
    crossalign: Callable[..., Any], opensearch: Any, indexing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    documents = {name: linked({"id": name, **entry}) for name, entry in parallel_documents().items()}
    indexing.create(opensearch, "linked", documents, indexing.mapping(12))
    queries = write_queries(tmp_path / "queries.jsonl", groups=3)
    target = tmp_path / "a.json"
    command = ["audit", "--index", "linked", "--hosts", opensearch.url, "--group-field", "group", "--samples", "100"]
    command += ["--queries", queries, "--json", target, "-q"]
    done = crossalign(*command, "--url-field", "page.url")
    assert done.code == 0, done.err
    result = json.loads(target.read_text(encoding="utf-8"))
    assert result["documents"]
    for name, entry in result["documents"].items():
        assert (entry["title"], entry["url"]) == (f"Title of {name}", f"https://example.org/{name}")
    assert not [note for note in result["live"]["warnings"] if "links" in note]
    assert crossalign(*command, "--url-field", "link").code == 0
    result = json.loads(target.read_text(encoding="utf-8"))
    note = "no document that the result names has a text in field 'link', so there are no links"
    assert note in result["live"]["warnings"]
    assert all("title" in entry and "url" not in entry for entry in result["documents"].values())
