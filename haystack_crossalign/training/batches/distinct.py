"""Batches without false negatives: no two triplets with the same query, passage or parallel group."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from sentence_transformers.base.sampler import DefaultBatchSampler

from haystack_crossalign.data.triplets import Triplet, normalized
from haystack_crossalign.errors import InputError


def triplet_keys(triplet: Triplet) -> frozenset[Hashable]:
    """Keys that no other triplet of a batch may share: the group, and every query and passage in any language."""
    queries = (triplet.query, *triplet.target_queries.values())
    passages = (triplet.passage, *triplet.targets.values())
    return frozenset(
        [
            ("group", triplet.group),
            *(("query", normalized(text)) for text in queries),
            *(("passage", normalized(text)) for text in passages),
        ]
    )


def distinct_batches(
    keys: Sequence[Collection[Hashable]],
    batch_size: int,
    *,
    seed: int,
    drop_last: bool = False,
    articles: Sequence[str] | None = None,
    neighbours: int = 1,
) -> list[list[int]]:
    """Assign rows in random order, each to the first batch with room in which it shares no key.

    Every row is used once. If many rows share a key, some batches are smaller. With ``neighbours``, that many rows of
    an article are assigned consecutively, as hard negatives of each other.

    :param keys: keys of each row.
    :param batch_size: rows per batch.
    :param seed: of the order.
    :param drop_last: leave out batches that are not full.
    :param articles: article of each row; required for neighbours.
    :param neighbours: number of rows of an article to keep together.
    :returns: row numbers per batch, the batches in random order.
    :raises InputError: for a batch size or neighbours below 1.
    """
    for name, number in (("batch_size", batch_size), ("neighbours", neighbours)):
        if number < 1:
            raise InputError("must be at least 1", field=name, seen=number)
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(keys)).tolist()
    if articles is not None and neighbours > 1:
        order = _together(order, articles, neighbours, generator)
    batches: list[list[int]] = []
    open_batches: list[tuple[list[int], set[Hashable]]] = []
    for row in order:
        mine = keys[row]
        place = next((place for place, (_, taken) in enumerate(open_batches) if taken.isdisjoint(mine)), None)
        if place is None:
            place = len(open_batches)
            batches.append([])
            open_batches.append((batches[-1], set()))
        batch, taken = open_batches[place]
        batch.append(row)
        taken.update(mine)
        if len(batch) == batch_size:
            del open_batches[place]
    kept = [batch for batch in batches if len(batch) == batch_size or not drop_last]
    return [kept[place] for place in generator.permutation(len(kept)).tolist()]


def _together(
    order: Sequence[int], articles: Sequence[str], neighbours: int, generator: np.random.Generator
) -> list[int]:
    """Reorder the rows so that up to ``neighbours`` rows of an article are consecutive."""
    members: dict[str, list[int]] = {}
    for row in order:
        members.setdefault(articles[row], []).append(row)
    parts = [rows[cut : cut + neighbours] for rows in members.values() for cut in range(0, len(rows), neighbours)]
    return [row for place in generator.permutation(len(parts)).tolist() for row in parts[place]]


def cut_steps(steps: Iterable[Sequence[int]], processes: int) -> list[list[int]]:
    """Split each step's rows into equal batches, one per process.

    :param steps: row numbers of each step.
    :param processes: number of parts; a step with fewer rows is left out.
    """
    sizes = [(step, len(step) // processes) for step in steps]
    return [list(step[cut * size : (cut + 1) * size]) for step, size in sizes if size for cut in range(processes)]


class DistinctBatchSampler(DefaultBatchSampler):
    """:func:`distinct_batches` as a batch sampler of the sentence-transformers trainer, with a new order in each epoch.

    With several processes, their batches of a step are assigned as one large batch and then split, so that negatives
    gathered over processes are not positives of each other. If a step is not full, the batches of all processes are
    equally smaller: rows that do not fit into equal parts, fewer than the number of processes, are left out.

    :param dataset: the data set, with one row for each entry of ``keys``.
    :param keys: keys of each row.
    :param batch_size: rows per batch and process.
    :param drop_last: leave out batches that are not full.
    :param seed: determines the order, together with the number of the epoch.
    :param processes: number of processes.
    :raises InputError: if the numbers of keys and rows differ, and for numbers below 1.
    """

    def __init__(
        self,
        dataset: Any,
        keys: Sequence[Collection[Hashable]],
        batch_size: int,
        drop_last: bool,
        seed: int = 0,
        processes: int = 1,
    ) -> None:
        if len(dataset) != len(keys):
            raise InputError(
                "one set of keys is needed for each row", field="keys", seen=len(keys), allowed=str(len(dataset))
            )
        if processes < 1:
            raise InputError("must be at least 1", field="processes", seen=processes)
        super().__init__(dataset, batch_size=batch_size, drop_last=drop_last, seed=seed)
        self.rows_per_batch = batch_size
        if processes > 1:
            # Accelerate would drop steps with smaller batches, and so lose whole languages.
            self.batch_size = None  # type: ignore[assignment]
        self.keys = keys
        self.processes = processes
        self._dealt: tuple[int, list[list[int]]] | None = None

    def _batches(self) -> list[list[int]]:
        if self._dealt is None or self._dealt[0] != self.epoch:
            # A sequence of both numbers, since with their sum epoch 1 of seed 0 would have the order of epoch 0 of seed
            # 1.
            seed = int(np.random.SeedSequence([self.seed, self.epoch]).generate_state(1)[0])
            whole = self.rows_per_batch * self.processes
            steps = distinct_batches(self.keys, whole, seed=seed, drop_last=self.drop_last)
            self._dealt = (self.epoch, cut_steps(steps, self.processes))
        return self._dealt[1]

    def __iter__(self) -> Iterator[list[int]]:
        return iter([list(batch) for batch in self._batches()])

    def __len__(self) -> int:
        return len(self._batches())


def batch_sampler(triplets: Sequence[Triplet], *, processes: int = 1) -> Callable[..., DistinctBatchSampler]:
    """A value for the trainer's argument ``batch_sampler``, for a data set with one row per triplet.

    :param triplets: in the order of the rows.
    :param processes: number of processes of a distributed run.
    """
    keys = [triplet_keys(triplet) for triplet in triplets]

    def make(
        dataset: Any,
        batch_size: int,
        drop_last: bool,
        valid_label_columns: list[str] | None = None,  # noqa: ARG001 - part of the interface
        generator: Any = None,  # noqa: ARG001 - part of the interface
        seed: int = 0,
    ) -> DistinctBatchSampler:
        return DistinctBatchSampler(dataset, keys, batch_size, drop_last, seed, processes)

    return make
