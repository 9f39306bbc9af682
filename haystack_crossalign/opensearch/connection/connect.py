"""Create a client from settings: credentials, trust, and warnings for the user."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NoReturn

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.addresses import is_loopback
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.credentials import Credentials, read_secret
from haystack_crossalign.opensearch.connection.patient import Patience
from haystack_crossalign.opensearch.connection.settings import SECRETS, AuthKind, LiveSettings, flag_of, variable_of
from haystack_crossalign.opensearch.connection.signing import Signer, aws_signer
from haystack_crossalign.opensearch.connection.traffic import Traffic

_HEADER_VALUE = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")


def open_client(
    settings: LiveSettings, environ: Mapping[str, str], *, traffic: Traffic | None = None
) -> ReadOnlyClient:
    """A read-only client; nothing is sent yet.

    Its `notes` begin with the risks of the connection, which the caller should show before the start.

    :param settings: how to connect.
    :param environ: the environment, for the secrets.
    :param traffic: record of the requests.
    :raises InputError: if credentials are missing, contradict each other or cannot be sent, or a PEM file is invalid.
    :raises ExternalError: if a file cannot be read, or AWS credentials are not available.
    """
    notes: list[str] = []
    credentials, signer = _login(settings, environ, notes)
    certificate = _client_certificate(settings)
    _check_authorities(settings.ca_file)
    client = ReadOnlyClient(
        settings.hosts,
        credentials=credentials,
        signer=signer,
        verify_tls=settings.verify_tls,
        ca_file=settings.ca_file,
        client_certificate=certificate,
        timeout=settings.timeout,
        patience=Patience(total=settings.patience),
        traffic=traffic,
    )
    client.notes += _risks(settings, client.hosts, with_secret=credentials is not None) + notes
    return client


def auth_kind(settings: LiveSettings, environ: Mapping[str, str]) -> AuthKind:
    """How to log in: as the settings say, else by the available credentials.

    :raises InputError: if there are credentials of several kinds and the settings do not say which to use.
    """
    if settings.auth is not None:
        return settings.auth
    sources: dict[AuthKind, str] = {}
    kinds: tuple[tuple[AuthKind, str], ...] = (("basic", "password"), ("bearer", "token"), ("api_key", "api_key"))
    for kind, name in kinds:
        if environ.get(variable_of(name)):
            sources[kind] = variable_of(name)
        elif getattr(settings, SECRETS[name]) is not None:
            sources[kind] = flag_of(SECRETS[name])
    if settings.user is not None:
        sources.setdefault("basic", flag_of("user"))
    if settings.aws_region is not None:
        sources["aws"] = flag_of("aws_region")
    if len(sources) > 1:
        raise InputError(
            f"several ways to log in are given ({', '.join(sources.values())})",
            source=flag_of("auth"),
            allowed=f"one of {', '.join(sources)}",
        )
    return next(iter(sources), "none")


def _login(
    settings: LiveSettings, environ: Mapping[str, str], notes: list[str]
) -> tuple[Credentials | None, Signer | None]:
    kind = auth_kind(settings, environ)
    if kind == "aws":
        return None, aws_signer(settings.aws_region, settings.aws_service)
    if kind == "basic":
        if settings.user is None:
            _lacking("user name", "user", "user")
        return Credentials("basic", _secret("password", settings, environ, notes), settings.user or ""), None
    if kind == "bearer":
        return _in_header("bearer", "token", settings, environ, notes), None
    if kind == "api_key":
        return _in_header("api_key", "api_key", settings, environ, notes), None
    return None, None


def _in_header(
    kind: Literal["bearer", "api_key"],
    name: str,
    settings: LiveSettings,
    environ: Mapping[str, str],
    notes: list[str],
) -> Credentials:
    secret = _secret(name, settings, environ, notes)
    if not _HEADER_VALUE.fullmatch(secret):
        # The HTTP library's error would quote the header.
        raise InputError(
            f"the {name.replace('_', ' ')} holds characters that no HTTP header can hold",
            source=flag_of(SECRETS[name]) if getattr(settings, SECRETS[name]) else variable_of(name),
            allowed="printable ASCII characters in one line",
        )
    return Credentials(kind, secret)


def _secret(name: str, settings: LiveSettings, environ: Mapping[str, str], notes: list[str]) -> str:
    secret = read_secret(name, getattr(settings, SECRETS[name]), environ, notes)
    if secret is None:
        _lacking(name.replace("_", " "), name, SECRETS[name])
    return secret


def _lacking(what: str, variable: str, setting: str) -> NoReturn:
    raise InputError(
        f"no {what} is given",
        source=flag_of(setting),
        allowed=f"{variable_of(variable)} in the environment, or {flag_of(setting)}",
    )


def _client_certificate(settings: LiveSettings) -> tuple[Path, Path] | None:
    if settings.client_certificate is None:
        if settings.client_key is not None:
            _lacking("client certificate", "client_certificate", "client_certificate")
        return None
    if not settings.verify_tls:
        raise InputError(
            "a client certificate is only shown to a server whose own is verified",
            source="--insecure",
            allowed="--ca-file with the authority that signed the server's",
        )
    key = settings.client_key or settings.client_certificate
    for path, source in ((settings.client_certificate, "client_certificate"), (key, "client_key")):
        _check_file(path, flag_of(source))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # Without a function for the passphrase, OpenSSL would prompt for it on the terminal.
        context.load_cert_chain(settings.client_certificate, key, password=_no_passphrase)
    except ssl.SSLError as error:
        raise InputError(
            f"the client certificate and its key cannot be used ({error.reason or 'no PEM files'})",
            source=flag_of("client_certificate"),
            seen=str(settings.client_certificate),
            allowed="PEM files of a certificate and of the key that belongs to it, the key without a passphrase",
        ) from None
    return settings.client_certificate, key


def _no_passphrase() -> NoReturn:
    raise InputError(
        "the key of the client certificate is encrypted",
        source=flag_of("client_key"),
        allowed="a PEM file without a passphrase, readable by you alone",
    )


def _check_authorities(path: Path | None) -> None:
    if path is None:
        return
    _check_file(path, flag_of("ca_file"))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise InputError(
            "holds no certificates", source=flag_of("ca_file"), seen=str(path), allowed="a PEM file of certificates"
        ) from None


def _check_file(path: Path, source: str) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise InputError(reason, source=source, seen=str(path), allowed="a file you may read") from None


def _risks(settings: LiveSettings, hosts: tuple[str, ...], *, with_secret: bool) -> list[str]:
    risks = []
    if not settings.verify_tls and any(host.startswith("https") for host in hosts):
        risks.append(
            "INSECURE: the server's certificate is not checked (--insecure): whoever sits in between can read the "
            "credentials and every document, and can forge the answers"
        )
    risks += [
        f"INSECURE: {host} is not encrypted, so that the network can read the credentials; use https"
        for host in hosts
        if host.startswith("http:") and with_secret and not is_loopback(host)
    ]
    if settings.ca_file is not None and not any(host.startswith("https") for host in hosts):
        risks.append("no address begins with https, so the CA file is not used")
    return risks
