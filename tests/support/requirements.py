"""What tests need besides Python and pip, and what happens where a machine lacks it.

Without it they are left out, and the last lines of the run say how many, why, and what to install. With ``CI=true`` a
lack is a failure, so that a green run means that everything ran. ``CROSSALIGN_SKIP_BROWSER=1`` and
``CROSSALIGN_SKIP_OPENSEARCH=1`` leave tests out on purpose.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from opensearch_assembly import VERSIONS, SetupError, find_java

from haystack_crossalign.ranks.int8 import kernels

ROOT = Path(__file__).resolve().parents[2]
SHARED_DATA = Path(os.environ.get("CROSSALIGN_SHARED_DATA", ROOT.parent / "shared" / "data"))


@dataclass(frozen=True)
class Requirement:
    """Something that some tests need.

    :param title: what it is, for messages.
    :param advice: how to get it.
    :param missing: says what is missing, or None where everything is there.
    :param switch: environment variable that leaves these tests out when it is 1, if there is one.
    :param impossible: says what no installation can mend, if there is such a thing: no failure with ``CI=true``.
    """

    title: str
    advice: str
    missing: Callable[[], str | None]
    switch: str | None = None
    impossible: Callable[[], str | None] = lambda: None


def docker_answers() -> bool:
    """Whether a Docker engine can be asked for servers."""
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


def _missing_server() -> str | None:
    if os.environ.get("CROSSALIGN_OPENSEARCH_URL") or docker_answers():
        return None
    for program, name in (("mvn", "Maven"), ("openssl", "OpenSSL")):
        if shutil.which(program) is None:
            return f"{name} is not installed"
    for version in VERSIONS:
        try:
            find_java(version)
        except SetupError as error:
            return str(error)
    return None


def _missing_browser() -> str | None:
    if browser() is None:
        return "Chromium is not installed"
    return "chromedriver is not installed" if shutil.which("chromedriver") is None else None


def _missing_data() -> str | None:
    for file in ("xquad/xquad.en.json", "train/ntrex_16lang.jsonl", "train/tico19_8lang.jsonl"):
        if not (SHARED_DATA / file).is_file():
            return f"{file} is not in the data folder"
    return None


def _missing_native() -> str | None:
    return None if kernels() else "the package haystack-crossalign-native is not installed"


def _impossible_native() -> str | None:
    flags = Path("/proc/cpuinfo")
    known = flags.read_text().split() if flags.exists() else []
    return None if "avx512_vnni" in known else "this processor has neither AVX512-VNNI nor AMX"


def _missing_build_tools() -> str | None:
    lacking = [name for name in ("c++", "cmake", "nm", "objdump") if shutil.which(name) is None]
    return f"{', '.join(lacking)} not installed" if lacking else None


def _missing_openvino() -> str | None:
    return "the package openvino is not installed" if find_spec("openvino") is None else None


def _not_asked_for() -> str | None:
    return None if os.environ.get("CROSSALIGN_CLUSTER_MODELS") == "1" else "CROSSALIGN_CLUSTER_MODELS is not 1"


def browser() -> str | None:
    """Path of a Chromium, if there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


REQUIREMENTS = {
    "server": Requirement(
        "a real OpenSearch",
        "Maven, OpenSSL, a JDK 17 and a JDK 25 (`make setup` on Debian), or CROSSALIGN_OPENSEARCH_URL",
        _missing_server,
        "CROSSALIGN_SKIP_OPENSEARCH",
    ),
    "browser": Requirement(
        "a browser",
        "Chromium with its driver and fonts (`make setup` on Debian)",
        _missing_browser,
        "CROSSALIGN_SKIP_BROWSER",
    ),
    "data": Requirement(
        "XQuAD and the parallel corpora",
        "set CROSSALIGN_SHARED_DATA to a folder laid out as CONTRIBUTING.md says",
        _missing_data,
    ),
    "cluster models": Requirement(
        "models inside a cluster",
        "`make test-cluster-models`, which fetches 390 MB more",
        _not_asked_for,
        impossible=_not_asked_for,
    ),
    "native": Requirement(
        "8-bit products",
        "a C++17 compiler, then `make native`",
        _missing_native,
        impossible=_impossible_native,
    ),
    "build tools": Requirement(
        "tools to build and look at the library of 8-bit products",
        "a C++17 compiler, CMake and binutils (`make setup` on Debian)",
        _missing_build_tools,
    ),
    "openvino": Requirement(
        "OpenVINO",
        "`pip install --constraint constraints.txt --editable '.[openvino]'`, which `make` does",
        _missing_openvino,
    ),
}


def require(name: str) -> None:
    """Leave the running test out where its machine lacks something; fail it where ``CI=true``.

    :param name: a key of `REQUIREMENTS`.
    """
    requirement = REQUIREMENTS[name]
    if requirement.switch is not None and os.environ.get(requirement.switch) == "1":
        pytest.skip(f"{requirement.switch}=1")
    lack = requirement.missing()
    if lack is None:
        return
    message = f"needs {requirement.title}: {lack}"
    impossible = requirement.impossible()
    if impossible is not None:
        pytest.skip(f"needs {requirement.title}: {impossible}")
    if os.environ.get("CI") == "true":
        pytest.fail(f"{message}. To be installed: {requirement.advice}", pytrace=False)
    pytest.skip(message)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many tests were left out for want of something, and how to get it."""
    counts: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        for name, requirement in REQUIREMENTS.items():
            if f"needs {requirement.title}: " in reason:
                counts[name] += 1
    for name, count in counts.items():
        requirement = REQUIREMENTS[name]
        terminalreporter.write_line(
            f"{count} tests were left out: they need {requirement.title}. To run them: {requirement.advice}."
        )
