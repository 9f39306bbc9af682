"""What an object was made of, without what it has computed since."""

from __future__ import annotations

from dataclasses import fields
from typing import Any


def columns(made: Any) -> dict[str, Any]:
    """The fields of a dataclass and their values."""
    return {field.name: getattr(made, field.name) for field in fields(made)}
