"""Lists of the user's own search, sent as in production except for the point in time."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.errors import CrossAlignError, InputError
from haystack_crossalign.opensearch.connection.answers import paused_collector
from haystack_crossalign.opensearch.connection.client import Answer
from haystack_crossalign.opensearch.connection.failures import RefusedRequestError
from haystack_crossalign.opensearch.connection.point_in_time import PointInTime
from haystack_crossalign.opensearch.connection.search_pipelines import NO_PIPELINE
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.index.scoring import checked_queries
from haystack_crossalign.opensearch.live.hits import Hit, as_stored, read_lists, served_through
from haystack_crossalign.opensearch.requests.body_text import BodyText, compact
from haystack_crossalign.opensearch.requests.file import RequestFile
from haystack_crossalign.opensearch.requests.guard import LIST_PARTS, OTHER_PARTS, check_body, clauses, refuse_in
from haystack_crossalign.opensearch.requests.traps import traps

DEFAULT_SIZE = 10
"""Documents that a server returns where a search does not say how many."""

_READ_BY_PIPELINES = frozenset({"_source", "fields", "docvalue_fields", "script_fields"})
_REQUEST = "request_processors"
_RESPONSE = "response_processors"
_NINE_DIGITS = "%.8e"
"""Nine significant digits tell every float32 from its neighbours."""


class RequestRetrieval:
    """The lists of one request file.

    Parts that do not affect the list (aggregations, highlighting, stored documents) are not sent, unless a search
    pipeline reads the documents of its hits. The searches are sent as multi-searches in the point in time of the audit;
    if the server supports them only without it, they are sent without it, and `notes` says so.

    :param view: index and its fields. The user's filter does not apply to the request.
    :param request: what is sent.
    :param batch: queries in one request.
    :param concurrent: searches of one request that the server may work on at once; None leaves it to the server.
    :raises InputError: a stored template that the cluster lacks, or that renders what `check_body` refuses; a size that
        the index does not allow.
    :raises ExternalError: the cluster fails.
    """

    def __init__(
        self, view: IndexView, request: RequestFile, *, batch: int = 16, concurrent: int | None = None
    ) -> None:
        self.name = request.name
        self.needs_vectors = "vector" in request.uses
        self._view = view
        self._request = request
        self._batch = batch
        self._concurrent = concurrent
        self._outside = False
        self._refuse = refuse_in(str(request.path), {})
        # Stands for a vector until its decimals do; no text of a query can be the same.
        self._mark = secrets.token_hex(16)
        self._decimals = ",".join([_NINE_DIGITS] * view.fields.vector.dimension)
        # What does not depend on the query is determined once, from a sample search.
        some = {"query": "query", "vector": [1.0] * view.fields.vector.numbers, "language": "en"}
        sample = self._filled(some)
        self._size = self._checked_size(sample)
        self._pipeline = self._definition(sample)
        hybrid = any(kind == "hybrid" for _, kind, _ in clauses(sample))
        self._kept = LIST_PARTS if hybrid else LIST_PARTS - {"explain"}
        # Of a pipeline whose definition may not be read, all that is known is that it may read its hits.
        unknown = isinstance(self._pipeline, str)
        stages = {} if self._pipeline is None or isinstance(self._pipeline, str) else self._pipeline
        self._reads_hits = unknown or bool(stages.get(_RESPONSE))
        # Those between query and fetch see ids and scores only.
        self._changes_hits = unknown or any(stages.get(name) for name in (_REQUEST, _RESPONSE))
        if self._reads_hits:
            self._kept |= _READ_BY_PIPELINES
        self._hit_fields = view.hit_fields()
        # A stored template may do anything with its parameters, so that it is rendered for every query.
        self._text = BodyText(self._sent) if request.template is None else None
        self._left_out = sorted(sample.keys() & OTHER_PARTS)
        self._notes = [f"request '{self.name}': {trap}" for trap in traps(sample, self._pipeline)]

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the result on misleading parts of the request, and on where it was sent."""
        if not self._outside:
            return tuple(self._notes)
        return (*self._notes, f"request '{self.name}': the server takes it only outside of the point in time: its "
                              "lists are those of the index as it was at that moment")  # fmt: skip

    def retrieve(
        self,
        texts: Sequence[str],
        vectors: NDArray[np.float32] | None,
        depth: int,  # noqa: ARG002  the request has a size of its own
        target: str | PointInTime,
        *,
        languages: Sequence[str] = (),
    ) -> list[list[Hit]]:
        """Result lists as the server returns them, see `haystack_crossalign.opensearch.live.lists.Retrieval`.

        :raises InputError: no vectors or languages where the request needs them, or the server refuses the request.
        :raises ExternalError: the cluster fails, or gives an incomplete answer.
        """
        view = self._view
        asked: NDArray[np.float32] | None = None
        if self.needs_vectors:
            if vectors is None or len(vectors) != len(texts):
                raise InputError("the queries need a vector each", source=self._request.path, field="{{vector}}")
            checked_queries(vectors, view.fields.vector)
            asked = np.asarray(vectors, dtype=np.float32)
        if "language" in self._request.uses and len(languages) != len(texts):
            raise InputError("the queries need a language each", source=self._request.path, field="{{language}}")
        lists: list[list[Hit]] = []
        for start in range(0, len(texts), self._batch):
            bodies = [
                self._search(texts[row], languages[row] if languages else "", None if asked is None else asked[row])
                for row in range(start, min(start + self._batch, len(texts)))
            ]
            with paused_collector():
                lists += read_lists(view, self._answers(bodies, target))
        if not self._changes_hits:
            return lists
        return as_stored(view, lists, self._place(target), self._batch * self._size)

    def asked_depth(self, depth: int) -> int | None:  # noqa: ARG002  the protocol's
        """The request's own size."""
        return self._size

    def provenance(self) -> dict[str, Any]:
        """File, hash, size, and the search pipeline that the lists pass through."""
        body = self._sample_pipeline
        record: dict[str, Any] = {
            "name": self.name,
            "kind": "request",
            "file": self._request.path.name,
            "sha256": self._request.sha256,
            "size": self._size,
            "placeholders": sorted(self._request.uses),
        }
        if self._request.template is not None:
            record["template"] = self._request.template
        if body is not None:
            record["search_pipeline"] = body
        if self._left_out:
            record["left_out"] = self._left_out
        return record if body is not None else record | served_through(self._view)

    def _filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The body of one search as the file, or the stored template, has it."""
        request = self._request
        values = {**values, "size": request.size}
        body: dict[str, Any] = request.body.fill(values)
        if request.template is None:
            return body
        try:
            rendered = self._view.client.render_template(request.template, body["params"])
        except RefusedRequestError as error:
            raise InputError(f"the cluster does not render the search template: {error}", source=request.path) from None
        check_body(rendered, self._refuse)
        pipeline = request.search_pipeline.fill(values)
        return rendered if pipeline is None else {**rendered, "search_pipeline": pipeline}

    def _sent(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What of the body is sent."""
        body = {key: value for key, value in self._filled(values).items() if key in self._kept}
        body["size"] = self._size
        if not self._reads_hits:
            return {**body, **self._hit_fields}
        return {**body, "docvalue_fields": [*body.get("docvalue_fields", ()), *self._hit_fields["docvalue_fields"]]}

    def _search(self, query: str, language: str, vector: NDArray[np.float32] | None) -> str:
        if self._text is not None:
            return self._text.write(query, language, vector)
        numbers = None if vector is None else vector.astype(np.float64).tolist()
        return compact(self._sent({"query": query, "language": language, "vector": numbers}))

    def _answers(self, bodies: Sequence[str], target: str | PointInTime) -> list[Answer]:
        client, place = self._view.client, self._place(target)
        try:
            return client.search_all(bodies, place, concurrent=self._concurrent, as_served=True, lean=self._view.lean)
        except RefusedRequestError as error:
            refused = error
        if isinstance(place, PointInTime) and place.index:
            try:
                answers = client.search_all(
                    bodies, place.index, concurrent=self._concurrent, as_served=True, lean=self._view.lean
                )
            except RefusedRequestError:
                pass
            else:
                self._outside = True
                return answers
        raise InputError(f"the server refuses the request: {refused}", source=self._request.path)

    def _place(self, target: str | PointInTime) -> str | PointInTime:
        """Where the request is sent."""
        return target.index if self._outside and isinstance(target, PointInTime) else target

    def _checked_size(self, sample: Mapping[str, Any]) -> int:
        value = self._request.size
        if value is None:
            value = sample.get("size", DEFAULT_SIZE)
        # A template without toJson writes numbers as texts, and servers read them.
        size = int(value) if isinstance(value, str) and value.isdecimal() else value
        most = self._view.fields.most_hits
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= most:
            self._refuse("not a number of documents", ("size",), value, f"a whole number from 1 to {most}")
        return size

    def _definition(self, sample: Mapping[str, Any]) -> Mapping[str, Any] | str | None:
        """Definition of the search pipeline that the lists pass through, its name where that cannot be read."""
        own = sample.get("search_pipeline")
        self._sample_pipeline: Any = own
        if own is None:
            names = sorted(set(self._view.fields.search_pipelines.values()))
            own = names[0] if len(names) == 1 else ", ".join(names) or None
        if own is None or own == NO_PIPELINE or not isinstance(own, str):
            return None if own == NO_PIPELINE else own
        try:
            return self._view.client.search_pipeline(own) or own
        except CrossAlignError:
            # The right is one of the whole cluster, and the search itself says whether there is such a pipeline.
            return own


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
