"""The audit of an index as a Python function: the same as the command, and the example of docs/api.md."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from live_audit import assert_same_but_for_last_bits, parallel_documents, write_queries
from typer.testing import CliRunner

import haystack_crossalign as ca
from haystack_crossalign.cli.main import app

INDEX = "api-audit"


def live_request(url: str, index: str, folder: Path, **more: Any) -> ca.IndexRequest:
    """A request whose queries have vectors."""
    settings = ca.opensearch.LiveSettings(hosts=(url,), index=index, group_field="group", batch=8, patience=0.1)
    more = {"queries": write_queries(folder / "queries.jsonl"), "measured": ca.Measured(samples=100), **more}
    return ca.IndexRequest(settings=settings, **more)


def test_python_and_command_line_give_the_same_result(opensearch: Any, indexing: Any, tmp_path: Path) -> None:
    indexing.create(opensearch, INDEX, parallel_documents(), indexing.mapping(12))
    request = live_request(
        opensearch.url,
        INDEX,
        tmp_path,
        live=["knn", "bm25", "hybrid"],
        user_filter={"terms": {"language": ["en", "zh"]}},
        measured=ca.Measured(
            scenarios=["multi", "mono-same"],
            languages=["en", "zh"],
            measures=["Max@R", "Rank[en]"],
            samples=100,
            seed=3,
        ),
    )
    stages: set[str] = set()
    result = ca.audit_index(request, progress=lambda stage, *_: stages.add(stage))
    file = tmp_path / "command.json"
    arguments = {
        "--index": INDEX,
        "--hosts": opensearch.url,
        "--group-field": "group",
        "--batch": 8,
        "--patience": 0.1,
        "--queries": tmp_path / "queries.jsonl",
        "--live": "knn,bm25,hybrid",
        "--filter": '{"terms": {"language": ["en", "zh"]}}',
        "--scenario": "multi,mono-same",
        "--languages": "en,zh",
        "--measures": "Max@R,Rank[en]",
        "--samples": 100,
        "--seed": 3,
        "--json": file,
    }
    done = CliRunner().invoke(app, ["audit", "-q", *(str(part) for option in arguments.items() for part in option)])
    assert done.exit_code == 0, done.output
    assert_same_but_for_last_bits(result.to_json().encode(), file.read_bytes())
    assert stages == {"Auditing"}
    # Four pools of rows: exact and three lists, of the two languages together and of each alone.
    assert len(result.rows) == 4 * (2 + 2)
    assert {row.get("retrieval") for row in result.rows} == {None, "knn", "bm25", "hybrid:rrf"}
    assert result.live is not None
    assert result.live["index"] == INDEX
    table = result.to_dataframe()
    assert table["retrieval"].notna().sum() == 12
    assert len(result.per_query()) == len(result.queries["id"])
    result.save(tmp_path / "saved.json")
    assert ca.read_result(tmp_path / "saved.json").to_json() == result.to_json()
    assert "Chinese version" in result._repr_html_()


def test_what_a_request_cannot_be_is_one_error_before_anything_is_sent() -> None:
    # Nothing listens there: a request would be an ExternalError.
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"live": ["ann"]}, "--live: unknown list; seen: 'ann'; allowed: knn, bm25, hybrid"),
        ({"sample": 1.5}, "--sample: not a share of the documents"),
        ({"model": ca.ModelOptions(similarity="dot")}, "an index ranks by the space of its vector field"),
        ({"queries": None, "qrels": "a.qrels"}, "judgments without queries"),
        ({"resume": "gone.state"}, "--resume: no such file"),
        ({"settings": ca.opensearch.LiveSettings(index="a")}, "field 'settings.hosts': not given"),
        ({"measured": ca.Measured(measures=["Depth@3"])}, "Depth@3"),
        ({"queries": "q.jsonl", "probes": 5}, "--probes: has no effect here; allowed: --index without --queries"),
        ({"query_language": "en"}, "--query-language: has no effect here; allowed: --queries FILE"),
        ({"expand_groups": False}, "--expand-groups: has no effect here; allowed: --queries FILE"),
        ({"id_field": "key"}, "--id-field: has no effect here; allowed: --pipeline FILE"),
    ]
    for arguments, message in wrong:
        settings = ca.opensearch.LiveSettings(hosts=("http://127.0.0.1:9",), index="a", patience=0.1)
        with pytest.raises(ca.InputError, match=re.escape(message)):
            ca.audit_index(ca.IndexRequest(**{"settings": settings, **arguments}))


def test_a_server_that_is_not_there_is_an_external_error(tmp_path: Path) -> None:
    with pytest.raises(ca.ExternalError, match=re.escape("127.0.0.1:9")):
        ca.audit_index(live_request("http://127.0.0.1:9", "a", tmp_path))


def test_what_is_risky_about_the_connection_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSALIGN_TOKEN", "something-secret")
    settings = ca.opensearch.LiveSettings(hosts=("http://no-such-host.invalid:9200",), index="a", patience=0.1)
    request = ca.IndexRequest(settings=settings, queries=write_queries(tmp_path / "queries.jsonl"))
    with pytest.warns(UserWarning, match="is not encrypted"), pytest.raises(ca.ExternalError):
        ca.audit_index(request)


@pytest.mark.model
def test_the_example_of_the_page_runs(
    project_root: Path,
    offline_model: str,
    opensearch: Any,
    indexing: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readme = (project_root / "README.md").read_text(encoding="utf-8")
    for name in ("documents.jsonl", "queries.jsonl"):
        text = re.search(rf"<!-- file: {re.escape(name)} -->\n```\w+\n(.*?)```\n", readme, re.DOTALL)
        assert text is not None
        (tmp_path / name).write_text(text[1], encoding="utf-8")
    documents = [json.loads(line) for line in (tmp_path / "documents.jsonl").read_text(encoding="utf-8").splitlines()]
    vectors = ca.Encoder(offline_model).encode_documents([document["text"] for document in documents])
    stored = {
        document["id"]: {
            "content": document["text"],
            "language": document["language"],
            "parallel_id": document["parallel_id"],
            "embedding": vector.tolist(),
        }
        for document, vector in zip(documents, vectors, strict=True)
    }
    mapping = indexing.mapping(vectors.shape[1])
    mapping["properties"]["parallel_id"] = {"type": "keyword"}
    indexing.create(opensearch, "articles", stored, mapping)
    page = (project_root / "docs" / "api.md").read_text(encoding="utf-8")
    example = re.search(r"<!-- on a server -->\n```python\n(.*?)```\n", page, re.DOTALL)
    assert example is not None
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example[1].replace("http://localhost:9200", opensearch.url), names)  # noqa: S102 - the page is ours
    rows = names["live"].to_dataframe()
    # The exact ranks in the index are those of the same vectors in memory.
    collection = ca.read_collection(tmp_path / "documents.jsonl", tmp_path / "queries.jsonl", title_field=None)
    exact = ca.audit_collection(collection, offline_model, measures=["Max@R"], samples=0).to_dataframe()
    in_index = rows[rows["retrieval"].isna()].set_index("query_language")["Max@R"]
    assert in_index.to_dict() == exact.set_index("query_language")["Max@R"].to_dict()
