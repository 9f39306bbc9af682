"""No secret in any output: terminal, files, logs at debug level, errors; on success and on every kind of failure."""

from __future__ import annotations

import base64
import html
import json
import logging
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from local_servers import http_server

from haystack_crossalign.errors import CrossAlignError
from haystack_crossalign.opensearch.connection.connect import open_client
from haystack_crossalign.opensearch.connection.settings import read_settings

USER = "secret-tester"
# What shells, URLs, TOML, JSON, HTML and Latin-1 treat in ways of their own, and long enough for the server's rules.
PASSWORD = "Päß€漢 \"'\\$x`{}%41&<>#?/@=+;|Zz9"  # noqa: S105
TOKEN = "tok.e-n_~+/Zz9%41&;"  # noqa: S105


def forms(secret: str) -> set[str]:
    """Every way in which a text is commonly written into an output."""
    raw = secret.encode()
    made = {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    made |= {html.escape(secret), html.escape(secret, quote=False), urllib.parse.quote(secret), repr(raw)[2:-1]}
    made |= {urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret), raw.hex()}
    for text in (raw, f"{USER}:{secret}".encode()):
        made |= {base64.b64encode(text).decode(), base64.urlsafe_b64encode(text).decode()}
    # A part gives it away as well.
    return made | {secret[:8], secret[-8:]}


def assert_hidden(text: str, *secrets: str) -> None:
    for secret in secrets:
        shown = [form for form in forms(secret) if form in text]
        assert shown == [], text


def test_the_check_finds_each_form_of_a_secret() -> None:
    for form in forms(PASSWORD):
        with pytest.raises(AssertionError):
            assert_hidden(f"… {form} …", PASSWORD)


@pytest.fixture(scope="module")
def secure(secure_opensearch: Any, indexing: Any) -> Any:
    documents = {
        f"{language}-{group}": {
            "embedding": [float(group == 0), 1.0, float(group), 0.5],
            "language": language,
            "group": str(group),
            "content": f"content {group} in {language}",
        }
        for language in ("en", "zh")
        for group in range(3)
    }
    indexing.create(secure_opensearch, "secrets", documents, indexing.mapping(4))
    users = "/_plugins/_security/api/internalusers"
    secure_opensearch.request(
        "PUT", f"{users}/{USER}", {"password": PASSWORD, "opendistro_security_roles": ["all_access"]}
    )
    return secure_opensearch


