"""Certificates, users and settings of a test server that runs with the security plugin."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from opensearch_assembly import SetupError

__all__ = ["Certificates", "make_certificates", "security_settings", "write_security_configuration"]

ADMIN_DN = "CN=crossalign-admin"
NODE_DN = "CN=crossalign-node"


@dataclass(frozen=True)
class Certificates:
    """PEM files of one certificate authority, a node (for ``localhost`` and 127.0.0.1) and an administrator."""

    folder: Path

    @property
    def authority(self) -> Path:
        """Certificate that a client needs to verify the server."""
        return self.folder / "ca.pem"

    def pair(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of ``node`` or ``admin``."""
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"


def make_certificates(folder: Path, *, days: int = 30) -> Certificates:
    """Make a certificate authority and what it signs, with the ``openssl`` program.

    :param folder: new folder for the PEM files.
    :param days: how long they are valid.
    :raises SetupError: ``openssl`` is missing or fails.
    """
    folder.mkdir(parents=True)
    _openssl(
        folder,
        f"req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days {days} -subj /CN=crossalign-test-ca",
    )
    for name, subject, usage in (("node", NODE_DN, "serverAuth,clientAuth"), ("admin", ADMIN_DN, "clientAuth")):
        _openssl(folder, f"req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /{subject}")
        extensions = [f"extendedKeyUsage={usage}"]
        if name == "node":
            extensions.append("subjectAltName=DNS:localhost,IP:127.0.0.1")
        (folder / f"{name}.ext").write_text("\n".join(extensions) + "\n", encoding="utf-8")
        _openssl(
            folder,
            f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days {days} "
            f"-extfile {name}.ext",
        )
    return Certificates(folder)


def _openssl(folder: Path, arguments: str) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise SetupError("'openssl' is not on PATH; install it (for instance the package openssl)")
    answer = subprocess.run([program, *arguments.split()], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if answer.returncode != 0:
        raise SetupError(f"openssl {arguments.split()[0]} failed: {answer.stderr.strip()}")


def security_settings() -> dict[str, object]:
    """Settings for ``opensearch.yml``; the PEM files lie in ``config/certificates``."""
    settings: dict[str, object] = {
        "plugins.security.allow_default_init_securityindex": True,
        "plugins.security.ssl.http.enabled": True,
        "plugins.security.ssl.transport.enforce_hostname_verification": False,
        "plugins.security.authcz.admin_dn": [ADMIN_DN],
        "plugins.security.nodes_dn": [NODE_DN],
        "plugins.security.restapi.roles_enabled": ["all_access"],
    }
    for layer in ("http", "transport"):
        prefix = f"plugins.security.ssl.{layer}"
        settings[f"{prefix}.pemcert_filepath"] = "certificates/node.pem"
        settings[f"{prefix}.pemkey_filepath"] = "certificates/node.key"
        settings[f"{prefix}.pemtrustedcas_filepath"] = "certificates/ca.pem"
    return settings


def write_security_configuration(home: Path, java: Path, password: str) -> None:
    """Write ``config/opensearch-security`` with one administrator named ``admin`` and no other user.

    :param home: the server's folder, with the plugin in it.
    :param java: home folder of the Java that hashes the password.
    :param password: the administrator's password.
    """
    plugin = home / "plugins" / "opensearch-security"
    target = home / "config" / "opensearch-security"
    shutil.copytree(plugin / "config", target, dirs_exist_ok=True)
    classpath = f"{plugin}/*:{home}/lib/*"
    command = [str(java / "bin" / "java"), "-cp", classpath, "org.opensearch.security.tools.Hasher", "-env", "PASSWORD"]
    answer = subprocess.run(command, env={"PASSWORD": password}, capture_output=True, text=True, check=False)  # noqa: S603
    if answer.returncode != 0:
        raise SetupError(f"the password could not be hashed: {answer.stderr.strip()}")
    digest = answer.stdout.strip().splitlines()[-1]
    (target / "internal_users.yml").write_text(
        '_meta:\n  type: "internalusers"\n  config_version: 2\n'
        f'admin:\n  hash: "{digest}"\n  reserved: false\n  backend_roles: ["admin"]\n',
        encoding="utf-8",
    )
    (target / "roles_mapping.yml").write_text(
        '_meta:\n  type: "rolesmapping"\n  config_version: 2\n'
        'all_access:\n  reserved: false\n  backend_roles: ["admin"]\n',
        encoding="utf-8",
    )
