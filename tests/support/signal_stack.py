"""The stack on which signals are handled."""

from __future__ import annotations

import ctypes
import sys

DISABLED = 2


class _Stack(ctypes.Structure):
    _fields_ = (("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def handle_signals_on_the_usual_stack() -> None:
    """Turn off the stack for signals that pytest's faulthandler has made for this thread.

    It held 20,144 bytes where this was found. On a processor with AMX the state that the kernel saves there for a
    signal grows once OpenVINO has computed in bf16; where it does not fit, the kernel ends the process by SIGSEGV.
    """
    if sys.platform == "linux":
        _exchange(_Stack(None, DISABLED, 0))


def flags_of_the_stack() -> int:
    """The flags of this thread's stack for signals, `DISABLED` where there is none."""
    return _exchange(None).flags


def _exchange(new: _Stack | None) -> _Stack:
    library, old = ctypes.CDLL(None, use_errno=True), _Stack()
    if library.sigaltstack(None if new is None else ctypes.byref(new), ctypes.byref(old)):
        raise OSError(ctypes.get_errno(), "sigaltstack")
    return old
