"""`crossalign rollback`: back to the index that an upgrade replaced."""

from __future__ import annotations

from typing import Annotated

import typer

from haystack_crossalign.cli.shared import live_options as live
from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared import upgrade_options as up
from haystack_crossalign.cli.shared.groups import with_groups
from haystack_crossalign.cli.shared.terminal import say
from haystack_crossalign.cli.shared.upgrade_parts import QUERY_SIDE, named_model, new_encoder


@with_groups(without=(*QUERY_SIDE, "embedding_field", "language_field", "language_map", "group_field"))
def rollback(
    *,
    place: live.IndexFlags,
    model: up.OldModel = None,  # noqa: ARG001 - part of the group
    leave_behind: Annotated[
        bool, typer.Option("--leave-behind", help="Go back although documents written since stay in the new index.")
    ] = False,
    index_fields: live.FieldFlags,
    title_field: live.TitleField = None,
    document_prefix: live.DocumentPrefix = None,
    model_flags: opt.ModelFlags,
    lease: up.Lease = 30.0,
    login: live.LoginFlags,
    timeout: live.Timeout = None,
    patience: live.PatienceSeconds = None,
) -> None:
    """Switch the alias back to the index that the last upgrade replaced.

    Documents written since the switch need vectors of the old model there: give it with --model, and they are carried
    over. Deletes and documents without a vector always are.
    """
    from haystack_crossalign.upgrade.documents.vectors import ModelWay
    from haystack_crossalign.upgrade.rollback import roll_back

    model_flags.check()
    settings = live.live_settings(
        place, index_fields, login,
        title_field=title_field, document_prefix=document_prefix, timeout=timeout, patience=patience,
    )  # fmt: skip
    way = None
    if named_model(model_flags):
        way = ModelWay(new_encoder(model_flags, settings), settings.content_field, settings.title_field)
    client = live.connect(settings)
    try:
        result = roll_back(client, settings.index, way=way, leave_behind=leave_behind, lease=lease)
    finally:
        client.close()
    say(f"'{result.alias}' points to {result.index} again; {result.left} stays until crossalign cleanup")
    say(f"Written since the switch: {result.carried} documents carried over, {result.removed} deletes repeated")
    if result.changed:
        say(f"Changed since the upgrade began, and carried over as they are now: aliases {', '.join(result.changed)}")
    if result.left_behind:
        shown = ", ".join(result.left_behind[:20])
        say(f"In {result.left} only ({len(result.left_behind)} documents): {shown}")
