"""The JSON Schemas that ship with the package."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["shipped_schema"]


@cache
def shipped_schema(package: str, name: str) -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) that lies beside the code.

    :param package: the package that it lies in.
    :param name: name of the file.
    """
    schema: dict[str, Any] = json.loads(resources.files(package).joinpath(name).read_text(encoding="utf-8"))
    return schema
