"""A user's search in a file: the body sent to the server, with placeholders for what differs between queries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haystack_crossalign.audit.gate import LIVE_LISTS
from haystack_crossalign.audit.scenarios import SCENARIOS
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.json_lines import Place, json_lines
from haystack_crossalign.files.reading import read_json_text
from haystack_crossalign.opensearch.requests.guard import check_body, check_pipeline, line_of, refuse_in
from haystack_crossalign.opensearch.requests.placeholders import Template, placeholders

PLACEHOLDERS = ("query", "vector", "language", "size")
"""What the audit fills in: text, vector and language of the query, and the number of documents asked for."""

_CONSTANTS = "constants"
_TEMPLATE_PARTS = ("id", "params", "search_pipeline", _CONSTANTS)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_DIFFERS = ("query", "vector")


@dataclass(frozen=True, eq=False)
class RequestFile:
    """One search with placeholders.

    :param name: stem of the file; name of its list in the result.
    :param path: the file.
    :param sha256: hash of its bytes.
    :param body: body of the search, or of a request that renders a stored template.
    :param template: id of the stored search template, None if the file contains the body itself.
    :param search_pipeline: search pipeline for a template, which cannot include one.
    :param uses: names of the placeholders filled for each query.
    :param size: number of documents requested, if the body has it.
    """

    name: str
    path: Path
    sha256: str
    body: Template
    template: str | None
    search_pipeline: Template
    uses: frozenset[str]
    size: int | None


def read_requests(paths: Sequence[str | Path], *, size: int | None = None) -> list[RequestFile]:
    """Read searches, whose names must differ.

    :param paths: the files.
    :param size: documents to ask for, in place of what the bodies say.
    :raises InputError: as from `read_request`, or two files have one name.
    """
    requests: dict[str, RequestFile] = {}
    for path in paths:
        request = read_request(path, size=size)
        other = requests.setdefault(request.name.lower(), request)
        if other is not request:
            raise InputError(
                "two requests have one name, the name of the file without its ending",
                source=request.path,
                seen=request.name,
                allowed=f"a name other than that of {other.path}",
            )
    return list(requests.values())


def read_request(path: str | Path, *, size: int | None = None) -> RequestFile:
    """Read a search and check everything that can be checked without a server.

    The file contains the body of a search, or ``id`` and ``params`` of a stored search template and optionally
    ``search_pipeline``. ``constants`` has values of further placeholders and is not sent.

    :param path: the file.
    :param size: documents to ask for, in place of what the body says.
    :raises InputError: if it is not a JSON object, has an unknown or misplaced placeholder, does not depend on the
        query, or does more than search.
    """
    path = Path(path)
    _check_name(path)
    body, text, source = read_json_text(path)
    lines = json_lines(text)
    refuse = refuse_in(str(path), lines)
    if not isinstance(body, dict) or not body:
        refuse("no search", (), body, "a JSON object: the body of a search, or id and params of a search template")
    constants = _constants(body.get(_CONSTANTS, {}), path, lines)
    content = {key: value for key, value in body.items() if key != _CONSTANTS}
    _check_placeholders(content, constants, path, lines)
    content = Template(content).fill(constants)
    template = None
    pipeline: Any = None
    if "id" in content:
        template = content["id"]
        if not isinstance(template, str) or not template or "{{" in template:
            refuse("not the id of a search template", ("id",), template, "the id under which the cluster stores it")
        for key in content:
            if key not in _TEMPLATE_PARTS:
                refuse("has no place beside a search template", (key,), ..., ", ".join(_TEMPLATE_PARTS))
        pipeline = content.pop("search_pipeline", None)
        check_pipeline(pipeline, refuse)
        if not isinstance(content.get("params"), dict):
            refuse("a search template needs its parameters", ("params",), content.get("params"), "a JSON object")
    else:
        check_body(content, refuse)
    uses = frozenset(name for _, name, _ in placeholders([content, pipeline]))
    if not uses.intersection(_DIFFERS):
        refuse(
            "the same search for every query",
            (),
            ...,
            "{{query}} or {{vector}} in it, so that each query has its own list",
        )
    asked = size if size is not None else _own_size(content, path, lines)
    if asked is None and "size" in uses:
        refuse(
            "{{size}} stands for the number of documents that production asks for, and it is not said",
            next(place for place, name, _ in placeholders(content) if name == "size"),
            ...,
            "--request-size N; or that number as 'size' in the body",
        )
    if size is not None and template is None:
        content = {**content, "size": size}
    return RequestFile(path.stem, path, source.sha256, Template(content), template, Template(pipeline), uses, asked)


def _check_name(path: Path) -> None:
    taken = {*LIVE_LISTS, *SCENARIOS, "exact"}
    if not _NAME.fullmatch(path.stem) or path.stem in taken:
        raise InputError(
            "the result calls the list by the name of the file without its ending, and this is none for it",
            source=path,
            seen=path.stem,
            allowed=f"letters, digits, '-', '_' and '.'; and not {', '.join(sorted(taken))}",
        )


def _constants(value: object, path: Path, lines: Mapping[Place, int]) -> dict[str, Any]:
    refuse = refuse_in(str(path), lines, (_CONSTANTS,))
    if not isinstance(value, dict):
        refuse("not the values of further placeholders", (), value, "a JSON object: names and values")
    for name in value:
        if name in PLACEHOLDERS or not _NAME.fullmatch(name):
            refuse(
                "no name for a constant",
                (name,),
                name,
                f"letters, digits, '-', '_' and '.'; not {', '.join(PLACEHOLDERS)}",
            )
    for place, name, _ in placeholders(value):
        refuse("a placeholder in a constant", place, name, "values without placeholders")
    return value


def _check_placeholders(
    content: Mapping[str, Any], constants: Mapping[str, Any], path: Path, lines: Mapping[Place, int]
) -> None:
    for place, name, alone in placeholders(content):
        if name not in PLACEHOLDERS and name not in constants:
            problem, allowed = "unknown placeholder", _told(constants)
        elif not alone and (name == "vector" or isinstance(constants.get(name, ""), dict | list | None)):
            problem, allowed = "stands within a text, and what it stands for is no text", "alone, as the whole value"
        else:
            continue
        raise InputError(
            problem,
            source=path,
            line=line_of(lines, place),
            field=".".join(map(str, place)),
            seen=f"{{{{{name}}}}}",
            allowed=allowed,
        )


def _told(constants: Mapping[str, Any]) -> str:
    names = ", ".join(f"{{{{{name}}}}}" for name in (*PLACEHOLDERS, *constants))
    return f"{names}; further ones with a value in '{_CONSTANTS}'"


def _own_size(content: Mapping[str, Any], path: Path, lines: Mapping[Place, int]) -> int | None:
    value = content.get("size")
    if value is None or isinstance(value, str):
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        refuse_in(str(path), lines)("not a number of documents", ("size",), value, "a whole number, 1 or more")
    return value
