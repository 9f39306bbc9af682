"""The audit of a live index, which is only read."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from haystack_crossalign.api.collection import reading_log
from haystack_crossalign.api.index_model import check_model_of, open_model_of
from haystack_crossalign.api.requests.index import IndexRequest
from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.audit.run import Embedder, Progress
from haystack_crossalign.audit.scenarios import Scenario
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import source_of
from haystack_crossalign.opensearch.audit.plan import Plan
from haystack_crossalign.opensearch.audit.run import FinishedAudit, IndexAudit
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.connect import open_client
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.live.hybrid import HybridRetrieval, NativeHybridRetrieval
from haystack_crossalign.opensearch.live.known_items import known_item_probes
from haystack_crossalign.opensearch.live.lists import Bm25Retrieval, KnnRetrieval, Retrieval
from haystack_crossalign.opensearch.live.queries import LiveQueries, read_live_queries, with_vectors
from haystack_crossalign.opensearch.live.text_fields import require_text_fields
from haystack_crossalign.opensearch.requests.file import read_requests
from haystack_crossalign.opensearch.requests.retrieval import RequestRetrieval

_PROBES = 200
_OF_NEIGHBORS = ("knn", "hybrid")


def audit_index(request: IndexRequest, *, progress: Progress | None = None) -> AuditResult:
    """Audit a live index, like ``crossalign audit --index``: exact ranks, and the lists that users get.

    Only read requests are sent. Risks of the connection are reported as Python warnings.

    :param request: index, queries, lists, and what is measured.
    :param progress: called with the current step, the amount done, and the total.
    :returns: the result; rows without figures say why in ``live["warnings"]``.
    :raises InputError: if the request or the index is invalid.
    :raises ExternalError: if the cluster or the model failed. Finished work is in the file ``state``, if given, from
        which ``resume`` continues.
    """
    request.check()
    for name in ("hosts", "index"):
        if not getattr(request.settings, name):
            raise InputError("not given", field=f"settings.{name}", allowed="LiveSettings(hosts=(URL,), index=NAME)")
    client = open_client(request.settings, os.environ)
    for note in client.notes:
        warnings.warn(note, stacklevel=2)
    try:
        audit = LiveAudit(request, client, progress=progress)
        audit.prepare()
        finished = audit.run()
    finally:
        client.close()
    if finished.stopped == "interrupted":
        raise KeyboardInterrupt
    if finished.stopped is not None:
        raise finished.stopped
    return finished.result


class LiveAudit:
    """An audit of an index: `prepare` reads the index, embeds the queries and plans; `run` does the work.

    :param request: index, queries, lists, and what is measured.
    :param client: connection.
    :param progress: called with the current step, the amount done, and the total.
    :param say: called with messages for the user.
    :param queries: queries of another audit, instead of the request's.
    :param encoder: a loaded model, instead of the request's.
    :raises InputError: for an unknown language or measure.
    """

    def __init__(
        self,
        request: IndexRequest,
        client: ReadOnlyClient,
        *,
        progress: Progress | None = None,
        say: Callable[[str], None] | None = None,
        queries: LiveQueries | None = None,
        encoder: Embedder | None = None,
    ) -> None:
        self.request = request
        self._given = queries
        self._encoder = encoder
        self.queries: LiveQueries
        self.plan: Plan
        self._client = client
        self._progress = progress
        self._say = say
        self._options = request.options()
        self._remarks: list[str] = []
        self._pipeline: Any = None
        self._requests: list[RequestRetrieval] = []
        self._word_fields: Sequence[str] | None = None
        self._whole_asked = False
        self._model: dict[str, Any] | None = None
        self._audit = IndexAudit(
            client, request.settings, self._options, retrievals=self._retrievals, progress=progress
        )

    def open(self) -> IndexView:
        """Open the index, once.

        :raises CrossAlignError: if the index is invalid, or the cluster failed.
        """
        return self._audit.view()

    def read_queries(self) -> LiveQueries:
        """Read only the queries; they have vectors only if these come with the queries.

        :raises CrossAlignError: if index or queries are invalid, or the cluster failed.
        """
        return self._read_queries(self.open())

    def prepare(self, check: Callable[[Sequence[Scenario]], None] | None = None) -> None:
        """Open the index, make or read the queries, check the model, embed the queries, and plan.

        :param check: called with the rows of the result before the model is opened, to reject what would fail later.
        :raises CrossAlignError: if index, queries or model are invalid, or the cluster failed.
        """
        audit = self._audit
        queries = self._read_queries(self.open())
        scenarios = audit.scenarios(queries)
        if check is not None:
            check(scenarios)
        encoder = self._checked_encoder(queries)
        progress = self._progress
        self.queries = queries
        if audit.view().fields.has_vectors:
            self.queries, self._model = with_vectors(
                queries,
                encoder,
                None if progress is None else lambda done, total: progress("Embedding queries", done, total),
            )
        self._word_fields = self._searched_fields()
        self.plan = audit.plan(self.queries)
        self._check_whole()
        audit.notes += self._remarks

    def run(self) -> FinishedAudit:
        """Audit the index in a point in time.

        :raises KeyboardInterrupt: if interrupted before anything was done.
        :raises CrossAlignError: if the cluster failed before anything was done.
        """
        request = self.request
        paths = (request.queries, request.qrels, request.workbench, request.pipeline, *map(Path, request.requests))
        return self._audit.run(
            self.queries,
            plan=self.plan,
            state=request.resume or request.state,
            resume=request.resume is not None,
            model=self._model,
            described=request.described(self._options),
            files=[vars(source_of(path)) for path in paths if path is not None],
        )

    def _retrievals(self, view: IndexView, whole: bool) -> list[Retrieval]:
        """The lists for a pool; for a part of the index, only those that a filter can restrict."""
        request = self.request
        self._whole_asked |= whole
        limits: dict[str, Any] = {"batch": request.settings.batch, "concurrent": request.settings.concurrent}
        if whole and not self._requests:
            files = read_requests(request.requests, size=request.request_size)
            self._requests = [RequestRetrieval(view, file, **limits) for file in files]
            if self._requests and request.user_filter is not None:
                self._remarks.append("--filter does not reach into requests: their lists may hold what is outside")
        own = self._requests if whole else []
        if request.pipeline is not None:
            if self._pipeline is None:
                self._pipeline = self._open_pipeline(request.pipeline, view)
            # A pipeline always searches the whole index.
            return [self._pipeline, *own] if whole else []
        knn, bm25 = KnnRetrieval(view, **limits), Bm25Retrieval(view, fields=self._word_fields, **limits)
        makers: dict[str, Callable[[], Retrieval]] = {
            "knn": lambda: knn,
            "bm25": lambda: bm25,
            "hybrid:rrf": lambda: HybridRetrieval(knn, bm25, "rrf"),
            "hybrid:minmax": lambda: HybridRetrieval(knn, bm25, "minmax"),
            "hybrid:native-rrf": lambda: NativeHybridRetrieval(view, knn, bm25, "rrf", **limits),
            "hybrid:native-minmax": lambda: NativeHybridRetrieval(view, knn, bm25, "minmax", **limits),
        }
        return [*(makers[name]() for name in self._possible(view)), *own]

    def _possible(self, view: IndexView) -> list[str]:
        """The lists that are possible for the index; a remark names the others."""
        names = list(self.request.lists)
        possible = [name for name in names if view.fields.has_neighbors or not name.startswith(_OF_NEIGHBORS)]
        if lacking := [name for name in names if name not in possible]:
            why = "index.knn is not true" if view.fields.has_vectors else "it has no vectors"
            remark = f"the index cannot be asked for nearest neighbors ({why}), so that there is no list "
            remark += ", ".join(lacking)
            if not possible and not view.fields.has_vectors:
                possible, remark = ["bm25"], f"{remark}; bm25 takes its place"
            self._remarks += [remark] if remark not in self._remarks else []
        return possible

    def _searched_fields(self) -> Sequence[str] | None:
        """The fields of the keyword search; None for all."""
        request, settings = self.request, self.request.settings
        if not any(name.startswith(("bm25", "hybrid")) for name in request.lists):
            return None
        if request.live_fields:
            require_text_fields(self._client, settings.index, request.live_fields)
            return request.live_fields
        if settings.content_field == LiveSettings().content_field:
            return None
        require_text_fields(self._client, settings.index, [settings.content_field], source="--content-field")
        return [settings.content_field]

    def _check_whole(self) -> None:
        """Reject requests if no pool can have their lists."""
        if self.request.requests and not self._whole_asked:
            raise InputError(
                "requests search the whole index, and no pool of this audit is that",
                source="--request",
                seen=str(self.request.requests[0]),
                allowed="--scenario multi, without a part of the languages",
            )

    def _open_pipeline(self, file: Path, view: IndexView) -> Any:
        from haystack_crossalign.pipelines.retriever import QueryPipeline

        pipeline = QueryPipeline.from_yaml(
            file,
            client=self._client,
            view=view,
            id_field=self.request.id_field,
            language_field=self.request.settings.language_field,
            group_field=view.fields.group,
            timeout=self.request.settings.timeout,
            trust_remote_code=self.request.model.trust_remote_code,
        )
        self._remarks += pipeline.notes
        self._remarks.append("the pipeline searches the index as it is now, outside of the point in time")
        if self.request.user_filter is not None:
            self._remarks.append("--filter does not reach into the pipeline: its lists may hold what is outside")
        return pipeline

    def _read_queries(self, view: IndexView) -> LiveQueries:
        request, settings = self.request, self.request.settings
        if self._given is not None:
            return self._given
        if request.queries is None:
            return known_item_probes(
                view,
                content_field=settings.content_field,
                title_field=settings.title_field,
                count=request.probes or _PROBES,
                seed=self._options.seed,
                languages=self._options.languages,
            )
        return read_live_queries(
            request.queries,
            view,
            qrels=request.qrels,
            workbench=request.workbench,
            language_field=settings.language_field,
            group_field=settings.group_field,
            default_language=request.query_language,
            expand_groups=request.expand_groups is not False,
            relevance_level=request.relevance_level,
            log=reading_log(request.skip_invalid),
        )

    def _checked_encoder(self, queries: LiveQueries) -> Embedder | None:
        """The model, verified to be the one of the index's vectors; None if the queries come with vectors."""
        request, settings, view = self.request, self.request.settings, self._audit.view()
        if not view.fields.has_vectors:
            return None
        if queries.vectors is not None:
            why = "the queries carry vectors"
            sentence = request.model.unused(why) or (settings.model and f"{why}, so no model is used")
            if self._say is not None and sentence:
                self._say(sentence)
            return None
        encoder: Any = self._encoder or open_model_of(self._client, settings, request.model)
        self._audit.notes += check_model_of(
            view, encoder, settings, seed=self._options.seed, accept=request.accept_model
        )
        # The check embeds documents of the index, but only the queries count as texts of the audit.
        counted: Embedder = encoder.counting_anew() if hasattr(encoder, "counting_anew") else encoder
        return counted
