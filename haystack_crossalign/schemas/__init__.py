"""The JSON Schemas that ship with the package."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["shipped_schema"]


@cache
def shipped_schema(name: str) -> dict[str, Any]:
    """Load a JSON Schema (draft 2020-12) of this folder.

    :param name: name of the file.
    """
    schema: dict[str, Any] = json.loads(resources.files(__name__).joinpath(name).read_text(encoding="utf-8"))
    return schema