@pytest.fixture
def shown(
    crossalign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Callable[..., tuple[int, str]]:
    """Runs a command in an empty folder; returns its exit code and everything it left: terminal, logs, files."""
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CROSSALIGN_PATIENCE", "0.1")
    query = {"id": "q", "text": "content 1", "language": "en", "relevant": ["en-1"], "embedding": [0.0, 1.0, 1.0, 0.5]}
    (tmp_path / "queries.jsonl").write_text(json.dumps(query) + "\n", encoding="utf-8")

    def run(*arguments: object, environ: dict[str, str] | None = None, toml: str | None = None) -> tuple[int, str]:
        if toml is not None:
            (tmp_path / "crossalign.toml").write_text(toml, encoding="utf-8")
        for name, value in (environ or {}).items():
            monkeypatch.setenv(name, value)
        for logger in (None, "opensearch", "opensearchpy", "opensearchpy.trace", "urllib3", "botocore", "haystack"):
            caplog.set_level(logging.DEBUG, logger=logger)
        trace = logging.getLogger("opensearchpy.trace")
        trace.addHandler(caplog.handler)
        try:
            done = crossalign(*arguments)
        finally:
            trace.removeHandler(caplog.handler)
        given = {tmp_path / "crossalign.toml", tmp_path / "secret", tmp_path / "queries.jsonl"}
        files = [path for path in sorted(tmp_path.rglob("*")) if path.is_file() and path not in given]
        left = [f"{path}\n{path.read_text(encoding='utf-8', errors='replace')}" for path in files]
        assert "Traceback" not in done.err
        return done.code, "\n".join([done.out, done.err, caplog.text, *left])

    return run


def live(secure: Any) -> list[object]:
    ca_file = secure.certificates.authority
    return ["--hosts", secure.url, "--ca-file", ca_file, "--index", "secrets", "--group-field", "group"]


DOCTOR = ["doctor", "--json", "out.json", "--timeout", 20]
AUDIT = [
    "audit",
    "--json",
    "out.json",
    "--timeout",
    20,
    "--report",
    "out.html",
    "--markdown",
    "out.md",
    "--state",
    "state",
]
AUDIT += ["--live", "knn,bm25", "--samples", 100, "--queries", "queries.jsonl"]
COMMANDS = pytest.mark.parametrize("command", [DOCTOR, AUDIT], ids=["doctor", "audit"])


@COMMANDS
def test_a_login_that_succeeds_leaves_no_trace_of_the_password(
    shown: Any, secure: Any, tmp_path: Path, command: list[object]
) -> None:
    code, text = shown(*command, *live(secure), "--user", USER, environ={"CROSSALIGN_PASSWORD": PASSWORD})
    assert code == 0, text
    assert "_search/point_in_time" in text
    for name in [name for name in command if str(name).startswith(("out.", "state"))]:
        assert str(tmp_path / str(name)) in text
    assert_hidden(text, PASSWORD)
    (tmp_path / "secret").write_text(PASSWORD + "\n", encoding="utf-8")
    toml = f"[profiles.secrets]\nhosts = '{secure.url}'\nuser = '{USER}'\npassword_file = 'secret'\n"
    toml += f"ca_file = '{secure.certificates.authority}'\ngroup_field = 'group'\n"
    for name in ("out.json", "state"):
        (tmp_path / name).unlink(missing_ok=True)
    code, text = shown(*command, "--index", "secrets", toml=toml, environ={"CROSSALIGN_PASSWORD": ""})
    assert code == 0, text
    assert "chmod 600" in text
    assert_hidden(text, PASSWORD)


@pytest.mark.parametrize(
    ("environ", "options", "secret"),
    [
        ({"CROSSALIGN_PASSWORD": PASSWORD + "x"}, ["--user", USER], PASSWORD + "x"),
        ({"CROSSALIGN_TOKEN": TOKEN}, [], TOKEN),
        ({"CROSSALIGN_API_KEY": TOKEN}, [], TOKEN),
    ],
)
@COMMANDS
def test_a_login_that_is_refused_leaves_no_trace_of_the_secret(
    shown: Any, secure: Any, command: list[object], environ: dict[str, str], options: list[str], secret: str
) -> None:
    code, text = shown(*command, *live(secure), *options, environ=environ)
    assert code == 3
    assert "refused the credentials" in text
    assert_hidden(text, secret)


@pytest.mark.parametrize(
    "environ", [{"CROSSALIGN_PASSWORD": PASSWORD, "CROSSALIGN_USER": USER}, {"CROSSALIGN_TOKEN": TOKEN}]
)
@COMMANDS
def test_a_connection_that_fails_leaves_no_trace_of_the_secret(
    shown: Any, secure: Any, command: list[object], environ: dict[str, str]
) -> None:
    for hosts, reason in (
        (secure.url, "certificate could not be verified"),
        (secure.url.replace("https", "http"), "no connection"),
        ("http://127.0.0.1:1", "no connection"),
        ("https://no-such-host.invalid", "no connection"),
    ):
        code, text = shown(*command, "--hosts", hosts, "--index", "secrets", environ=environ)
        assert code == 3
        assert reason in text
        assert_hidden(text, PASSWORD, TOKEN)


@pytest.mark.parametrize("status", [200, 301, 400, 403, 404, 500])
@COMMANDS
def test_odd_answers_leave_no_trace_of_the_secret(shown: Any, command: list[object], status: int) -> None:
    with http_server(lambda _: (status, "<html>odd</html>")) as url:
        code, text = shown(*command, "--hosts", url, "--index", "i", environ={"CROSSALIGN_TOKEN": TOKEN})
    assert code == 3
    assert_hidden(text, TOKEN)


def repeated(received: Any) -> dict[str, str]:
    """Ways in which proxies and servers repeat the credentials that they were sent."""
    value = next((value for name, value in received.headers if name.lower() == "authorization"), "none")
    scheme, _, secret = value.partition(" ")
    login = base64.b64decode(secret).decode("utf-8", "replace") if scheme == "Basic" else secret
    return {
        "headers": "\n".join(f"{name}: {value}" for name, value in received.headers),
        "reason": f"no permissions for [{value}] of user [{login}]",
        "escaped": html.escape(login) + " " + urllib.parse.quote(login, safe=""),
        "split": f"password={login.partition(':')[2]}",
    }


LOGINS = pytest.mark.parametrize(
    ("environ", "secret"),
    [
        ({"CROSSALIGN_PASSWORD": PASSWORD, "CROSSALIGN_USER": USER}, PASSWORD),
        ({"CROSSALIGN_TOKEN": TOKEN}, TOKEN),
        ({"CROSSALIGN_API_KEY": TOKEN}, TOKEN),
    ],
    ids=["password", "token", "api key"],
)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500, 503])
@LOGINS
@COMMANDS
def test_a_server_that_repeats_the_request_shows_no_secret(
    shown: Any, command: list[object], environ: dict[str, str], secret: str, status: int
) -> None:
    def answer(received: Any) -> tuple[int, Any]:
        said = repeated(received)
        error = {"type": "security_exception", "reason": said["reason"], "root_cause": [{"reason": said["split"]}]}
        return status, {"error": error, "status": status, "request": said}

    def page(received: Any) -> tuple[int, Any]:
        return status, "<html>\n" + "\n".join(repeated(received).values()) + "</html>"

    for said in (answer, page):
        with http_server(said) as url:
            code, text = shown(*command, "--hosts", url, "--index", "i", environ=environ)
        # To doctor, an answer in JSON that does not look like OpenSearch is a finding and no fault.
        finding = command is DOCTOR and status == 200 and said is answer
        assert code == (2 if finding else 3)
        assert_hidden(text, secret)


