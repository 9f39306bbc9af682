"""Which processors are given bf16."""

from __future__ import annotations

import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.precision import is_fast_bf16, resolve_precision


@pytest.mark.parametrize(
    ("instructions", "vendor", "fast"),
    [
        ({"avx2", "avx512_bf16", "avx512_vnni"}, "AuthenticAMD x86_64", True),
        ({"avx512_bf16"}, "AMD64 Family 25 Model 97 Stepping 2, AuthenticAMD", True),
        # Emerald Rapids in a virtual machine that hides AMX: measured at 0.6 of the speed of float32.
        ({"avx2", "avx512_bf16", "avx512_fp16", "avx_vnni"}, "GenuineIntel", False),
        ({"avx512_bf16"}, "", False),
        ({"avx512_bf16", "amx_bf16"}, "GenuineIntel", True),
        ({"asimd", "bf16"}, "", True),
        ({"avx2", "avx512_vnni"}, "AuthenticAMD", False),
        (set(), "", False),
    ],
)
def test_bf16_is_taken_only_where_it_is_the_faster_one(instructions: set[str], vendor: str, fast: bool) -> None:
    assert is_fast_bf16(instructions, vendor) is fast


def test_a_precision_that_is_named_is_taken_as_it_is() -> None:
    assert resolve_precision("bf16") == "bf16"
    assert resolve_precision("fp32") == "fp32"
    assert resolve_precision("auto") in ("bf16", "fp32")
    with pytest.raises(InputError, match="fp16"):
        resolve_precision("fp16")
