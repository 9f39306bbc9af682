"""The gate of an upgrade: audits of the old and the new index with the same queries, each with its own model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.api.index import LiveAudit
from haystack_crossalign.api.requests.index import IndexRequest
from haystack_crossalign.audit.compare import Comparison, compare_results
from haystack_crossalign.audit.gate import Condition, Outcome, evaluate_gate
from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.audit.run import Embedder, Progress
from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.measures import parse_measure
from haystack_crossalign.models.identity import model_name
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.live.queries import LiveQueries
from haystack_crossalign.opensearch.model.check import read_index_model
from haystack_crossalign.repair.matrix_file import VectorMap
from haystack_crossalign.repair.options import (
    OwnFirstBound,
    accepted_own_first_loss,
    accepted_same_language_loss,
    check_own_first,
)
from haystack_crossalign.report.content.words import p_value, plural
from haystack_crossalign.upgrade.documents.vectors import MatrixWay
from haystack_crossalign.upgrade.records.job import Job
from haystack_crossalign.upgrade.run import Upgrade
from haystack_crossalign.upgrade.ways import NewVectors

_SCENARIOS = ("multi", "mono-same")
_SAME_LANGUAGE = ("mono-same", "NDCG@1")
# LPR is no part of it: where the base finds no other version, every repair lowers it, and neither high nor low is good.
_OWN_FIRST = ("multi", "Top1[relevant,same]")


@dataclass(frozen=True)
class Loss:
    """A measure that must not fall, in one row.

    :param measure: its name, with the scenario.
    :param query_language: of the row.
    :param retrieval: the live list of the row, None for exact ranks.
    :param before: in the old index.
    :param after: in the new one.
    :param tolerance: how much it may fall among these queries.
    :param queries: number of queries in both that have a value.
    :param p: of the paired permutation test, not adjusted; None if it cannot be tested.
    """

    measure: str
    query_language: str
    retrieval: str | None
    before: float
    after: float
    tolerance: float
    queries: int
    p: float | None

    @property
    def failed(self) -> bool:
        """Whether it fell further."""
        return self.after < self.before - self.tolerance - 1e-9  # means of as many queries differ by rounding alone

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "failed": self.failed}


@dataclass(frozen=True)
class GateResult:
    """The result of the gate.

    :param before: audit of the old index.
    :param after: audit of the new index.
    :param comparison: comparison of the two.
    :param outcomes: outcomes of the conditions on the new index.
    :param losses: measures that must not fall.
    :param server_ms: milliseconds per search request on the cluster, before and after.
    """

    before: AuditResult
    after: AuditResult
    comparison: Comparison
    outcomes: tuple[Outcome, ...]
    losses: tuple[Loss, ...]
    server_ms: tuple[float, float]

    @property
    def passed(self) -> bool:
        """Whether the alias may be switched."""
        return not any(outcome.failed for outcome in self.outcomes) and not any(loss.failed for loss in self.losses)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "passed": self.passed,
            "conditions": [outcome.to_dict() for outcome in self.outcomes],
            "must_not_fall": [loss.to_dict() for loss in self.losses],
            "server_ms_per_request": {"before": self.server_ms[0], "after": self.server_ms[1]},
            "comparison": self.comparison.to_dict(),
        }


class MovedEncoder:
    """A base model whose vectors are transformed by a map: the embedder of queries for an index upgraded by a matrix.

    :param base: the base model.
    :param vector_map: the map.
    :param model: what the upgraded index says of its model.
    """

    def __init__(self, base: Embedder, vector_map: VectorMap, model: Mapping[str, Any]) -> None:
        self._base = base
        self._map = vector_map
        self._model = dict(model)

    def encode_queries(
        self, texts: Sequence[str], *, progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Vectors of queries: float32 [n, dim]."""
        return self._map.apply(self._base.encode_queries(texts, progress=progress))

    def encode_documents(
        self, texts: Sequence[str], *, progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Vectors of documents: float32 [n, dim]."""
        return self._map.apply(self._base.encode_documents(texts, progress=progress))

    def provenance(self) -> dict[str, Any]:
        """The base model's description, with the name and hash of the transformed model."""
        return {**self._base.provenance(), "sha256": None, "revision": None, **self._model}

    def counting_anew(self) -> MovedEncoder:
        """The same, with the base model's counts reset."""
        again = copy.copy(self)
        base: Any = self._base
        again._base = base.counting_anew() if hasattr(base, "counting_anew") else base
        return again


class Gate:
    """The gate of an upgrade. Everything it needs is opened before anything is written.

    :param client: connection.
    :param request: queries, retrieved lists and limits; its settings have the alias, and its model is that of the old
        index, by default the one stated in the index or the matrix.
    :param new: where the new vectors come from.
    :param conditions: conditions on the new index.
    :param tolerance: maximum fall of same-language NDCG@1, or one query where that is more; 0 accepts none.
    :param own_first: maximum fall of the share of queries whose first hit is relevant and in their own language;
        ``auto`` is that of a repair, :data:`~haystack_crossalign.repair.options.KEEP_OWN_FIRST`, or one query where
        that is more; None asks nothing.
    :param progress: called with step, done and total.
    :raises InputError: for a contradictory request.
    """

    def __init__(
        self,
        client: ReadOnlyClient,
        request: IndexRequest,
        new: NewVectors,
        *,
        conditions: Sequence[Condition] = (),
        tolerance: float = 0.005,
        own_first: OwnFirstBound = "auto",
        progress: Progress | None = None,
    ) -> None:
        check_own_first(own_first)
        measures = [parse_measure(condition.measure) for condition in conditions]
        measures += [parse_measure(name) for _, name in (_SAME_LANGUAGE, _OWN_FIRST)]
        scenarios = tuple(dict.fromkeys([*request.measured.scenarios, *_SCENARIOS]))
        self.request = replace(request, measured=replace(request.measured, scenarios=scenarios, also=measures))
        self.request.check()
        self.result: GateResult | None = None
        self._client = client
        self._new = new
        self._old_model: Embedder | None = None
        self._conditions = tuple(conditions)
        self._tolerance, self._own_first = tolerance, own_first
        self._progress = progress

    def check(self) -> LiveQueries:
        """Read the queries and open the old model, so that nothing fails after hours of copying.

        :raises CrossAlignError: as an audit of the old index, or nothing names its model.
        """
        try:
            queries = LiveAudit(self.request, self._client).read_queries()
        except InputError as error:
            if self.request.queries is not None or error.field != "relevant":
                raise
            raise InputError(
                "the gate has nothing to ask: no documents of the index share a parallel group",
                source=self.request.settings.index,
                allowed="--queries FILE, or --no-gate to switch without it",
            ) from None
        if queries.vectors is None:
            self._old_model = open_old_model(self._client, self.request, self._new)
        elif not isinstance(self._new.way, MatrixWay):
            # Vectors of the old model are meaningless in the new index, so texts are embedded for each index.
            self._old_model = open_old_model(self._client, self.request, self._new)
            queries = replace(queries, vectors=None)
        LiveAudit(
            self.request, self._client, progress=self._progress, queries=queries, encoder=self._old_model
        ).prepare()
        return queries

    def __call__(self, upgrade: Upgrade, job: Job) -> bool:
        """Audit both indices; return whether the alias may be switched."""
        queries = LiveAudit(
            replace(self.request, settings=self._settings(job.source.name)), self._client
        ).read_queries()
        if self._old_model is not None:
            queries = replace(queries, vectors=None)
        old = self._audit(job.source.name, queries, self._old_model)
        beside = job.beside if self.request.settings.embedding_field in job.data["way"]["fields"] else ""
        new = self._audit(job.target.name, old[2], self._new_model(), beside=beside)
        comparison = compare_results(old[0], new[0], names=(job.source.name, job.target.name))
        outcomes = tuple(evaluate_gate(self._conditions, new[0]))
        losses = tuple(losses_of(comparison, self._tolerance, self._own_first))
        self.result = GateResult(old[0], new[0], comparison, outcomes, losses, (old[1], new[1]))
        verdict = {"passed": self.result.passed, "must_not_fall": [loss.to_dict() for loss in losses if loss.failed]}
        job.update(gate=verdict | {"conditions": [outcome.to_dict() for outcome in outcomes if outcome.failed]})
        del upgrade
        return self.result.passed

    def _settings(self, index: str, beside: str = "") -> LiveSettings:
        settings = self.request.settings
        return replace(settings, index=index, embedding_field=settings.embedding_field + beside)

    def _new_model(self) -> Embedder | None:
        way: Any = self._new.way
        if not isinstance(way, MatrixWay):
            embedder: Embedder = way.embedder
            return embedder
        return None if self._old_model is None else MovedEncoder(self._old_model, way.map, self._new.model)

    def _audit(
        self, index: str, queries: LiveQueries, encoder: Embedder | None, *, beside: str = ""
    ) -> tuple[AuditResult, float, LiveQueries]:
        """The result, milliseconds per request, and the queries without what must be redone for the other index."""
        request = replace(self.request, settings=self._settings(index, beside))
        audit = LiveAudit(request, self._client, progress=self._progress, queries=queries, encoder=encoder)
        before = self._searches()
        audit.prepare()
        finished = audit.run()
        if finished.stopped is not None:
            raise ExternalError(f"{self._client.hosts[0]}: the audit of '{index}' was stopped: {finished.stopped}")
        after = self._searches()
        asked = after[0] - before[0]
        return finished.result, (after[1] - before[1]) / max(asked, 1), self._for_the_new(audit.queries, encoder)

    def _for_the_new(self, queries: LiveQueries, encoder: Embedder | None) -> LiveQueries:
        if encoder is not None:
            return replace(queries, vectors=None)
        # The queries have vectors of the old model, which the matrix transforms like those of documents.
        way = self._new.way
        if isinstance(way, MatrixWay) and queries.vectors is not None:
            return replace(queries, vectors=way.map.apply(queries.vectors))
        return replace(queries, vectors=None)

    def _searches(self) -> tuple[int, int]:
        total = self._client.traffic.totals.get("msearch")
        return (0, 0) if total is None else (total.requests, total.server_ms)


def losses_of(comparison: Comparison, tolerance: float, own_first: OwnFirstBound) -> list[Loss]:
    """What must not fall, in each row of the comparison of the old index with the new one.

    As in the choice of a repair, one query more or less is no loss of same-language NDCG@1: with few queries a
    tolerance of half a point would hold back every second switch by chance.

    :param comparison: the old index and the new one, over the same queries.
    :param tolerance: see `Gate`.
    :param own_first: likewise.
    """
    losses = []
    for row in comparison.rows:
        for scenario, measure in (_SAME_LANGUAGE, _OWN_FIRST):
            values = row["measures"].get(measure)
            if row["scenario"] != scenario or values is None or None in (values["a"], values["b"]):
                continue
            queries: int = values["queries"]
            bound: float | None
            if (scenario, measure) == _SAME_LANGUAGE:
                bound = accepted_same_language_loss(tolerance, queries)
            else:
                bound = accepted_own_first_loss(own_first, queries)
            if bound is None:
                continue
            losses.append(
                Loss(
                    measure=f"{scenario}:{measure}",
                    query_language=row["query_language"],
                    retrieval=row.get("retrieval"),
                    before=float(values["a"]),
                    after=float(values["b"]),
                    tolerance=bound,
                    queries=queries,
                    p=values["p"],
                )
            )
    return losses


def gate_lines(result: GateResult) -> list[str]:
    """The result of the gate, as lines of text.

    :param result: the result.
    """
    lines = [
        f"Gate: {loss.measure}{f' of {loss.retrieval}' if loss.retrieval else ''}, queries in {loss.query_language}, "
        f"falls from {loss.before:.1%} to {loss.after:.1%}, more than {loss.tolerance:.1%} "
        f"({plural(loss.queries, 'query', 'queries')}, p = {p_value(loss.p)})".replace("= <", "<")
        for loss in result.losses
        if loss.failed
    ]
    lines += [
        f"Gate: {outcome.condition} ({outcome.query_language}: {outcome.value:.6g})"
        for outcome in result.outcomes
        if outcome.failed
    ]
    kept = sum(not loss.failed for loss in result.losses)
    lines.append(
        f"Gate {'passed' if result.passed else 'failed'}: {kept} of {len(result.losses)} figures that must not fall "
        f"did not, {sum(not outcome.failed for outcome in result.outcomes)} of {len(result.outcomes)} conditions hold; "
        f"{result.server_ms[0]:.1f} ms a request before, {result.server_ms[1]:.1f} ms after"
    )
    return lines


def open_old_model(
    client: ReadOnlyClient, request: IndexRequest, new: NewVectors, *, purpose: str = "the gate"
) -> Embedder:
    """The model of the old index: that of the settings, else of the index or the matrix.

    :param client: connection.
    :param request: its settings have the alias or the old index, and optionally a model that overrides its own.
    :param new: source of the new vectors.
    :param purpose: what needs the model, for messages.
    :raises CrossAlignError: if no model is stated, or it cannot be loaded.
    """
    try:
        stored = read_index_model(client, request.settings.index, request.settings.embedding_field)
    except InputError as error:
        if error.source != "index":
            raise
        stored = None  # it was deleted since
    index_model = stored or new.base or {}
    name = request.model.model or request.settings.model or index_model.get("name")
    if name is None:
        raise ExternalError(
            f"{purpose} needs the model of the old index, and nothing names it: --old-model NAME"
            + (", queries with vectors, or --no-gate" if purpose == "the gate" else "")
        )
    settings = request.settings
    try:
        return request.model.with_profile(settings).encoder(str(name))
    except ExternalError as error:
        raise ExternalError(
            f"{purpose} needs the model of the old index, {model_name(index_model) if index_model else name}: {error}"
            + ("; --no-gate leaves the gate out" if purpose == "the gate" else "")
        ) from None
