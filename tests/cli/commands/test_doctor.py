"""`crossalign doctor` as a user meets it: a table, a file, an exit code; flags, environment and profile together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from haystack_crossalign.opensearch.connection.settings import SETTINGS, flag_of

# Settings that have no meaning without an audit.
FOR_AUDITS = {"patience", "concurrent", "max_load", "batch", "exact", "depth", "url_field"}


@pytest.fixture(scope="module")
def server(opensearch: Any, indexing: Any) -> Any:
    documents = {
        f"{language}-{group}": {
            "embedding": [1.0, float(group)],
            "language": language,
            "group": str(group),
            "content": "c",
        }
        for language in ("en", "zh")
        for group in range(2)
    }
    indexing.create(opensearch, "doctor-cli", documents, indexing.mapping(2))
    return opensearch


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CROSSALIGN_HOSTS", raising=False)
    monkeypatch.setenv("CROSSALIGN_PATIENCE", "0.1")
    return tmp_path


def test_an_index_that_can_be_audited_gives_a_table_and_ends_with_0(crossalign: Any, server: Any, folder: Path) -> None:
    done = crossalign(
        "doctor", "--index", "doctor-cli", "--hosts", server.url, "--group-field", "group", "--json", "d.json"
    )
    assert (done.code, done.err) == (0, "")
    for part in ("What", "State", "Seen", "What to do", "connection", "en 2, zh 2", "'doctor-cli' can be audited"):
        assert part in done.out
    written = json.loads((folder / "d.json").read_text(encoding="utf-8"))
    assert (written["schema"], written["exit_code"], written["index"]) == ("crossalign.doctor/1", 0, "doctor-cli")
    assert {"check": "languages", "state": "ok", "seen": "en 2, zh 2", "advice": ""} in written["findings"]


def test_a_profile_the_environment_and_flags_work_together(
    crossalign: Any, server: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "crossalign.toml").write_text(
        f"[profiles.prod]\nhosts = '{server.url}'\nindex = 'doctor-cli'\nlanguage_field = 'nowhere'\n", encoding="utf-8"
    )
    assert "field 'nowhere'" in crossalign("doctor", "--index", "prod").out
    monkeypatch.setenv("CROSSALIGN_LANGUAGE_FIELD", "elsewhere")
    assert "field 'elsewhere'" in crossalign("doctor", "--index", "prod").out
    done = crossalign("doctor", "--index", "prod", "--language-field", "language")
    assert (done.code, "en 2, zh 2" in done.out) == (0, True)
    (folder / "crossalign.toml").rename(folder / "other.toml")
    assert crossalign("doctor", "--profile", "prod", "--config", "other.toml", "--language-field", "language").code == 0


def test_what_is_missing_decides_the_exit_code(crossalign: Any, server: Any) -> None:
    wrong = crossalign("doctor", "--index", "doctor-cli", "--hosts", server.url, "--embedding-field", "vector")
    assert (wrong.code, "cannot be audited yet: 1 missing" in wrong.out) == (2, True)
    away = crossalign("doctor", "--index", "doctor-cli", "--hosts", "http://127.0.0.1:1")
    assert (away.code, "no connection" in away.out) == (3, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "crossalign: --hosts: no address of the cluster is given"),
        (["--hosts", "http://a"], "crossalign: --index: no index is given"),
        (
            ["--hosts", "http://a", "--index", "i", "--auth", "kerberos"],
            "crossalign: --auth: not allowed; seen: 'kerberos'; allowed: none, ",
        ),
        (
            ["--hosts", "http://a", "--index", "i", "--timeout", "0"],
            "crossalign: --timeout: not allowed; seen: 0.0; allowed: a number, above 0",
        ),
        (["--profile", "prod"], "no such file, and a profile is asked for"),
        (["--hosts", "http://a", "--index", "i", "--json", "no/d.json"], "--json: no such folder"),
    ],
)
def test_wrong_settings_are_one_message_and_2(crossalign: Any, arguments: list[str], message: str) -> None:
    done = crossalign("doctor", *arguments)
    assert done.code == 2
    assert message in done.err
    assert done.out == ""
    assert len(done.err.splitlines()) == 1


def test_an_unchecked_certificate_is_said_on_standard_error_before_anything_else(crossalign: Any) -> None:
    done = crossalign("doctor", "--hosts", "https://127.0.0.1:1", "--index", "i", "--insecure")
    assert done.err.startswith("crossalign: warning: INSECURE: the server's certificate is not checked (--insecure)")
    assert "INSECURE" in done.out


def test_every_setting_has_its_flag_and_the_help_is_light() -> None:
    heavy = ("haystack", "torch", "transformers", "numpy", "opensearchpy", "langcodes")
    code = (
        "import sys\nfrom haystack_crossalign.cli.main import main\ntry:\n    main(['doctor', '--help'])\n"
        f"except SystemExit:\n    print('HEAVY', *[name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name in set(SETTINGS) - FOR_AUDITS:
        assert flag_of(name) in done.stdout
    assert "--insecure" in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["HEAVY"]
