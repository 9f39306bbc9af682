"""The upgrade of a running index as a Python function."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path

from haystack_crossalign.api.collection import opened
from haystack_crossalign.api.gate import Gate
from haystack_crossalign.api.requests.index import IndexRequest
from haystack_crossalign.audit.run import Embedder, Progress
from haystack_crossalign.opensearch.connection.connect import open_client
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.upgrade.front import already_done, open_way, run_upgrade
from haystack_crossalign.upgrade.options import UpgradeOptions
from haystack_crossalign.upgrade.outcome import Outcome
from haystack_crossalign.upgrade.plan import Plan, make_plan


def upgrade_index(
    settings: LiveSettings,
    *,
    matrix: Path | str | None = None,
    model: str | Embedder | None = None,
    apply: bool = False,
    options: UpgradeOptions | None = None,
    gate: IndexRequest | None = None,
    progress: Progress | None = None,
) -> tuple[Plan | None, Outcome | None]:
    """Bring new vectors to a running index: into a new index, to which the alias is then switched.

    Risks of the connection are reported as Python warnings.

    :param settings: the cluster, and the alias by which the index is searched and written.
    :param matrix: matrix file of a repair or a linear recipe, which transforms the vectors of the index.
    :param model: the new model, instead of a matrix: all texts are embedded again.
    :param apply: do it; otherwise only the plan is made and nothing is written.
    :param options: fields, load and other choices; None for the fields of the settings.
    :param gate: audit of both indices, with its queries, before the switch; it uses the settings given here. None for
        no gate.
    :param progress: called with step, done and total.
    :returns: the plan and what was done; the plan is None if an earlier run had already done everything.
    :raises InputError: if matrix or model do not belong to the index, or another upgrade is unfinished; the alias is
        unchanged.
    :raises ExternalError: if the cluster prevents it; the same call continues from there.
    """
    chosen = options or UpgradeOptions(
        vector_fields=(settings.embedding_field,),
        content_field=settings.content_field,
        title_field=settings.title_field,
        language_field=settings.language_field,
    )
    client = open_client(settings, os.environ)
    for note in client.notes:
        warnings.warn(note, stacklevel=2)
    try:
        new = open_way(matrix, None if model is None else opened(model), chosen)
        if apply and (done := already_done(client, settings.index, new, chosen)) is not None:
            return None, done
        plan = make_plan(client, settings.index, new, chosen)
        held = None if gate is None else Gate(client, replace(gate, settings=settings), new, progress=progress)
        if held is not None:
            held.check()
        if not apply:
            return plan, None
        return plan, run_upgrade(client, settings.index, new, chosen, plan=plan, progress=progress, before_switch=held)
    finally:
        client.close()
