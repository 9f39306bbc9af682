"""Dropout on a CPU for half the time: random bits for four numbers at once.

torch draws a random number of its own for each element, which took a quarter of the time of a training step in bf16 on
a processor with AMX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_LEVELS = 1 << 16  # of the 16 bits that decide on an element


class CheapDropout(TorchFunctionMode):
    """Within the block, `torch.nn.functional.dropout` on a CPU is `dropout`, also in the modules of other packages."""

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Pass on each call, but for dropout on a CPU."""
        del types
        if func is functional.dropout:
            return _chosen(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def dropout(values: Tensor, rate: float) -> Tensor:
    """Set a random part of the values to 0 and divide the others by the share that is kept.

    The rate is rounded to the nearest multiple of 2^-16, and the values are divided by exactly the share that is then
    kept, so that their mean stays. Bits come from torch's generator: a seed and a restored state repeat them.

    :param values: floats of any shape, on a CPU.
    :param rate: probability of each value to become 0, 0 to 1.
    """
    dropped = round(rate * _LEVELS)
    if dropped == 0:
        return values
    if dropped == _LEVELS:
        return values * 0
    count = values.numel()
    words = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    levels = words.view(torch.int16)[:count].view(values.shape)  # -2^15 to 2^15 - 1
    kept = (levels >= dropped - _LEVELS // 2).to(values.dtype)
    return values * kept.mul_(_LEVELS / (_LEVELS - dropped))


def _chosen(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if training and not inplace and input.device.type == "cpu" and input.is_floating_point() and 0 <= p <= 1:
        return dropout(input, p)
    return functional.dropout(input, p, training, inplace)
