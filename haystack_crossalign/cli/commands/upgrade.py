"""`crossalign upgrade`: new vectors for a running index."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from haystack_crossalign.cli.shared import live_options as live
from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared import upgrade_options as up
from haystack_crossalign.cli.shared.groups import with_groups
from haystack_crossalign.cli.shared.outputs import Outputs
from haystack_crossalign.cli.shared.terminal import say
from haystack_crossalign.cli.shared.upgrade_parts import (
    QUERY_SIDE,
    named_model,
    new_vectors,
    open_gate,
    run_on_ray,
    what_is_asked,
)
from haystack_crossalign.errors import InputError

if TYPE_CHECKING:
    from haystack_crossalign.api.gate import GateResult
    from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
    from haystack_crossalign.opensearch.connection.settings import LiveSettings
    from haystack_crossalign.upgrade.outcome import Outcome
    from haystack_crossalign.upgrade.plan import Plan
    from haystack_crossalign.upgrade.ways import NewVectors

NOT_SWITCHED = 1
_SHOWN = 20


@with_groups(without=QUERY_SIDE)
def upgrade(
    *,
    place: live.IndexFlags,
    matrix: up.Matrix = None,
    model: up.NewModel = None,  # noqa: ARG001 - part of the group
    apply: up.Apply = False,
    vector_fields: up.VectorFields = None,
    keep_fields: up.KeepFields = None,
    keep_old_vectors: up.KeepOldVectors = False,
    index_fields: live.FieldFlags,
    title_field: live.TitleField = None,
    document_prefix: live.DocumentPrefix = None,
    model_flags: opt.ModelFlags,
    part: up.Slice = None,
    ray_flags: up.RayFlags,
    accept_model: up.AcceptModel = False,
    gate_flags: up.GateFlags,
    no_write_block: up.NoWriteBlock = False,
    follow: up.Follow = False,
    follow_idle: up.FollowIdle = None,
    max_load: Annotated[
        float | None, typer.Option(metavar="N", help="Documents per second, at most. Default: no limit.")
    ] = None,
    lease: up.Lease = 30.0,
    login: live.LoginFlags,
    timeout: live.Timeout = None,
    patience: live.PatienceSeconds = None,
    json_file: opt.JsonFile = None,
    quiet: opt.GateQuiet = False,
) -> None:
    """Bring new vectors to a running index: into an index of its own, verified, then switched at once.

    The vectors of the index are moved by a matrix (--matrix), or every text is embedded anew (--model, --embedder). The
    plan is shown and nothing is written until --apply is given. What is cut off goes on with the same command. The old
    index stays: crossalign rollback switches back, crossalign cleanup deletes what is left.
    """
    from haystack_crossalign.upgrade.front import already_done, run_upgrade
    from haystack_crossalign.upgrade.options import UpgradeOptions
    from haystack_crossalign.upgrade.plan import make_plan, plan_lines
    from haystack_crossalign.upgrade.writes.rights import require_rights

    outputs = Outputs(json=json_file, report=gate_flags.report)
    outputs.check([matrix, model_flags.embedder, place.config, gate_flags.queries, gate_flags.qrels])
    model_flags.check()
    _check_follow(follow, follow_idle, apply=apply)
    ray_flags.check(apply=apply, part=part)
    if matrix is not None and (other := named_model(model_flags)):
        raise InputError(f"--matrix and {other} exclude each other", allowed="one of them")
    old = live.live_settings(
        place, index_fields, login, title_field=title_field, max_load=max_load, timeout=timeout, patience=patience
    )
    # The prefix is that of the new model; the old index is read and judged with its own.
    settings = old if document_prefix is None else replace(old, document_prefix=document_prefix, document_prompt=None)
    fields = opt.split_names(vector_fields) or (settings.embedding_field,)
    options = UpgradeOptions(
        vector_fields=tuple(dict.fromkeys(fields)),
        keep_fields=tuple(opt.split_names(keep_fields) or ()),
        keep_old_vectors=keep_old_vectors,
        content_field=settings.content_field,
        title_field=settings.title_field,
        language_field=settings.language_field,
        max_load=settings.max_load,
        accept_model=accept_model,
        write_block=not no_write_block,
        part=_part(part),
        lease=lease,
    )
    client = live.connect(settings)
    from haystack_crossalign.cli.shared.progress import Stages

    try:
        new = new_vectors(matrix, model_flags, settings, options)
        outcome = already_done(client, settings.index, new, options) if apply else None
        if outcome is not None:
            say("This upgrade is done; there is nothing left to do")
            _tell(outcome)
            _look_after(client, gate_flags, old, new, model_flags, follow=follow, idle=follow_idle, lease=lease)
            return
        plan = make_plan(client, settings.index, new, options)
        if not apply or not quiet:
            for line in plan_lines(plan):
                say(line)
        with Stages(show=not quiet) as progress:
            gate = open_gate(client, gate_flags, old, new, model_flags, progress)
            queries = None if gate is None else gate.check()
        say(what_is_asked(gate, queries))
        if not apply:
            say("Nothing was written. To do it: the same command with --apply")
            outcome = result = None
        else:
            with Stages(show=not quiet) as progress:
                if ray_flags.ray is not None:
                    # A matrix is sent; a model is loaded where it computes.
                    sent = partial(new_vectors, matrix, model_flags, settings, options) if matrix is None else new
                    outcome, result = run_on_ray(
                        ray_flags, gate_flags, model_flags, old, options, new=sent, progress=progress
                    )
                else:
                    outcome = run_upgrade(
                        client, settings.index, new, options, plan=plan, progress=progress, before_switch=gate
                    )
                    result = None if gate is None else gate.result
        _write(outputs, plan, outcome, result)
        if not apply:
            require_rights(client, plan.missing)
        if outcome is not None:
            _tell(outcome)
            if not outcome.follows:
                _look_after(client, gate_flags, old, new, model_flags, follow=follow, idle=follow_idle, lease=lease)
    finally:
        client.close()


def _write(outputs: Outputs, plan: Plan, outcome: Outcome | None, result: GateResult | None) -> None:
    texts = {}
    if outputs.json is not None:
        import json

        data = {
            "plan": plan.to_dict(),
            "outcome": None if outcome is None else vars(outcome),
            "gate": None if result is None else result.to_dict(),
        }
        texts["json"] = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    if result is not None:
        from haystack_crossalign.api.gate import gate_lines

        for line in gate_lines(result):
            say(line)
        if outputs.report is not None:
            from haystack_crossalign.report.html import render_html_comparison

            texts["report"] = render_html_comparison(
                result.comparison.to_dict(), result.before.to_dict(), result.after.to_dict()
            )
    outputs.write(texts)


def _check_follow(follow: bool, idle: float | None, *, apply: bool) -> None:
    if follow and not apply:
        raise InputError("--follow writes to the index", allowed="--follow --apply")
    if idle is not None and not follow:
        raise InputError("--follow-idle says when following ends", allowed="--follow --follow-idle SECONDS")


def _look_after(
    client: ReadOnlyClient,
    flags: up.GateFlags,
    settings: LiveSettings,
    new: NewVectors,
    model_flags: opt.ModelFlags,
    *,
    follow: bool,
    idle: float | None,
    lease: float,
) -> None:
    """What is written with the old model after the switch: converted, or counted and said."""
    from haystack_crossalign.api.model_options import ModelOptions
    from haystack_crossalign.api.requests.index import IndexRequest
    from haystack_crossalign.cli.shared.following import follow_writers, tell_newest

    old = ModelOptions(
        model=flags.old_model,
        trust_remote_code=model_flags.trust_remote_code,
        # A look that nobody asked for waits for no hub.
        local_files_only=model_flags.local_files_only or (flags.old_model is None and not follow),
    )
    request = IndexRequest(settings=settings, model=old)
    if follow:
        follow_writers(client, request, new, idle=idle, lease=lease)
    else:
        tell_newest(client, request, new)


def _part(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal()):
        raise InputError("not a slice", source="--slice", seen=text, allowed="I/N, for instance 1/4")
    return int(number), int(of)


def _tell(outcome: Outcome) -> None:
    counts = outcome.counts
    say(
        f"{counts['documents']:,} documents copied, {counts['caught up']:,} caught up in {counts['passes']} passes, "
        f"{counts['removed']:,} deletes repeated; nobody could write for {outcome.blocked_seconds:.1f} s"
    )
    if outcome.verified is not None:
        checked = outcome.verified
        say(
            f"Verified: {checked['documents']:,} documents, {checked['vectors']:,} vectors, {checked['faults']} wrong; "
            f"{checked['sampled']:,} made again, cosine at least {checked['cosine']:.5f}"
        )
    for identifier, _, reason in outcome.refused[:_SHOWN]:
        say(f"Document '{identifier}' cannot be upgraded: {reason}", err=True)
    if outcome.follows:
        say(f"This part is done; the process that leads the upgrade of '{outcome.alias}' goes on ({outcome.state})")
        return
    if outcome.state != "switched":
        say(f"'{outcome.alias}' was not switched ({outcome.state}); {outcome.new_index} stays", err=True)
        raise typer.Exit(NOT_SWITCHED)
    if outcome.missed is not None and outcome.missed["operations"]:
        named = ", ".join(outcome.missed["documents"][:_SHOWN]) or "none; the others are deletes, or overwritten"
        say(
            f"Written to {outcome.old_index} after the last pass: {outcome.missed['operations']} operations; documents "
            f"that only it has ({outcome.missed['count']}): {named}",
            err=True,
        )
    say(f"'{outcome.alias}' points to {outcome.new_index} now; crossalign rollback --index {outcome.alias} goes back")
