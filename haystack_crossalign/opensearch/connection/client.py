"""A client that can only read, with deadlines, patient retries and every answer checked for completeness."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from opensearchpy import OpenSearch
from opensearchpy.exceptions import TransportError

from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
from haystack_crossalign.opensearch.connection.addresses import checked_address
from haystack_crossalign.opensearch.connection.answers import AnswerCheck, AnswerSerializer
from haystack_crossalign.opensearch.connection.credentials import Credentials
from haystack_crossalign.opensearch.connection.failures import RefusedRequestError, explain, explain_answer, is_limit
from haystack_crossalign.opensearch.connection.patient import Patience, send_patiently
from haystack_crossalign.opensearch.connection.point_in_time import PointInTime
from haystack_crossalign.opensearch.connection.read_only import ReadOnlyConnection
from haystack_crossalign.opensearch.connection.search_pipelines import SearchPipelines
from haystack_crossalign.opensearch.connection.traffic import Traffic
from haystack_crossalign.redaction import redacted

Answer = dict[str, Any]
_RETRY_ITEM = frozenset({429, 503})
# What would come back with every item and says nothing that was not sent: the point in time, the bounds of ranges. Only
# those of the counting: wherever such a filter looks, the server also drops lists that are empty.
_LEFT_OUT = "-responses.pit_id,-responses.aggregations.counts.buckets.from,-responses.aggregations.counts.buckets.to"

# Of lists, also what nothing depends on. It is a sixth of an answer, and most of what a list costs is to parse it.
_LEFT_OUT_OF = {
    "": _LEFT_OUT,
    "ids": "-responses.pit_id,-responses.status,-responses.hits.hits._index",
    "ids and indices": "-responses.pit_id,-responses.status",
}


class ReadOnlyClient:
    """Read from a cluster and refuse everything else (see `haystack_crossalign.opensearch.connection.read_only`).

    :param hosts: addresses such as ``https://search.example.org:9200``, without user and password.
    :param credentials: who asks; None for a cluster without security.
    :param signer: called with method, URL and body, returns headers (AWS SigV4); instead of ``credentials``.
    :param verify_tls: whether to check the server's certificate and name.
    :param ca_file: PEM file with the certificate authorities to trust instead of the system's.
    :param client_certificate: PEM files of a client certificate and its key.
    :param timeout: seconds to wait for one answer.
    :param patience: how long to wait where a later attempt may succeed.
    :param compress: whether to send long request bodies compressed.
    :param request_cache: whether shards may answer repeated requests from their cache; None leaves it to the server.
    :param traffic: record of the requests.

    `notes` holds what went wrong without harm to any result, in sentences for the person who runs the command; `models`
    the ids of models inside the cluster that may embed texts, at first none.
    """

    def __init__(
        self,
        hosts: str | Sequence[str],
        *,
        credentials: Credentials | None = None,
        signer: Callable[..., Mapping[str, str]] | None = None,
        verify_tls: bool = True,
        ca_file: Path | None = None,
        client_certificate: tuple[Path, Path] | None = None,
        timeout: float = 60.0,
        patience: Patience | None = None,
        compress: bool = True,
        request_cache: bool | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        self.hosts = tuple(checked_address(host) for host in ([hosts] if isinstance(hosts, str) else hosts))
        self.traffic = traffic if traffic is not None else Traffic()
        self.patience = patience or Patience()
        self.notes: list[str] = []
        self.models: set[str] = set()
        self._request_cache = request_cache
        self._pipelines = SearchPipelines()
        options: dict[str, Any] = credentials.options() if credentials else {}
        if signer is not None:
            options["http_auth"] = signer
        if any(host.startswith("https") for host in self.hosts):
            options |= {"verify_certs": verify_tls, "ssl_show_warn": False}
            if ca_file is not None:
                options["ca_certs"] = str(_existing(ca_file, "CA file"))
            if client_certificate is not None:
                options["client_cert"] = str(_existing(client_certificate[0], "client certificate"))
                options["client_key"] = str(_existing(client_certificate[1], "key of the client certificate"))
        self._connection = {"hosts": list(self.hosts), "timeout": timeout, **options}
        self._opensearch = OpenSearch(
            hosts=list(self.hosts),
            connection_class=ReadOnlyConnection,
            traffic=self.traffic,
            models=self.models,
            timeout=timeout,
            compress=compress,
            serializer=AnswerSerializer(),
            # Retries happen here, where it is known which requests may be repeated, and with jitter between them.
            max_retries=0,
            **options,
        )

    def __repr__(self) -> str:
        return f"ReadOnlyClient({', '.join(self.hosts)})"

    def connection(self) -> dict[str, Any]:
        """What connects another client of opensearch-py as this one is, credentials included: never to be shown."""
        return dict(self._connection)

    def close(self) -> None:
        """Close the connections."""
        self._opensearch.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str] | None = None,
        body: object = None,
        repeat_lost: bool = True,
    ) -> Answer:
        """One request, repeated with growing pauses while the server is busy or away.

        :param path: absolute path, names already escaped.
        :param parameters: query parameters.
        :param body: JSON value, or text that is sent as it is.
        :param repeat_lost: whether to repeat a request whose connection broke: it may have been carried out.
        :raises CrossAlignError: what the last refusal means, see `haystack_crossalign.opensearch.connection.failures`.
        """
        return send_patiently(
            self._opensearch,
            self.patience,
            self.hosts[0],
            method,
            path,
            parameters=parameters,
            body=body,
            repeat_lost=repeat_lost,
        )

    def info(self) -> Answer:
        """Name, version and uuid of the cluster."""
        answer = self.request("GET", "/")
        if "version" in answer:
            self._check("GET /").mapping(answer["version"], "version")
        return answer

    def mapping(self, index: str) -> Answer:
        """Mapping of each index that the name stands for."""
        path = f"/{_escaped(index)}/_mapping"
        answer = self.request("GET", path)
        check = self._check(f"GET {path}")
        check.by_index(answer, "mappings", check.fields)
        return answer

    def settings(self, index: str) -> Answer:
        """Settings of each index, with flat names."""
        path = f"/{_escaped(index)}/_settings"
        answer = self.request("GET", path, parameters={"flat_settings": "true"})
        self._check(f"GET {path}").by_index(answer, "settings")
        return answer

    def aliases(self, index: str) -> Answer:
        """Aliases of each index."""
        path = f"/{_escaped(index)}/_alias"
        try:
            answer = self.request("GET", path)
        except InputError:
            # A data stream has none, and is no index to this request; the indices behind it are.
            path = f"/{_escaped(','.join(sorted(self.mapping(index))))}/_alias"
            answer = self.request("GET", path)
        self._check(f"GET {path}").by_index(answer, "aliases")
        return answer

    def stats(self, index: str, *, shards: bool = False) -> Answer:
        """Numbers of documents, and totals of indexing and deletes; per shard also the sequence numbers."""
        parameters = {"level": "shards"} if shards else {}
        path = f"/{_escaped(index)}/_stats/docs,indexing"
        answer = self.request("GET", path, parameters=parameters)
        self._check(f"GET {path}").statistics(answer)
        return answer

    def health(self, index: str) -> Answer:
        """Health of an index."""
        path = f"/_cluster/health/{_escaped(index)}"
        answer = self.request("GET", path)
        check = self._check(f"GET {path}")
        check.text(answer.get("status"), "status")
        for name in ("active_primary_shards", "unassigned_shards"):
            check.whole(answer.get(name, 0), name)
        return answer

    def count(self, index: str, query: object = None) -> int:
        """Number of documents that match, now (outside of any point in time)."""
        body = None if query is None else {"query": query}
        answer = self.request("POST", f"/{_escaped(index)}/_count", body=body)
        self._check_shards(answer, "count")
        return self._check(f"POST /{_escaped(index)}/_count").whole(answer.get("count"), "count")

    @contextmanager
    def point_in_time(self, index: str, *, keep_alive: str = "5m") -> Iterator[PointInTime]:
        """A frozen view of the index, closed at the end.

        :param keep_alive: how long the server keeps it after each search.
        """
        answer = self.request(
            "POST",
            f"/{_escaped(index)}/_search/point_in_time",
            parameters={"keep_alive": keep_alive, "allow_partial_pit_creation": "false"},
            repeat_lost=False,
        )
        check = self._check(f"POST /{_escaped(index)}/_search/point_in_time")
        view = PointInTime(check.text(answer.get("pit_id"), "pit_id"), keep_alive, index)
        try:
            yield view
        finally:
            self._close(view)

    def search_all(
        self,
        bodies: Sequence[Mapping[str, Any] | str],
        target: str | PointInTime,
        *,
        concurrent: int | None = None,
        as_served: bool = False,
        preference: str = "crossalign",
        lean: Literal["", "ids", "ids and indices"] = "",
    ) -> list[Answer]:
        """Answers to several searches, sent as one multi-search; those refused as too much are sent again.

        Every answer is complete: all shards answered, none ran out of time, for which the cluster may set a limit. What
        the index is set up to do to searches (a default search pipeline) is left out, unless told otherwise.

        :param bodies: search requests; or JSON text of such, without point in time and, unless as served, pipeline.
        :param target: an index, or a point in time.
        :param concurrent: how many of them the server may work on at once; None leaves it to the server.
        :param as_served: whether to search as users do, through the index's default search pipeline.
        :param preference: which copies of the shards answer, where the target is no point in time; by default the same
            ones every time.
        :param lean: for searches of which `haystack_crossalign.opensearch.live.hits.read_lists` reads and checks the
            hits, by their ids or by names of indices and ids: what nobody reads does not come back.
        :raises CrossAlignError: a search failed or is incomplete.
        """
        if not as_served and not self._pipelines.can_be_left_out:
            self._pipelines.require_none(_index_of(target), self.settings)
        answers: dict[int, Answer] = {}
        pending = list(range(len(bodies)))
        waiting = self.patience.begin()
        while pending:
            refused: Answer = {}
            try:
                items = self._search_once([bodies[i] for i in pending], target, concurrent, as_served, preference, lean)
            except RefusedRequestError as error:
                if as_served or not self._pipelines.is_not_understood(error):
                    raise
                self._pipelines.require_none(_index_of(target), self.settings)
                continue
            for position, item in zip(tuple(pending), items, strict=True):
                if "error" not in item:
                    self._check_complete(item)
                    answers[position] = item
                    pending.remove(position)
                elif item.get("status") in _RETRY_ITEM and not is_limit(item["error"]):
                    refused = item
                else:
                    raise self._item_error(item)
            if pending and not waiting.pause():
                raise self._item_error(refused)
        return [answers[i] for i in range(len(bodies))]

    def search_pipeline(self, name: str) -> Answer:
        """Definition of a search pipeline; takes a right of the whole cluster."""
        answer = self.request("GET", f"/_search/pipeline/{quote(name, safe='')}")
        definition = answer.get(name)
        return definition if isinstance(definition, dict) else {}

    def render_template(self, identifier: str, parameters: Mapping[str, Any]) -> Answer:
        """The body of a search that a stored search template makes of its parameters; nothing is searched.

        :param identifier: id under which the cluster stores it.
        :param parameters: by name.
        """
        path = "/_render/template"
        answer = self.request("POST", path, body={"id": identifier, "params": dict(parameters)})
        return self._check(f"POST {path}").mapping(answer.get("template_output"), "template_output")

    def search(self, body: Mapping[str, Any], target: str | PointInTime) -> Answer:
        """Answer to one search, complete as in `search_all`."""
        return self.search_all([body], target)[0]

    def _search_once(
        self,
        bodies: Sequence[Mapping[str, Any] | str],
        target: str | PointInTime,
        concurrent: int | None,
        as_served: bool,
        preference: str,
        lean: Literal["", "ids", "ids and indices"],
    ) -> list[Answer]:
        header: dict[str, Any] = {"allow_partial_search_results": False}
        if self._request_cache is not None:
            header["request_cache"] = self._request_cache
        more: dict[str, Any] = {} if as_served else dict(self._pipelines.left_out())
        if isinstance(target, PointInTime):
            more["pit"] = {"id": target.identifier, "keep_alive": target.keep_alive}
        else:
            header |= {"index": target, "preference": preference}
        head, tail = _compact(header), f",{_compact(more)[1:]}" if more else "}"
        lines = []
        for body in bodies:
            if isinstance(body, str):
                lines += [head, f"{body[:-1]}{tail}"]
            else:
                lines += [head, _compact({**body, **more})]
        parameters = {"filter_path": _LEFT_OUT_OF[lean]}
        if concurrent is not None:
            parameters["max_concurrent_searches"] = str(concurrent)
        answer = self.request("POST", "/_msearch", parameters=parameters, body="\n".join(lines) + "\n")
        check = self._check("POST /_msearch")
        items = check.items(answer.get("responses"), "responses")
        if len(items) != len(bodies):
            check.refuse("responses", items, f"a list of {len(bodies)}")
        for number, (body, item) in enumerate(zip(bodies, items, strict=True)):
            place = f"responses.{number}"
            if "error" not in check.mapping(item, place) and item.get("timed_out") is False:
                if lean:
                    check.lean_search(item, place)
                else:
                    check.search({} if isinstance(body, str) else body, item, place)
        return items

    def _check_complete(self, answer: Answer) -> None:
        # 'terminated_early' says nothing here: 3.x also sets it where an aggregation could be read off the index.
        if answer.get("timed_out") is not False:
            raise ExternalError(
                f"{self.hosts[0]}: a search was cut short by the server (search.default_search_timeout limits its "
                "time), its numbers are incomplete"
            )
        self._check_shards(answer, "search")

    def _check_shards(self, answer: Answer, what: str) -> None:
        shards = answer.get("_shards", {})
        if not isinstance(shards, dict):
            self._check(what).mapping(shards, "_shards")
        if shards.get("failed", 1) or shards.get("successful") != shards.get("total"):
            seen = redacted(json.dumps(shards))[:300]
            raise ExternalError(f"{self.hosts[0]}: {what}: not all shards answered: {seen}")

    def _check(self, request: str) -> AnswerCheck:
        return AnswerCheck(self.hosts[0], request)

    def check_hits(self, answer: Answer) -> None:
        """Refuse an answer to a lean search (see `search_all`) whose hits are not what a server returns.

        :raises ExternalError: naming the part.
        """
        self._check("POST /_msearch").hits(answer["hits"]["hits"], "responses.hits.hits")

    def _item_error(self, item: Answer) -> CrossAlignError:
        status = item.get("status")
        return explain_answer(
            status if isinstance(status, int) else 500, item["error"], request="POST /_msearch", host=self.hosts[0]
        )

    def _close(self, view: PointInTime) -> None:
        """Close a point in time; where that fails the server drops it by itself after its time."""
        method, path = "DELETE", "/_search/point_in_time"
        try:
            self._opensearch.transport.perform_request(method, path, body={"pit_id": [view.identifier]})
        except TransportError as error:
            reason = explain(error, request=f"{method} {path}", host=self.hosts[0])
            self.notes.append(f"a point in time stays open for {view.keep_alive}: {reason}")


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _index_of(target: str | PointInTime) -> str:
    return target.index if isinstance(target, PointInTime) else target


def _existing(path: Path, what: str) -> Path:
    if not path.is_file():
        raise InputError("no such file", source=what, seen=str(path))
    return path


def _escaped(index: str) -> str:
    """The index name (or several, joined by commas) as a part of a path."""
    if not index or index.startswith("_"):
        raise InputError("not a name of an index", source="index", seen=index)
    return quote(index, safe=",*")
