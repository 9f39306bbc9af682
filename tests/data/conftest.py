"""Writers of small files, and a check of whole error messages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from haystack_crossalign.errors import InputError

Write = Callable[..., Path]
Refused = Callable[..., InputError]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file: text or bytes as they are, a list as JSON lines, a dict as JSON."""

    def _write(name: str, content: str | bytes | list[object] | dict[str, object]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
        elif isinstance(content, dict):
            content = json.dumps(content, ensure_ascii=False)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return _write


@pytest.fixture
def refused() -> Refused:
    """Calls a function that must raise one InputError, and checks the parts of its message."""

    def _refused(call: Callable[[], object], **expected: object) -> InputError:
        with pytest.raises(InputError) as caught:
            call()
        error = caught.value
        seen = {name: getattr(error, name) for name in expected if name not in ("problem", "allowed")}
        assert seen == {name: value for name, value in expected.items() if name in seen}
        assert str(expected.get("problem", "")) in error.problem
        assert str(expected.get("allowed", "")) in (error.allowed or "")
        assert "\n" not in str(error)
        return error

    return _refused
