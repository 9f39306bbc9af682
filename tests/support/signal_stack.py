"""The stack on which signals are handled."""

from __future__ import annotations

import ctypes
import sys

_DISABLED = 2


class _Stack(ctypes.Structure):
    _fields_ = (("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def handle_signals_on_the_usual_stack() -> None:
    """Turn off the stack for signals that pytest's faulthandler has made for this thread.

    It holds 16 KiB or so. On a processor with AMX the state that the kernel saves there for a signal has 11 KiB more
    once OpenVINO has computed in bf16, and where that does not fit, the kernel ends the process by SIGSEGV.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None, use_errno=True)
    if library.sigaltstack(ctypes.byref(_Stack(None, _DISABLED, 0)), None):
        raise OSError(ctypes.get_errno(), "sigaltstack")
