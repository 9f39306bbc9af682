from __future__ import annotations

import pytest
import yaml

from haystack_crossalign.config.yaml_file import parse_yaml

WRONG = [
    "2001-02-30", "!!int ''", "!!float ''", "!!timestamp x", "!!bool x", "!!binary é", "[", "{[]: 1}",
    "!!python/object:x {}", 5000 * "[",
]  # fmt: skip


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_whatever_is_wrong_is_an_error_of_yaml(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        parse_yaml(text)


def test_values_are_those_of_yaml() -> None:
    assert parse_yaml("a: [1, 2.5, true, null, text]") == {"a": [1, 2.5, True, None, "text"]}
