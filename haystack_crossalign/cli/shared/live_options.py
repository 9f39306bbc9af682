"""Options for the connection to a live index, generated from the table of settings and shared by several commands."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from haystack_crossalign.cli.shared.terminal import say
from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.settings import SETTINGS, LiveSettings, flag_of, read_settings

if TYPE_CHECKING:
    from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
    from haystack_crossalign.opensearch.connection.traffic import Traffic


def _option(name: str) -> Any:
    entry = SETTINGS[name]
    declared = "--verify-tls/--insecure" if name == "verify_tls" else flag_of(name)
    return typer.Option(declared, metavar=entry.metavar or "|".join(entry.choices) or None, help=entry.help)


Profile = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME", help="Profile in crossalign.toml. Default: the one named as --index."),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="File with profiles. Default: crossalign.toml in this folder."),
]
Hosts = Annotated[str | None, _option("hosts")]
Index = Annotated[str | None, _option("index")]
EmbeddingField = Annotated[str | None, _option("embedding_field")]
LanguageField = Annotated[str | None, _option("language_field")]
LanguageMap = Annotated[str | None, _option("language_map")]
GroupField = Annotated[str | None, _option("group_field")]
ContentField = Annotated[str | None, _option("content_field")]
TitleField = Annotated[str | None, _option("title_field")]
UrlField = Annotated[str | None, _option("url_field")]
Model = Annotated[str | None, _option("model")]
QueryPrefix = Annotated[str | None, _option("query_prefix")]
DocumentPrefix = Annotated[str | None, _option("document_prefix")]
Auth = Annotated[str | None, _option("auth")]
User = Annotated[str | None, _option("user")]
PasswordFile = Annotated[Path | None, _option("password_file")]
TokenFile = Annotated[Path | None, _option("token_file")]
ApiKeyFile = Annotated[Path | None, _option("api_key_file")]
CaFile = Annotated[Path | None, _option("ca_file")]
ClientCertificate = Annotated[Path | None, _option("client_certificate")]
ClientKey = Annotated[Path | None, _option("client_key")]
VerifyTls = Annotated[bool | None, _option("verify_tls")]
AwsRegion = Annotated[str | None, _option("aws_region")]
AwsService = Annotated[str | None, _option("aws_service")]
Timeout = Annotated[float | None, _option("timeout")]
PatienceSeconds = Annotated[float | None, _option("patience")]
Concurrent = Annotated[int | None, _option("concurrent")]
MaxLoad = Annotated[float | None, _option("max_load")]
Batch = Annotated[int | None, _option("batch")]
Exact = Annotated[str | None, _option("exact")]
Depth = Annotated[int | None, _option("depth")]
AcceptModel = Annotated[
    bool,
    typer.Option(
        "--accept-model",
        help="Continue if the model does not seem to be the one that made the vectors; the result says so.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class IndexFlags:
    """Which index, and where its settings come from."""

    index: Index = None
    profile: Profile = None
    config: Config = None
    hosts: Hosts = None

    @property
    def given(self) -> bool:
        """Whether a command works on an index, not on files."""
        return self.index is not None or self.profile is not None


@dataclass(frozen=True, kw_only=True)
class FieldFlags:
    """Fields of the index."""

    embedding_field: EmbeddingField = None
    language_field: LanguageField = None
    language_map: LanguageMap = None
    group_field: GroupField = None
    content_field: ContentField = None


@dataclass(frozen=True, kw_only=True)
class LoginFlags:
    """How to log in, and whom to trust."""

    auth: Auth = None
    user: User = None
    password_file: PasswordFile = None
    token_file: TokenFile = None
    api_key_file: ApiKeyFile = None
    ca_file: CaFile = None
    client_certificate: ClientCertificate = None
    client_key: ClientKey = None
    verify_tls: VerifyTls = None
    aws_region: AwsRegion = None
    aws_service: AwsService = None


def live_settings(place: IndexFlags, *groups: FieldFlags | LoginFlags, **more: object) -> LiveSettings:
    """The settings from profile, environment and the flags of the running command.

    :param place: the index, and where its settings come from.
    :param groups: other flags; their fields have the names of settings.
    :param more: values of further flags, by the name of the setting; None for a flag that was not given.
    :raises InputError: for a setting that is unknown, has a wrong type or is missing.
    """
    flags: dict[str, object | None] = {"index": place.index, "hosts": place.hosts, **more}
    for group in groups:
        flags |= vars(group)
    return read_settings(place.profile, flags, os.environ, Path.cwd(), config=place.config)


def refuse_live(
    flags: Mapping[str, object], *, purpose: str = "an audit of an index", also: Mapping[str, str] | None = None
) -> None:
    """Reject options that need an index, if no index is given.

    :param flags: values by the name of their parameters.
    :param purpose: what the options are for.
    :param also: by the name of a parameter, options that it may stand with too, such as ``--store FILE``.
    :raises InputError: for the first one that was given.
    """
    for name, value in flags.items():
        if value not in (None, False) or (name == "verify_tls" and value is not None):
            option = {"live_lists": "--live", "filter_": "--filter"}.get(name, f"--{name.replace('_', '-')}")
            places = f"--index NAME{f', {also[name]}' if also and name in also else ''}"
            raise InputError(f"{option} is for {purpose}", source=option, allowed=f"{places} with it")


@contextmanager
def connected(settings: LiveSettings) -> Iterator[ReadOnlyClient]:
    """A client that is closed at the end; what went wrong with its connection is reported.

    :param settings: where and how to connect.
    """
    client = connect(settings)
    shown = len(client.notes)
    try:
        yield client
    finally:
        show_notes(client.notes[shown:])
        client.close()


def connect(settings: LiveSettings, *, traffic: Traffic | None = None) -> ReadOnlyClient:
    """Open a client, and report risks of the connection on standard error.

    :param settings: where and how to connect.
    :param traffic: record of the requests.
    :raises CrossAlignError: as `haystack_crossalign.opensearch.connection.connect.open_client`.
    """
    from haystack_crossalign.opensearch.connection.connect import open_client

    client = open_client(settings, os.environ, traffic=traffic)
    show_notes(client.notes)
    return client


def show_notes(notes: Sequence[str]) -> None:
    """Print warnings on standard error, one per line.

    :param notes: warnings of a client, of which those not shown before are printed.
    """
    for note in notes:
        say(f"crossalign: warning: {note}", err=True)
