"""The compose file against the published schema, the Dockerfile under a linter; no container engine is needed."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker" / "docker-compose.yml"
DOCKERFILE = ROOT / "docker" / "Dockerfile"
HADOLINT = Path(sys.executable).with_name("hadolint")


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    return Draft202012Validator(json.loads((Path(__file__).parent / "compose-spec.json").read_text(encoding="utf-8")))


@pytest.fixture
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE.read_text(encoding="utf-8")))


def lint(file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(HADOLINT), "--no-color", str(file)], capture_output=True, text=True, check=False)


def test_the_compose_file_follows_the_published_schema(schema: Draft202012Validator, compose: dict[str, Any]) -> None:
    assert [error.message for error in schema.iter_errors(compose)] == []


@pytest.mark.parametrize(("key", "value"), [("helthcheck", {}), ("ports", "9200"), ("healthcheck", {"interval": []})])
def test_the_schema_finds_what_compose_would_refuse(
    schema: Draft202012Validator, compose: dict[str, Any], key: str, value: Any
) -> None:
    broken = copy.deepcopy(compose)
    broken["services"]["opensearch"][key] = value
    assert not schema.is_valid(broken)


def test_no_password_of_a_cluster_has_a_default(compose: dict[str, Any]) -> None:
    server = compose["services"]["opensearch"]["environment"]
    assert server["OPENSEARCH_INITIAL_ADMIN_PASSWORD"].startswith("${OPENSEARCH_PASSWORD:?")
    command = compose["services"]["crossalign"]["environment"]["CROSSALIGN_PASSWORD"]
    assert "${OPENSEARCH_PASSWORD:?" in command


def test_security_is_on_and_the_health_check_speaks_tls(compose: dict[str, Any]) -> None:
    server = compose["services"]["opensearch"]
    text = COMPOSE.read_text(encoding="utf-8").lower()
    assert "disable_security" not in text
    assert "plugins.security.disabled" not in text
    assert "https://localhost:9200/_cluster/health" in server["healthcheck"]["test"][1]
    for service in compose["services"].values():
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))


def test_everything_waits_for_a_healthy_server_and_dashboards_are_optional(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert "profiles" not in services["opensearch"]
    assert services["dashboards"]["profiles"] == ["dashboards"]
    for name in ("dashboards", "crossalign"):
        assert services[name]["depends_on"] == {"opensearch": {"condition": "service_healthy"}}


def test_the_build_of_the_compose_file_is_this_dockerfile(compose: dict[str, Any]) -> None:
    build = compose["services"]["crossalign"]["build"]
    context = (COMPOSE.parent / build["context"]).resolve()
    assert context == ROOT
    assert context / build["dockerfile"] == DOCKERFILE
    assert set(build["args"]) <= set(re.findall(r"^ARG (\w+)", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE))


def test_the_linter_has_nothing_to_say_about_the_dockerfile() -> None:
    linted = lint(DOCKERFILE)
    assert (linted.returncode, linted.stdout) == (0, "")


def test_the_linter_finds_faults(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nRUN cd /tmp && pip install torch\n", encoding="utf-8")
    linted = lint(bad)
    assert linted.returncode == 1
    assert {"DL3006", "DL3042", "DL3003"} <= set(re.findall(r"DL\d+", linted.stdout))


def test_the_image_does_not_run_as_root_and_starts_the_command() -> None:
    lines = DOCKERFILE.read_text(encoding="utf-8").splitlines()
    (user,) = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert int(user) > 0
    assert 'ENTRYPOINT ["crossalign"]' in lines


def test_every_version_is_pinned_and_nothing_is_cached() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    installs = re.findall(r"pip install[^\n&]*", text)
    assert len(installs) == 2
    for install in installs:
        assert "--no-cache-dir" in install
        assert "--constraint versions.txt" in install
    kept = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line]
    assert any(line.startswith("torch==") for line in kept)


def test_what_is_copied_is_there_and_nothing_else_gets_into_the_build() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    copied = {name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for name in line.split()}
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
    assert next(line for line in ignored if not line.startswith("#")) == "*"
