"""The examination of the cluster: connection, version, rights, health, and the frozen views of an index."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from haystack_crossalign.errors import CrossAlignError, InputError
from haystack_crossalign.opensearch.connection.client import Answer, ReadOnlyClient
from haystack_crossalign.opensearch.connection.failures import ROLE_PAGE, MissingPermissionError
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.doctor.findings import Finding, failed, ok, outside, warning

TESTED = ((2, 19), (3, 6))
_POINT_IN_TIME = (2, 4)
# Version that a cluster in compatibility mode reports.
_COMPATIBLE = (7, 10)
_NOTHING: dict[str, Answer] = {"match_none": {}}


@dataclass
class ClusterReads:
    """Responses to the reads that an audit needs, and missing permissions."""

    answers: dict[str, Answer] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    faults: dict[str, CrossAlignError] = field(default_factory=dict)

    def attempt(self, name: str, read: Callable[[], Answer]) -> None:
        """Make a read and store its response, the missing permission, or its fault."""
        try:
            self.answers[name] = read()
        except MissingPermissionError as error:
            for permission in error.permissions or (str(error),):
                self.missing.setdefault(permission, name)
        except CrossAlignError as error:
            self.faults[name] = error


def examine_connection(client: ReadOnlyClient, settings: LiveSettings) -> list[Finding]:
    """Check whether a cluster responds, what it is, and whether the connection is safe; continue if nothing is missing.

    :param client: connection.
    :param settings: how it was made.
    """
    shown = ", ".join(client.hosts)
    try:
        info = client.info()
    except MissingPermissionError:
        # A server that denies a permission is reachable and knows the user.
        return [ok("connection", shown), *_safety(client), warning("version", "not allowed to be asked")]
    except CrossAlignError as error:
        return [failed("connection", error, _advice(str(error), settings)), *_safety(client)]
    return [ok("connection", shown), *_safety(client), _version(info)]


def examine_cluster(client: ReadOnlyClient, index: str) -> tuple[list[Finding], ClusterReads]:
    """Try each read that an audit needs, and report each missing permission.

    :param client: connection.
    :param index: index or alias.
    :returns: findings, and the answers for those who look at the index next.
    """
    reads = _Reads(client, index).all()
    lost = next((error for error in reads.faults.values() if isinstance(error, InputError)), None)
    if lost is not None:
        return [failed("index", lost, "name an index or alias that exists: --index", hosts=client.hosts)], reads
    if reads.answers.get("mapping") == {}:
        return [], reads
    findings = [
        _lacking_right(permission, what)
        for permission, what in sorted(reads.missing.items(), key=lambda item: (item[1], item[0]))
    ]
    if not findings and set(reads.faults) <= {"point in time"}:
        findings = [ok("rights", "every read that an audit needs is allowed")]
    findings += _health(reads)
    findings += _frozen_views(client, reads)
    findings += [
        failed(name, error, hosts=client.hosts)
        for name, error in reads.faults.items()
        if name not in {"health", "point in time"}
    ]
    return findings, reads


@dataclass(frozen=True)
class _Reads:
    """The reads of an audit, each in its cheapest form."""

    client: ReadOnlyClient
    index: str

    def all(self) -> ClusterReads:
        """Make all of them, or stop at the one that shows that there is no such index."""
        client, index = self.client, self.index
        reads = ClusterReads()
        reads.attempt("version", client.info)
        reads.attempt("mapping", lambda: client.mapping(index))
        if isinstance(reads.faults.get("mapping"), InputError) or reads.answers.get("mapping") == {}:
            # The index does not exist, and a server would report its health only after half a minute.
            return reads
        reads.attempt("health", lambda: client.health(index))
        reads.attempt("aliases", lambda: client.aliases(index))
        reads.attempt("settings", lambda: client.settings(index))
        reads.attempt("statistics", lambda: client.stats(index))
        reads.attempt("search", lambda: {"count": client.count(index, _NOTHING)})
        reads.attempt("multi-search", lambda: client.search({"size": 0, "query": _NOTHING}, index))
        reads.attempt("point in time", self._freeze)
        return reads

    def _freeze(self) -> Answer:
        with self.client.point_in_time(self.index, keep_alive="1m"):
            return {}


def _lacking_right(permission: str, what: str) -> Finding:
    """A right that the user lacks."""
    return outside("rights", f"'{permission}' is missing ({what})", f"add it to the role, see {ROLE_PAGE}")


def _version(info: Answer) -> Finding:
    version = info.get("version")
    number = str(version.get("number", "")) if isinstance(version, dict) else ""
    match = re.match(r"(\d+)\.(\d+)", number)
    if match is None or not isinstance(version, dict):
        return failed(
            "version", "what answers there does not say its version: it does not look like OpenSearch", "check --hosts"
        )
    parts = (int(match[1]), int(match[2]))
    if version.get("distribution") != "opensearch":
        if parts >= _COMPATIBLE:
            return failed("version", f"{number}, and no OpenSearch", "an audit needs OpenSearch 2.4 or later")
        return warning("version", f"{number}, older than OpenSearch", "an audit is tested with 2.19 and 3.6")
    if parts == _COMPATIBLE:
        return warning("version", f"calls itself {number} (compatibility mode)", "the real version is not known")
    name = f"OpenSearch {number}"
    if parts < _POINT_IN_TIME:
        return warning("version", f"{name} is old", "no point in time before 2.4; an audit is tested with 2.19 and 3.6")
    if parts[0] < TESTED[0][0] or parts[0] > TESTED[-1][0]:
        return warning("version", f"{name} is not known", "an audit is tested with 2.19 and 3.6")
    return ok("version", name)


def _safety(client: ReadOnlyClient) -> Iterator[Finding]:
    for note in client.notes:
        yield warning("safety", note)
    if not client.notes and all(host.startswith("https") for host in client.hosts):
        yield ok("safety", "TLS, the server's certificate is checked")


def _advice(message: str, settings: LiveSettings) -> str:
    """Advice for a failed connection, in addition to the message."""
    if "refused the credentials" in message:
        return (
            "check user and password, token or key"
            if settings.auth or settings.user
            else "give credentials: --user with CROSSALIGN_PASSWORD, CROSSALIGN_TOKEN or CROSSALIGN_API_KEY"
        )
    if "could not be verified" in message:
        return "--ca-file FILE"
    if "client certificate" in message:
        return "--client-certificate FILE --client-key FILE"
    return "check --hosts, and that the server runs"


def _health(reads: ClusterReads) -> Iterator[Finding]:
    if "health" in reads.faults:
        yield failed("health", reads.faults["health"])
    if "health" not in reads.answers:
        return
    answer = reads.answers["health"]
    status = answer.get("status")
    shards = int(answer.get("active_primary_shards", 0))
    seen = f"{status}, {shards} primary shard{'s' if shards != 1 else ''}"
    if status == "red":
        yield outside(
            "health",
            f"{seen}, {answer.get('unassigned_shards', '?')} shards not assigned",
            "documents are missing: bring the cluster back to yellow or green first",
        )
    elif status == "yellow":
        yield ok("health", f"{seen}; copies are not assigned, which an audit does not need")
    else:
        yield ok("health", seen)


def _frozen_views(client: ReadOnlyClient, reads: ClusterReads) -> Iterator[Finding]:
    if "point in time" in reads.faults:
        yield warning(
            "point in time",
            "not available: " + str(reads.faults["point in time"]).removeprefix(f"{client.hosts[0]}: "),
            "writes during the audit change what it counts; pause them, or watch its warnings",
        )
    elif "point in time" in reads.answers:
        stuck = [note for note in client.notes if "stays open" in note]
        # Less severe than other permissions, since an audit succeeds without it.
        yield from (warning("point in time", note, f"see {ROLE_PAGE}") for note in stuck)
        if not stuck:
            yield ok("point in time", "an index can be frozen while it is audited")
