"""Choose the number format that is fast on this machine: bf16 only where the processor multiplies it faster."""

from __future__ import annotations

import os
import platform
from collections.abc import Set
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from haystack_crossalign.errors import InputError

Precision = Literal["auto", "bf16", "fp32"]
ResolvedPrecision = Literal["bf16", "fp32"]

PRECISIONS: tuple[Precision, ...] = ("auto", "bf16", "fp32")

# Instructions of any processor that multiply bf16 at more than the speed of float32, as torch and the Linux kernel name
# them: AMX on x86, BFMMLA on ARM.
_ALWAYS_FASTER = ("amx_bf16", "bf16")
# AVX512-BF16 doubles the speed on AMD (Zen 4 and later). Intel's processors have it as a companion of AMX, at half the
# speed of float32, and virtual machines often hide AMX alone: 70 instead of 117 GFLOP/s on Emerald Rapids.
_FASTER_ON_AMD = "avx512_bf16"


def default_device() -> str:
    """The torch device that sentence-transformers takes by default: an accelerator if there is one, else ``"cpu"``.

    sentence-transformers itself, whose import takes seconds, is asked only where the answer is less simple than that.
    """
    import torch

    if torch.cuda.is_available() and "LOCAL_RANK" not in os.environ and not _is_distributed():
        return "cuda:0"
    # The accelerator of the last name is no part of torch.
    if torch.accelerator.is_available() or find_spec("habana_frameworks") is not None:
        from sentence_transformers.util import get_device_name

        return str(get_device_name())
    return "cpu"


def _is_distributed() -> bool:
    import torch

    return torch.distributed.is_available() and torch.distributed.is_initialized()


def supports_fast_bf16(device: str = "cpu") -> bool:
    """Whether bf16 products are faster than float32 ones on a device, judged by its instruction set, without measuring.

    Without the instructions bf16 is emulated, which is several times slower than float32. Nothing is timed, so that the
    same machine always computes the same vectors.

    :param device: torch device, ``"cpu"`` or ``"cuda[:n]"``; any other kind answers False.
    """
    kind = device.split(":", 1)[0]
    if kind == "cpu":
        return _cpu_has_bf16()
    if kind == "cuda":
        import torch

        return torch.cuda.is_available() and torch.cuda.get_device_capability(device)[0] >= 8  # Ampere and later
    return False


def resolve_precision(precision: str, device: str = "cpu") -> ResolvedPrecision:
    """Turn ``"auto"`` into the precision that is fast on a device; ``"bf16"`` and ``"fp32"`` stay as they are.

    :raises InputError: for any other value.
    """
    if precision == "bf16" or (precision == "auto" and supports_fast_bf16(device)):
        return "bf16"
    if precision in ("auto", "fp32"):
        return "fp32"
    raise InputError("unknown precision", field="precision", seen=precision, allowed=", ".join(PRECISIONS))


@cache
def _cpu_has_bf16() -> bool:
    import torch

    # Torch multiplies bf16 on a CPU in hardware through oneDNN only.
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    capabilities = getattr(torch.cpu, "get_capabilities", None)  # newer than the oldest torch that we support
    if capabilities is None:
        return is_fast_bf16(_kernel_values("flags", "Features"), _vendor())
    return is_fast_bf16({name for name, has in capabilities().items() if has is True}, _vendor())


def is_fast_bf16(instructions: Set[str], vendor: str) -> bool:
    """Whether a processor multiplies bf16 faster than float32.

    :param instructions: names of its extensions, as torch or the Linux kernel write them.
    :param vendor: text that holds its CPUID vendor, for example ``AuthenticAMD``; empty if not known.
    """
    if any(name in instructions for name in _ALWAYS_FASTER):
        return True
    return _FASTER_ON_AMD in instructions and "AuthenticAMD" in vendor


def _vendor() -> str:
    # Windows puts the vendor at the end of the processor's name, Linux only into its own list.
    return " ".join([*_kernel_values("vendor_id"), platform.processor()])


def _kernel_values(*fields: str) -> frozenset[str]:
    """Values of a field of the first processor, as listed by Linux; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    line = next((line for line in lines if line.startswith(fields)), "")
    return frozenset(line.partition(":")[2].split())
