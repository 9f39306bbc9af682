"""Options that belong together, as dataclasses that several commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints


def with_groups(*, without: Collection[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let Typer see the fields of a command's dataclass parameters as options of their own.

    A field takes the place of its group among the parameters, unless the command has a parameter of the same name:
    then that one is the option, with its own place and help, and the group gets its value too.

    :param without: fields that the command does not offer; the groups keep their defaults.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(command, include_extras=True)
        own = inspect.signature(command).parameters
        groups = {name: hints[name] for name in own if is_dataclass(hints[name])}
        alone = own.keys() - groups.keys()
        options: dict[str, inspect.Parameter] = {}
        for name, parameter in own.items():
            if name not in groups:
                options[name] = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
                continue
            types = get_type_hints(groups[name], include_extras=True)
            options |= {
                entry.name: inspect.Parameter(
                    entry.name, inspect.Parameter.KEYWORD_ONLY, default=entry.default, annotation=types[entry.name]
                )
                for entry in fields(groups[name])
                if entry.name not in alone and entry.name not in without
            }

        @wraps(command)
        def run(**parameters: Any) -> None:
            made = {
                name: group(
                    **{entry.name: parameters[entry.name] for entry in fields(group) if entry.name in parameters}
                )
                for name, group in groups.items()
            }
            command(**{name: value for name, value in parameters.items() if name in alone}, **made)

        # What Typer reads; `wraps` has copied the command's own.
        run.__signature__ = inspect.Signature(list(options.values()))  # type: ignore[attr-defined]
        run.__annotations__ = {name: option.annotation for name, option in options.items()}
        return run

    return decorate
