"""Lays out an OpenSearch server from the artifacts that ``docker/opensearch/pom.xml`` names.

Until 3.4 the distribution that OpenSearch publishes as a Maven artifact holds only its transport modules. Scripts,
language analyzers, re-index, processors of search pipelines and the further field types come as single jars that become
modules with a descriptor of their own; since 3.6 the distribution holds them all. k-NN, neural search and security come
as plugin archives, and so does machine learning: 390 MB, a layer of its own over the server, only where asked for.
Every file is compared with its SHA-256 in ``docker/opensearch/`` before it is used. The result is kept in the user's
cache directory and shared by all later starts.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs

__all__ = ["MODELS", "VERSIONS", "Recipe", "SetupError", "assemble", "find_java"]

DEFINITIONS = Path(__file__).resolve().parent.parent / "docker" / "opensearch"
# Part of the cache key: raise it when the layout that `assemble` makes changes.
LAYOUT = "1"


class SetupError(RuntimeError):
    """The machine lacks something a server needs; the message says what to install."""


@dataclass(frozen=True)
class Recipe:
    """What one version needs beyond its artifacts.

    :param version: OpenSearch version.
    :param java: smallest and largest major version of Java that runs it.
    :param module_classes: class of each module, without its package's prefix ``org.opensearch.``.
    :param policies: whether modules need a Java security policy (2.x runs under a security manager).
    :param plugins: plugin archives; those named ``opensearch-security`` are laid out only when asked for.
    :param layer: what it lays over the server of this version, as the end of its name; empty for the server itself.
    """

    version: str
    java: tuple[int, int]
    module_classes: dict[str, str]
    policies: bool
    plugins: tuple[str, ...]
    layer: str = ""

    @property
    def name(self) -> str:
        """Name of the Maven profile."""
        return f"{self.version}-{self.layer}" if self.layer else self.version

    @property
    def pins(self) -> Path:
        """File of SHA-256 sums, in the format of ``sha256sum``."""
        return DEFINITIONS / f"{self.name}.sha256"


VERSIONS = {
    "3.6.0": Recipe(
        version="3.6.0",
        java=(25, 25),
        module_classes={},
        policies=False,
        plugins=("opensearch-knn", "neural-search"),
    ),
    "3.4.0": Recipe(
        version="3.4.0",
        java=(21, 25),
        module_classes={
            "lang-painless": "painless.PainlessModulePlugin",
            "analysis-common": "analysis.common.CommonAnalysisModulePlugin",
            "reindex": "index.reindex.ReindexModulePlugin",
            "mapper-extras": "index.mapper.MapperExtrasModulePlugin",
        },
        policies=False,
        plugins=("opensearch-knn",),
    ),
    "2.19.1": Recipe(
        version="2.19.1",
        java=(17, 21),
        module_classes={
            "lang-painless": "painless.PainlessPlugin",
            "lang-mustache": "script.mustache.MustachePlugin",
            "analysis-common": "analysis.common.CommonAnalysisPlugin",
            "reindex": "index.reindex.ReindexPlugin",
            "mapper-extras": "index.mapper.MapperExtrasPlugin",
            "search-pipeline-common": "search.pipeline.common.SearchPipelineCommonModulePlugin",
        },
        policies=True,
        plugins=("opensearch-knn", "neural-search", "opensearch-security"),
    ),
}
MODELS = {
    "3.6.0": Recipe(
        version="3.6.0",
        java=(25, 25),
        module_classes={},
        policies=False,
        plugins=("opensearch-job-scheduler", "opensearch-ml-plugin"),
        layer="models",
    ),
}
EXTENDS = {"analysis-common": "lang-painless", "search-pipeline-common": "lang-painless"}
DESCRIPTOR = """description={name}
version={version}
name={name}
classname=org.opensearch.{classname}
java.version={java}
opensearch.version={version}
custom.foldername=
extended.plugins={extends}
has.native.controller=false
"""
POLICY = "grant {\n  permission java.security.AllPermission;\n};\n"


def assemble(version: str, *, models: bool = False, cache: Path | None = None) -> Path:
    """Folder with a complete server of this version; built on the first call, taken from the cache afterwards.

    Two processes that assemble the same version at once wait for each other. Nothing half-built is ever seen: the
    folder gets its name only when it is whole.

    :param version: one of `VERSIONS`.
    :param models: with models inside the cluster, if there is a layer of them in `MODELS`.
    :param cache: where to keep it; default ``CROSSALIGN_CACHE_DIR`` or the user's cache directory.
    :raises SetupError: Maven is missing or fails, or a file differs from its pinned SHA-256.
    """
    if models and version not in MODELS:
        raise SetupError(f"models inside the cluster come with {', '.join(MODELS)}, not with {version}")
    below = assemble(version, cache=cache) if models else None
    recipe = MODELS[version] if models else VERSIONS[version]
    root = cache or Path(os.environ.get("CROSSALIGN_CACHE_DIR") or platformdirs.user_cache_path("haystack-crossalign"))
    root = root / "opensearch"
    root.mkdir(parents=True, exist_ok=True)
    inherited = below.name if below is not None else ""
    key = hashlib.sha256(recipe.pins.read_bytes() + LAYOUT.encode() + inherited.encode()).hexdigest()[:12]
    target = root / f"{recipe.name}-{key}"
    with _locked(root / f"{recipe.name}.lock"):
        if not target.is_dir():
            with tempfile.TemporaryDirectory(dir=root, prefix=f".{recipe.name}-") as work:
                parts, server = Path(work, "parts"), Path(work, "server")
                _download(recipe, parts)
                _verify(recipe, parts)
                if below is None:
                    _lay_out(recipe, parts, server)
                else:
                    shutil.copytree(below, server, copy_function=os.link)
                    _lay_out_plugins(recipe, parts, server)
                server.rename(target)
    return target


def find_java(version: str) -> Path:
    """Home folder of a Java that runs this OpenSearch version.

    Looks at ``OPENSEARCH_JAVA_HOME``, ``JAVA_HOME``, the ``java`` on ``PATH`` and the folders where package managers
    put their JDKs; takes the smallest suitable version.

    :raises SetupError: there is none.
    """
    low, high = VERSIONS[version].java
    found = {home: major for home in _java_homes() if (major := _java_major(home)) is not None}
    fitting = sorted((major, str(home)) for home, major in found.items() if low <= major <= high)
    if not fitting:
        seen = ", ".join(f"{major} in {home}" for home, major in found.items()) or "none"
        raise SetupError(
            f"OpenSearch {version} needs Java {low} to {high}; found: {seen}. Install a JDK (for instance the package "
            f"openjdk-{low}-jdk-headless or temurin-{low}-jdk) or set OPENSEARCH_JAVA_HOME."
        )
    return Path(fitting[0][1])


def _java_homes() -> Iterator[Path]:
    for name in ("OPENSEARCH_JAVA_HOME", "JAVA_HOME"):
        if value := os.environ.get(name):
            yield Path(value)
    if java := shutil.which("java"):
        yield Path(java).resolve().parent.parent
    home = Path.home()
    places = (
        (Path("/usr/lib/jvm"), "*"),
        (Path("/usr/java"), "*"),
        (Path("/opt"), "*j[dr][ek]*"),
        (Path("/Library/Java/JavaVirtualMachines"), "*/Contents/Home"),
        (home / ".sdkman/candidates/java", "*"),
        (home / ".jdks", "*"),
    )
    for folder, pattern in places:
        yield from sorted(folder.glob(pattern))


def _java_major(home: Path) -> int | None:
    """Major version of the Java in a folder, from its ``release`` file or by asking it."""
    if not (home / "bin" / "java").is_file():
        return None
    release = home / "release"
    if release.is_file():
        text = release.read_text(encoding="utf-8", errors="replace")
    else:
        answer = subprocess.run([home / "bin" / "java", "-version"], capture_output=True, text=True, check=False)  # noqa: S603
        text = 'JAVA_VERSION="' + answer.stderr.partition('"')[2]
    number = text.partition('JAVA_VERSION="')[2].partition('"')[0].split(".")[0]
    return int(number) if number.isdigit() else None


def _download(recipe: Recipe, parts: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise SetupError("'mvn' is not on PATH; install Maven (for instance the package maven)")
    command = [maven, "-q", "-B", "-ntp", "-f", str(DEFINITIONS / "pom.xml"), "-P", recipe.name]
    command += [f"-Dassembly={parts}", "dependency:copy"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if answer.returncode != 0:
        lines = [line for line in answer.stdout.splitlines() if "ERROR" in line][:3]
        raise SetupError(f"Maven could not fetch the parts of OpenSearch {recipe.name}: " + "\n".join(lines))


def _verify(recipe: Recipe, parts: Path) -> None:
    """Compare every downloaded file with its pinned SHA-256; neither more nor fewer files than pinned may be there."""
    pinned = {}
    for line in recipe.pins.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        pinned[name] = digest
    seen = {}
    for path in parts.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                seen[path.relative_to(parts).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    wrong = sorted(name for name in pinned.keys() | seen.keys() if pinned.get(name) != seen.get(name))
    if wrong:
        raise SetupError(
            f"these parts of OpenSearch {recipe.name} are not the ones pinned in {recipe.pins.name}: "
            + ", ".join(wrong)
        )


def _lay_out(recipe: Recipe, parts: Path, server: Path) -> None:
    unpacked = parts / "unpacked"
    _extract(parts / "archives" / f"opensearch-{recipe.version}.zip", unpacked)
    (unpacked / f"opensearch-{recipe.version}").rename(server)
    _lay_out_plugins(recipe, parts, server)
    for name, classname in recipe.module_classes.items():
        module = server / "modules" / name
        shutil.copytree(parts / "modules" / name, module)
        text = DESCRIPTOR.format(
            name=name,
            version=recipe.version,
            classname=classname,
            java=recipe.java[0],
            extends=EXTENDS.get(name, ""),
        )
        (module / "plugin-descriptor.properties").write_text(text, encoding="utf-8")
        if recipe.policies:
            (module / "plugin-security.policy").write_text(POLICY, encoding="utf-8")
    for script in server.glob("bin/*"):
        script.chmod(0o755)
    # The file holds nothing but comments; each start writes its own.
    (server / "config" / "opensearch.yml").unlink()


def _lay_out_plugins(recipe: Recipe, parts: Path, server: Path) -> None:
    for name in recipe.plugins:
        _extract(parts / "archives" / f"{name}-{recipe.version}.0.zip", server / "plugins" / name)


def _extract(archive: Path, target: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        file.extractall(target)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
