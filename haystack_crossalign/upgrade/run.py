"""An upgrade from the plan to the switch, in steps that can be interrupted and repeated."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from haystack_crossalign.audit.run import Progress
from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
from haystack_crossalign.opensearch.audit.pacing import Pace
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.upgrade.copy.catch_up import catch_up, remove_deleted, write_now
from haystack_crossalign.upgrade.copy.copying import Copy, UnitFacts, copy_units
from haystack_crossalign.upgrade.copy.verify import check_sample, require, verify, verify_again
from haystack_crossalign.upgrade.create import create_target, hold_back, require_all, restore
from haystack_crossalign.upgrade.documents.reading import Unit, cut_into_units
from haystack_crossalign.upgrade.documents.source import checkpoints, deletes
from haystack_crossalign.upgrade.documents.target import follow_mapping
from haystack_crossalign.upgrade.options import UpgradeOptions
from haystack_crossalign.upgrade.outcome import Outcome, Timed, outcome_of
from haystack_crossalign.upgrade.plan import Plan
from haystack_crossalign.upgrade.records.job import (
    BLOCKED,
    CATCHING_UP,
    COPYING,
    CREATING,
    UNFINISHED,
    Job,
    begin_job,
    lease_name,
    read_job,
    what_is_gone,
)
from haystack_crossalign.upgrade.records.leases import DONE, Leases
from haystack_crossalign.upgrade.records.ledger import Ledger
from haystack_crossalign.upgrade.records.owner import this_owner
from haystack_crossalign.upgrade.switch import block_and_switch, is_switched, settle_switch
from haystack_crossalign.upgrade.writes.grants import UNBLOCK, Grant
from haystack_crossalign.upgrade.writes.rights import missing_ledger_rights, require_rights
from haystack_crossalign.upgrade.writes.writer import WriteClient

_MOST_PASSES = 20
_SHORT = 3.0
_KEPT = 1000
_POLL = 0.5

BeforeSwitch = Callable[["Upgrade", Job], bool]
"""Called once the new index has caught up and was verified; says whether to switch."""


class Upgrade:
    """A run of an upgrade, or of a part of it.

    :param reader: connection that reads.
    :param plan: the plan.
    :param options: the user's choices.
    :param progress: called with step, done and total.
    :param before_switch: the gate.
    """

    def __init__(
        self,
        reader: ReadOnlyClient,
        plan: Plan,
        options: UpgradeOptions,
        *,
        progress: Progress | None = None,
        before_switch: BeforeSwitch | None = None,
    ) -> None:
        self.reader = reader
        self.plan = plan
        self.options = options
        self.client = WriteClient(reader, Grant())
        self.ledger = Ledger(self.client)
        self.seconds: dict[str, float] = {}
        self._progress = progress
        self._before_switch = before_switch
        self._pace = Pace(options.max_load)
        self._held_back = False

    def run(self) -> Outcome:
        """Execute the upgrade, or continue an interrupted one.

        :raises InputError: another upgrade of the alias is unfinished, or runs.
        :raises MissingPermissionError: the user lacks rights; each is named, and no index was made but the ledger.
        :raises CrossAlignError: the cluster, the model or a document stands in the way; the alias was not switched.
        """
        try:
            require_rights(self.reader, self.plan.missing)
            self.ledger.create()
            require_rights(self.reader, missing_ledger_rights(self.reader))
            with Leases(self.ledger, this_owner(), seconds=self.options.lease) as leases:
                return self._run(leases)
        finally:
            self.client.close()

    def copy_of(self, job: Job) -> Copy:
        """From where to where a job copies."""
        plan = self.plan
        return Copy(
            self.reader, self.client, job.source.name, job.target.name, plan.source.vectors, plan.new.way,
            hidden=plan.source.hidden, dimension=plan.new.dimension, page=plan.page, pace=self._pace,
            beside=job.beside,
        )  # fmt: skip

    def _run(self, leases: Leases) -> Outcome:
        lease = lease_name(self.plan.source.alias)
        leads = leases.take(lease) is not None
        if not leads and self.options.part is None:
            who = leases.holder(lease) or "another process"
            raise InputError(
                f"is being upgraded by {who}",
                source=self.plan.source.alias,
                allowed="to wait for it, or to share the work: --slice i/n for each process",
            )
        job = self._job(leads=leads)
        self.client.grant = job.grant()
        while job.state in UNFINISHED:
            leases.check()
            if not leads:
                # If the leader is dead, another process must lead.
                leads = leases.take(lease) is not None
                job.reload()
            if not leads and job.state != COPYING:
                if job.state != CREATING:
                    break  # its leader continues alone
                time.sleep(_POLL)
                continue
            if job.state not in UNFINISHED:
                break
            with self._timed(job.state):
                try:
                    self._step(job, leases, leads=leads)
                except InputError as error:
                    # "No such index" would look like a typing error of the user.
                    gone = what_is_gone(self.reader, job) if error.source == "index" else None
                    raise (error if gone is None else gone) from None
            if self._held_back or job.data.get("refused"):
                break
        return replace(outcome_of(job, self.seconds), follows=not leads and job.state in UNFINISHED)

    def _step(self, job: Job, leases: Leases, *, leads: bool) -> None:
        if job.state == CREATING:
            self._create(job)
        elif job.state == COPYING:
            self._copy(job, leases)
            job.reload()
            if job.state == COPYING:
                if leads:
                    self._finish_copying(job)
                else:
                    time.sleep(_POLL)
        elif job.state in (CATCHING_UP, BLOCKED):
            self._finish(job, leases)

    def _job(self, *, leads: bool) -> Job:
        """The upgrade in the ledger: the one to continue, or a new one."""
        source, new = self.plan.source, self.plan.new
        deadline = time.monotonic() + self.options.lease
        while True:
            job = read_job(self.ledger, source.alias)
            if job is not None and job.state in UNFINISHED:
                _check_same(job, self.plan)
                return job
            if leads:
                break
            if time.monotonic() > deadline:
                raise ExternalError(f"{self.client.host}: nobody has begun the upgrade of '{source.alias}'")
            time.sleep(_POLL)
        return begin_job(
            self.ledger,
            job,
            {
                "alias": source.alias,
                "source": {"name": source.index, "uuid": source.uuid},
                "target": {"name": self.plan.target, "uuid": None},
                "aliases": source.aliases,
                "settings": source.settings,
                "later": self.plan.later,
                "way": {
                    "kind": new.kind,
                    "sha256": new.sha256,
                    "settings": new.settings,
                    "fields": [vector.name for vector in source.vectors],
                    "beside": self.plan.beside,
                },
                "model": new.model,
                "unit": self.options.unit,
            },
        )

    def _create(self, job: Job) -> None:
        uuid = create_target(self.client, self.reader, job, self.plan)
        self.client.refresh(job.source.name)
        start = checkpoints(self.reader, job.source.name)
        # The plan may be outdated; copied documents have only fields that are mapped from now on.
        follow_mapping(self.client, self.reader, job.source.name, job.target.name)
        job.update(
            state=COPYING,
            target={"name": job.target.name, "uuid": uuid},
            start={str(shard): number for shard, number in start.items()},
            deletes={str(shard): list(one) for shard, one in deletes(self.reader, job.source.name).items()},
        )

    def _units(self, job: Job) -> list[Unit]:
        return cut_into_units({}, job.checkpoints("start"), int(job.data["unit"]))

    def _copy(self, job: Job, leases: Leases) -> None:
        """Copy the remaining units, until all are done or held by live processes."""
        require_all(self.reader, job)
        units = self._units(job)
        if self.options.part is not None:
            # Each process begins at a different unit, to avoid conflicts.
            first = len(units) * (self.options.part[0] - 1) // self.options.part[1]
            units = units[first:] + units[:first]
        total = sum(unit.high - unit.low for unit in units)
        done = [0]

        def settle(unit: Unit, facts: UnitFacts) -> None:
            leases.finish(
                job.unit_name(unit),
                {"documents": facts.documents, "counts": dict(facts.counts), "refused": facts.refused[:_KEPT],
                 "refused_count": len(facts.refused), "repeated": facts.repeated},
            )  # fmt: skip
            done[0] += unit.high - unit.low
            self.tell("Copying", done[0], total)

        copy_units(self.copy_of(job), self._claimed(job, leases, units, done), done=settle)

    def _claimed(self, job: Job, leases: Leases, units: list[Unit], done: list[int]) -> Iterator[Unit]:
        pending = units
        while pending:
            entries = self.ledger.read_all([job.unit_name(unit) for unit in pending])
            left = []
            for unit in pending:
                leases.check()
                entry = entries.get(job.unit_name(unit))
                if entry is not None and entry.data.get("state") == DONE:
                    done[0] += unit.high - unit.low
                elif leases.take(job.unit_name(unit), {"upgrade": job.data["id"]}) is not None:
                    yield unit
                else:
                    left.append(unit)
            if left and len(left) == len(pending):
                time.sleep(_POLL)
            pending = left

    def _finish_copying(self, job: Job) -> None:
        units = self._units(job)
        entries = self.ledger.read_all([job.unit_name(unit) for unit in units])
        counts: Counter[str] = Counter()
        refused: list[Any] = []
        for unit in units:
            data = entries[job.unit_name(unit)].data
            counts["documents"] += data["documents"]
            counts.update(data["counts"])
            counts["refused"] += data["refused_count"]
            refused += data["refused"]
        job.update(state=CATCHING_UP, caught_up=job.data["start"], counts=dict(counts), refused=refused[:_KEPT])

    def _finish(self, job: Job, leases: Leases) -> None:
        if is_switched(self.reader, job):
            settle_switch(self.client, self.reader, job)
            return
        require_all(self.reader, job)
        if job.state == BLOCKED:
            # Interrupted with writes blocked: unblock first, since the next steps may take longer than intended for a
            # block.
            self.client.settings(job.source.name, UNBLOCK)
            job.update(state=CATCHING_UP)
        hold_back(self.client, job)
        self._catch_up(job, leases)
        if job.data.get("refused"):
            self._retry_refused(job)
        if job.data.get("refused"):
            return
        restore(self.client, self.reader, job)
        with self._timed("verifying"):
            self._verify(job, leases)
        if self._before_switch is not None:
            with self._timed("gate"):
                self._held_back = not self._before_switch(self, job)
            if self._held_back:
                return
        self.seconds["blocked"] = block_and_switch(
            self.client,
            self.reader,
            job,
            leases,
            blocks=self.options.write_block,
            last_pass=partial(self.one_pass, job, leases, last=True),
        )

    def _catch_up(self, job: Job, leases: Leases) -> None:
        for number in range(_MOST_PASSES):
            leases.check()
            self.tell("Catching up", number, _MOST_PASSES)
            before, began = job.checkpoints("caught_up"), time.monotonic()
            self.one_pass(job, leases)
            written = sum(job.checkpoints("caught_up").values()) - sum(before.values())
            # The last pass, during which writes are blocked, takes about as long as this one.
            if written <= self.options.small or time.monotonic() - began <= _SHORT:
                return
        raise ExternalError(
            f"{self.client.host}: '{job.source.name}' is written to faster than it can be copied; run the same command "
            "again when less is written, or with a higher --max-load"
        )

    def _verify(self, job: Job, leases: Leases) -> None:
        """Compare both indices, document by document; faults are checked again after another pass."""
        copy = self.copy_of(job)
        unit_length = bool(self.plan.new.model.get("normalized"))
        verified = verify(
            copy,
            unit_length=unit_length,
            tell=lambda done, total: self.tell("Verifying", done, total),
            check=leases.check,
        )
        if verified.faults:
            self.one_pass(job, leases)
            verified.faults = verify_again(copy, list(verified.faults), unit_length=unit_length)
        job.update(verified=verified.to_dict() | {"faults": len(verified.faults)})
        require(verified, copy)
        check_sample(verified, copy)

    def _retry_refused(self, job: Job) -> None:
        """Retry documents that could not be written, which may have been fixed since."""
        refused = job.data["refused"]
        if len(refused) >= _KEPT:
            raise ExternalError(
                f"{self.client.host}: {_KEPT} documents or more cannot be upgraded, first '{refused[0][0]}' "
                f"({refused[0][2]}); mend them, give the upgrade up (crossalign cleanup) and begin anew"
            )
        result = write_now(self.copy_of(job), [(one, routing) for one, routing, _ in refused])
        counts = Counter(job.data["counts"])
        counts["caught up"] += result.documents
        job.update(refused=result.refused, counts=dict(counts))

    def one_pass(self, job: Job, leases: Leases, *, last: bool = False) -> None:
        """One pass of catching up, including deletes, recorded in the ledger.

        :param last: look for deletes whatever the server's count: a restarted node counts from 0 again, and may reach
            the same number.
        """
        copy = self.copy_of(job)
        counted = {str(shard): list(one) for shard, one in deletes(self.reader, job.source.name).items()}
        result = catch_up(
            copy,
            job.checkpoints("caught_up"),
            unit=int(job.data["unit"]),
            prepare=lambda: follow_mapping(self.client, self.reader, copy.source, copy.target),
            check=leases.check,
        )
        if last or counted != job.data.get("deletes") or not job.data.get("walked"):
            result.deleted = remove_deleted(copy, check=leases.check)
        counts = Counter(job.data["counts"])
        counts.update({"caught up": result.documents, "removed": result.deleted, "refused": len(result.refused)})
        counts["passes"] += 1
        job.update(
            caught_up={str(shard): number for shard, number in result.upto.items()},
            read={str(shard): number for shard, number in result.read.items()},
            deletes=counted,
            walked=True,
            counts=dict(counts),
            refused=[*job.data["refused"], *result.refused][:_KEPT],
        )

    def tell(self, step: str, done: int, total: int) -> None:
        """Report progress."""
        if self._progress is not None:
            self._progress(step, done, total)

    def _timed(self, name: str) -> Timed:
        return Timed(self.seconds, name)


def _check_same(job: Job, plan: Plan) -> None:
    """Reject a different upgrade."""
    new, fields = plan.new, [vector.name for vector in plan.source.vectors]
    asked = {"kind": new.kind, "sha256": new.sha256, "settings": new.settings, "fields": fields}
    way = job.data["way"]
    if {"beside": "", "settings": new.settings, **way} != {**asked, "beside": plan.beside}:
        raise InputError(
            f"an upgrade to {job.target.name} ({way['kind']} {way['sha256'][:12]}, fields {', '.join(way['fields'])}"
            f"{', old vectors kept' if job.beside else ''}{'' if new.describes(way) else ', other settings'}) "
            f"is unfinished ({job.state} since {job.data['changed']})",
            source=job.alias,
            allowed="to finish it with its own options, or to give it up: crossalign cleanup",
        )
    if job.source.uuid != plan.source.uuid:
        raise CrossAlignError(
            f"the alias '{job.alias}' points to {plan.source.index} now, and the unfinished upgrade is of "
            f"{job.source.name}: give it up with crossalign cleanup"
        )
