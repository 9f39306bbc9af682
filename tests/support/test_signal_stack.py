"""No test has a stack of its own for signals."""

from __future__ import annotations

import sys

import pytest
from signal_stack import DISABLED, flags_of_the_stack


@pytest.mark.skipif(sys.platform != "linux", reason="the stack is turned off on Linux, where AMX is")
def test_signals_are_handled_on_the_usual_stack_although_faulthandler_made_another() -> None:
    assert flags_of_the_stack() == DISABLED
