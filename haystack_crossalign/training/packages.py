"""Packages that only training needs, those of the extra ``train``."""

from __future__ import annotations

from importlib import import_module

from haystack_crossalign.errors import ExternalError

_NEEDED = ("accelerate", "datasets")


def need_training_packages() -> None:
    """Say what to install, instead of a traceback from the depths of a library, before the trainer is imported.

    :raises ExternalError: naming the first package that is missing or cannot be imported.
    """
    for name in _NEEDED:
        try:
            import_module(name)
        except ImportError as error:
            why = "" if isinstance(error, ModuleNotFoundError) and error.name == name else f" ({error})"
            raise ExternalError(
                f"training needs the package {name}{why}: pip install 'haystack-crossalign[train]'"
            ) from error
