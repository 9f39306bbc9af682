"""Connections as settings describe them: who asks, whom to trust, and what is refused before anything is sent."""

from __future__ import annotations

import base64
import dataclasses
import json
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local_servers import INFO, Received, http_server, tls_context

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.opensearch.connection.connect import auth_kind, open_client
from haystack_crossalign.opensearch.connection.settings import LiveSettings

# Printable, not ASCII, not Latin-1, and everything that shells, URLs, JSON, TOML and HTML treat in their own ways.
ODD = "p:ä€漢\"'\\$`{}%41&<>#?/@ =+é\t;|"


class Recorder:
    """Answers every request and keeps its authorization header."""

    def __init__(self) -> None:
        self.headers: list[str | None] = []

    def __call__(self, received: Received) -> tuple[int, Any]:
        self.headers.append({name.lower(): value for name, value in received.headers}.get("authorization"))
        return 200, INFO


@pytest.fixture
def recorder() -> Iterator[tuple[Recorder, LiveSettings]]:
    answers = Recorder()
    with http_server(answers) as url:
        yield answers, LiveSettings(hosts=(url,), index="prod", patience=0.1)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from opensearch_security import make_certificates

    return make_certificates(tmp_path_factory.mktemp("tls") / "pem")


@pytest.fixture
def secret_file(tmp_path: Path) -> Any:
    def make(content: str) -> Path:
        file = tmp_path / "secret"
        file.write_text(content, encoding="utf-8")
        file.chmod(0o600)
        return file

    return make


def ask(settings: LiveSettings, environ: dict[str, str] | None = None, **changes: Any) -> list[str]:
    """Ask for the version; returns the notes."""
    client = open_client(dataclasses.replace(settings, **changes), environ or {})
    try:
        assert client.info()["version"] == INFO["version"]
        return client.notes
    finally:
        client.close()


def test_basic_bearer_and_api_key_send_the_header_they_stand_for(recorder: Any, secret_file: Any) -> None:
    answers, settings = recorder
    notes = [
        *ask(settings),
        *ask(settings, {"CROSSALIGN_PASSWORD": ODD}, user="ann"),
        *ask(settings, {"CROSSALIGN_TOKEN": "a.b-c=="}),
        *ask(settings, {"CROSSALIGN_API_KEY": "aWQ6a2V5"}),
        *ask(settings, user="ann", password_file=secret_file(ODD + "\n")),
    ]
    pair = base64.b64encode(f"ann:{ODD}".encode()).decode()
    assert answers.headers == [None, f"Basic {pair}", "Bearer a.b-c==", "ApiKey aWQ6a2V5", f"Basic {pair}"]
    assert notes == []


def test_an_explicit_kind_decides_between_several_credentials(recorder: Any) -> None:
    answers, settings = recorder
    environ = {"CROSSALIGN_PASSWORD": "p", "CROSSALIGN_TOKEN": "t", "CROSSALIGN_API_KEY": "k"}
    for kind in ("none", "bearer", "api_key"):
        ask(settings, environ, user="ann", auth=kind)
    assert answers.headers == [None, "Bearer t", "ApiKey k"]
    with pytest.raises(InputError, match=r"--auth: several ways to log in are given .*CROSSALIGN_PASSWORD") as caught:
        ask(settings, environ, user="ann", aws_region="x")
    assert "allowed: one of basic, bearer, api_key, aws" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "environ", "kind"),
    [
        ({}, {}, "none"),
        ({}, {"CROSSALIGN_PASSWORD": ""}, "none"),
        ({"user": "ann"}, {}, "basic"),
        ({"password_file": Path("x")}, {}, "basic"),
        ({"token_file": Path("x")}, {}, "bearer"),
        ({"api_key_file": Path("x")}, {}, "api_key"),
        ({"aws_region": "eu-central-1"}, {}, "aws"),
    ],
)
def test_the_kind_follows_from_the_credentials(changes: dict, environ: dict, kind: str) -> None:
    assert auth_kind(LiveSettings(**changes), environ) == kind


