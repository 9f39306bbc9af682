"""`crossalign doctor`: can this index be audited, and what is missing?"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import typer

from haystack_crossalign.cli.shared import live_options as live
from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.outputs import Outputs

if TYPE_CHECKING:
    from haystack_crossalign.opensearch.doctor.findings import Diagnosis

# A doctor asks whether the cluster is there now; an audit waits for one that comes back.
_PATIENCE = 5.0


def doctor(
    index: live.Index = None,
    profile: live.Profile = None,
    config: live.Config = None,
    hosts: live.Hosts = None,
    embedding_field: live.EmbeddingField = None,
    language_field: live.LanguageField = None,
    group_field: live.GroupField = None,
    content_field: live.ContentField = None,
    title_field: live.TitleField = None,
    model: live.Model = None,
    query_prefix: live.QueryPrefix = None,
    document_prefix: live.DocumentPrefix = None,
    auth: live.Auth = None,
    user: live.User = None,
    password_file: live.PasswordFile = None,
    token_file: live.TokenFile = None,
    api_key_file: live.ApiKeyFile = None,
    ca_file: live.CaFile = None,
    client_certificate: live.ClientCertificate = None,
    client_key: live.ClientKey = None,
    verify_tls: live.VerifyTls = None,
    aws_region: live.AwsRegion = None,
    aws_service: live.AwsService = None,
    query_prompt: opt.QueryPrompt = None,
    document_prompt: opt.DocumentPrompt = None,
    pooling: opt.PoolingName = None,
    trust_remote_code: opt.TrustRemoteCode = False,
    timeout: live.Timeout = None,
    json_file: opt.JsonFile = None,
) -> None:
    """Check whether a live index can be audited: connection, rights, fields, languages, groups, model.

    It reads only and scores no more than a few documents. Exit code 0 when an audit can run, 2 when settings or index
    stand in its way, 3 when connection, rights or cluster do.
    """
    given = locals()
    settings = live.live_settings(given)
    from haystack_crossalign.cli.shared.prepare import ModelOptions
    from haystack_crossalign.opensearch.doctor.diagnose import diagnose

    options = ModelOptions.of(given)
    options.check()
    open_encoder = None
    if settings.model is not None:
        prefixes = {"query_prefix": settings.query_prefix, "document_prefix": settings.document_prefix}
        chosen = {name: value for name, value in prefixes.items() if given[name.replace("prefix", "prompt")] is None}
        open_encoder = partial(options.encoder, settings.model, **chosen)
    outputs = Outputs(json=json_file)
    outputs.check([config])
    client = live.connect(replace(settings, patience=min(settings.patience, _PATIENCE)))
    try:
        diagnosis = diagnose(client, settings, open_encoder=open_encoder)
    finally:
        client.close()
    if json_file is not None:
        import json

        outputs.write({"json": json.dumps(diagnosis.to_dict(), indent=1, ensure_ascii=False) + "\n"})
    _print(diagnosis)
    if diagnosis.exit_code:
        raise typer.Exit(diagnosis.exit_code)


def _print(diagnosis: Diagnosis) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from haystack_crossalign.cli.shared.terminal import console

    styles = {"ok": "green", "warning": "yellow", "missing": "bold red"}
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("What", "State", "Seen", "What to do"):
        table.add_column(heading, no_wrap=heading in {"What", "State"}, overflow="fold")
    for finding in diagnosis.findings:
        state = Text(finding.state, style=styles[finding.state])
        table.add_row(Text(finding.check), state, Text(finding.seen), Text(finding.advice))
    out = console()
    out.print(table)
    missing = sum(finding.state == "missing" for finding in diagnosis.findings)
    end = (
        f"'{diagnosis.index}' cannot be audited yet: {missing} missing"
        if missing
        else f"'{diagnosis.index}' can be audited"
    )
    out.print(Text(end))
