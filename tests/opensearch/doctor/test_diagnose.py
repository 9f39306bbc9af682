"""The examination of an index on real servers: what is well, what is missing, and what to do about it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from doctor_helpers import COMPLETE, DOCUMENTS, FLAWED, INDEX, advice, document, examined, found
from local_servers import INFO, Received, http_server

from haystack_crossalign.errors import ExternalError
from haystack_crossalign.models.names import DEFAULT_MODEL
from haystack_crossalign.opensearch.connection.connect import open_client
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.connection.traffic import Exchange, Traffic
from haystack_crossalign.opensearch.doctor import documents as doctor_documents
from haystack_crossalign.opensearch.doctor.diagnose import diagnose
from haystack_crossalign.opensearch.doctor.findings import Diagnosis


@pytest.fixture(scope="module")
def server(opensearch: Any, indexing: Any) -> Any:
    mapping = indexing.mapping(4)
    indexing.create(opensearch, INDEX, DOCUMENTS, mapping)
    indexing.create(opensearch, "doctor-flawed", FLAWED, mapping)
    indexing.create(opensearch, "doctor-complete", COMPLETE, mapping)
    indexing.create(opensearch, "doctor-empty", {"x": document(1, "en", "a", vector=False)}, mapping)
    actions = [
        {"add": {"index": INDEX, "alias": "doctor-both"}},
        {"add": {"index": "doctor-complete", "alias": "doctor-both", "filter": {"term": {"language": "en"}}}},
    ]
    opensearch.request("POST", "/_aliases", {"actions": actions})
    return opensearch


@pytest.fixture
def examine(server: Any) -> Callable[..., Diagnosis]:
    """Examines an index of the server; keyword arguments are settings."""

    def run(index: str = INDEX, **settings: Any) -> Diagnosis:
        return examined(LiveSettings(**({"hosts": (server.url,), "index": index, "group_field": "group"} | settings)))

    return run


def test_an_index_that_can_be_audited_is_described_and_counted(examine: Any, server: Any) -> None:
    diagnosis = examine()
    version = server.request("GET", "/")["version"]["number"]
    assert found(diagnosis) == {
        "connection": ("ok", server.url),
        "version": ("ok", f"OpenSearch {version}"),
        "rights": ("ok", "every read that an audit needs is allowed"),
        "health": ("ok", "green, 2 primary shards"),
        "point in time": ("ok", "an index can be frozen while it is audited"),
        "index": ("ok", INDEX),
        "vector field": ("ok", "embedding: 4 dimensions, cosinesimil, float, lucene; can be scored exactly"),
        "language field": ("ok", "language"),
        "group field": ("ok", "group"),
        "content field": ("ok", "content (text)"),
        "search pipeline": ("ok", "no index has a default one"),
        "limits of the index": ("ok", "they leave room for an audit"),
        "documents": ("ok", "5 with a vector"),
        "exact scores": ("ok", "the k-NN script scores a document"),
        "languages": ("ok", "en 3, zh 2"),
        "groups": ("warning", "3 groups: 2 in all 2 languages, 0 in some, 1 in one"),
        "model of the index": ("warning", "the index does not say which model made its vectors"),
        "model": ("warning", "no model is named, so none was compared"),
    }
    assert diagnosis.exit_code == 0
    assert all(finding.advice for finding in diagnosis.findings if finding.state != "ok")
    assert json.dumps(examine().to_dict()) == json.dumps(diagnosis.to_dict())


def test_groups_in_all_languages_are_well(examine: Any) -> None:
    assert found(examine("doctor-complete"))["groups"] == ("ok", "2 groups: 2 in all 2 languages, 0 in some, 0 in one")


def test_documents_that_lack_something_are_counted_and_an_audit_can_still_run(examine: Any) -> None:
    diagnosis = examine("doctor-flawed")
    seen = found(diagnosis)
    assert seen["documents"] == ("ok", "8 with a vector")
    assert seen["without vector"] == ("warning", "1 of 9 documents have no vector")
    assert seen["without language"] == ("warning", "1 documents have no language")
    assert seen["without group"] == ("warning", "1 of 8 documents have no value in 'group'")
    assert seen["language tags"] == ("warning", "no known language: 'klingonisch' (1)")
    assert seen["languages"] == ("ok", "en 3, zh 3")
    assert seen["groups"] == ("warning", "5 groups: 2 in all 2 languages, 0 in some, 3 in one")
    assert diagnosis.exit_code == 0


def test_an_alias_is_resolved_and_its_filter_named(examine: Any) -> None:
    seen = found(examine("doctor-both"))
    assert seen["index"] == ("ok", "doctor-both stands for doctor, doctor-complete, with a filter")
    assert seen["documents"] == ("ok", "7 with a vector")


@pytest.mark.parametrize(
    ("settings", "check", "state", "advised", "exit_code"),
    [
        (
            {"embedding_field": "vector"},
            "vector field",
            "missing",
            "--embedding-field NAME; vector fields: embedding",
            2,
        ),
        ({"embedding_field": "language"}, "vector field", "missing", "vector fields: embedding", 2),
        ({"language_field": "lang"}, "language field", "missing", "keyword fields: content.raw, group, language", 2),
        ({"language_field": "content"}, "language field", "missing", "--language-field NAME", 2),
        ({"group_field": "parallel_id"}, "group field", "warning", "judge them (--queries, --qrels)", 0),
        ({"group_field": "groups"}, "group field", "missing", "keyword fields: content.raw, group, language", 2),
        ({"group_field": "content"}, "group field", "missing", "--group-field NAME", 2),
        ({"content_field": "text"}, "content field", "warning", "--content-field NAME; text fields: content;", 0),
        ({"content_field": "embedding"}, "content field", "warning", "no known-item probes", 0),
        ({"title_field": "title"}, "title field", "warning", "--title-field NAME", 0),
    ],
)
def test_a_field_that_is_missing_or_unfit_is_named_with_those_that_are_there(
    examine: Any, settings: dict, check: str, state: str, advised: str, exit_code: int
) -> None:
    diagnosis = examine(**settings)
    assert found(diagnosis)[check][0] == state
    assert f"'{next(iter(settings.values()))}'" in found(diagnosis)[check][1]
    assert advised in advice(diagnosis, check)
    assert diagnosis.exit_code == exit_code


def test_a_language_field_of_the_default_name_may_be_missing(examine: Any, server: Any, indexing: Any) -> None:
    mapping = indexing.mapping(4)
    del mapping["properties"]["language"]
    mapping["dynamic"] = False
    indexing.create(server, "doctor-plain", COMPLETE, mapping)
    diagnosis = examine("doctor-plain")
    assert found(diagnosis)["language field"] == ("warning", "no field 'language'")
    assert "--language-field NAME" in advice(diagnosis, "language field")
    assert found(diagnosis)["groups"][0] == "warning"
    assert diagnosis.exit_code == 0


def test_an_index_without_vectors_or_without_a_name_cannot_be_audited(examine: Any) -> None:
    empty = examine("doctor-empty")
    assert found(empty)["documents"] == ("missing", "no document has a vector in 'embedding', of 1")
    nowhere = examine("doctor-nowhere")
    assert found(nowhere)["index"] == ("missing", "no such index [doctor-nowhere]")
    pattern = examine("doctor-nowhere*")
    assert found(pattern)["index"] == ("missing", "no index matches 'doctor-nowhere*'")
    assert [one.exit_code for one in (empty, nowhere, pattern)] == [2, 2, 2]


def test_of_an_index_that_does_not_exist_nothing_more_is_asked(server: Any) -> None:
    for index in ("doctor-nowhere", "doctor-nowhere*"):
        traffic = Traffic()
        examined(LiveSettings(hosts=(server.url,), index=index), traffic=traffic)
        # After the health of such an index a server would think for half a minute.
        assert set(traffic.totals) == {"info", "mapping"}


def test_a_group_that_joins_no_languages_and_a_single_language_are_warned_of(
    examine: Any, server: Any, indexing: Any
) -> None:
    indexing.create(
        server, "doctor-single", {"a": document(1, "en", "a"), "b": document(2, "en", "b")}, indexing.mapping(4)
    )
    diagnosis = examine("doctor-single")
    assert found(diagnosis)["languages"] == ("warning", "en 2")
    assert found(diagnosis)["groups"] == ("warning", "2 groups: 2 in all 1 languages, 0 in some, 2 in one")
    assert "judgments" in advice(diagnosis, "groups")
    assert diagnosis.exit_code == 0


def test_documents_with_two_languages_are_warned_of(examine: Any, server: Any, indexing: Any) -> None:
    two = {"a": document(1, "en", "a") | {"language": ["en", "zh"]}}
    indexing.create(server, "doctor-two", two, indexing.mapping(4))
    diagnosis = examine("doctor-two")
    assert found(diagnosis)["several languages"] == ("warning", "1 documents have several languages")
    assert diagnosis.exit_code == 0


def test_a_nested_vector_and_an_index_that_keeps_no_texts_are_named(examine: Any, server: Any, indexing: Any) -> None:
    mapping = indexing.mapping(4)
    mapping["_source"] = {"enabled": False}
    mapping["properties"]["parts"] = {
        "type": "nested",
        "properties": {"embedding": mapping["properties"].pop("embedding")},
    }
    documents = {
        name: {key: value for key, value in one.items() if key != "embedding"}
        | {"parts": [{"embedding": one["embedding"]}]}
        for name, one in COMPLETE.items()
    }
    indexing.create(server, "doctor-nested", documents, mapping)
    diagnosis = examine("doctor-nested", embedding_field="parts.embedding")
    assert found(diagnosis)["vector field"][1].endswith("lucene, nested in parts; can be scored exactly")
    assert found(diagnosis)["exact scores"][0] == "ok"
    assert found(diagnosis)["stored texts"] == ("warning", "doctor-nested keeps none (_source is off)")
    assert diagnosis.exit_code == 0


def test_of_very_many_groups_the_first_are_looked_at(examine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_documents, "_PAGE", 1)
    everything = "3 groups: 2 in all 2 languages, 0 in some, 1 in one"
    assert found(examine())["groups"][1] == everything
    monkeypatch.setattr(doctor_documents, "MOST_GROUPS", 4)
    assert found(examine())["groups"][1] == "the first 1 groups: 1 in all 2 languages, 0 in some, 0 in one"


def test_shards_that_are_missing_stand_in_the_way(examine: Any, server: Any, indexing: Any) -> None:
    settings = {"number_of_replicas": 0, "index.routing.allocation.require._name": "nobody", "index.knn": True}
    body = {"settings": settings, "mappings": indexing.mapping(4)}
    server.request("PUT", "/doctor-red?wait_for_active_shards=0", body)
    try:
        diagnosis = examine("doctor-red")
    finally:
        server.request("DELETE", "/doctor-red")
    assert found(diagnosis)["health"] == ("missing", "red, 0 primary shards, 1 shards not assigned")
    assert diagnosis.exit_code == 3


class Arithmetic:
    """A model that makes the vectors of `document` from their texts, turned by ``shift``."""

    def __init__(self, shift: float = 0.0, dimension: int = 4) -> None:
        self.shift = shift
        self.dimension = dimension

    def encode_documents(self, texts: Any, **_: Any) -> Any:
        numbers = [float(text.split()[-1]) for text in texts]
        return np.asarray([[1.0, number, self.shift * number, 1.0] for number in numbers], dtype=np.float32)

    encode_queries = encode_documents

    def provenance(self) -> dict[str, Any]:
        return {"name": "arithmetic", "dimension": self.dimension, "sha256": f"{self.shift}"}


def test_a_model_that_is_named_is_compared_with_the_vectors(server: Any) -> None:
    settings = LiveSettings(hosts=(server.url,), index=INDEX, group_field="group", model="arithmetic")
    right = examined(settings, encoder=Arithmetic())
    wrong = examined(settings, encoder=Arithmetic(shift=5.0))
    small = examined(settings, encoder=Arithmetic(dimension=3))
    assert (found(right)["model"][0], right.exit_code) == ("ok", 0)
    assert "documents embedded again agree" in found(right)["model"][1]
    assert (found(wrong)["model"][0], wrong.exit_code) == ("missing", 2)
    assert (found(small)["model"][0], small.exit_code) == ("missing", 2)
    assert "3" in found(small)["model"][1]


def test_the_model_that_the_index_names_is_shown_and_held_against_the_one_in_use(server: Any, indexing: Any) -> None:
    mapping = indexing.mapping(4)
    mapping["_meta"] = {"crossalign": {"model": {"name": "arithmetic", "sha256": "0.0", "dimension": 4}}}
    indexing.create(server, "doctor-model", COMPLETE, mapping)
    settings = LiveSettings(hosts=(server.url,), index="doctor-model", group_field="group", model="arithmetic")
    right = examined(settings, encoder=Arithmetic())
    assert found(right)["model of the index"] == ("ok", "'arithmetic' (0.0)")
    assert found(right)["model"] == ("ok", "arithmetic: the index names it")
    assert found(examined(settings, encoder=Arithmetic(shift=5.0)))["model"][0] == "missing"


def test_an_examination_only_reads_and_scores_one_document(server: Any) -> None:
    exchanges: list[Exchange] = []
    settings = LiveSettings(hosts=(server.url,), index=INDEX, group_field="group")
    before = server.request("GET", f"/{INDEX}/_stats/docs,indexing")
    examined(settings, traffic=Traffic(exchanges.append))
    assert server.request("GET", f"/{INDEX}/_stats/docs,indexing") == before
    reads = "info health alias mapping settings stats count msearch"
    assert {exchange.operation for exchange in exchanges} == {
        *reads.split(),
        "open point in time",
        "close point in time",
    }


@pytest.fixture
def proxy(server: Any) -> Iterator[Callable[..., Any]]:
    """Passes requests on to the server, but for those that a test answers itself."""
    import contextlib

    with contextlib.ExitStack() as stack:

        def start(answer: Callable[[Received], tuple[int, Any] | None]) -> str:
            def serve(received: Received) -> tuple[int, Any]:
                own = answer(received)
                if own is not None:
                    return own
                kept = {
                    name: value
                    for name, value in received.headers
                    if name.lower() in {"content-type", "content-encoding"}
                }
                request = urllib.request.Request(  # noqa: S310
                    server.url + received.target, data=received.body or None, method=received.method, headers=kept
                )
                with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
                    return response.status, json.loads(response.read())

            return stack.enter_context(http_server(serve))

        yield start


def test_a_cluster_without_points_in_time_can_be_audited_with_a_warning(proxy: Any) -> None:
    refused = {"error": "no handler found for uri [/doctor/_search/point_in_time] and method [POST]", "status": 400}
    url = proxy(lambda received: (400, refused) if "point_in_time" in received.target else None)
    diagnosis = examined(LiveSettings(hosts=(url,), index=INDEX, group_field="group"))
    state, seen = found(diagnosis)["point in time"]
    assert (state, seen.startswith("not available: ")) == ("warning", True)
    assert "writes during the audit" in advice(diagnosis, "point in time")
    assert diagnosis.exit_code == 0


@pytest.mark.parametrize(
    ("version", "state", "seen", "exit_code"),
    [
        ({"number": "2.3.0", "distribution": "opensearch"}, "warning", "OpenSearch 2.3.0 is old", 0),
        ({"number": "1.3.20", "distribution": "opensearch"}, "warning", "OpenSearch 1.3.20 is old", 0),
        ({"number": "4.0.0", "distribution": "opensearch"}, "warning", "OpenSearch 4.0.0 is not known", 0),
        ({"number": "7.10.2", "distribution": "opensearch"}, "warning", "calls itself 7.10.2 (compatibility mode)", 0),
        ({"number": "8.15.0"}, "missing", "8.15.0, and no OpenSearch", 2),
        (
            {"number": "soon"},
            "missing",
            "what answers there does not say its version: it does not look like OpenSearch",
            2,
        ),
    ],
)
def test_an_old_unknown_or_foreign_version_is_named(
    proxy: Any, version: dict, state: str, seen: str, exit_code: int
) -> None:
    url = proxy(lambda received: (200, {**INFO, "version": version}) if received.target == "/" else None)
    diagnosis = examined(LiveSettings(hosts=(url,), index=INDEX, group_field="group"))
    assert found(diagnosis)["version"] == (state, seen)
    assert diagnosis.exit_code == exit_code


@pytest.mark.parametrize("answer", ["<html>Welcome to the proxy</html>", [1], "null", "not JSON"])
def test_something_else_at_the_address_is_one_clear_finding(answer: Any) -> None:
    with http_server(lambda _: (200, answer)) as url:
        diagnosis = examined(LiveSettings(hosts=(url,), index="i"))
    assert [finding.check for finding in diagnosis.findings] == ["connection"]
    assert "does not look like OpenSearch" in diagnosis.findings[0].seen
    assert diagnosis.exit_code == 3


def test_nobody_at_the_address_is_one_clear_finding() -> None:
    diagnosis = examined(LiveSettings(hosts=("http://127.0.0.1:1",), index="i"))
    assert found(diagnosis)["connection"][0] == "missing"
    assert "no connection" in found(diagnosis)["connection"][1]
    assert diagnosis.exit_code == 3


def test_without_a_name_the_model_that_an_audit_would_use_is_compared(server: Any, indexing: Any) -> None:
    settings = LiveSettings(hosts=(server.url,), index=INDEX, group_field="group")
    client = open_client(settings, {})
    asked: list[str] = []

    def opened(name: str) -> Any:
        asked.append(name)
        if name == "gone":
            raise ExternalError("cannot load the model 'gone'")
        return Arithmetic()

    try:
        default = diagnose(client, settings, open_encoder=opened)
        state, seen = found(default)["model"]
        assert (state, f"{DEFAULT_MODEL}: documents embedded again agree" in seen) == ("ok", True)
        # The index names its own, which cannot be had: no reason not to audit with queries that carry their vectors.
        mapping = indexing.mapping(4)
        mapping["_meta"] = {"crossalign": {"model": {"name": "gone", "dimension": 4}}}
        indexing.create(server, "doctor-gone", COMPLETE, mapping)
        named = replace(settings, index="doctor-gone")
        stated = diagnose(client, named, open_encoder=opened)
        state, seen = found(stated)["model"]
        assert (state, stated.exit_code) == ("warning", 0)
        assert seen.startswith("an audit would use gone, which the index names, and it cannot be loaded: cannot load")
        insisted = diagnose(client, replace(named, model="gone"), open_encoder=opened)
        assert (found(insisted)["model"][0], insisted.exit_code) == ("missing", 3)
    finally:
        client.close()
    assert asked == [DEFAULT_MODEL, "gone", "gone"]
