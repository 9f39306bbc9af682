"""`crossalign index`: write documents into an index, with vectors and the name of their model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from haystack_crossalign.cli.shared import live_options as live
from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.groups import with_groups
from haystack_crossalign.cli.shared.terminal import say
from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError

if TYPE_CHECKING:
    from haystack_crossalign.opensearch.connection.settings import LiveSettings

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="Documents: JSON Lines with id, text, and any other fields.")
]
PipelineFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Indexing pipeline in YAML. Default: pipelines/index.yaml of this package."),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Model that embeds the documents, where the pipeline takes it from CROSSALIGN_MODEL, as the default does.",
    ),
]
Auth = Annotated[
    str | None, typer.Option(metavar="none|basic", help="How to log in. Default: what the credentials are for.")
]
VerifyTls = Annotated[
    bool | None, typer.Option("--verify-tls", help="Verify the server's certificate, whatever the profile says.")
]
# What a pipeline in YAML has no place for.
_OTHER_LOGINS = ("token_file", "api_key_file", "client_certificate", "client_key", "aws_region", "aws_service")
Backend = Annotated[
    str | None,
    typer.Option(
        metavar="torch|openvino",
        help="What computes the model, where the pipeline takes it from CROSSALIGN_BACKEND, as the default does.",
    ),
]


@with_groups(without=_OTHER_LOGINS)
def index(
    *,
    documents: File,
    place: live.IndexFlags,
    model: Model = None,
    backend: Backend = None,
    pipeline: PipelineFile = None,
    language_field: opt.LanguageField = "language",
    group_field: opt.GroupField = "parallel_id",
    auth: Auth = None,  # noqa: ARG001 - part of the group
    verify_tls: VerifyTls = None,  # noqa: ARG001 - part of the group
    login: live.LoginFlags,
    timeout: live.Timeout = None,
    trust_remote_code: opt.TrustRemoteCode = False,
    quiet: opt.Quiet = False,
) -> None:
    """Write documents into an index, which is created if it does not exist: this command writes, it is no audit.

    Documents without a language get one where it is clear; all are embedded, and the index states its model. Documents
    with the id of one in the index replace it. An index with another mapping, or another model, is refused before
    anything is written.
    """
    settings = live.live_settings(place, login, model=model, timeout=timeout)
    if pipeline is not None and timeout is not None:
        raise InputError("the pipeline has its own", source="--timeout", allowed="the timeout of its document store")
    given = {"CROSSALIGN_MODEL": ("--model", model), "CROSSALIGN_BACKEND": ("--backend", backend)}
    with _environment(settings, backend):
        from haystack_crossalign.api import indexing
        from haystack_crossalign.cli.shared.progress import Stages

        file = indexing.read_indexing_file(pipeline or indexing.default_pipeline(), trust_remote_code=trust_remote_code)
        set_by = {variable: option for variable, (option, value) in given.items() if value is not None}
        indexing.check_place(file, hosts=settings.hosts, index=settings.index, set_by=set_by)
        count = indexing.check_documents(documents, language_field=language_field, group_field=group_field)
        done = indexing.Written(count)
        with Stages(show=not quiet) as progress:
            ready: dict[str, Any] = {}
            if pipeline is None:
                file, ready = indexing.with_dimension_and_timeout(file, timeout=settings.timeout)
            with live.connected(settings) as client:
                held = indexing.check_mapping(client, settings.index, file)
            if not quiet:
                state = "is created" if held is None else f"holds {held:,} documents"
                say(f"Writing {count:,} documents to '{settings.index}' at {', '.join(settings.hosts)}, which {state}")
            try:
                indexing.write_documents(
                    file, documents, done, language_field=language_field, group_field=group_field, ready=ready,
                    progress=progress,
                )  # fmt: skip
            except CrossAlignError as error:
                if not done.written:
                    raise
                say(f"crossalign: {done.written:,} of {count:,} documents were written before this", err=True)
                raise error
    if not quiet:
        left_out = f"; left out by the pipeline: {done.left_out:,}" if done.left_out else ""
        say(f"Written: {done.written:,} of {count:,}; failed: {done.failed:,}{left_out}")
    if done.failed:
        raise ExternalError(f"{done.failed:,} of {count:,} documents were not written: {done.reason}")
    if not quiet:
        say(f"To audit it: crossalign audit --index {settings.index} --hosts {','.join(settings.hosts)}")


@contextmanager
def _environment(settings: LiveSettings, backend: str | None) -> Iterator[None]:
    """The variables that the pipeline reads, from the settings, for the time of the block.

    :raises InputError: for a way to log in that the pipeline does not have.
    """
    from haystack_crossalign.opensearch.connection.credentials import read_secret

    others = {
        "--auth": settings.auth if settings.auth not in (None, "none", "basic") else None,
        "--token-file": settings.token_file, "--api-key-file": settings.api_key_file,
        "--client-certificate": settings.client_certificate, "--aws-region": settings.aws_region,
        "--insecure": None if settings.verify_tls else True,
    }  # fmt: skip
    for option, value in others.items():
        if value is not None:
            raise InputError(
                "an indexing pipeline in YAML says itself how to log in", source=option,
                allowed="--user with a password, --ca-file; else a pipeline of your own (--pipeline) and its variables",
            )  # fmt: skip
    variables = {"CROSSALIGN_HOSTS": ",".join(settings.hosts), "CROSSALIGN_INDEX": settings.index}
    if settings.model is not None:
        variables["CROSSALIGN_MODEL"] = settings.model
    if backend is not None:
        variables["CROSSALIGN_BACKEND"] = backend
    if settings.user is not None:
        password = read_secret("password", settings.password_file, os.environ)
        variables |= {"CROSSALIGN_USER": settings.user} | ({"CROSSALIGN_PASSWORD": password} if password else {})
    if settings.ca_file is not None:
        variables["CROSSALIGN_CA_FILE"] = str(settings.ca_file)
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
