"""`crossalign audit --index`: an audit of a live index, which is only read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from haystack_crossalign.cli.shared import live_options as live
from haystack_crossalign.cli.shared.options import AuditFlags, split_names
from haystack_crossalign.cli.shared.terminal import say
from haystack_crossalign.errors import CrossAlignError, InputError

if TYPE_CHECKING:
    from haystack_crossalign.api.index import LiveAudit
    from haystack_crossalign.api.requests.index import IndexRequest
    from haystack_crossalign.cli.shared.session import Session
    from haystack_crossalign.opensearch.connection.client import ReadOnlyClient

_INTERRUPTED = 130


def audit_live(request: IndexRequest, flags: AuditFlags, *, dry_run: bool) -> None:
    """Audit an index, write the files and print the summary.

    :param request: what is audited.
    :param flags: what is written.
    :param dry_run: print the plan and stop.
    :raises typer.Exit: 1 if the gate fails, 2 if a row has no figure, 3 for a partial result after a fault, 130 for one
        after Ctrl-C.
    """
    from haystack_crossalign.api.index import LiveAudit
    from haystack_crossalign.cli.shared.session import Session

    session = Session(flags, lists=request.retrievals)
    with live.connected(request.settings) as client:
        audit = LiveAudit(
            request, client, progress=session.stages, say=lambda text: say(f"crossalign: {text}", err=True)
        )
        _audit(audit, client, session, dry_run=dry_run)


def read_lists(names: str | None, pipeline: Path | None) -> tuple[str, ...] | None:
    """The lists of --live, None if it is not given.

    :param names: of --live.
    :param pipeline: of --pipeline, whose lists replace these.
    :raises InputError: if both are given.
    """
    if names is None:
        return None
    if pipeline is not None:
        raise InputError("--live and --pipeline exclude each other", allowed="one of them")
    return split_names(names) or ()


def _audit(audit: LiveAudit, client: ReadOnlyClient, session: Session, *, dry_run: bool) -> None:
    with session.stages:
        audit.prepare(lambda scenarios: session.check_live(scenarios, audit.request.retrievals))
    if dry_run or not session.quiet:
        from haystack_crossalign.report.content.live_words import plan_lines

        index = audit.request.settings.index
        for line in plan_lines(audit.plan.to_dict(), kind=audit.queries.kind, index=index):
            say(line)
    if dry_run:
        return
    with session.stages:
        finished = audit.run()
    # Before the gate, which may end the command.
    for sentence in finished.empty:
        typer.echo(f"crossalign: {sentence}", err=True)
    traffic = {name: vars(total) for name, total in client.traffic.totals.items()}
    session.finish_live(
        finished.result,
        audit.queries,
        shown=finished.shown,
        partial=finished.stopped is not None or bool(finished.empty),
        more={"plan": audit.plan.to_dict(), "traffic": traffic, "notes": list(client.notes)},
    )
    if finished.stopped is not None:
        done = (finished.result.live or {})["partial"]
        message = f"the result is partial: {done['queries']} of {done['of']} queries"
        if isinstance(finished.stopped, CrossAlignError):
            say(f"crossalign: {finished.stopped}; {message}", err=True)
            raise typer.Exit(3)
        say(f"crossalign: {message}", err=True)
        raise typer.Exit(_INTERRUPTED)
    if finished.empty:
        raise typer.Exit(InputError.exit_code)
