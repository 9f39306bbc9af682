"""Haystack pipelines in YAML: read from a file and built by the stock loader, with errors that name the file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haystack import Pipeline
from haystack.core.errors import DeserializationError, PipelineError
from haystack.core.serialization import import_class_by_name

from haystack_crossalign.config.plain_yaml import parse_yaml, read_yaml_text, refuse_remote_code
from haystack_crossalign.errors import InputError
from haystack_crossalign.redaction import keep_named_secrets, redacted

# Haystack's loader raises whatever a malformed mapping trips over.
_FAULTS = (
    DeserializationError,
    PipelineError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ImportError,
    RecursionError,
    OSError,
    AssertionError,
)


@dataclass(frozen=True)
class PipelineFile:
    """A pipeline file.

    :param path: the file.
    :param data: its mapping, with ``components``.
    :param sha256: hash of the file's bytes.
    :param allowed: what errors say is expected of it.
    """

    path: Path
    data: Mapping[str, Any]
    sha256: str
    allowed: str


def read_pipeline_file(path: str | Path, *, allowed: str, trust_remote_code: bool = False) -> PipelineFile:
    """Read the mapping, without building or importing anything.

    :param allowed: what is expected of the pipeline, in words.
    :param trust_remote_code: whether its models may run their own code.
    :raises InputError: if the file cannot be read, holds no components, or requires code that is not allowed.
    """
    path = Path(path)
    text, sha256 = read_yaml_text(path, "pipeline", allowed)
    data = parse_yaml(text, path, "pipeline")
    if not trust_remote_code:
        refuse_remote_code(data, path)
    if not isinstance(data, dict) or not isinstance(data.get("components"), dict):
        raise InputError("holds no components", source=path, field="components", allowed=allowed)
    return PipelineFile(path, data, sha256, allowed)


def load_pipeline(
    file: PipelineFile, data: Mapping[str, Any] | None = None, *, components: Mapping[str, Any] | None = None
) -> Pipeline:
    """Build the pipeline with Haystack's loader, which accepts only classes on its allow-list.

    :param file: the file.
    :param data: mapping to build instead of the file's.
    :param components: components by name that are taken as they are, instead of those of the mapping.
    :raises InputError: if it is not a pipeline, or names a class that is missing or not allowed.
    """
    data = file.data if data is None else data
    keep_named_secrets(data, os.environ)
    with _told_by(file, "is no Haystack pipeline"):
        pipeline = Pipeline.from_dict(dict(data), components=dict(components or {}))
    parts: list[Any] = [part for _, part in pipeline.walk()]
    for part in parts:
        # We draw our own progress bars, only on a terminal; those of others would fill log files.
        if isinstance(getattr(part, "progress_bar", None), bool):
            part.progress_bar = False
    return pipeline


def load_store(file: PipelineFile, data: Mapping[str, Any]) -> Any:
    """Build a document store with Haystack's loader, which accepts only classes on its allow-list.

    :param file: the file.
    :param data: mapping of the store, with ``type`` and ``init_parameters``.
    :raises InputError: if it is not a document store, or its class is missing or not allowed.
    """
    keep_named_secrets(data, os.environ)
    with _told_by(file, "is no Haystack document store"):
        kind: Any = import_class_by_name(str(data["type"]))
        return kind.from_dict(dict(data))


@contextmanager
def _told_by(file: PipelineFile, problem: str) -> Iterator[None]:
    try:
        yield
    except _FAULTS as error:
        # Haystack's loader raises various exceptions for a malformed mapping. Only the first line of its message is
        # shown, since the others repeat the parameters, which may contain secrets. If that line only announces them,
        # the cause of the error says what is wrong.
        first = _first_line(error).removesuffix(" with the following data:")
        if isinstance(error, DeserializationError) and error.__cause__ is not None:
            first += f": {_first_line(error.__cause__)}"
        raise InputError(
            f"{problem}: {first}",
            source=file.path,
            allowed=f"{file.allowed}, of classes on Haystack's allow-list (HAYSTACK_DESERIALIZATION_ALLOWLIST)",
        ) from error


def _first_line(error: BaseException) -> str:
    return redacted(str(error)).splitlines()[0] if str(error) else type(error).__name__
