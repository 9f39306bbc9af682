"""Haystack pipelines in YAML: read from a file and built by the stock loader, with errors that name the file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from haystack import Pipeline
from haystack.core.errors import DeserializationError, PipelineError

from haystack_crossalign.config.yaml_file import parse_yaml
from haystack_crossalign.errors import InputError

__all__ = ["PipelineFile", "load_pipeline", "read_pipeline_file"]


@dataclass(frozen=True)
class PipelineFile:
    """A pipeline as it stands in a file.

    :param path: the file.
    :param data: its mapping, with ``components``.
    :param sha256: hash of the file's bytes.
    :param allowed: what errors say is expected of it.
    """

    path: Path
    data: Mapping[str, Any]
    sha256: str
    allowed: str


def read_pipeline_file(path: str | Path, *, allowed: str) -> PipelineFile:
    """Read the mapping; nothing of it is built or imported.

    :param allowed: what is expected of the pipeline, in words.
    :raises InputError: when the file cannot be read or holds no components.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
    except FileNotFoundError as error:
        raise InputError("no such file", source=path, allowed=allowed) from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", source=path, allowed="a file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"invalid UTF-8 at byte {error.start}", source=path, allowed=allowed) from error
    try:
        data = parse_yaml(text)
    except yaml.YAMLError as error:
        raise InputError(f"is no YAML: {' '.join(str(error).split())}", source=path, allowed=allowed) from error
    if not isinstance(data, dict) or not isinstance(data.get("components"), dict):
        raise InputError("holds no components", source=path, field="components", allowed=allowed)
    return PipelineFile(path, data, hashlib.sha256(raw).hexdigest(), allowed)


def load_pipeline(file: PipelineFile, data: Mapping[str, Any] | None = None) -> Pipeline:
    """Build the pipeline with Haystack's loader, which admits the classes of its allow-list only.

    :param file: where it stands.
    :param data: what to build instead of the file's mapping.
    :raises InputError: when it is no pipeline, or names a class that is missing or not allowed.
    """
    try:
        return Pipeline.from_dict(dict(file.data if data is None else data))
    except (DeserializationError, PipelineError, ValueError, TypeError, KeyError, AttributeError) as error:
        # Haystack's loader raises whatever a malformed mapping trips over; the file is at fault in each case. Of its
        # message only the first line is told: the others repeat the parameters, which may hold secrets. Where it only
        # announces them, the error behind it says what is wrong.
        first = _first_line(error).removesuffix(" with the following data:")
        if isinstance(error, DeserializationError) and error.__cause__ is not None:
            first += f": {_first_line(error.__cause__)}"
        raise InputError(
            f"is no Haystack pipeline: {first}",
            source=file.path,
            allowed=f"{file.allowed}, of classes on Haystack's allow-list (HAYSTACK_DESERIALIZATION_ALLOWLIST)",
        ) from error


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
