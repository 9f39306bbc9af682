"""The tool that assembles test servers: what it refuses, and that two of it at once do no harm."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import opensearch_assembly
import pytest
from opensearch_assembly import VERSIONS, SetupError, assemble, find_java
from opensearch_server import OpenSearchServer
from requirements import require

pytestmark = pytest.mark.server

TOOLS = Path(opensearch_assembly.__file__).parent


@pytest.fixture(autouse=True)
def _unless_skipped() -> None:
    require("server")


@pytest.fixture
def other_pins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of the folder of pins, in place of the real one."""
    folder = tmp_path / "pins"
    folder.mkdir()
    for path in opensearch_assembly.DEFINITIONS.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(opensearch_assembly, "DEFINITIONS", folder)
    return folder / "2.19.1.sha256"


def test_a_file_that_differs_from_its_pin_is_refused_and_nothing_is_kept(other_pins: Path, tmp_path: Path) -> None:
    lines = other_pins.read_text().splitlines()
    name = lines[0].split("  ")[1]
    other_pins.write_text("\n".join([f"{'0' * 64}  {name}", *lines[1:]]) + "\n")
    with pytest.raises(SetupError, match=f"not the ones pinned in 2.19.1.sha256: {name}"):
        assemble("2.19.1", cache=tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache" / "opensearch").iterdir()] == ["2.19.1.lock"]


def test_a_file_that_is_not_pinned_is_refused(other_pins: Path, tmp_path: Path) -> None:
    lines = other_pins.read_text().splitlines()
    other_pins.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(SetupError, match=lines[-1].split("  ")[1]):
        assemble("2.19.1", cache=tmp_path / "cache")


def test_two_processes_that_assemble_at_once_get_the_same_whole_server(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from opensearch_assembly import assemble; "
    code += "print(assemble('2.19.1', cache=Path(sys.argv[1])))"
    command = [sys.executable, "-c", code, str(tmp_path)]
    runs = [subprocess.Popen(command, cwd=TOOLS, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = {run.communicate(timeout=300)[0].strip() for run in runs}
    assert [run.returncode for run in runs] == [0, 0]
    (folder,) = folders
    assert (Path(folder) / "bin" / "opensearch").is_file()
    plugins = {path.name for path in (Path(folder) / "plugins").iterdir()}
    assert plugins == {"opensearch-knn", "opensearch-security", "neural-search"}
    assert not [path for path in Path(folder).parent.iterdir() if path.name.startswith(".")]


def test_without_maven_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="install Maven"):
        assemble("3.6.0", cache=tmp_path / "cache")


def test_without_a_fitting_java_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(VERSIONS["3.6.0"], java=(98, 99))
    monkeypatch.setitem(VERSIONS, "3.6.0", recipe)
    with pytest.raises(SetupError, match=r"needs Java 98 to 99; found: \d+ in .*openjdk-98-jdk-headless"):
        find_java("3.6.0")


def test_the_version_of_a_java_is_read_from_its_release_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").touch()
    (tmp_path / "release").write_text('IMPLEMENTOR="Someone"\nJAVA_VERSION="21.0.5"\n')
    monkeypatch.setenv("OPENSEARCH_JAVA_HOME", str(tmp_path))
    assert find_java("3.4.0") == tmp_path


def test_security_is_refused_where_its_plugin_is_not_published() -> None:
    with pytest.raises(SetupError, match=r"3\.6\.0 is not published"):
        OpenSearchServer("3.6.0", security=True)


def test_a_server_that_cannot_start_leaves_its_log() -> None:
    server = OpenSearchServer("2.19.1", quick=True, settings={"no.such.setting": True})
    with pytest.raises(SetupError, match=r"(?s)ended while starting; its log: .*\.log\n.*no\.such\.setting") as caught:
        server.start()
    log = Path(str(caught.value).split("its log: ")[1].splitlines()[0])
    assert "unknown setting [no.such.setting]" in log.read_text()
    log.unlink()
    home = server.home
    server.stop()
    assert home is not None
    assert not home.exists()


def test_the_command_prints_the_address_and_stops_when_interrupted() -> None:
    command = [sys.executable, str(TOOLS / "opensearch_server.py"), "--version", "2.19.1", "--heap", "512m", "--quick"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - the loopback address just printed
                body: Any = answer.read()
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0
        except BaseException:
            process.terminate()  # or its end is waited for, and does not come
            raise
    assert b'"number" : "2.19.1"' in body
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=5)  # noqa: S310
