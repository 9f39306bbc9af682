"""Groups of options, as dataclasses shared by several commands."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints


def with_groups(*, without: Collection[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Show the fields of a command's dataclass parameters to Typer as separate options.

    The fields replace their group among the parameters. If the command has a parameter with the name of a field, that
    parameter is the option, with its own position and help, and its value is also passed to the group.

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

        # Typer reads this; `wraps` has copied that of the command.
        run.__signature__ = inspect.Signature(list(options.values()))  # type: ignore[attr-defined]
        run.__annotations__ = {name: option.annotation for name, option in options.items()}
        return run

    return decorate