@pytest.mark.parametrize(
    ("changes", "environ", "message"),
    [
        ({"user": "ann"}, {}, "--password-file: no password is given; allowed: CROSSALIGN_PASSWORD in the environment"),
        (
            {},
            {"CROSSALIGN_PASSWORD": "p"},
            "--user: no user name is given; allowed: CROSSALIGN_USER in the environment",
        ),
        ({"auth": "bearer"}, {}, "--token-file: no token is given"),
        ({"auth": "api_key"}, {}, "--api-key-file: no api key is given"),
        ({"client_key": Path("k")}, {}, "--client-certificate: no client certificate is given"),
    ],
)
def test_what_a_login_lacks_is_named(changes: dict, environ: dict, message: str) -> None:
    with pytest.raises(InputError) as caught:
        open_client(LiveSettings(hosts=("http://127.0.0.1:1",), index="i", **changes), environ)
    assert message in str(caught.value)


@pytest.mark.parametrize("variable", ["CROSSALIGN_TOKEN", "CROSSALIGN_API_KEY"])
@pytest.mark.parametrize("value", ["hunter-2\r\nx: y", "hunter-2\x00", "hunter-2€", " hunter-2", "hunter-2\x7f"])
def test_a_token_that_no_header_can_hold_is_refused_and_not_repeated(variable: str, value: str) -> None:
    with pytest.raises(InputError, match="no HTTP header can hold") as caught:
        open_client(LiveSettings(hosts=("http://127.0.0.1:1",), index="i"), {variable: value})
    assert variable in str(caught.value)
    assert "hunter" not in f"{caught.value}{caught.value!r}"


def test_risks_are_said_loudly_and_only_where_they_exist(certificates: Any) -> None:
    def notes(host: str, environ: dict[str, str] | None = None, **changes: Any) -> list[str]:
        return open_client(LiveSettings(hosts=(host,), index="i", **changes), environ or {}).notes

    token = {"CROSSALIGN_TOKEN": "t"}
    assert notes("http://search.example:9200") == []
    assert notes("http://127.0.0.1:9200", token) == notes("http://localhost", token) == notes("https://a", token) == []
    assert notes("http://127.0.0.1.example:9200", token)[0].startswith("INSECURE: http://127.0.0.1.example:9200 is not")
    assert notes("https://a", verify_tls=False)[0].startswith("INSECURE: the server's certificate is not checked")
    assert notes("http://a", verify_tls=False) == []
    assert "the CA file is not used" in notes("http://a", ca_file=certificates.authority)[0]


def test_a_server_that_demands_a_client_certificate_gets_it(certificates: Any, tmp_path: Path) -> None:
    certificate, key = certificates.pair("admin")
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    tls = tls_context(certificates.pair("node"), demand=certificates.authority)
    with http_server(lambda _: (200, INFO), tls=tls) as url:
        settings = LiveSettings(hosts=(url,), index="i", ca_file=certificates.authority, patience=0.1)
        ask(settings, client_certificate=certificate, client_key=key)
        ask(settings, client_certificate=both)
        with pytest.raises(ExternalError, match="may demand a client certificate"):
            ask(settings)


def test_https_to_a_server_without_tls_is_named() -> None:
    with http_server(lambda _: (200, INFO)) as url, pytest.raises(ExternalError, match="does not speak TLS"):
        ask(LiveSettings(hosts=(url.replace("http", "https"),), index="i", patience=0.1))


def test_a_client_certificate_that_cannot_be_used_is_refused_at_once(certificates: Any, tmp_path: Path) -> None:
    certificate, key = certificates.pair("admin")
    encrypted, text = tmp_path / "encrypted.key", tmp_path / "text.pem"
    command = ["openssl", "rsa", "-aes256", "-passout", "pass:hunter-2", "-in", str(key), "-out", str(encrypted)]
    subprocess.run(command, check=True, capture_output=True)
    text.write_text("no certificate", encoding="utf-8")
    settings = LiveSettings(hosts=("https://127.0.0.1:1",), index="i", client_certificate=certificate, client_key=key)
    for changes, match in (
        ({"client_key": certificates.pair("node")[1]}, "KEY_VALUES_MISMATCH"),
        ({"client_key": encrypted}, "the key of the client certificate is encrypted"),
        ({"client_certificate": text}, "cannot be used"),
        ({"client_certificate": tmp_path / "none.pem"}, "no such file or directory; seen: .*none.pem"),
        ({"verify_tls": False}, "--insecure: a client certificate is only shown to a server"),
    ):
        with pytest.raises(InputError, match=match):
            open_client(dataclasses.replace(settings, **changes), {})


