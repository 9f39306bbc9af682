"""TOML that its reader chokes on is one message."""

from __future__ import annotations

from pathlib import Path

import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.profiles import read_profiles


@pytest.mark.parametrize(
    "value", ["[" * 500 + "]" * 500, "{a=" * 500 + "1" + "}" * 500, "9" * 5000], ids=["lists", "tables", "digits"]
)
def test_deep_and_long_values_are_one_message(value: str, tmp_path: Path) -> None:
    file = tmp_path / "crossalign.toml"
    file.write_text(f"[profiles.a]\ntimeout = {value}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"crossalign\.toml"):
        read_profiles(file, {"timeout"})
