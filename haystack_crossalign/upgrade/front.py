"""An upgrade in one call: make a plan if there is none, execute it, and finish what an earlier run left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from haystack_crossalign.audit.run import Progress
from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.failures import MissingPermissionError
from haystack_crossalign.upgrade.options import UpgradeOptions
from haystack_crossalign.upgrade.outcome import Outcome, outcome_of
from haystack_crossalign.upgrade.plan import Plan, make_plan
from haystack_crossalign.upgrade.records.job import SWITCHED, UNFINISHED, Job, lease_name, read_job
from haystack_crossalign.upgrade.records.leases import Leases
from haystack_crossalign.upgrade.records.ledger import Ledger
from haystack_crossalign.upgrade.records.owner import this_owner
from haystack_crossalign.upgrade.run import BeforeSwitch, Upgrade
from haystack_crossalign.upgrade.switch import is_switched, settle_switch
from haystack_crossalign.upgrade.ways import NewVectors, by_matrix, by_model
from haystack_crossalign.upgrade.writes.grants import Grant
from haystack_crossalign.upgrade.writes.writer import WriteClient

if TYPE_CHECKING:
    from haystack_crossalign.audit.run import Embedder


def open_way(matrix: Path | str | None, embedder: Embedder | None, options: UpgradeOptions) -> NewVectors:
    """Open the source of new vectors.

    :param matrix: a matrix file, or None.
    :param embedder: the new model, instead of a matrix.
    :param options: the user's choices.
    :raises InputError: for neither or both, or a file that is not a matrix file.
    """
    if matrix is not None and embedder is None:
        return by_matrix(matrix)
    if embedder is not None and matrix is None:
        return by_model(embedder, options)
    raise InputError("new vectors come from one place", allowed="a matrix file, or a model that embeds")


def run_upgrade(
    reader: ReadOnlyClient,
    alias: str,
    new: NewVectors,
    options: UpgradeOptions,
    *,
    plan: Plan | None = None,
    progress: Progress | None = None,
    before_switch: BeforeSwitch | None = None,
) -> Outcome:
    """Upgrade an index, or continue an interrupted upgrade.

    :param reader: connection.
    :param alias: name that stands for the index.
    :param new: where new vectors come from.
    :param options: the user's choices.
    :param plan: what `make_plan` gave; None makes it.
    :param progress: called with step, done and total.
    :param before_switch: the gate.
    :raises CrossAlignError: what stands in the way; the alias was not switched.
    """
    plan = plan or make_plan(reader, alias, new, options)
    return Upgrade(reader, plan, options, progress=progress, before_switch=before_switch).run()


def already_done(reader: ReadOnlyClient, alias: str, new: NewVectors, options: UpgradeOptions) -> Outcome | None:
    """The outcome of an earlier run of the same upgrade that switched the alias, even if it was interrupted just after
    that.

    :param reader: connection.
    :param alias: name that stands for the index.
    :param new: where new vectors come from.
    :param options: the user's choices.
    :returns: None if there is something left to do.
    :raises InputError: if it was done with other choices.
    """
    client = WriteClient(reader, Grant())
    try:
        ledger = Ledger(client)
        try:
            job = read_job(ledger, alias)
        except MissingPermissionError:
            return None  # the plan names this right with all others that lack
        if job is None or job.state not in (*UNFINISHED, SWITCHED) or not is_switched(reader, job):
            return None
        if job.state == SWITCHED:
            if not new.describes(job.data["way"]):
                return None
            _check_choices(job, options)
            return outcome_of(job, {})
        with Leases(ledger, this_owner(), seconds=options.lease) as leases:
            if leases.take(lease_name(alias)) is None:
                return None
            job.reload()
            if job.state in UNFINISHED:
                client.grant = job.grant()
                settle_switch(client, reader, job)
            return outcome_of(job, {})
    finally:
        client.close()


def _check_choices(job: Job, options: UpgradeOptions) -> None:
    """Refuse to call something done that was asked for otherwise.

    :raises InputError: naming the option.
    """
    fields = list(job.data["way"]["fields"])
    if set(options.vector_fields) != set(fields):
        raise InputError(
            "this upgrade is done, of other fields", source="--vector-fields", seen=", ".join(options.vector_fields),
            allowed=f"{', '.join(fields)}; or crossalign rollback first",
        )  # fmt: skip
    if options.keep_old_vectors != bool(job.beside):
        kept, command = ("the", "with") if job.beside else ("no", "without")
        raise InputError(
            f"this upgrade is done, and kept {kept} old vectors", source="--keep-old-vectors",
            allowed=f"the command {command} it; or crossalign rollback first",
        )  # fmt: skip
