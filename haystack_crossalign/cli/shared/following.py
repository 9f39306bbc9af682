"""What `crossalign upgrade` says and does after the switch, about documents that are written with the old model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haystack_crossalign.cli.shared.terminal import say
from haystack_crossalign.errors import CrossAlignError

if TYPE_CHECKING:
    from haystack_crossalign.api.requests.index import IndexRequest
    from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
    from haystack_crossalign.upgrade.follow import Followed
    from haystack_crossalign.upgrade.ways import NewVectors


def tell_newest(client: ReadOnlyClient, request: IndexRequest, new: NewVectors) -> None:
    """Say whether what was written since the switch is of the new model; nothing where nothing was written."""
    from haystack_crossalign.api.follow import (
        newest_since_switch,
        open_sides,
        without_new_vector,
        written_since_switch,
    )

    alias = request.settings.index
    operations = written_since_switch(client, alias)
    if not operations:
        return
    try:
        sides = open_sides(client, request, new)
        if sides is None:
            lacking = without_new_vector(client, alias)
            say(f"Written since the switch: {operations} operations; {lacking} documents have no new vector")
            if lacking:
                say("An application writes old vectors only: --follow puts the new ones beside them", err=True)
            return
        newest = newest_since_switch(client, alias, sides)
    except CrossAlignError as error:
        say(f"Written since the switch: {operations} operations, not compared with the new model: {error}")
        return
    if not newest.compared:
        say(f"Written since the switch: {operations} operations, no document with text and vector")
        return
    say(f"Written since the switch: {newest.documents} documents; {newest.told()}", err=bool(newest.foreign))
    if newest.foreign:
        say("An application still writes with the old model: switch it, and --follow converts what it wrote", err=True)


def follow_writers(
    client: ReadOnlyClient, request: IndexRequest, new: NewVectors, *, idle: float | None, lease: float
) -> None:
    """Convert what is written with the old model until nothing comes any more, or until Ctrl-C."""
    from haystack_crossalign.api.follow import open_sides
    from haystack_crossalign.opensearch.audit.pacing import Pace
    from haystack_crossalign.upgrade.follow import Followed, follow

    alias = request.settings.index
    sides = open_sides(client, request, new)
    until = "Ctrl-C ends it" if idle is None else f"until none came for {idle:g} s"
    what = "documents written with the old model are converted"
    if sides is None:
        what = "documents with an old vector only get the new one beside it"
    say(f"Following '{alias}': {what}; {until}")
    followed = Followed()
    reported = [0]

    def tell(now: Followed) -> None:
        if now.converted > reported[0]:
            say(f"Converted: {now.converted} documents, {now.looked} looked at")
            reported[0] = now.converted

    try:
        pace = Pace(request.settings.max_load)
        follow(client, alias, new, sides, idle=idle, lease=lease, pace=pace, followed=followed, tell=tell)
    except KeyboardInterrupt:
        followed.ended = "Ctrl-C"
    _tell(followed)


def _tell(followed: Followed) -> None:
    shown = f": {', '.join(followed.shown)}" if followed.shown else ""
    more = ", …" if followed.converted > len(followed.shown) else ""
    say(f"Followed: {followed.looked} documents looked at, {followed.converted} converted{shown}{more}")
    if followed.unknown:
        say(
            f"{len(followed.unknown)} have a vector and no text, so that nobody can tell whose it is, first "
            f"'{followed.unknown[0]}'",
            err=True,
        )
    for identifier, _, reason in followed.refused[:20]:
        say(f"Document '{identifier}' cannot be converted: {reason}", err=True)
    if followed.ended not in ("idle", "Ctrl-C"):
        say(f"Ended: the upgrade is {followed.ended} now")
