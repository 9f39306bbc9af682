"""SigV4 against a second implementation of it, on requests as they arrive at a server that checks every one of them."""

from __future__ import annotations

import gzip
import hashlib
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_signature import refusal, signature, signing_key
from local_servers import INFO, Received, http_server

from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.connect import open_client
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.connection.signing import aws_signer

ACCESS, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "a-session/token+of==aws"
REGION = "eu-central-1"


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's own AWS settings; the chain begins with the variables, as everywhere."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


# The least of what an OpenSearch answers, which is all that a client takes.
ANSWERS = {
    "/_mapping": {"prod": {"mappings": {}}},
    "/_settings": {"prod": {"settings": {}}},
    "/_alias": {"prod": {"aliases": {}}},
    "/_stats/": {"indices": {}},
    "/_cluster/health/": {"status": "green"},
}


class Service:
    """A service that lets in what is signed rightly, and keeps what it got."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.received: list[Received] = []

    def __call__(self, received: Received) -> tuple[int, Any]:
        self.received.append(received)
        reason = refusal(*vars(received).values(), keys={ACCESS: SECRET}, scope=self.scope)
        if reason is not None:
            return 403, {"error": {"reason": reason}, "status": 403}
        if received.target.split("?")[0].endswith("_msearch"):
            lines = gzip.decompress(received.body).count(b"\n") // 2
            shards = {"total": 1, "successful": 1, "failed": 0}
            empty = {"total": {"value": 0, "relation": "eq"}, "hits": []}
            return 200, {"responses": [{"timed_out": False, "_shards": shards, "hits": empty}] * lines}
        return 200, next((answer for part, answer in ANSWERS.items() if part in received.target), INFO)


@pytest.fixture
def service() -> Iterator[tuple[Service, Callable[..., ReadOnlyClient]]]:
    """A service for OpenSearch Service, and what opens a client to it."""
    checking = Service(f"{REGION}/es")
    clients = []
    with http_server(checking) as url:

        def connect(**options: Any) -> ReadOnlyClient:
            settings = LiveSettings(hosts=(url + options.pop("path", ""),), auth="aws", patience=0.1)
            clients.append(open_client(_replaced(settings, {"aws_region": REGION} | options), {}))
            return clients[-1]

        yield checking, connect
        for client in clients:
            client.close()


def _replaced(settings: LiveSettings, options: dict[str, Any]) -> LiveSettings:
    from dataclasses import replace

    return replace(settings, **options)


def test_the_second_implementation_agrees_with_the_examples_that_aws_publishes() -> None:
    key = signing_key(SECRET, "20150830", "us-east-1", "iam")
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
    listed = signature(
        "GET",
        "/?Action=ListUsers&Version=2010-05-08",
        [
            ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("Host", "iam.amazonaws.com"),
            ("X-Amz-Date", "20150830T123600Z"),
        ],
        ["content-type", "host", "x-amz-date"],
        hashlib.sha256(b"").hexdigest(),
        time="20150830T123600Z",
        key=key,
        scope="20150830/us-east-1/iam/aws4_request",
    )
    assert listed == "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    vanilla = signature(
        "GET",
        "/",
        [("Host", "example.amazonaws.com"), ("X-Amz-Date", "20150830T123600Z")],
        ["host", "x-amz-date"],
        hashlib.sha256(b"").hexdigest(),
        time="20150830T123600Z",
        key=signing_key(SECRET, "20150830", "us-east-1", "service"),
        scope="20150830/us-east-1/service/aws4_request",
    )
    assert vanilla == "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"


def test_every_kind_of_request_of_an_audit_is_signed_as_it_arrives(service: Any) -> None:
    checking, connect = service
    client = connect()
    client.info()
    client.mapping("prod,other-*")
    client.settings("prod")
    client.aliases("índice ñ")
    client.stats("prod", shards=True)
    client.health("prod")
    bodies = [{"query": {"match": {"content": "ñandú " * 400}}}] * 3
    assert len(client.search_all(bodies, "prod", concurrent=2)) == 3
    client.request("DELETE", "/_search/point_in_time", body={"pit_id": ["a" * 10]})
    assert [total.failures for total in client.traffic.totals.values()] == [0] * len(client.traffic.totals)
    compressed = [one for one in checking.received if one.body[:2] == b"\x1f\x8b"]
    assert [one.target.split("?")[0] for one in compressed] == ["/_msearch"]
    assert any("&" in one.target for one in checking.received)


def test_an_address_with_a_path_is_signed_with_it(service: Any) -> None:
    checking, connect = service
    connect(path="/behind/a/proxy").mapping("prod")
    assert checking.received[-1].target == "/behind/a/proxy/prod/_mapping"


def test_a_session_token_is_sent_and_signed(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    checking, connect = service
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    connect().info()
    headers = {name.lower(): value for name, value in checking.received[-1].headers}
    assert headers["x-amz-security-token"] == TOKEN
    assert "x-amz-security-token" in headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")


@pytest.mark.parametrize("options", [{"aws_region": "us-east-1"}, {"aws_service": "aoss"}])
def test_another_region_or_service_is_refused(service: Any, options: dict[str, str]) -> None:
    _, connect = service
    with pytest.raises(CrossAlignError, match="wrong scope"):
        connect(**options).info()


def test_a_wrong_key_is_refused_and_not_repeated(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, connect = service
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    with pytest.raises(CrossAlignError, match="wrong signature") as caught:
        connect().info()
    assert "another-secret" not in f"{caught.value}{caught.value!r}"


def test_the_check_itself_finds_a_changed_body_path_query_and_header(service: Any) -> None:
    checking, connect = service
    connect().request("POST", "/prod/_count", parameters={"filter_path": "count"}, body={"query": {"match_all": {}}})
    one = checking.received[-1]
    known = {"keys": {ACCESS: SECRET}, "scope": checking.scope}
    assert refusal(*vars(one).values(), **known) is None
    assert refusal(one.method, one.target, one.headers, one.body + b" ", **known) == "the body is another one"
    assert refusal(one.method, one.target.replace("prod", "p"), one.headers, one.body, **known) == "wrong signature"
    assert refusal(one.method, f"{one.target}&a=b", one.headers, one.body, **known) == "wrong signature"
    host = [(name, "else" if name.lower() == "host" else value) for name, value in one.headers]
    assert refusal(one.method, one.target, host, one.body, **known) == "wrong signature"


def test_credentials_come_from_a_named_profile_of_aws_files_and_so_does_the_region(
    service: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, connect = service
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    file.write_text(f"[audit]\naws_access_key_id = {ACCESS}\naws_secret_access_key = {SECRET}\n", encoding="utf-8")
    (tmp_path / "config").write_text(f"[profile audit]\nregion = {REGION}\n", encoding="utf-8")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises(ExternalError, match="no credentials found"):
        connect()
    monkeypatch.setenv("AWS_PROFILE", "audit")
    connect(aws_region=None).info()


def test_without_a_region_or_with_an_unknown_profile_there_is_one_clear_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InputError, match="--aws-region: no AWS region is given"):
        aws_signer(None)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ExternalError, match="AWS: the credentials cannot be read"):
        aws_signer(REGION)


def test_without_botocore_the_message_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['botocore'] = None\n"
        "from haystack_crossalign.errors import InputError\n"
        "from haystack_crossalign.opensearch.connection.signing import aws_signer\n"
        "try:\n    aws_signer('eu-central-1')\nexcept InputError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'haystack-crossalign[aws]'" in done.stdout


def test_logs_at_debug_level_hold_neither_key_nor_session_token(
    service: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, connect = service
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    for name in (None, "botocore", "opensearch", "urllib3"):
        caplog.set_level(logging.DEBUG, logger=name)
    connect().info()
    assert "GET" in caplog.text
    assert SECRET not in caplog.text
    assert TOKEN not in caplog.text
