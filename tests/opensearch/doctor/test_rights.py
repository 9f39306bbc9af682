"""The examination under the documented role, on the server with the security plugin."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from doctor_helpers import COMPLETE, INDEX, advice, examined, found

from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.doctor.findings import Diagnosis

PAGE = Path(__file__).resolve().parents[3] / "docs" / "opensearch-role.md"
ROLE = json.loads(PAGE.read_text(encoding="utf-8").split("```json")[1].split("```")[0])
CLOSE = "indices:data/read/point_in_time/delete"


@pytest.fixture(scope="module")
def secure(secure_opensearch: Any, indexing: Any) -> Any:
    indexing.create(secure_opensearch, "doctor-1", COMPLETE, indexing.mapping(4))
    secure_opensearch.request("POST", "/_aliases", {"actions": [{"add": {"index": "doctor-1", "alias": INDEX}}]})
    api = "/_plugins/_security/api"
    secure_opensearch.request("PUT", f"{api}/internalusers/doctor", {"password": "examines-Indices-1-x"})
    return secure_opensearch


class TestRights:
    """Under the documented role, on the server with the security plugin."""

    @staticmethod
    def grant(server: Any, *, without: str | None = None) -> None:
        role = copy.deepcopy(ROLE)
        role["index_permissions"][0]["index_patterns"] = ["doctor*"]
        for actions in (role["cluster_permissions"], role["index_permissions"][0]["allowed_actions"]):
            if without in actions:
                actions.remove(without)
        api = "/_plugins/_security/api"
        server.request("PUT", f"{api}/roles/doctor", role)
        server.request("PUT", f"{api}/rolesmapping/doctor", {"users": ["doctor"]})

    @staticmethod
    def examine(server: Any, **changes: Any) -> Diagnosis:
        settings = LiveSettings(
            hosts=(server.url,),
            index=INDEX,
            group_field="group",
            user="doctor",
            ca_file=server.certificates.authority,
        )
        return examined(replace(settings, **changes), {"CROSSALIGN_PASSWORD": "examines-Indices-1-x"})

    def test_the_documented_role_is_enough(self, secure: Any) -> None:
        self.grant(secure)
        diagnosis = self.examine(secure)
        assert [finding for finding in diagnosis.findings if finding.state == "missing"] == []
        assert found(diagnosis)["safety"] == ("ok", "TLS, the server's certificate is checked")
        assert found(diagnosis)["languages"] == ("ok", "en 2, zh 2")
        assert diagnosis.exit_code == 0

    @pytest.mark.parametrize(
        "permission",
        [
            name
            for name in ROLE["cluster_permissions"] + ROLE["index_permissions"][0]["allowed_actions"]
            if name != CLOSE
        ],
    )
    def test_a_missing_right_is_named_and_nothing_else_is(self, secure: Any, permission: str) -> None:
        self.grant(secure, without=permission)
        diagnosis = self.examine(secure)
        missing = [finding for finding in diagnosis.findings if finding.state == "missing"]
        assert [finding.check for finding in missing] == ["rights"]
        assert missing[0].seen.startswith(f"'{permission}' is missing (")
        assert "docs/opensearch-role.md" in missing[0].advice
        assert diagnosis.exit_code == 3

    def test_a_view_that_may_not_be_closed_is_a_warning(self, secure: Any) -> None:
        self.grant(secure, without=CLOSE)
        diagnosis = self.examine(secure)
        assert found(diagnosis)["point in time"][0] == "warning"
        assert f"'{CLOSE}'" in found(diagnosis)["point in time"][1]
        assert diagnosis.exit_code == 0

    def test_wrong_credentials_and_an_unknown_authority_are_one_finding_with_what_to_do(self, secure: Any) -> None:
        nobody = self.examine(secure, user="nobody")
        unknown = self.examine(secure, ca_file=None)
        assert [finding.check for finding in nobody.findings if finding.state == "missing"] == ["connection"]
        assert "check user and password" in advice(nobody, "connection")
        assert "--ca-file" in advice(unknown, "connection")
        assert (nobody.exit_code, unknown.exit_code) == (3, 3)

    def test_a_connection_that_is_not_checked_is_said_loudly(self, secure: Any) -> None:
        self.grant(secure)
        diagnosis = self.examine(secure, ca_file=None, verify_tls=False)
        assert found(diagnosis)["safety"][0] == "warning"
        assert found(diagnosis)["safety"][1].startswith("INSECURE")
        assert diagnosis.exit_code == 0
