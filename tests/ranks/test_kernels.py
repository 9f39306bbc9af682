"""Kernels of 8-bit products: which of them is taken, and that none of their code can run on another processor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from requirements import require

from haystack_crossalign.errors import InputError
from haystack_crossalign.ranks import exact_ranks
from haystack_crossalign.ranks.int8 import KERNEL_VARIABLE, KERNELS, chosen_kernel, counts_by_int8, kernels

NATIVE = Path(__file__).resolve().parents[2] / "native"


@pytest.fixture
def _native():
    require("native")


def _ranks(**changes):
    rng = np.random.default_rng(3)
    return exact_ranks(
        rng.integers(-9, 10, (40, 32)) + 0.5,
        rng.integers(-9, 10, (500, 32)) + 0.5,
        document_languages=np.zeros(500, dtype=np.int32),
        languages=("en",),
        query_languages=np.zeros(40, dtype=np.int32),
        relevant=np.arange(40)[:, None],
        tie_order=np.arange(500),
        similarity="dot",
        **changes,
    ).ranks


@pytest.mark.usefixtures("_native")
def test_the_first_kernel_that_runs_here_is_taken(monkeypatch):
    monkeypatch.delenv(KERNEL_VARIABLE, raising=False)
    assert chosen_kernel().name == next(name for name in KERNELS if name in kernels())


@pytest.mark.usefixtures("_native")
def test_a_kernel_named_by_the_environment_is_taken(monkeypatch):
    for name in kernels():
        monkeypatch.setenv(KERNEL_VARIABLE, name)
        assert chosen_kernel().name == name


def test_no_kernel_where_none_is_wanted(monkeypatch):
    monkeypatch.setenv(KERNEL_VARIABLE, "none")
    assert not counts_by_int8(32, 1)
    with pytest.raises(InputError, match="8-bit products need"):
        _ranks(precision="int8")
    np.testing.assert_array_equal(_ranks(), _ranks(precision="fp32"))


def test_a_kernel_that_is_not_here_is_refused_by_name(monkeypatch):
    monkeypatch.setenv(KERNEL_VARIABLE, "sse9")
    with pytest.raises(InputError) as caught:
        _ranks()
    assert caught.value.field == KERNEL_VARIABLE
    assert caught.value.seen == "sse9"
    assert caught.value.allowed == ", ".join((*kernels(), "none"))


_SMALL_SIGNAL_STACK = """
import ctypes

class Stack(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]

memory = ctypes.create_string_buffer(1 << 16)
stack = Stack(ctypes.addressof(memory), 0, 6144)
assert ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None) == 0

from haystack_crossalign.ranks.int8 import kernels
print(*kernels())
"""


@pytest.mark.process
@pytest.mark.usefixtures("_native")
def test_another_kernel_is_taken_where_the_system_refuses_tiles():
    """Linux refuses tiles (8 kB) where a stack for signals could not hold them."""
    if "amx" not in kernels():
        pytest.skip("this machine has no AMX")
    run = subprocess.run([sys.executable, "-c", _SMALL_SIGNAL_STACK], capture_output=True, text=True, check=False)
    assert run.stderr == ""
    assert run.stdout.split() == [name for name in kernels() if name != "amx"]


@pytest.mark.process
def test_no_kernel_shares_code_with_the_rest_of_the_library(tmp_path):
    """The linker keeps one copy of an inline function that several files hold, perhaps that of a kernel."""
    require("build tools")
    for command in (["cmake", "-S", NATIVE, "-B", tmp_path], ["cmake", "--build", tmp_path]):
        subprocess.run(command, check=True, capture_output=True)
    objects = {path.name.removesuffix(".cpp.o"): path for path in tmp_path.rglob("*.cpp.o")}
    built = [name for name in objects if name.startswith("count_")]
    assert {"counting", "processor", "lengths", "numbers"} < set(objects)
    for name in built:
        lines = _output("nm", "--defined-only", "--demangle", objects[name]).splitlines()
        kinds = {line.split(maxsplit=2)[2]: line.split(maxsplit=2)[1] for line in lines}
        shared = {symbol for symbol, kind in kinds.items() if kind not in "tbrd"}
        assert {symbol for symbol in shared if not symbol.startswith("DW.ref.")} == {
            f"crossalign::{name.removeprefix('count_')}_kernel()"
        }
        assert ".init_array" not in _output("objdump", "--section-headers", objects[name])  # runs wherever it is loaded
    for name in set(objects) - set(built):
        assert "%zmm" not in _output("objdump", "--disassemble", objects[name])


def _output(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
