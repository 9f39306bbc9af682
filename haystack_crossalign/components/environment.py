"""Values that a pipeline in YAML takes from the environment: addresses, names, files. Not secrets.

Haystack's loader supports this only for secrets (``type: env_var``). It also loads these classes, so that one file
works for every cluster:

```yaml
hosts:
  type: haystack_crossalign.components.environment.EnvironmentHosts
  init_parameters: {variable: CROSSALIGN_HOSTS}
```

A pipeline that is dumped again contains the variables, not their values.
"""

from __future__ import annotations

import os
from typing import Any

from haystack import default_to_dict

from haystack_crossalign.errors import InputError


class EnvironmentText(str):
    """The text of an environment variable, read when the pipeline is loaded.

    :param variable: name of the variable.
    :param default: the value if it is not set or empty; None if it must be set.
    :raises InputError: it is not set, and there is no default.
    """

    variable: str
    default: str | None

    def __new__(cls, variable: str, default: str | None = None) -> EnvironmentText:
        """Read the variable; the parameters are those of the class."""
        text = super().__new__(cls, _value(variable, default))
        text.variable, text.default = variable, default
        return text

    def to_dict(self) -> dict[str, Any]:
        """The variable as a dictionary, for YAML."""
        data: dict[str, Any] = default_to_dict(self, variable=self.variable, default=self.default)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> EnvironmentText | None:
        """The value from its dictionary; None if ``optional`` is true and the variable is not set."""
        parameters = dict(data.get("init_parameters", {}))
        if parameters.pop("optional", False) and not os.environ.get(str(parameters.get("variable"))):
            return None
        return cls(**parameters)


class EnvironmentHosts(list[str]):
    """Addresses from an environment variable, with commas between them.

    :param variable: name of the variable.
    :param default: the value if it is not set or empty; None if it must be set.
    :raises InputError: it is not set, and there is no default.
    """

    def __init__(self, variable: str, default: str | None = None) -> None:
        self.variable, self.default = variable, default
        super().__init__(part.strip() for part in _value(variable, default).split(",") if part.strip())

    def to_dict(self) -> dict[str, Any]:
        """The variable as a dictionary, for YAML."""
        data: dict[str, Any] = default_to_dict(self, variable=self.variable, default=self.default)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> EnvironmentHosts:
        """The addresses from their dictionary."""
        return cls(**data.get("init_parameters", {}))


class EnvironmentMap(dict[str, str]):
    """Names and values from an environment variable: ``name=value``, with commas between them.

    :param variable: name of the variable.
    :param default: what stands in where it is not set; "" for an empty map, None if it must be set.
    :raises InputError: it is not set and there is no default, or a part of it has no ``=``.
    """

    def __init__(self, variable: str, default: str | None = None) -> None:
        self.variable, self.default = variable, default
        parts = [part.strip() for part in _value(variable, default).split(",") if part.strip()]
        for part in parts:
            if not all(side.strip() for side in part.partition("=")):
                raise InputError(
                    "no name and value", source="pipeline", field=variable, seen=part, allowed="name=value"
                )
        super().__init__((name.strip(), value.strip()) for name, _, value in (part.partition("=") for part in parts))

    def to_dict(self) -> dict[str, Any]:
        """The variable as a dictionary, for YAML."""
        data: dict[str, Any] = default_to_dict(self, variable=self.variable, default=self.default)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> EnvironmentMap:
        """The map from its dictionary."""
        return cls(**data.get("init_parameters", {}))


def _value(variable: str, default: str | None) -> str:
    value = os.environ.get(variable) or default
    if value is None:
        raise InputError(f"the environment variable {variable} is not set", source="pipeline")
    return value