@pytest.mark.parametrize(
    "spoiled", ["_mapping", "_search", "_stats", "_count", "point_in_time", "_cluster", "_msearch"]
)
@LOGINS
def test_a_proxy_of_a_real_server_that_repeats_one_request_shows_no_secret(
    shown: Any, opensearch: Any, indexing: Any, environ: dict[str, str], secret: str, spoiled: str
) -> None:
    documents = {
        f"{tag}-{group}": {"embedding": [1.0, float(group), 0.5, 2.0], "language": tag, "group": str(group)}
        for tag in ("en", "zh")
        for group in range(3)
    }
    indexing.create(opensearch, "secrets-proxy", documents, indexing.mapping(4))
    asked: list[str] = []

    def answer(received: Any) -> tuple[int, Any]:
        asked.append(received.target)
        if spoiled in received.target:
            return 403, {"error": {"reason": repeated(received)["reason"], **repeated(received)}, "status": 403}
        wanted = ("content-type", "content-encoding")
        kept = {name: value for name, value in received.headers if name.lower() in wanted}
        request = urllib.request.Request(  # noqa: S310 - the address of the test's own server
            opensearch.url + received.target, data=received.body or None, method=received.method, headers=kept
        )
        try:
            with urllib.request.urlopen(request) as real:  # noqa: S310
                return real.status, real.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    for command in (DOCTOR, AUDIT):
        with http_server(answer) as url:
            index = ["--index", "secrets-proxy", "--group-field", "group", "--accept-model"]
            code, text = shown(*command, "--hosts", url, *index[: 4 if command is DOCTOR else 5], environ=environ)
        assert code in (0, 2, 3), text
        assert_hidden(text, secret)
    # Both commands together ask for all of these.
    assert any(spoiled in target for target in asked), asked


# Addresses that parsers split in different ways; none may be shown or used.
ADDRESSES = [f"https://{USER}:{PASSWORD}@127.0.0.1:9200", f"{USER}:{urllib.parse.quote(PASSWORD, safe='')}@127.0.0.1"]


