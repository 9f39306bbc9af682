"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.files.paths import expanded


def test_a_home_folder_takes_the_place_of_the_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/models") == tmp_path / "models"
    assert expanded("models") == Path("models")


def test_a_user_who_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"field 'model': unknown user in the path; seen: '~nobody-here/models'"):
        expanded("~nobody-here/models", field="model")
