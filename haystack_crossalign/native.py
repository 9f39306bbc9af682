"""The optional compiled library haystack-crossalign-native; everything that it does is done without it too, slower."""

from __future__ import annotations

import ctypes
from functools import cache
from importlib import import_module

_INTERFACE = 3


@cache
def native_library() -> ctypes.CDLL | None:
    """The library, or None where it is not installed or is of another version."""
    try:
        library = ctypes.CDLL(str(import_module("haystack_crossalign_native").LIBRARY))
        if library.crossalign_interface() != _INTERFACE:
            return None
    except (ImportError, OSError, AttributeError):
        return None
    return library
