"""What the commands of an upgrade have in common: the new model, and the gate."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared import upgrade_options as up
from haystack_crossalign.cli.shared.own_first import own_first_bound
from haystack_crossalign.cli.shared.terminal import say
from haystack_crossalign.errors import InputError

if TYPE_CHECKING:
    from haystack_crossalign.api.gate import Gate, GateResult
    from haystack_crossalign.audit.run import Progress
    from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
    from haystack_crossalign.opensearch.connection.settings import LiveSettings
    from haystack_crossalign.opensearch.live.queries import LiveQueries
    from haystack_crossalign.upgrade.options import UpgradeOptions
    from haystack_crossalign.upgrade.outcome import Outcome
    from haystack_crossalign.upgrade.ways import NewVectors

QUERY_SIDE = ("query_prefix", "query_prompt", "similarity")
"""Options of a model that have nothing to do with documents."""


def named_model(model_flags: opt.ModelFlags) -> str | None:
    """The option that names a model, if there is one."""
    options = {"--model": model_flags.model, "--embedder": model_flags.embedder}
    return next((name for name, value in options.items() if value is not None), None)


def new_encoder(model_flags: opt.ModelFlags, settings: LiveSettings) -> Any:
    """The new model.

    :raises InputError: none is named.
    """
    # Not that of a profile, which is the model of the old vectors.
    if named_model(model_flags) is None:
        raise InputError("no new vectors", allowed="--matrix FILE, --model NAME or --embedder FILE")
    if model_flags.embedder is not None:
        return model_flags.open()
    return model_flags.with_profile(replace(settings, query_prefix=None, query_prompt=None)).encoder()


def new_vectors(
    matrix: Path | None, model_flags: opt.ModelFlags, settings: LiveSettings, options: UpgradeOptions
) -> NewVectors:
    """The source of the new vectors: a matrix file, or the new model."""
    from haystack_crossalign.upgrade.front import open_way

    return open_way(matrix, None if matrix is not None else new_encoder(model_flags, settings), options)


def run_on_ray(
    flags: up.RayFlags,
    gate_flags: up.GateFlags,
    model_flags: opt.ModelFlags,
    settings: LiveSettings,
    options: UpgradeOptions,
    *,
    new: NewVectors | Callable[[], NewVectors],
    progress: Progress,
) -> tuple[Outcome, GateResult | None]:
    """The upgrade by workers of a Ray cluster, each of which opens the new vectors and the gate for itself."""
    from haystack_crossalign.api.ray_upgrade import SharedUpgrade, Workers, connection_secrets, upgrade_on_ray

    shared = SharedUpgrade(
        settings,
        new,
        options,
        None if gate_flags.no_gate else partial(_gate_of_worker, gate_flags, model_flags, settings),
        connection_secrets(os.environ),
    )
    workers = Workers(flags.ray_workers or 2, flags.ray or "", gpus=flags.ray_gpus or 0.0)
    done = upgrade_on_ray(shared, workers, tell=lambda ended, of: progress("Workers that have ended", ended, of))
    for message in done.lost:
        say(f"A worker was lost, and the others made up for it: {message}", err=True)
    return done.outcome, done.gate


def _gate_of_worker(
    flags: up.GateFlags,
    model_flags: opt.ModelFlags,
    settings: LiveSettings,
    client: ReadOnlyClient,
    new: NewVectors,
) -> Gate | None:
    return open_gate(client, flags, settings, new, model_flags, None)


def open_gate(
    client: ReadOnlyClient,
    flags: up.GateFlags,
    settings: LiveSettings,
    new: NewVectors,
    model_flags: opt.ModelFlags,
    progress: Progress | None,
) -> Gate | None:
    """The gate; None if the user does without."""
    if flags.no_gate:
        options = {
            "--queries": flags.queries,
            "--qrels": flags.qrels,
            "--probes": flags.probes,
            "--fail-on": flags.fail_on,
        }
        options["--report"] = flags.report
        if option := next((name for name, value in options.items() if value), None):
            raise InputError(f"--no-gate and {option} exclude each other", allowed="one of them")
        return None
    from haystack_crossalign.api.gate import Gate
    from haystack_crossalign.api.model_options import ModelOptions
    from haystack_crossalign.api.requests.index import IndexRequest
    from haystack_crossalign.audit.gate import parse_condition

    if flags.ties not in opt.TIES:
        raise InputError("unknown choice", source="--ties", seen=flags.ties, allowed=", ".join(opt.TIES))
    request = IndexRequest(
        settings=settings,
        queries=flags.queries,
        qrels=flags.qrels,
        probes=flags.probes,
        model=ModelOptions(
            model=flags.old_model,
            trust_remote_code=model_flags.trust_remote_code,
            local_files_only=model_flags.local_files_only,
        ),
    )
    return Gate(
        client,
        request,
        new,
        conditions=[parse_condition(text, ties=flags.ties) for text in flags.fail_on or ()],
        tolerance=flags.tolerance,
        own_first=own_first_bound(flags.own_first),
        progress=progress,
    )


def what_is_asked(gate: Gate | None, queries: LiveQueries | None) -> str:
    """What the gate will ask, in words."""
    if gate is None or queries is None:
        return "Gate: none (--no-gate); nobody looks at the results of the new index before the switch"
    kind = "probes made from documents of the index" if queries.kind == "known-item" else "queries"
    return f"Gate: an audit of both indices with {len(queries)} {kind}, each index by its own model"