@pytest.mark.parametrize("address", ADDRESSES)
@COMMANDS
def test_a_password_in_an_address_is_refused_wherever_it_stands(
    shown: Any, command: list[object], address: str
) -> None:
    secrets = (PASSWORD, urllib.parse.quote(PASSWORD, safe=""))
    toml = f"[profiles.i]\nhosts = {json.dumps(address, ensure_ascii=False)}\n"
    for arguments, sources in (
        (["--hosts", address], {}),
        ([], {"environ": {"CROSSALIGN_HOSTS": address}}),
        ([], {"toml": toml, "environ": {"CROSSALIGN_HOSTS": "http://127.0.0.1:1"}}),
    ):
        code, text = shown(*command, "--index", "i", *arguments, **sources)
        assert code == 2
        assert "the address holds a user name or password" in text
        assert_hidden(text, *secrets)


@COMMANDS
def test_a_secret_in_a_wrong_place_is_refused_and_not_shown(shown: Any, command: list[object]) -> None:
    hosts = "hosts = 'http://127.0.0.1:1'\n"
    quoted = json.dumps(PASSWORD, ensure_ascii=False)
    for toml, environ in (
        (f"[profiles.i]\n{hosts}password = {quoted}\n", {}),
        (f"[profiles.i]\n{hosts}passwort = {quoted}\n", {}),
        (f"[profiles.i]\n{hosts}user = {json.dumps(USER + ':' + PASSWORD, ensure_ascii=False)}\n", {}),
        (f"[profiles.i]\n{hosts}password_file = {quoted}\nuser = 'u'\n", {}),
        (f"[profiles.i]\n{hosts}{quoted}\n", {}),
        (f"[profiles.i]\n{hosts}", {"CROSSALIGN_TOKEN": PASSWORD}),
        (f"[profiles.i]\n{hosts}", {"CROSSALIGN_TOKEN": f"{TOKEN}\r\n{TOKEN}"}),
        (f"[profiles.i]\n{hosts}", {"CROSSALIGN_TOKEN": "", "CROSSALIGN_USER": f"{USER}:{PASSWORD}"}),
    ):
        code, text = shown(*command, "--index", "i", toml=toml, environ=environ)
        assert code == 2, text
        assert_hidden(text, PASSWORD, TOKEN)


@COMMANDS
def test_keys_of_aws_leave_no_trace(shown: Any, tmp_path: Path, command: list[object]) -> None:
    environ = {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": TOKEN,
        "AWS_SESSION_TOKEN": TOKEN[::-1],
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }
    with http_server(lambda _: (403, {"message": "The request signature does not match"})) as url:
        code, text = shown(*command, "--hosts", url, "--index", "i", "--aws-region", "eu-central-1", environ=environ)
    assert code == 3
    assert_hidden(text, TOKEN, TOKEN[::-1])


def test_errors_and_objects_hold_no_secret_in_any_link_of_their_chain(secure: Any, tmp_path: Path) -> None:
    wrong = PASSWORD + "x"
    flags = {"hosts": secure.url, "index": "secrets", "user": USER, "patience": 0.1}
    texts = []
    for changes, environ in (
        ({"ca_file": secure.certificates.authority}, {"CROSSALIGN_PASSWORD": wrong}),
        ({}, {"CROSSALIGN_PASSWORD": wrong}),
        ({"hosts": "http://127.0.0.1:1"}, {"CROSSALIGN_PASSWORD": wrong}),
        ({"hosts": f"https://{USER}:{wrong}@a"}, {}),
        ({"user": f"{USER}:{wrong}"}, {}),
        ({"password_file": wrong}, {}),
        ({"user": None}, {"CROSSALIGN_TOKEN": wrong}),
    ):
        with pytest.raises(CrossAlignError) as caught:  # noqa: PT012 - either step may refuse
            settings = read_settings(None, flags | changes, environ, tmp_path)
            texts += [repr(settings), json.dumps(settings.describe())]
            client = open_client(settings, environ)
            texts += [repr(client), str(client.traffic.totals)]
            client.mapping("secrets")
        error: BaseException | None = caught.value
        while error is not None:
            texts += [str(error), repr(error), str(getattr(error, "args", "")), str(vars(error))]
            # What is hidden by 'from None' is still there for whoever logs the whole chain.
            error = error.__cause__ or error.__context__
    assert_hidden("\n".join(texts), wrong)
