"""The faults as the command meets them: a right result, a partial one that says so, or one clear message."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import Proxy, reset, status
from live_command import Finished, run_audit
from live_faults import at_search, documents
from local_servers import INFO, http_server, tls_context
from opensearch_security import make_certificates

from haystack_crossalign.opensearch.connection.patient import Patience

NAME, OTHER, ALIAS = "bench-command", "bench-command-new", "bench-command-alias"
# By then some of the four units are done and some are not: each takes four searches or five.
MIDDLE = 12
BRIEF = {"CROSSALIGN_PATIENCE": "0.5"}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Patience, "wait", lambda _self, _attempt: 0.02)


@pytest.fixture
def expected(opensearch: Any, indexing: Any, tmp_path: Path) -> Finished:
    indexing.create(opensearch, NAME, documents(), indexing.mapping(8))
    finished = run_audit(opensearch.url, NAME, tmp_path)
    assert (finished.code, finished.err) == (0, "")
    return finished


@pytest.fixture
def disturbed(opensearch: Any, tmp_path: Path) -> Iterator[Callable[..., Finished]]:
    """Runs the command while something happens in the middle of the audit."""
    proxy = Proxy(opensearch.url)

    def run(action: Callable[[Proxy], object], index: str = NAME, *arguments: str, **options: Any) -> Finished:
        done: list[object] = []
        proxy.before = at_search(MIDDLE, lambda: done.append(action(proxy)))
        finished = run_audit(proxy.url, index, tmp_path, *arguments, **options)
        assert len(done) == 1, f"{len(proxy.requests)} requests were made"
        return finished

    yield run
    proxy.close()


def assert_partial(finished: Finished, message: str) -> None:
    """Exit 3, one line for the person, and a result that says how much of the work is in it."""
    assert finished.code == 3
    assert re.search(message, finished.message), finished.err
    assert finished.result is not None
    partial = finished.result["live"]["partial"]
    assert 0 < partial["queries"] < partial["of"] == 12
    assert f"the result is partial: {partial['queries']} of 12 queries" in finished.err


def test_a_storm_that_passes_leaves_every_number_as_it_is(
    disturbed: Callable[..., Finished], expected: Finished
) -> None:
    storm = [status(429, "rejected_execution_exception"), status(503, "x"), reset, status(502, "y"), reset]
    finished = disturbed(lambda proxy: proxy.faults.extend(storm))
    assert (finished.code, finished.err) == (0, "")
    assert finished.numbers == expected.numbers


@pytest.mark.usefixtures("expected")
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (status(429, "rejected_execution_exception"), r"still refused after waiting \(status 429\)"),
        (reset, "no connection"),
        (status(500, "null_pointer_exception"), "failed with status 500"),
    ],
)
def test_a_storm_that_does_not_pass_leaves_a_partial_result(
    disturbed: Callable[..., Finished], fault: Any, message: str
) -> None:
    finished = disturbed(lambda proxy: proxy.faults.extend([fault] * 1000), environment=BRIEF)
    assert_partial(finished, message)


@pytest.mark.usefixtures("expected")
def test_answers_that_take_too_long_name_what_to_change(disturbed: Callable[..., Finished]) -> None:
    def slow(_: Any, content: bytes) -> bytes:
        time.sleep(1.5)
        return content

    finished = disturbed(lambda proxy: proxy.faults.append(slow), environment={"CROSSALIGN_TIMEOUT": "1"})
    assert_partial(finished, "raise the time limit or lower the batch size")


@pytest.mark.usefixtures("expected")
def test_an_answer_that_is_not_opensearchs_is_one_message(disturbed: Callable[..., Finished]) -> None:
    def page(handler: Any, _: bytes) -> None:
        handler.reply(200, b"<html>sign in, please</html>")

    assert_partial(disturbed(lambda proxy: proxy.faults.append(page), environment=BRIEF), "crossalign: http://127")


def test_writes_during_the_audit_change_no_number_and_are_told(
    opensearch: Any, disturbed: Callable[..., Finished], expected: Finished
) -> None:
    def write(_: Proxy) -> None:
        lines: list[dict[str, Any]] = []
        for identifier, document in documents(seed=99).items():
            lines += [{"index": {"_id": f"new-{identifier}"}}, document]
        lines += [{"delete": {"_id": "en-0"}}]
        opensearch.request("POST", f"/{NAME}/_bulk?refresh=true", lines)

    finished = disturbed(write)
    assert finished.code == 0
    assert finished.numbers == expected.numbers
    assert any("was written to while the audit ran" in one for one in finished.result["live"]["warnings"])


def test_an_alias_that_moves_changes_no_number_and_is_told(
    opensearch: Any, indexing: Any, disturbed: Callable[..., Finished], expected: Finished
) -> None:
    indexing.create(opensearch, OTHER, documents(seed=6), indexing.mapping(8))
    opensearch.request("POST", "/_aliases", {"actions": [{"add": {"index": NAME, "alias": ALIAS}}]})

    def move(_: Proxy) -> None:
        actions = [{"remove": {"index": NAME, "alias": ALIAS}}, {"add": {"index": OTHER, "alias": ALIAS}}]
        opensearch.request("POST", "/_aliases", {"actions": actions})

    finished = disturbed(move, ALIAS)
    assert finished.code == 0
    assert finished.numbers == expected.numbers
    assert any("the alias was switched while the audit ran" in one for one in finished.result["live"]["warnings"])


@pytest.mark.usefixtures("expected")
@pytest.mark.parametrize("recreate", [False, True], ids=["deleted", "created again"])
def test_an_index_that_is_gone_leaves_a_partial_result_that_cannot_be_resumed_on_another(
    opensearch: Any, indexing: Any, disturbed: Callable[..., Finished], tmp_path: Path, recreate: bool
) -> None:
    def drop(_: Proxy) -> None:
        opensearch.request("DELETE", f"/{NAME}")
        if recreate:
            indexing.create(opensearch, NAME, documents(seed=5), indexing.mapping(8))

    state = tmp_path / "state.jsonl"
    finished = disturbed(drop, NAME, "--state", str(state), environment=BRIEF)
    assert_partial(finished, "no such index|point in time is gone")
    again = run_audit(opensearch.url, NAME, tmp_path, "--resume", str(state), environment=BRIEF)
    assert again.code == 2
    assert again.result is None
    assert re.search("belongs to another audit: index" if recreate else "no such index", again.message)


@pytest.fixture
def without_views(opensearch: Any, tmp_path: Path) -> Iterator[Callable[..., Finished]]:
    """Runs the command against a cluster that has no points in time, while something happens in the middle."""
    proxy = Proxy(opensearch.url)

    def run(action: Callable[[Proxy], object], *arguments: str, **options: Any) -> Finished:
        later = at_search(MIDDLE, lambda: action(proxy))

        def before(request: str) -> None:
            if request.endswith("/_search/point_in_time"):
                proxy.faults.append(status(400, "illegal_argument_exception"))
            later(request)

        proxy.before = before
        return run_audit(proxy.url, NAME, tmp_path, *arguments, **options)

    yield run
    proxy.close()


def test_without_points_in_time_the_numbers_are_the_same_and_the_risk_is_told(
    without_views: Callable[..., Finished], expected: Finished
) -> None:
    finished = without_views(lambda _: None)
    assert finished.code == 0
    assert finished.numbers == expected.numbers
    assert finished.result is not None
    assert any("this cluster has no points in time" in one for one in finished.result["live"]["warnings"])


@pytest.mark.usefixtures("expected")
@pytest.mark.parametrize("arguments", [(), ("--sample", "0.9")], ids=["exact", "sample"])
def test_without_points_in_time_a_language_that_appears_in_the_middle_is_named(
    opensearch: Any, without_views: Callable[..., Finished], arguments: tuple[str, ...]
) -> None:
    def write(_: Proxy) -> None:
        lines: list[dict[str, Any]] = []
        for identifier, document in documents(seed=99).items():
            lines += [{"index": {"_id": f"new-{identifier}"}}, {**document, "language": "fr"}]
        opensearch.request("POST", f"/{NAME}/_bulk?refresh=true", lines)

    finished = without_views(write, *arguments)
    assert_partial(finished, "a document in 'fr' appeared: the index changed while it was read")


@pytest.mark.usefixtures("expected")
@pytest.mark.parametrize("storm", [False, True], ids=["whole", "cut short"])
def test_without_points_in_time_numbers_of_two_indices_are_never_mixed(
    opensearch: Any, indexing: Any, without_views: Callable[..., Finished], storm: bool
) -> None:
    def replace(proxy: Proxy) -> None:
        indexing.create(opensearch, NAME, documents(seed=5), indexing.mapping(8))
        if storm:
            # Two searches of the new index get through before the cluster fails for a while.
            proxy.faults.extend([lambda _, content: content] * 3 + [status(500, "x")])

    finished = without_views(replace, environment=BRIEF)
    assert finished.code == 3
    print(finished.err)
    assert finished.result is None
    assert finished.message


def test_a_mapping_of_a_megabyte_with_ten_thousand_fields_is_audited(
    opensearch: Any, indexing: Any, expected: Finished, tmp_path: Path
) -> None:
    mapping = indexing.mapping(8)
    for number in range(10_000):
        mapping["properties"][f"field_{number:05}_{'x' * 60}"] = {"type": "keyword", "index": False}
    settings = {"index.knn": True, "index.mapping.total_fields.limit": 20_000, "number_of_shards": 2}
    opensearch.request("DELETE", f"/{OTHER}?ignore_unavailable=true")
    opensearch.request("PUT", f"/{OTHER}", {"settings": {**settings, "number_of_replicas": 0}, "mappings": mapping})
    try:
        lines: list[dict[str, Any]] = []
        for identifier, document in documents().items():
            lines += [{"index": {"_id": identifier}}, document]
        opensearch.request("POST", f"/{OTHER}/_bulk?refresh=true", lines)
        finished = run_audit(opensearch.url, OTHER, tmp_path)
        assert finished.code == 0
        assert finished.numbers[1] == expected.numbers[1]
    finally:
        opensearch.request("DELETE", f"/{OTHER}")


def test_a_missing_shard_is_named_before_anything_is_counted(opensearch: Any, indexing: Any, tmp_path: Path) -> None:
    settings = {"index.routing.allocation.total_shards_per_node": 1, "index.knn": True, "number_of_shards": 2}
    body = {"settings": {**settings, "number_of_replicas": 0}, "mappings": indexing.mapping(8)}
    opensearch.request("DELETE", f"/{OTHER}?ignore_unavailable=true")
    opensearch.request("PUT", f"/{OTHER}?wait_for_active_shards=0", body)
    try:
        opensearch.request("GET", f"/_cluster/health/{OTHER}?wait_for_active_shards=1&timeout=30s")
        finished = run_audit(opensearch.url, OTHER, tmp_path, environment=BRIEF)
        assert finished.code == 3
        assert finished.result is None
        assert re.search(f"shards of .*{OTHER}.* are missing|shards of the index are missing", finished.message)
        assert finished.err.count("\n") == 1
    finally:
        opensearch.request("DELETE", f"/{OTHER}")


@pytest.mark.parametrize("fault", ["password", "authority", "no authority"])
def test_a_wrong_password_and_foreign_certificates_are_one_line(
    secure_opensearch: Any, indexing: Any, tmp_path: Path, fault: str
) -> None:
    indexing.create(secure_opensearch, NAME, documents(), indexing.mapping(8))
    environment = {"CROSSALIGN_USER": "admin", "CROSSALIGN_PASSWORD": secure_opensearch.password, **BRIEF}
    environment["CROSSALIGN_CA_FILE"] = str(secure_opensearch.certificates.authority)
    assert run_audit(secure_opensearch.url, NAME, tmp_path, environment=environment).code == 0
    if fault == "password":
        environment["CROSSALIGN_PASSWORD"] = "not-the-password"  # noqa: S105 - of no account
    elif fault == "authority":
        environment["CROSSALIGN_CA_FILE"] = str(make_certificates(tmp_path / "foreign").authority)
    else:
        del environment["CROSSALIGN_CA_FILE"]
    finished = run_audit(secure_opensearch.url, NAME, tmp_path, environment=environment)
    assert finished.code == 3
    assert finished.result is None
    told = "refused the credentials" if fault == "password" else "certificate could not be verified"
    assert told in finished.message
    assert finished.err.count("\n") == 1
    assert secure_opensearch.password not in finished.out + finished.err
    assert "not-the-password" not in finished.out + finished.err


def test_an_expired_certificate_is_one_line(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path / "pem")
    home = certificates.folder
    (home / "ext").write_text("subjectAltName=IP:127.0.0.1\n", encoding="utf-8")
    command = ["openssl", "x509", "-req", "-in", "node.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "-1"]
    subprocess.run([*command, "-extfile", "ext", "-out", "old.pem"], cwd=home, check=True, capture_output=True)
    with http_server(lambda _: (200, INFO), tls=tls_context((home / "old.pem", home / "node.key"))) as url:
        environment = {"CROSSALIGN_CA_FILE": str(certificates.authority), **BRIEF}
        finished = run_audit(url, NAME, tmp_path, environment=environment)
    assert finished.code == 3
    assert "certificate has expired" in finished.message
    assert finished.err.count("\n") == 1
