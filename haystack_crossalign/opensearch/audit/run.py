"""The audit of a live index: exact ranks and retrieved lists of every query, in one frozen state of the index."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from haystack_crossalign.audit.provenance import build_provenance
from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.audit.run import Progress
from haystack_crossalign.audit.scenarios import Scenario
from haystack_crossalign.audit.similarity import of_index
from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
from haystack_crossalign.opensearch.audit.checkpoint import Checkpoint
from haystack_crossalign.opensearch.audit.fields import LanguageValues, audit_fields
from haystack_crossalign.opensearch.audit.options import AuditOptions, identity
from haystack_crossalign.opensearch.audit.pacing import Pace
from haystack_crossalign.opensearch.audit.pipelines import pipeline_notes
from haystack_crossalign.opensearch.audit.plan import Plan, make_plan
from haystack_crossalign.opensearch.audit.records import Record
from haystack_crossalign.opensearch.audit.result import (
    Work,
    build_result,
    documents_without_links,
    lists_without_documents,
    mentioned_documents,
    rows_without_ranks,
)
from haystack_crossalign.opensearch.audit.rows import ShownFields
from haystack_crossalign.opensearch.audit.tasks import Task, Unit, build_tasks, chosen_tops, make_units, records_by_task
from haystack_crossalign.opensearch.audit.units import Measurer, UnitOptions
from haystack_crossalign.opensearch.audit.vectors import check_local, read_vectors, who_counts
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.point_in_time import PointInTime
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.exact.versions import VersionPool
from haystack_crossalign.opensearch.index.fields import Fields
from haystack_crossalign.opensearch.index.groups import Member, members_by_name
from haystack_crossalign.opensearch.index.ignored_values import ignored_values
from haystack_crossalign.opensearch.index.language_map import LanguageMap
from haystack_crossalign.opensearch.index.pool import MULTIPLE, IndexView
from haystack_crossalign.opensearch.index.scoring import Query
from haystack_crossalign.opensearch.index.shared_ids import shared_ids
from haystack_crossalign.opensearch.index.snapshot import Snapshot, changes_between, frozen, take_snapshot
from haystack_crossalign.opensearch.index.user_filter import check_filter
from haystack_crossalign.opensearch.live.lists import KnnRetrieval, Retrieval
from haystack_crossalign.opensearch.live.queries import LiveQueries
from haystack_crossalign.redaction import redacted_values

RetrievalFactory = Callable[[IndexView, bool], Sequence[Retrieval]]
"""Makes the live lists of a pool; the flag says whether it is all that the user's filter leaves of the index."""

_KINDS = {"judged": "judged queries", "group": "queries for parallel groups", "known-item": "known-item probes"}
_KEEP_ALIVE_MINUTES = 5
_MOST_MINUTES = 24 * 60


@dataclass(frozen=True)
class FinishedAudit:
    """A result, and the reason if the audit was stopped early.

    :param result: complete, or marked as partial.
    :param stopped: ``interrupted``, the fault that stopped it, or None.
    :param empty: sentences on rows without any figure, which are also among the result's warnings.
    :param shown: what the result calls documents, by their names.
    """

    result: AuditResult
    stopped: Literal["interrupted"] | CrossAlignError | None
    empty: tuple[str, ...] = ()
    shown: Mapping[str, str] = field(default_factory=dict)


