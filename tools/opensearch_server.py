"""Starts a real OpenSearch for tests and demonstrations, without a container engine.

    python tools/opensearch_server.py --version 3.6.0

prints the server's URL and stops it with Ctrl-C. Needs Maven and a JDK; see `opensearch_assembly`.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from opensearch_assembly import VERSIONS, SetupError, assemble, find_java
from opensearch_security import Certificates, make_certificates, security_settings, write_security_configuration

__all__ = ["OpenSearchServer", "SetupError", "main"]


_MODEL_SETTINGS: dict[str, object] = {
    "plugins.ml_commons.only_run_on_ml_node": False,
    "plugins.ml_commons.connector.private_ip_enabled": True,
    "plugins.ml_commons.trusted_connector_endpoints_regex": [r"^http://127\.0\.0\.1:\d+/.*$"],
}


class OpenSearchServer:
    """One single-node server with its own folders and free ports on the loopback address.

    It runs as another user when the caller is root (OpenSearch refuses root): ``CROSSALIGN_OPENSEARCH_USER``, default
    ``nobody``. Its folder goes away with `stop`, unless the start failed: then the log is kept and its path named.

    :param version: one of `VERSIONS`.
    :param security: with the security plugin: TLS, users and roles (2.19.1 only). The administrator is ``admin`` with
        the password in `password`; the authority's certificate is ``certificates.authority``.
    :param heap: Java heap, as the Java option writes it.
    :param quick: start in half the time, with a compiler that does less: for servers that answer a few requests.
    :param java: further options of Java.
    :param settings: further settings for ``opensearch.yml``.
    :param models: with the machine learning plugin (3.6.0 only), whose connectors may reach the loopback address.
    """

    def __init__(
        self,
        version: str,
        *,
        security: bool = False,
        heap: str = "1g",
        quick: bool = False,
        java: Sequence[str] = (),
        settings: dict[str, object] | None = None,
        models: bool = False,
    ) -> None:
        if security and "opensearch-security" not in VERSIONS[version].plugins:
            raise SetupError(f"the security plugin of OpenSearch {version} is not published as a Maven artifact")
        self.version = version
        self.security = security
        self.java_options = [f"-Xms{heap}", f"-Xmx{heap}", *(["-XX:TieredStopAtLevel=1"] if quick else []), *java]
        self.models = models
        self.settings = (_MODEL_SETTINGS if models else {}) | (settings or {})
        self.password = secrets.token_urlsafe(16) if security else ""
        self.certificates: Certificates | None = None
        self.home: Path | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Address of the REST port, without credentials."""
        return f"{'https' if self.security else 'http'}://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the server's process is alive."""
        return self.process is not None and self.process.poll() is None

    @property
    def log_file(self) -> Path:
        """The server's standard output and error."""
        return self._folder / "server.log"

    @property
    def _folder(self) -> Path:
        if self.home is None:
            raise SetupError("the server has not been started")
        return self.home

    def start(self, *, timeout: float = 300.0) -> OpenSearchServer:
        """Start it, on the same data and ports if it ran before, and wait until it answers.

        :param timeout: seconds to wait.
        :raises SetupError: something is missing, or the server ended or did not answer in time.
        """
        if self.running:
            return self
        java = find_java(self.version)
        if self.home is None:
            self._make_home(java)
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "OPENSEARCH_JAVA_HOME": str(java),
            "OPENSEARCH_JAVA_OPTS": " ".join(self.java_options),
            "OPENSEARCH_TMPDIR": str(self._folder / "tmp"),
            "HOME": str(self._folder),
        }
        account = _server_account()
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603
                [str(self._folder / "bin" / "opensearch")],
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=None if account is None else account.pw_uid,
                group=None if account is None else account.pw_gid,
                extra_groups=None if account is None else [],
            )
        try:
            self._wait(time.monotonic() + timeout)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """End the server and remove its folder."""
        self._end(signal.SIGTERM)
        if self.home is not None:
            shutil.rmtree(self.home, ignore_errors=True)
            self.home = None

    def kill(self) -> None:
        """End the server the hard way (as ``kill -9``); `start` brings it back on the same data."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze the server: it keeps its connections and answers nothing until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        self._signal(signal.SIGCONT)

    def request(self, method: str, path: str, body: object = None) -> object:
        """One request as administrator, outside of the guarded client: for setting up tests and health checks.

        :param body: sent as JSON; a list is sent as newline-delimited JSON (bulk).
        :returns: the decoded answer.
        :raises urllib.error.HTTPError: the server refused.
        """
        data, content_type = None, "application/json"
        if isinstance(body, list):
            data = "".join(json.dumps(line) + "\n" for line in body).encode()
            content_type = "application/x-ndjson"
        elif body is not None:
            data = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)  # noqa: S310 - our own loopback URL
        request.add_header("Content-Type", content_type)
        context = None
        if self.certificates is not None:
            token = base64.b64encode(f"admin:{self.password}".encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
            context = ssl.create_default_context(cafile=str(self.certificates.authority))
        try:
            with urllib.request.urlopen(request, timeout=60, context=context) as answer:  # noqa: S310
                text = answer.read()
        except urllib.error.HTTPError as error:
            error.add_note(error.fp.read(1000).decode(errors="replace"))  # why the server refused
            raise
        return json.loads(text) if text else None

    def __enter__(self) -> OpenSearchServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _make_home(self, java: Path) -> None:
        assembled = assemble(self.version, models=self.models)
        home = Path(tempfile.mkdtemp(prefix=f"opensearch-{self.version}-"))
        skip = () if self.security else ("opensearch-security",)
        shutil.copytree(
            assembled,
            home,
            copy_function=_link_or_copy,
            dirs_exist_ok=True,
            ignore=lambda folder, names: [name for name in names if Path(folder).name == "plugins" and name in skip],
        )
        self.port, transport = _free_ports(2)
        settings: dict[str, object] = {
            "cluster.name": f"crossalign-{self.port}",
            "node.name": "node-1",
            "discovery.type": "single-node",
            "network.host": "127.0.0.1",
            "http.port": self.port,
            "transport.port": transport,
            "path.data": str(home / "data"),
            "path.logs": str(home / "logs"),
            "cluster.routing.allocation.disk.threshold_enabled": False,
        }
        if self.security:
            self.certificates = make_certificates(home / "config" / "certificates")
            settings |= security_settings()
            write_security_configuration(home, java, self.password)
        settings |= self.settings
        # JSON is YAML, so that no YAML writer is needed.
        (home / "config" / "opensearch.yml").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
        for name in ("data", "logs", "tmp"):
            (home / name).mkdir(exist_ok=True)
        (home / "server.log").touch()
        if (account := _server_account()) is not None:
            for folder in (home, *(home / name for name in ("data", "logs", "tmp", "config"))):
                os.chown(folder, account.pw_uid, account.pw_gid)
            for path in (home / "config").rglob("*"):
                os.chown(path, account.pw_uid, account.pw_gid)
        for private in (home / "config").rglob("*"):
            private.chmod(0o700 if private.is_dir() else 0o600)
        self.home = home

    def _wait(self, deadline: float) -> None:
        while True:
            if not self.running:
                raise SetupError(f"OpenSearch {self.version} ended while starting; its log: {self.keep_log()}")
            # Until the port is open, then until security is initialized, errors are the normal answer.
            with contextlib.suppress(urllib.error.URLError, OSError):
                self.request("GET", "/_cluster/health?wait_for_status=yellow&timeout=30s")
                return
            if time.monotonic() > deadline:
                raise SetupError(f"OpenSearch {self.version} did not answer in time; its log: {self.keep_log()}")
            time.sleep(0.2)

    def keep_log(self) -> str:
        """Path of a copy of the log that outlives the folder, with the last lines that name a fault."""
        copy = Path(tempfile.gettempdir()) / f"opensearch-{self.version}-{os.getpid()}.log"
        shutil.copyfile(self.log_file, copy)
        lines = copy.read_text(encoding="utf-8", errors="replace").splitlines()
        faults = [line[:300] for line in lines if "[ERROR]" in line or line.startswith(("Caused by", "fatal error"))]
        return "\n".join([str(copy), *faults[:5]])

    def _end(self, number: int) -> None:
        if self.process is None:
            return
        self._signal(number)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait()
        self.process = None

    def _signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)


def _link_or_copy(source: str, target: str) -> str:
    """Hard-link where the file system allows it: the server's own user cannot enter root's cache directory."""
    # What lies under config is changed for each start; a link would change the cache.
    if f"{os.sep}config{os.sep}" not in source:
        with contextlib.suppress(OSError):
            os.link(source, target)
            return target
    return str(shutil.copy2(source, target))


def _server_account() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    name = os.environ.get("CROSSALIGN_OPENSEARCH_USER", "nobody")
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise SetupError(f"OpenSearch does not run as root, and there is no user '{name}' to run it as") from None


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def main(arguments: list[str] | None = None) -> int:
    """Start a server, print its address, and stop it on Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description="Start a real OpenSearch for tests; Ctrl-C stops it.")
    parser.add_argument("--version", choices=sorted(VERSIONS), default="3.6.0")
    parser.add_argument("--security", action="store_true", help="TLS, users and roles (2.19.1)")
    parser.add_argument("--models", action="store_true", help="with models inside the cluster (3.6.0, 390 MB more)")
    parser.add_argument("--heap", default="1g")
    parser.add_argument("--quick", action="store_true", help="start in half the time; slower once it is warm")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        print(f"Starting OpenSearch {options.version} …", file=sys.stderr, flush=True)
        with OpenSearchServer(
            options.version, security=options.security, heap=options.heap, quick=options.quick, models=options.models
        ) as server:
            print(server.url, flush=True)
            if server.certificates is not None:
                print(f"user: admin\npassword: {server.password}\nca: {server.certificates.authority}", flush=True)
            while server.running:
                time.sleep(0.5)
            raise SetupError(f"the server ended by itself; its log: {server.keep_log()}")
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
