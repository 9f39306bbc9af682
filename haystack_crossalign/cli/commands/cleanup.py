"""`crossalign cleanup`: delete what upgrades left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from haystack_crossalign.cli.shared import live_options as live
from haystack_crossalign.cli.shared import upgrade_options as up
from haystack_crossalign.cli.shared.groups import with_groups
from haystack_crossalign.cli.shared.terminal import say
from haystack_crossalign.errors import InputError

if TYPE_CHECKING:
    from haystack_crossalign.opensearch.connection.client import ReadOnlyClient


@with_groups()
def cleanup(
    *,
    place: live.IndexFlags,
    old: Annotated[
        bool, typer.Option("--old", help="Also the old index that an upgrade replaced; then there is no way back.")
    ] = False,
    old_vectors: Annotated[
        bool,
        typer.Option(
            "--old-vectors", help="Instead: take out the old vectors that --keep-old-vectors left beside the new ones."
        ),
    ] = False,
    left_behind: Annotated[
        bool,
        typer.Option("--left-behind", help="Also documents that a rollback left behind and that are nowhere else."),
    ] = False,
    yes: up.Yes = False,
    lease: up.Lease = 30.0,
    login: live.LoginFlags,
    timeout: live.Timeout = None,
    patience: live.PatienceSeconds = None,
) -> None:
    """Delete what upgrades of an alias left: unfinished and rolled-back indices, with --old also the replaced one.

    Only indices that the ledger names, and that no alias points to, after a question.
    """
    from haystack_crossalign.upgrade.cleanup import clean_up, leftovers

    settings = live.live_settings(place, login, timeout=timeout, patience=patience)
    if old_vectors and (old or left_behind):
        raise InputError("--old-vectors deletes no index", allowed="--old-vectors alone")
    client = live.connect(settings)
    try:
        if old_vectors:
            _take_out_old_vectors(client, settings.index, yes=yes, lease=lease)
            return
        remains = leftovers(client, settings.index, old=old)
        if not remains:
            say("Nothing to delete" + ("" if old else "; --old would include the index that an upgrade replaced"))
            return
        for remnant in remains:
            only = f"; {remnant.only_here} of its documents are in no other index" if remnant.only_here else ""
            say(f"{remnant.index} ({remnant.why}{only})")
        refuses = not left_behind and any(remnant.only_here for remnant in remains)  # then there is nothing to ask
        if (
            not yes
            and not refuses
            and not typer.confirm(f"Delete {'it' if len(remains) == 1 else f'these {len(remains)} indices'}?")
        ):
            say("Nothing was deleted")
            return
        deleted = clean_up(client, settings.index, remains, left_behind=left_behind, lease=lease)
    finally:
        client.close()
    say(f"Deleted: {', '.join(deleted) or 'nothing'}")


def _take_out_old_vectors(client: ReadOnlyClient, alias: str, *, yes: bool, lease: float) -> None:
    from haystack_crossalign.upgrade.old_vectors import kept_vectors, remove_old_vectors

    kept = kept_vectors(client, alias)
    say(f"{kept.index}: {', '.join(kept.old)} (old vectors beside {', '.join(kept.new)})")
    if not yes and not typer.confirm("Take them out? No query of the old model finds anything there then"):
        say("Nothing was changed")
        return
    done = remove_old_vectors(client, alias, lease=lease)
    say(f"Taken out of {done.removed:,} documents; the mapping keeps the empty field")
    if done.kept:
        say(f"{len(done.kept)} documents have no new vector and keep theirs, first '{min(done.kept)}'", err=True)
    for identifier, _, reason in done.refused[:20]:
        say(f"Document '{identifier}' cannot be written: {reason}", err=True)
