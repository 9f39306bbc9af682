"""`crossalign retrain`: the batch job, for schedulers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.terminal import say

Config = Annotated[Path, typer.Option(metavar="FILE", help="The job; see training/job.example.yaml.")]
OutcomeFile = Annotated[
    Path | None,
    typer.Option("--outcome", metavar="FILE", help="Write the outcome to this file too."),
]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a value of the job's file. Repeatable.")
]


def retrain(
    config: Config,
    outcome: OutcomeFile = None,
    overrides: Set = None,
    trust_remote_code: opt.TrustRemoteCode = False,
    quiet: opt.GateQuiet = False,
) -> None:
    """Retrain or repair a model and publish it if it passes the gate: read, mine, filter, train, audit, gate, publish.

    Exit codes: 0 published, 1 gate failed, 2 invalid input, 3 external fault, 75 another run is active (try later),
    130 interrupted. The outcome of every run is written to outcome.json in the folder of the models, and to --outcome
    even if that folder cannot be written or another run uses it. The next run continues a run that was killed.
    """
    from haystack_crossalign.cli.shared.progress import Stages
    from haystack_crossalign.errors import CrossAlignError
    from haystack_crossalign.models.names import MATRIX_FILE
    from haystack_crossalign.retrain.config import read_job
    from haystack_crossalign.retrain.outcome import check_outcome_file

    if outcome is not None:
        check_outcome_file(outcome)
    try:
        job = read_job(config, overrides or ())
    except CrossAlignError as error:
        from haystack_crossalign.retrain.run import note_wrong_job

        note_wrong_job(config, overrides or (), outcome, error)
        raise
    from haystack_crossalign.retrain.run import run_job

    with Stages(show=not quiet) as progress:
        record = run_job(
            job,
            environ=os.environ,
            outcome_file=outcome,
            progress=progress,
            trust_remote_code=trust_remote_code,
        )
    if not quiet:
        say(f"published {record.facts['version']}; latest points to it")
        for name in record.facts.get("removed_versions", []):
            say(f"removed {name}")
        if job.source is not None and job.source.index is not None:
            folder = job.file(job.models) / record.facts["version"]
            way = f"--matrix {folder / MATRIX_FILE}" if (folder / MATRIX_FILE).is_file() else f"--model {folder}"
            say(f"to upgrade an index to it: crossalign upgrade --index {job.source.index.index} {way}")
    # The model is published nevertheless.
    for fault in record.steps[-1]["facts"].get("not_removed", []):
        say(fault, err=True)
