"""Credentials, and secrets from the environment or from a file; no message contains a secret."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
from haystack_crossalign.opensearch.connection.settings import flag_of, variable_of
from haystack_crossalign.redaction import keep_secret

_LONGEST = 64 * 1024


@dataclass(frozen=True)
class Credentials:
    """Credentials of a user. The secret is not shown in ``repr``; read it from the environment or a file, not from an
    argument.

    :param kind: ``basic`` (user and password), or ``bearer`` (token) or ``api_key`` in the Authorization header.
    :param secret: password, token or key.
    :param user: user name, for ``basic``.
    """

    kind: Literal["basic", "bearer", "api_key"]
    secret: str = field(repr=False)
    user: str = ""

    def __post_init__(self) -> None:
        keep_secret(self.secret, user=self.user)

    def options(self) -> dict[str, Any]:
        """The keyword arguments for opensearch-py."""
        if self.kind == "basic":
            # opensearch-py would encode as Latin-1, and its error for other characters would contain the password.
            pair = base64.b64encode(f"{self.user}:{self.secret}".encode()).decode("ascii")
            return {"headers": {"authorization": f"Basic {pair}"}}
        scheme = {"bearer": "Bearer", "api_key": "ApiKey"}[self.kind]
        return {"headers": {"authorization": f"{scheme} {self.secret}"}}


def read_secret(name: str, file: Path | None, environ: Mapping[str, str], notes: list[str] | None = None) -> str | None:
    """Read a secret; None if there is none. Trailing line ends, added by editors and ``echo``, are dropped.

    :param name: ``password``, ``token`` or ``api_key``.
    :param file: the file that holds it; takes precedence over the environment, see
        `haystack_crossalign.opensearch.connection.settings.read_settings`.
    :param environ: the environment.
    :param notes: receives a warning if other users can read the file.
    :raises InputError: if the file is missing, empty, not text or too long, or the secret is empty.
    :raises ExternalError: if the file cannot be read.
    """
    if file is None:
        value = environ.get(variable_of(name))
        source = variable_of(name)
    else:
        source = flag_of(f"{name}_file")
        value = _read(file, source, notes)
    if value is None:
        return None
    value = value.rstrip("\r\n")
    if not value:
        raise InputError(f"the {name.replace('_', ' ')} is empty", source=source)
    keep_secret(value)
    return value


def _read(file: Path, source: str, notes: list[str] | None) -> str:
    # Neither the message nor the chain of the error contains the name of the file, since a user may have given the
    # secret itself instead. So nothing is raised while the file system's error is being handled.
    refusal: CrossAlignError | None = None
    mode, raw = 0, b""
    try:
        with file.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            raw = stream.read(_LONGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        refusal = InputError(
            "no such file", source=source, allowed="the name of a file, relative to the working folder or the profile"
        )
    except IsADirectoryError:
        refusal = InputError("is a folder", source=source, allowed="the name of a file")
    except ValueError:
        refusal = InputError("not a name of a file", source=source, allowed="the name of a file")
    except OSError as error:
        refusal = ExternalError(f"{source}: the file cannot be read ({error.strerror})")
    if refusal is not None:
        raise refusal
    if len(raw) > _LONGEST:
        raise InputError("the file is too long for a secret", source=source, allowed=f"up to {_LONGEST} bytes")
    if notes is not None and os.name == "posix" and mode & (stat.S_IRGRP | stat.S_IROTH):
        notes.append(f"other users of this machine can read the file of {source}; allow only yourself: chmod 600")
    text = raw.decode("utf-8-sig", errors="replace")
    if "\ufffd" in text:
        raise InputError("the file is not valid UTF-8", source=source)
    return text
