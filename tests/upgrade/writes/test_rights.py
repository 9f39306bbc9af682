"""Rights of an upgrade, on the server with the security plugin: the documented role is enough, what lacks is named."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from upgrading import KEPT, Bed, check_moved, everything, remove

from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.credentials import Credentials
from haystack_crossalign.opensearch.connection.failures import MissingPermissionError
from haystack_crossalign.opensearch.connection.patient import Patience
from haystack_crossalign.opensearch.connection.read_only import WriteRefusedError
from haystack_crossalign.upgrade.cleanup import clean_up, leftovers
from haystack_crossalign.upgrade.front import already_done, open_way, run_upgrade
from haystack_crossalign.upgrade.options import UpgradeOptions
from haystack_crossalign.upgrade.plan import Plan, make_plan, plan_lines
from haystack_crossalign.upgrade.rollback import roll_back
from haystack_crossalign.upgrade.writes.grants import LEDGER
from haystack_crossalign.upgrade.writes.rights import (
    AttemptGrant,
    ledger_attempts,
    missing_rights,
    require_rights,
    shard_attempts,
    write_attempts,
)

OPTIONS = UpgradeOptions(keep_fields=KEPT, unit=100, lease=2.0)
USER, PASSWORD = "upgrader", "a-Password-for-1-test-only"
API = "/_plugins/_security/api"
PAGE = Path(__file__).resolve().parents[3] / "docs" / "opensearch-role.md"
ROLE = json.loads(PAGE.read_text(encoding="utf-8").split("```json")[2].split("```")[0])
DISK, DELETE, CLOSE = (
    "cluster:monitor/nodes/stats",
    "indices:admin/delete",
    "indices:data/read/point_in_time/delete",
)
PARTS = [
    (part, name)
    for part, names in (
        ("cluster", ROLE["cluster_permissions"]),
        ("prod*", ROLE["index_permissions"][0]["allowed_actions"]),
        (LEDGER, ROLE["index_permissions"][1]["allowed_actions"]),
    )
    for name in names
]
ONLY_WITH_A_LEDGER = {(LEDGER, "indices:data/read/mget*"), (LEDGER, "indices:data/write/bulk*")}
NEEDED = [one for one in PARTS if one[1] not in (DISK, DELETE, CLOSE)]


def role(without: tuple[str, str] | None = None) -> dict[str, Any]:
    made = copy.deepcopy(ROLE)
    assert made["index_permissions"][0]["index_patterns"] == ["prod*"]
    if without is not None:
        part, name = without
        lists = {"cluster": made["cluster_permissions"]}
        lists |= {one["index_patterns"][0]: one["allowed_actions"] for one in made["index_permissions"]}
        lists[part].remove(name)
    return made


def grant(server: Any, without: tuple[str, str] | None = None) -> None:
    server.request("PUT", f"{API}/roles/crossalign_upgrade", role(without))
    server.request("PUT", f"{API}/rolesmapping/crossalign_upgrade", {"users": [USER]})


@pytest.fixture(scope="module")
def bed(secure_opensearch: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """One for all tests: what is refused changes nothing."""
    secure_opensearch.request("PUT", f"{API}/internalusers/{USER}", {"password": PASSWORD})
    made = Bed(secure_opensearch, tmp_path_factory.mktemp("bed"), documents=60, name="prod")
    yield made
    remove(secure_opensearch, "prod-*", LEDGER)


def client_of(bed: Bed) -> ReadOnlyClient:
    return ReadOnlyClient(
        bed.server.url,
        credentials=Credentials("basic", PASSWORD, USER),
        ca_file=bed.server.certificates.authority,
        patience=Patience(total=5.0, first=0.05, longest=0.3),
    )


def plan_of(bed: Bed) -> Plan:
    client = client_of(bed)
    try:
        new = open_way(bed.matrix, None, OPTIONS)
        already_done(client, bed.alias, new, OPTIONS)
        return make_plan(client, bed.alias, new, OPTIONS)
    finally:
        client.close()


def upgrade(bed: Bed) -> None:
    """Plan and run, as the command does it."""
    client = client_of(bed)
    try:
        run_upgrade(client, bed.alias, open_way(bed.matrix, None, OPTIONS), OPTIONS, plan=plan_of(bed))
    finally:
        client.close()


def state(server: Any) -> Any:
    """All that an attempt could have changed."""
    metadata = server.request("GET", "/_cluster/state/metadata")["metadata"]["indices"]
    shards = server.request("GET", "/prod-1/_stats?level=shards")["indices"]["prod-1"]["shards"]
    return (
        {
            name: (one["settings"], one["mappings"], one["aliases"], one["mapping_version"], one["settings_version"])
            for name, one in metadata.items()
            if not name.startswith(".")
        },
        {number: one[0]["seq_no"] for number, one in shards.items()},
        [{number: one[0]["docs"], "writes": one[0]["indexing"]["delete_total"]} for number, one in shards.items()],
    )


@pytest.mark.usefixtures("bed")
def test_an_upgrade_a_rollback_and_a_cleanup_run_under_the_documented_role(
    secure_opensearch: Any, tmp_path: Path
) -> None:
    bed = Bed(secure_opensearch, tmp_path, documents=60, name="prodb")
    grant(bed.server)
    old = everything(bed.server, bed.index)
    plan = plan_of(bed)
    assert plan.missing == ()
    assert plan.free is not None
    client = client_of(bed)
    new = open_way(bed.matrix, None, OPTIONS)
    outcome = run_upgrade(client, bed.alias, new, OPTIONS, plan=plan)
    assert outcome.state == "switched"
    check_moved(old, everything(bed.server, bed.behind()), bed.weights)
    bed.server.request("PUT", f"/{bed.alias}/_doc/d-900?refresh=true", {"content": "later"})
    bed.server.request("DELETE", f"/{bed.alias}/_doc/d-1?refresh=true")
    back = roll_back(client, bed.alias, lease=2.0)
    assert (back.carried, back.removed) == (1, 1)
    chosen = leftovers(client, bed.alias, old=False)
    assert clean_up(client, bed.alias, chosen, lease=2.0) == [outcome.new_index]
    client.close()
    remove(bed.server, "prodb-*", LEDGER)


@pytest.mark.parametrize("without", NEEDED, ids=lambda one: f"{one[0]} {one[1]}")
def test_a_missing_right_is_named_before_anything_is_written(bed: Bed, without: tuple[str, str]) -> None:
    grant(bed.server, without)
    part, pattern = without
    before = state(bed.server)
    if without in ONLY_WITH_A_LEDGER:
        assert plan_of(bed).missing == ()
    with pytest.raises(MissingPermissionError) as caught:
        upgrade(bed)
    assert caught.value.permissions
    assert all(fnmatchcase(name, pattern.replace("[", "[[]")) for name in caught.value.permissions), caught.value
    assert caught.value.exit_code == 3
    assert "docs/opensearch-role.md" in str(caught.value)
    if part == LEDGER:
        assert f"on '{LEDGER}'" in str(caught.value)
    now = state(bed.server)
    # The ledger is made where only its own shards tell that a right lacks.
    assert (now[0].pop(LEDGER, None) is not None) == (without in ONLY_WITH_A_LEDGER)
    assert now == before
    remove(bed.server, LEDGER)


def test_several_missing_rights_are_named_together_each_with_its_purpose(bed: Bed) -> None:
    bare = copy.deepcopy(ROLE)
    for name in ("indices:admin/create", "indices:admin/aliases", "indices:data/write/bulk*"):
        bare["index_permissions"][0]["allowed_actions"].remove(name)
    bed.server.request("PUT", f"{API}/roles/crossalign_upgrade", bare)
    bed.server.request("PUT", f"{API}/rolesmapping/crossalign_upgrade", {"users": [USER]})
    plan = plan_of(bed)
    told = [
        f"'indices:admin/create' on '{plan.target}' (making the new index)",
        f"'indices:admin/aliases' on '{plan.target}' (the switch)",
        f"'indices:admin/aliases' on '{bed.index}' (the switch)",
        f"'indices:data/write/bulk[s]' on '{bed.index}' (a rollback)",
    ]
    assert sorted(one.told() for one in plan.missing) == sorted(told)
    assert {f"Missing right: {one}" for one in told} <= set(plan_lines(plan))
    assert {one["permission"] for one in plan.to_dict()["missing_rights"]} == {
        "indices:admin/create",
        "indices:admin/aliases",
        "indices:data/write/bulk[s]",
    }
    with pytest.raises(MissingPermissionError, match="lacks 4 permissions that an upgrade needs: 'indices:admin/creat"):
        require_rights(client_of(bed), plan.missing)


def test_rights_that_an_upgrade_can_do_without_are_said_and_stop_nothing(bed: Bed) -> None:
    grant(bed.server, ("prod*", DELETE))
    plan = plan_of(bed)
    assert f"Missing right, not needed yet: '{DELETE}' on '{plan.target}' (crossalign cleanup)" in plan_lines(plan)
    require_rights(client_of(bed), plan.missing)
    grant(bed.server, ("cluster", DISK))
    plan = plan_of(bed)
    assert (plan.missing, plan.free) == ((), None)
    assert "Note: the free disk cannot be read (permission cluster:monitor/nodes/stats)" in plan_lines(plan)


def test_without_the_rights_to_read_all_that_lacks_is_named_at_once(bed: Bed) -> None:
    bare: dict[str, Any] = {"cluster_permissions": ["cluster:monitor/main"], "index_permissions": []}
    bed.server.request("PUT", f"{API}/roles/crossalign_upgrade", bare)
    bed.server.request("PUT", f"{API}/rolesmapping/crossalign_upgrade", {"users": [USER]})
    with pytest.raises(MissingPermissionError) as caught:
        plan_of(bed)
    named = set(caught.value.permissions)
    # What only shows at shards or behind another right that lacks stays unnamed until that one is there.
    hidden = {"cluster:monitor/main", DISK, DELETE, CLOSE, "indices:data/read/mget*", "indices:data/write/bulk*"}
    wanted = {name for _, name in PARTS} - hidden
    assert [one for one in wanted if not any(fnmatchcase(name, one) for name in named)] == []


def test_attempts_change_nothing_where_everything_is_allowed(opensearch: Any, tmp_path: Path) -> None:
    """Both versions, without security: every attempt reaches the part of the server that would carry it out."""
    bed = Bed(opensearch, tmp_path, documents=60, name="prod")
    client = bed.reader()
    before = state(opensearch)
    assert missing_rights(client, bed.alias, bed.index, "prod-20261129-abcdef01") == ()
    assert state(opensearch) == before
    remove(opensearch, "prod-*")


def test_only_the_attempts_themselves_may_leave() -> None:
    attempts = (*write_attempts("old", "new", "new-x"), *ledger_attempts(), *shard_attempts())
    allowed = AttemptGrant(attempts=attempts)
    for one in attempts:
        assert allowed.check(one.method, one.path, one.parameters, one.body) == one.purpose
        assert allowed.check(one.method, one.path, one.parameters, one.body and one.body.encode()) == one.purpose
    for method, path, parameters, body in (
        ("PUT", "/new", (), attempts[0].body),
        ("PUT", "/new-x", (), "{}"),
        ("PUT", "/old/_settings", (), '{"index.blocks.write": true}'),
        ("PUT", "/old/_block/write", (), None),
        ("DELETE", "/old/_doc/new-x", ("routing",), None),
        ("PUT", "/new-x/_doc/rights", (), "{}"),
        ("POST", "/_aliases", (), '{"actions": [{"remove": {"index": "old", "alias": "prod"}}]}'),
        ("DELETE", "/old", (), None),
    ):
        with pytest.raises(WriteRefusedError):
            allowed.check(method, path, parameters, body)
