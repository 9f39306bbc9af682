"""The documented role on a server with the security plugin: enough, and no permission of it too many."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.errors import ExternalError
from haystack_crossalign.opensearch.audit.options import AuditOptions
from haystack_crossalign.opensearch.audit.run import IndexAudit
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.credentials import Credentials
from haystack_crossalign.opensearch.connection.failures import MissingPermissionError
from haystack_crossalign.opensearch.connection.patient import Patience
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.live.known_items import known_item_probes

DIMENSION = 8
USER, PASSWORD = "auditor", "a-Password-for-1-test-only"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "opensearch-role.md"
ROLE = json.loads(PAGE.read_text(encoding="utf-8").split("```json")[1].split("```")[0])
PERMISSIONS = [*ROLE["cluster_permissions"], *ROLE["index_permissions"][0]["allowed_actions"]]
CLOSE = "indices:data/read/point_in_time/delete"


@pytest.fixture(scope="module")
def index(secure_opensearch: Any, indexing: Any) -> str:
    rng = np.random.default_rng(1)
    documents = {
        f"d{n}": {
            "embedding": rng.normal(size=DIMENSION).tolist(),
            "language": "en" if n % 2 else "zh",
            "group": f"g{n // 2}",
            "content": f"A text of its own about the number {n * n}, in this many words.",
        }
        for n in range(30)
    }
    indexing.create(secure_opensearch, "prod-1", documents, indexing.mapping(DIMENSION))
    secure_opensearch.request("POST", "/_aliases", {"actions": [{"add": {"index": "prod-1", "alias": "prod"}}]})
    api = "/_plugins/_security/api"
    secure_opensearch.request("PUT", f"{api}/internalusers/{USER}", {"password": PASSWORD})
    return "prod"


def grant(server: Any, role: dict[str, Any]) -> None:
    api = "/_plugins/_security/api"
    server.request("PUT", f"{api}/roles/crossalign_audit", role)
    server.request("PUT", f"{api}/rolesmapping/crossalign_audit", {"users": [USER]})


def client_for(server: Any, **options: Any) -> ReadOnlyClient:
    defaults: dict[str, Any] = {
        "credentials": Credentials("basic", PASSWORD, USER),
        "ca_file": server.certificates.authority,
        "patience": Patience(total=1.0),
    }
    return ReadOnlyClient(server.url, **(defaults | options))


def audit(client: ReadOnlyClient, index: str) -> AuditResult:
    """A whole audit with exact ranks and live lists, its plan included, as the command runs it."""
    settings = LiveSettings(hosts=client.hosts, index=index, group_field="group", batch=8, depth=10)
    run = IndexAudit(client, settings, AuditOptions(samples=100))
    run.open()
    probes = known_item_probes(run.view(), count=5)
    queries = replace(probes, vectors=np.eye(DIMENSION, dtype=np.float32)[np.arange(len(probes)) % DIMENSION])
    plan = run.plan(queries)
    finished = run.run(queries, plan=plan)
    if isinstance(finished.stopped, ExternalError):
        raise finished.stopped
    return finished.result


def test_the_documented_role_is_enough(secure_opensearch: Any, index: str) -> None:
    grant(secure_opensearch, ROLE)
    client = client_for(secure_opensearch)
    result = audit(client, index)
    assert [row.get("retrieval") for row in result.rows] == [None, "knn"] * 2
    assert all(1 <= rank <= 30 for ranks in result.queries["ranks"] for rank in ranks if rank is not None)
    assert client.notes == []
    assert all(total.failures == 0 for total in client.traffic.totals.values())


@pytest.mark.parametrize("permission", [name for name in PERMISSIONS if name != CLOSE])
def test_a_missing_permission_is_named(secure_opensearch: Any, index: str, permission: str) -> None:
    grant(secure_opensearch, without(permission))
    with pytest.raises(MissingPermissionError) as caught:
        audit(client_for(secure_opensearch), index)
    assert caught.value.permissions == (permission,)
    assert f"'{permission}'" in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_view_that_may_not_be_closed_leaves_a_note(secure_opensearch: Any, index: str) -> None:
    grant(secure_opensearch, without(CLOSE))
    client = client_for(secure_opensearch)
    audit(client, index)
    assert len(client.notes) == 1
    assert "stays open for 7m" in client.notes[0]
    assert f"'{CLOSE}'" in client.notes[0]


def without(permission: str) -> dict[str, Any]:
    role = copy.deepcopy(ROLE)
    actions = role["index_permissions"][0]["allowed_actions"]
    (actions if permission in actions else role["cluster_permissions"]).remove(permission)
    return role


@pytest.mark.usefixtures("index")
def test_the_role_itself_cannot_write(secure_opensearch: Any) -> None:
    from opensearchpy import OpenSearch
    from opensearchpy.exceptions import AuthorizationException

    grant(secure_opensearch, ROLE)
    unguarded = OpenSearch(
        secure_opensearch.url, http_auth=(USER, PASSWORD), ca_certs=str(secure_opensearch.certificates.authority)
    )
    for write in (
        lambda: unguarded.index(index="prod-1", body={"a": 1}),
        lambda: unguarded.delete(index="prod-1", id="d1"),
        lambda: unguarded.indices.delete(index="prod-1"),
        lambda: unguarded.indices.create(index="prod-2"),
    ):
        with pytest.raises(AuthorizationException):
            write()
    unguarded.close()


def test_a_wrong_password_is_one_clear_message_without_the_password(secure_opensearch: Any, index: str) -> None:
    wrong = Credentials("basic", "wrong-Password-77", USER)
    client = client_for(secure_opensearch, credentials=wrong)
    with pytest.raises(ExternalError, match="refused the credentials") as caught:
        client.mapping(index)
    shown = (
        f"{caught.value}{caught.value!r}{client!r}{client.traffic.totals}{Credentials('basic', 'wrong-Password-77')}"
    )
    assert "wrong-Password-77" not in shown


def test_a_certificate_of_a_foreign_authority_is_refused(secure_opensearch: Any, index: str, tmp_path: Path) -> None:
    from opensearch_security import make_certificates

    for options in ({"ca_file": make_certificates(tmp_path / "foreign").authority}, {"ca_file": None}):
        with pytest.raises(ExternalError, match="certificate could not be verified"):
            client_for(secure_opensearch, **options).mapping(index)


def test_verification_can_be_switched_off_only_on_purpose(secure_opensearch: Any, index: str) -> None:
    grant(secure_opensearch, ROLE)
    client = client_for(secure_opensearch, ca_file=None, verify_tls=False)
    assert list(client.mapping(index)) == ["prod-1"]
