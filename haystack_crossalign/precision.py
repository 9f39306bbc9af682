"""Choose the number format that is fast on this machine: bf16 only where the processor multiplies it in hardware."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from haystack_crossalign.errors import InputError

Precision = Literal["auto", "bf16", "fp32"]
ResolvedPrecision = Literal["bf16", "fp32"]

PRECISIONS: tuple[Precision, ...] = ("auto", "bf16", "fp32")

# Names of the instructions in torch and in the Linux kernel. AVX512-BF16 and AMX on x86, BF16 (BFMMLA) on ARM.
_TORCH_NAMES = ("avx512_bf16", "amx_bf16", "bf16")
_KERNEL_NAMES = frozenset(_TORCH_NAMES)


def supports_fast_bf16(device: str = "cpu") -> bool:
    """Whether bf16 products are faster than float32 ones on a device, judged by its instruction set, without measuring.

    Without the instructions bf16 is emulated, which is several times slower than float32.

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
    if capabilities is not None:
        flags = capabilities()
        return any(flags.get(name, False) for name in _TORCH_NAMES)
    return bool(_KERNEL_NAMES & _kernel_flags())


def _kernel_flags() -> frozenset[str]:
    """Instruction flags of the first processor, as listed by Linux; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(flags.partition(":")[2].split())
