"""YAML as plain values, whatever is wrong with it being an error of YAML."""

from __future__ import annotations

from typing import Any

import yaml

__all__ = ["YAML_FAULTS", "parse_yaml"]

YAML_FAULTS = (yaml.YAMLError, ValueError, LookupError, ArithmeticError, AttributeError, TypeError)
"""What PyYAML raises at values: a date that is none, ``!!int ''``, ``!!timestamp x`` are no YAMLErrors to it."""


def parse_yaml(text: str) -> Any:
    """Read a text by YAML's safe rules.

    :param text: one YAML document.
    :raises yaml.YAMLError: when it is none.
    """
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise
    except RecursionError as error:
        raise yaml.YAMLError("nested too deeply") from error
    except YAML_FAULTS as error:
        raise yaml.YAMLError("a value is not what its form or its tag says") from error
