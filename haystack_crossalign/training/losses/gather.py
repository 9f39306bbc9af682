"""In-batch negatives from all processes of a distributed run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Gathered:
    """The rows of all processes, in the order of their ranks.

    :param rows: ``[sum of the batch sizes, dim]``.
    :param offset: place of this process's first row in them.
    """

    rows: Tensor
    offset: int


class _AllGatherRows(torch.autograd.Function):
    """Concatenation over processes; a row's gradient is the sum over all processes."""

    @staticmethod
    def forward(ctx: Any, local: Tensor, sizes: tuple[int, ...]) -> Tensor:
        rank = dist.get_rank()
        ctx.start, ctx.end = sum(sizes[:rank]), sum(sizes[: rank + 1])
        # A collective needs equal shapes, but the last batch of an epoch may be shorter on some ranks.
        padded = local.new_zeros(max(sizes), *local.shape[1:])
        padded[: len(local)] = local
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None]:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total, op=dist.ReduceOp.SUM)
        return total[ctx.start : ctx.end], None


def is_distributed() -> bool:
    """Whether a process group with more than one process runs."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gather_columns(columns: Mapping[int, Tensor], *, across_devices: bool) -> dict[int, Gathered]:
    """Gather the rows of every column from all processes, with gradients back to the process of origin.

    All columns use one collective, so that the order of collectives cannot differ between processes.

    :param columns: embeddings ``[batch, dim]`` per column number, with equal batch sizes and dimensions, and the same
        column numbers on all processes. Batch sizes may differ between processes.
    :param across_devices: False, or a run with one process, keeps only the rows of this process.
    """
    if not columns or not across_devices or not is_distributed():
        return {number: Gathered(rows, 0) for number, rows in columns.items()}
    stacked = torch.stack([columns[number] for number in sorted(columns)], dim=1)
    sizes = _counts(len(stacked), stacked.device)
    rows: Tensor = _AllGatherRows.apply(stacked, sizes)  # type: ignore[no-untyped-call]
    offset = sum(sizes[: dist.get_rank()])
    return {number: Gathered(rows[:, place], offset) for place, number in enumerate(sorted(columns))}


def scale_of_mean(rows: int, device: torch.device, *, across_devices: bool) -> float:
    """Factor for the sum of a loss over rows of this process that turns the mean over processes into the mean over all
    rows.

    It is 1 / rows if all processes have as many. Distributed data parallelism averages the gradients of the processes
    regardless of their numbers of rows.

    :param rows: number of rows of this process that count; 0 if none does.
    :param device: where collectives of the run are computed.
    :param across_devices: False, or a run with one process, counts only the rows of this process.
    """
    counts = (rows,) if not across_devices or not is_distributed() else _counts(rows, device)
    return len(counts) / max(1, sum(counts))


def _counts(own: int, device: torch.device) -> tuple[int, ...]:
    """A number of every process, in the order of their ranks."""
    size = torch.tensor([own], device=device)
    sizes = [torch.zeros_like(size) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, size)
    return tuple(int(each.item()) for each in sizes)