class IndexAudit:
    """An audit of an index, step by step: `open`, `view` for making queries, `plan`, `run`.

    :param client: connection.
    :param settings: index, fields and limits.
    :param options: what is measured.
    :param retrievals: the retrieved lists; None for nearest neighbors as configured in the index.
    :param progress: called before each unit of work.
    """

    def __init__(
        self,
        client: ReadOnlyClient,
        settings: LiveSettings,
        options: AuditOptions | None = None,
        *,
        retrievals: RetrievalFactory | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.client = client
        self.settings = settings
        self.options = options or AuditOptions()
        self.notes: list[str] = []
        self._retrievals = retrievals or self._knn
        self._progress = progress
        self._pace = Pace(settings.max_load)
        self._fields: Fields | None = None
        self._language_of: LanguageValues | None = None
        self._cluster: dict[str, Any] = {}

    def open(self) -> None:
        """Examine the cluster and the fields.

        :raises CrossAlignError: if there is no such index, fields cannot be audited, or shards are missing.
        """
        info = self.client.info()
        self._cluster = {"version": info.get("version", {}).get("number"), "uuid": info.get("cluster_uuid")}
        # First the mapping, since for an index that does not exist a cluster reports its health only after half a
        # minute.
        take_snapshot(self.client, self.settings.index)
        self._fields, notes = audit_fields(self.client, self.settings)
        health = self.client.health(self.settings.index)
        if health.get("status") == "red":
            raise ExternalError(
                f"{self.client.hosts[0]}: shards of '{self.settings.index}' are missing (health red), so that numbers "
                "would leave documents out; wait until the cluster has recovered"
            )
        self._language_of = LanguageValues(self._fields.language, LanguageMap.read(self.settings.language_map))
        view = self.view()
        check_filter(view, self.settings.index)
        check_local(view, self.settings, self.options)
        if (shared := shared_ids(view)) is not None:
            self.notes.append(shared.told())
        self.notes += [ignored.told() for ignored in ignored_values(view)]
        self.notes += [*notes, *pipeline_notes(self.client, self._fields.search_pipelines, self._fields.indices)]

    def view(self, target: str | PointInTime | None = None, more: Query | None = None) -> IndexView:
        """The index as seen by the audit.

        :param target: a point in time; None for the current state.
        :param more: a condition in addition to the user's filter.
        """
        if self._fields is None or self._language_of is None:
            self.open()
        if self._fields is None or self._language_of is None:  # for the type checker: open() sets both or raises
            raise ExternalError("the index was not read")
        filters = [part for part in (self.options.user_filter, more) if part is not None]
        return IndexView(
            self.client,
            self.settings.index if target is None else target,
            self._fields,
            user_filter=filters[0] if len(filters) == 1 else {"bool": {"filter": filters}} if filters else None,
            language_of=self._language_of,
        )

    def scenarios(self, queries: LiveQueries) -> list[Scenario]:
        """The rows of the audit.

        :raises InputError: for a language that the index lacks, or scenarios without rows.
        """
        view = self.view()
        return [row for task in self._tasks(view, queries, self._members(view, queries)) for row in task.scenarios]

    def plan(self, queries: LiveQueries) -> Plan:
        """Probe the index with a few queries and estimate the whole audit.

        :param queries: queries with vectors.
        :raises CrossAlignError: as from the audit itself.
        """
        view = self.view()
        members = self._members(view, queries)
        tasks = self._tasks(view, queries, members)
        tops = chosen_tops(tasks, self.options.sample, self.options.seed)
        measurers = []
        for task, chosen in zip(tasks, tops, strict=True):
            pool = task.view.pool()
            # The time to count versions grows with the pool; an estimate suffices for the probe.
            versions = VersionPool(pool.documents, pool.by_language) if task.queries.chunked else None
            measurers.append(self._measurer(task, members, chosen, versions))
        with_top = [
            len(task.queries) if chosen is None else len(chosen) for task, chosen in zip(tasks, tops, strict=True)
        ]
        exact = who_counts(view, measurers, self.settings, self.options)
        return make_plan(
            self.client, measurers, self._units(tasks), self._pace, with_top=with_top,
            pool=view if exact == "local" else None, settings=self.settings,
        )  # fmt: skip

    def run(
        self,
        queries: LiveQueries,
        *,
        plan: Plan | None = None,
        state: Path | None = None,
        resume: bool = False,
        model: dict[str, Any] | None = None,
        described: dict[str, Any] | None = None,
        files: Sequence[dict[str, str]] = (),
        command: str = "audit",
    ) -> FinishedAudit:
        """Audit the index in a point in time.

        :param queries: with vectors.
        :param plan: what was planned, for the result.
        :param state: file for finished units; None for none.
        :param resume: whether to resume from that file.
        :param model: provenance of the embedder of the queries, None if they came with vectors.
        :param described: options of the user, for the provenance.
        :param files: name and sha256 of each file read.
        :param command: what was run.
        :returns: the result; a partial one if the audit was interrupted or the cluster failed with some work done.
        :raises KeyboardInterrupt: if interrupted before anything was done.
        :raises CrossAlignError: if the input is invalid, or the cluster failed before anything was done.
        """
        options = self.options
        before = take_snapshot(self.client, self.settings.index)
        warnings: list[str] = []
        with frozen(self.client, self.settings.index, warnings, keep_alive=self._keep_alive()) as target:
            is_frozen = isinstance(target, PointInTime)
            view = self.view(target)
            members = self._members(view, queries)
            tasks = self._tasks(view, queries, members)
            tops = chosen_tops(tasks, self.options.sample, self.options.seed)
            measurers = [self._measurer(task, members, chosen, None) for task, chosen in zip(tasks, tops, strict=True)]
            units = self._units(tasks)
            lists = [[retrieval.provenance() for retrieval in measurer.retrievals] for measurer in measurers]
            exact = who_counts(view, measurers, self.settings, options)
            parts = identity(before, queries, lists, model, options, self.settings, exact)
            checkpoint = Checkpoint(state, parts, resume=resume)
            try:
                left = [unit for number, unit in enumerate(units) if number not in checkpoint.done]
                if exact == "local":
                    exact = read_vectors(view, measurers, left, self.settings, self._pace, self._progress, warnings)
                stopped = self._work(measurers, units, checkpoint)
            finally:
                checkpoint.close()
            records = records_by_task(tasks, units, checkpoint.done)
            work = Work(tasks, measurers, records, view, ShownFields.of(self.settings), stopped is not None)
            data = {
                "name": self.settings.index,
                "pool": None,
                "files": list(files),
                "queries": _KINDS[queries.kind],
                **queries.described,
            }
            shown = view.names.shown(mentioned_documents(work))
            result = build_result(
                work,
                shown=shown,
                options_top=options.top,
                count=options.count,
                sample=options.sample,
                samples=options.samples,
                seed=options.seed,
                measures=options.measures,
                also=options.also,
                provenance=build_provenance(
                    command,
                    data,
                    model=model,
                    options=described or {},
                    seed=options.seed,
                    ranked_by=of_index(view.fields.vector.similarity, model) if view.fields.has_vectors else None,
                ),
            )
        after = self._state_after(stopped, is_frozen=is_frozen)
        if after is not None:
            warnings += self._judge_changes(before, after, is_frozen=is_frozen)
        empty = tuple(rows_without_ranks(work))
        # Complete only now, since a request may turn out to be sent outside the point in time.
        list_notes = [note for measurer in measurers for retrieval in measurer.retrievals for note in retrieval.notes]
        list_notes += lists_without_documents(work)
        list_notes += documents_without_links(self.settings.url_field, result.documents)
        language_notes = self._language_of.notes if self._language_of is not None else []
        if several := work.view.pool().several_languages:
            language_notes.append(
                f"{several} documents have several languages and count as '{MULTIPLE}', a language of its own"
            )
        story = {
            "index": self.settings.index,
            "cluster": self._cluster,
            "point_in_time": is_frozen,
            "snapshot": {"before": before.to_dict(), "after": None if after is None else after.to_dict()},
            "queries": {"kind": queries.kind, "count": len(queries), "notes": list(queries.notes)},
            **({"exact": exact} if view.fields.has_vectors else {}),
            "sample": options.sample,
            "depth": self.settings.depth,
            "plan": None if plan is None else plan.told,
            "partial": None if stopped is None else self._partial(stopped, tasks, records),
            "warnings": list(dict.fromkeys([*empty, *warnings, *language_notes, *list_notes, *self.notes])),
        }
        live = {**redacted_values(story), **(result.live or {})}
        return FinishedAudit(replace(result, live=live), stopped, empty, shown)

    def _work(
        self, measurers: Sequence[Measurer], units: Sequence[Unit], checkpoint: Checkpoint
    ) -> Literal["interrupted"] | CrossAlignError | None:
        """Measure what the checkpoint lacks. Returns the error that stopped it if some units are done, and otherwise
        raises it.
        """
        try:
            for number, unit in enumerate(units):
                if self._progress is not None:
                    self._progress("Auditing", number, len(units))
                if number not in checkpoint.done:
                    checkpoint.add(number, measurers[unit.task].measure(unit))
        except KeyboardInterrupt:
            if not checkpoint.done:
                raise
            return "interrupted"
        except CrossAlignError as error:
            # A deleted index is a state of the cluster, not invalid input.
            foreign = isinstance(error, InputError) and error.source != "index"
            if foreign or not checkpoint.done:
                raise
            return error
        if self._progress is not None:
            self._progress("Auditing", len(units), len(units))
        return None

    def _state_after(
        self, stopped: Literal["interrupted"] | CrossAlignError | None, *, is_frozen: bool
    ) -> Snapshot | None:
        """The index's state at the end; None after a fault, unless the index is frozen in a point in time."""
        if not isinstance(stopped, CrossAlignError):
            return take_snapshot(self.client, self.settings.index)
        if is_frozen:
            return None
        try:
            return take_snapshot(self.client, self.settings.index)
        except CrossAlignError:
            # It is unknown whether all figures are from the same index.
            raise stopped from None

    def _judge_changes(self, before: Snapshot, after: Snapshot, *, is_frozen: bool) -> list[str]:
        changes = changes_between(before, after)
        uuids = [{name: state.uuid for name, state in snapshot.indices.items()} for snapshot in (before, after)]
        if uuids[0] != uuids[1] and not is_frozen:
            raise ExternalError(
                f"{changes[0]}; without a point in time the numbers would be of two indices: start again"
            )
        state = "; the numbers are those of the point in time at its start" if is_frozen else ""
        return [f"{change}{state}" for change in changes]

    def _partial(
        self,
        stopped: Literal["interrupted"] | CrossAlignError,
        tasks: Sequence[Task],
        records: Sequence[dict[int, Record]],
    ) -> dict[str, Any]:
        reason = "interrupted by the user" if isinstance(stopped, str) else str(stopped)
        return {
            "reason": reason,
            "queries": sum(len(record) for record in records),
            "of": sum(len(task.queries) for task in tasks),
        }

    def _members(self, view: IndexView, queries: LiveQueries) -> dict[str, Member]:
        return members_by_name(view, {name for names in queries.judged for name in names})

    def _tasks(self, view: IndexView, queries: LiveQueries, members: dict[str, Member]) -> list[Task]:
        options = self.options
        gone = {name for names in queries.judged for name in names} - members.keys()
        undetermined = view.tag(None)
        # Documents deleted since the queries were made have no language; counting reports that they are missing.
        members |= {name: Member(name, undetermined, None, {}) for name in gone}
        return build_tasks(
            view,
            lambda more: self.view(view.target, more),
            queries,
            members,
            scenarios=options.scenarios,
            languages=options.languages,
            pairs=options.pairs,
        )

    def _units(self, tasks: Sequence[Task]) -> list[Unit]:
        return make_units(tasks, lambda task: self._pace.batch(2 * task.view.pool().documents, self.settings.batch))

    def _measurer(
        self, task: Task, members: dict[str, Member], chosen: frozenset[int] | None, versions: VersionPool | None
    ) -> Measurer:
        options, settings = self.options, self.settings
        return Measurer(
            task,
            self._retrievals(task.view, task.whole),
            members,
            UnitOptions(settings.depth, options.top, options.sample, options.seed, settings.concurrent, options.count),
            self._pace,
            with_top=chosen,
            versions=versions,
        )

    def _keep_alive(self) -> str:
        """Long enough for the pauses between requests due to the load limit."""
        view = self.view()
        documents = view.pool().documents
        pause = self._pace.seconds(self._pace.batch(2 * documents, self.settings.batch) * 2 * documents)
        minutes = _KEEP_ALIVE_MINUTES + math.ceil((pause + self.settings.timeout + self.settings.patience) / 60)
        return f"{min(minutes, _MOST_MINUTES)}m"

    def _knn(self, view: IndexView, whole: bool) -> Sequence[Retrieval]:  # noqa: ARG002 - as every factory
        return [KnnRetrieval(view, batch=self.settings.batch, concurrent=self.settings.concurrent)]
