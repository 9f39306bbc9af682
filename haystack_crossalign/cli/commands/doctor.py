"""`crossalign doctor`: can this index be audited, and what is missing?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from haystack_crossalign.cli.shared import live_options as live
from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.groups import with_groups
from haystack_crossalign.cli.shared.outputs import Outputs

if TYPE_CHECKING:
    from haystack_crossalign.api.model_options import ModelOptions
    from haystack_crossalign.opensearch.connection.settings import LiveSettings
    from haystack_crossalign.opensearch.doctor.findings import Diagnosis

# The doctor reports the state of the cluster now; an audit waits for a cluster that restarts.
_PATIENCE = 5.0


@with_groups(without=("precision", "backend", "max_tokens", "similarity"))
def doctor(
    *,
    place: live.IndexFlags,
    index_fields: live.FieldFlags,
    title_field: live.TitleField = None,
    model: live.Model = None,
    query_prefix: live.QueryPrefix = None,
    document_prefix: live.DocumentPrefix = None,
    login: live.LoginFlags,
    model_flags: opt.ModelFlags,
    timeout: live.Timeout = None,
    json_file: opt.JsonFile = None,
) -> None:
    """Check whether a live index can be audited: connection, rights, fields, languages, groups, model.

    It only reads, and scores only a few documents. Exit codes: 0 an audit can run; 2 settings or index prevent it; 3
    connection, rights or cluster prevent it.
    """
    settings = live.live_settings(
        place, index_fields, login,
        title_field=title_field, model=model, query_prefix=query_prefix, document_prefix=document_prefix,
        timeout=timeout,
    )  # fmt: skip
    model_flags.check()
    outputs = Outputs(json=json_file)
    outputs.check([place.config, model_flags.embedder])
    diagnosis = examined(settings, model_flags)
    if json_file is not None:
        import json

        outputs.write({"json": json.dumps(diagnosis.to_dict(), indent=1, ensure_ascii=False) + "\n"})
    show_findings(diagnosis)
    if diagnosis.exit_code:
        raise typer.Exit(diagnosis.exit_code)


def examined(settings: LiveSettings, options: ModelOptions) -> Diagnosis:
    """Examine an index with the model that an audit would use.

    :param settings: the index.
    :param options: the model.
    """
    from haystack_crossalign.api.index_model import open_model
    from haystack_crossalign.cli.shared.progress import Stages
    from haystack_crossalign.opensearch.doctor.diagnose import diagnose

    client = live.connect(replace(settings, patience=min(settings.patience, _PATIENCE)))

    def open_encoder(name: str) -> Any:
        if options.embedder is not None:
            return options.open()
        return open_model(options.with_profile(settings), name, client)

    try:
        with Stages(show=True):
            return diagnose(
                client,
                settings,
                open_encoder=open_encoder,
                embedder=None if options.embedder is None else options.embedder.name,
            )
    finally:
        client.close()


def show_findings(diagnosis: Diagnosis) -> None:
    """Print the findings as a table.

    :param diagnosis: the findings.
    """
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
