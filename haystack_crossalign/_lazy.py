"""Names of a package that are imported when they are first used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from haystack_crossalign.signals import collected_afterwards


def lazy_names(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make ``__getattr__`` and ``__dir__`` for a package whose names are defined in its modules.

    :param package: name of the package, its ``__name__``.
    :param modules: module of each name, relative to the package; an empty string if the name is itself a subpackage.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with collected_afterwards():
            module = import_module(f"{package}.{modules[name] or name}")
        return getattr(module, name) if modules[name] else module

    return get, lambda: sorted(modules)