def test_a_ca_file_without_certificates_is_refused_at_once(tmp_path: Path) -> None:
    settings = LiveSettings(hosts=("https://127.0.0.1:1",), index="i", ca_file=tmp_path / "ca.pem")
    with pytest.raises(InputError, match="--ca-file: no such file"):
        open_client(settings, {})
    (tmp_path / "ca.pem").write_text("nothing", encoding="utf-8")
    with pytest.raises(InputError, match="--ca-file: holds no certificates"):
        open_client(settings, {})


def resigned(certificates: Any, folder: Path, *, days: int, names: str) -> tuple[Path, Path]:
    """The node's certificate signed again by the same authority."""
    (folder / "ext").write_text(f"subjectAltName={names}\n", encoding="utf-8")
    home = certificates.folder
    command = ["openssl", "x509", "-req", "-in", str(home / "node.csr"), "-CA", str(home / "ca.pem")]
    command += ["-CAkey", str(home / "ca.key"), "-CAcreateserial", "-days", str(days)]
    command += ["-extfile", str(folder / "ext"), "-out", str(folder / "node.pem")]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "node.pem", home / "node.key"


@pytest.mark.parametrize(
    ("days", "names", "reason"),
    [(-1, "IP:127.0.0.1", "certificate has expired"), (30, "DNS:other.example", "127.0.0.1")],
)
def test_an_expired_certificate_and_one_for_another_name_are_refused_by_reason(
    certificates: Any, tmp_path: Path, days: int, names: str, reason: str
) -> None:
    with http_server(
        lambda _: (200, INFO), tls=tls_context(resigned(certificates, tmp_path, days=days, names=names))
    ) as url:
        settings = LiveSettings(hosts=(url,), index="i", ca_file=certificates.authority, patience=0.1)
        with pytest.raises(ExternalError, match="certificate could not be verified") as caught:
            ask(settings)
        assert reason in str(caught.value)
        assert "INSECURE" in ask(settings, ca_file=None, verify_tls=False)[0]


def test_a_password_beyond_latin_1_logs_in_to_a_real_server(secure_opensearch: Any, secret_file: Any) -> None:
    users = "/_plugins/_security/api/internalusers"
    secure_opensearch.request(
        "PUT", f"{users}/odd-user", {"password": ODD, "opendistro_security_roles": ["all_access"]}
    )
    settings = LiveSettings(
        hosts=(secure_opensearch.url,),
        index="i",
        user="odd-user",
        ca_file=secure_opensearch.certificates.authority,
        patience=1.0,
    )
    for changes, environ in (({"password_file": secret_file(ODD + "\n")}, {}), ({}, {"CROSSALIGN_PASSWORD": ODD})):
        client = open_client(dataclasses.replace(settings, **changes), environ)
        assert client.info()["version"]["number"] == "2.19.1"
        client.close()


@pytest.mark.server
def test_a_real_server_that_demands_a_client_certificate_knows_its_owner_by_it() -> None:
    from opensearch_server import OpenSearchServer

    class Demanding(OpenSearchServer):
        """Its own health checks show the administrator's certificate as well."""

        def request(self, method: str, path: str, body: object = None) -> Any:
            assert (method, body) == ("GET", None)
            context = ssl.create_default_context(cafile=str(self.certificates.authority))
            context.load_cert_chain(*self.certificates.pair("admin"))
            with urllib.request.urlopen(self.url + path, timeout=60, context=context) as answer:  # noqa: S310
                return json.loads(answer.read())

    demanding = {"plugins.security.ssl.http.clientauth_mode": "REQUIRE"}
    with Demanding("2.19.1", security=True, heap="512m", quick=True, settings=demanding) as server:
        certificate, key = server.certificates.pair("admin")
        settings = LiveSettings(
            hosts=(server.url,), index="i", ca_file=server.certificates.authority, patience=0.2, timeout=20
        )
        shown = open_client(dataclasses.replace(settings, client_certificate=certificate, client_key=key), {})
        assert shown.info()["version"]["number"] == "2.19.1"
        shown.close()
        hidden = open_client(settings, {})
        with pytest.raises(ExternalError, match="may demand a client certificate"):
            hidden.info()
        hidden.close()
