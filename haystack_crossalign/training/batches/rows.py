"""Training rows: each triplet's columns as rows of a text table, and batches of rows of one kind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from haystack_crossalign.data.triplets import Triplet, article_of
from haystack_crossalign.errors import InputError
from haystack_crossalign.training.batches.distinct import (
    DistinctBatchSampler,
    cut_steps,
    distinct_batches,
    triplet_keys,
)
from haystack_crossalign.training.batches.packing import DOCUMENT, QUERY, Packed, TextTable, pack

_SOURCES = 2  # columns of the source language: query and passage
# A draw of less than one in this many texts does not list all of them.
_SPARSE = 16


@dataclass(frozen=True)
class TrainRow:
    """One training example.

    :param columns: rows of the text table: query, passage, target passages, and either no or equally many
        target-language queries.
    :param targets: number of target passages.
    :param kind: only rows of the same kind share a batch.
    :param language: target language, or several joined.
    :param keys: keys that no other row of the batch may share.
    :param article: article of its passage.
    """

    columns: tuple[int, ...]
    targets: int
    kind: str
    language: str
    keys: Collection[Hashable]
    article: str


def make_rows(
    triplets: Sequence[Triplet], table: TextTable, *, languages: Sequence[str], batch_languages: str
) -> list[TrainRow]:
    """Convert triplets to rows.

    :param triplets: the triplets.
    :param table: their texts are added to it.
    :param languages: order of the target columns.
    :param batch_languages: ``one`` language per batch, ``mixed``, or ``all`` languages of a triplet in one row.
    """
    rows = []
    for triplet in triplets:
        keys = triplet_keys(triplet)
        for part in [triplet] if batch_languages == "all" else triplet.per_language():
            tags = [tag for tag in languages if tag in part.targets]
            with_queries = all(tag in part.target_queries for tag in tags)
            columns = [table.add(QUERY, part.query), table.add(DOCUMENT, part.passage)]
            columns += [table.add(DOCUMENT, part.targets[tag]) for tag in tags]
            columns += [table.add(QUERY, part.target_queries[tag]) for tag in tags if with_queries]
            language = "+".join(tags)
            key = language if batch_languages != "mixed" else "mixed"
            # The keys of all languages, so that two languages of one triplet are never in the same batch.
            kind = f"{key}{' with queries' if with_queries else ''}"
            rows.append(TrainRow(tuple(columns), len(tags), kind, language, keys, article_of(triplet.group)))
    return rows


class KindBatchSampler(DistinctBatchSampler):
    """:class:`DistinctBatchSampler` whose batches hold rows of one kind, in random order.

    With an exponent below 1, languages are sampled more evenly than in the data: a language with the share p of the
    rows gets the share ``p^exponent / sum p^exponent`` of an epoch (Conneau and Lample 2019), which has as many rows as
    the data; with 0 all get the same number. Of larger languages different rows are left out in every epoch; of smaller
    ones rows are repeated, in different batches.

    :param kinds: kind of each row.
    :param languages: language of each row.
    :param exponent: 0 to 1; 1 uses every row once.
    :param articles: article of each row.
    :param neighbours: rows of one article that are dealt together.
    """

    def __init__(
        self,
        dataset: Any,
        keys: Sequence[Collection[Hashable]],
        kinds: Sequence[str],
        batch_size: int,
        drop_last: bool,
        seed: int = 0,
        processes: int = 1,
        *,
        languages: Sequence[str] | None = None,
        exponent: float = 1.0,
        articles: Sequence[str] | None = None,
        neighbours: int = 1,
    ) -> None:
        super().__init__(dataset, keys, batch_size, drop_last, seed, processes)
        self.kinds = kinds
        self.languages = languages
        self.exponent = exponent
        self.articles = articles
        self.neighbours = neighbours

    def _batches(self) -> list[list[int]]:
        if self._dealt is None or self._dealt[0] != self.epoch:
            steps = self._deal(self.epoch)
            if self.epoch:
                steps = self._as_many(steps, len(self._deal(0)))
            self._dealt = (self.epoch, cut_steps(steps, self.processes))
        return self._dealt[1]

    def _deal(self, epoch: int) -> list[list[int]]:
        """The rows of each step, for all processes together, in random order."""
        state = np.random.SeedSequence([self.seed, epoch])
        members: dict[str, list[int]] = {}
        for row in self._drawn(epoch):
            members.setdefault(self.kinds[row], []).append(row)
        steps: list[list[int]] = []
        for kind, child in zip(sorted(members), state.spawn(len(members)), strict=True):
            rows = members[kind]
            dealt = distinct_batches(
                [self.keys[row] for row in rows],
                self.rows_per_batch * self.processes,
                seed=int(child.generate_state(1)[0]),
                drop_last=self.drop_last,
                articles=None if self.articles is None else [self.articles[row] for row in rows],
                neighbours=self.neighbours,
            )
            # Counted before the split, so that every epoch has the same number of steps in each process.
            steps += [[rows[place] for place in batch] for batch in dealt if len(batch) >= self.processes]
        order = np.random.default_rng(state).permutation(len(steps)).tolist()
        return [steps[place] for place in order]

    def _drawn(self, epoch: int) -> Sequence[int]:
        """The rows of an epoch, in order; if languages are evened out, some are missing or repeated."""
        if self.languages is None or self.exponent == 1:
            return range(len(self.kinds))
        members: dict[str, list[int]] = {}
        for row, language in enumerate(self.languages):
            members.setdefault(language, []).append(row)
        weights = {language: len(rows) ** self.exponent for language, rows in members.items()}
        generator = np.random.default_rng([self.seed, epoch, 1])
        drawn: list[int] = []
        for language, rows in sorted(members.items()):
            wanted = max(1, round(len(self.kinds) * weights[language] / sum(weights.values())))
            whole, rest = divmod(wanted, len(rows))
            drawn += rows * whole + [rows[place] for place in generator.permutation(len(rows))[:rest].tolist()]
        return sorted(drawn)

    def _as_many(self, steps: list[list[int]], wanted: int) -> list[list[int]]:
        """Make the number of steps equal in every epoch, since the trainer derives its position from the number of
        steps.

        If many rows share keys, the number varies by one or two: the smallest steps are left out, or the first ones
        repeated.
        """
        kept = sorted(sorted(range(len(steps)), key=lambda place: (-len(steps[place]), place))[:wanted])
        return [steps[place] for place in kept] + steps[: max(0, wanted - len(steps))]


def kind_batch_sampler(
    rows: Sequence[TrainRow], *, processes: int = 1, neighbours: int = 1, exponent: float = 1.0
) -> Callable[..., KindBatchSampler]:
    """A value for the trainer's argument ``batch_sampler``.

    :param rows: in the order of the data set.
    :param processes: number of processes of a distributed run.
    :param neighbours: rows of one article that are dealt together.
    :param exponent: see :class:`KindBatchSampler`.
    """
    languages = [row.language for row in rows]
    keys, kinds, articles = [row.keys for row in rows], [row.kind for row in rows], [row.article for row in rows]

    def make(
        dataset: Any,
        batch_size: int,
        drop_last: bool,
        valid_label_columns: list[str] | None = None,  # noqa: ARG001 - part of the interface
        generator: Any = None,  # noqa: ARG001 - part of the interface
        seed: int = 0,
    ) -> KindBatchSampler:
        return KindBatchSampler(
            dataset, keys, kinds, batch_size, drop_last, seed, processes,
            languages=languages, exponent=exponent, articles=articles, neighbours=neighbours,
        )  # fmt: skip

    return make


class Collator:
    """Collates row numbers to a batch: distinct packed texts, and the positions of each column's texts.

    :param rows: the rows.
    :param table: their texts.
    :param budget: tokens per forward pass.
    :param teacher: float ``[texts, dim]`` embeddings of the teacher, or None.
    :param vectors: float32 ``[texts, dim]`` embeddings to use in place of the texts, or None.
    :param source_share: share of the queries and passages of a batch to embed; for the others the teacher's embeddings
        are used. The selection depends only on the rows of the batch. Target passages and queries are always embedded.
    :param negatives: number of further queries and passages, from all rows, whose teacher embeddings are added.
    """

    # Read by the stock trainer.
    valid_label_columns: tuple[str, ...] = ()

    def __init__(
        self,
        rows: Sequence[TrainRow],
        table: TextTable,
        *,
        budget: int,
        teacher: Tensor | None = None,
        vectors: Tensor | None = None,
        source_share: float = 1.0,
        negatives: int = 0,
    ) -> None:
        if (source_share < 1 or negatives) and teacher is None:
            raise InputError(
                "only a teacher has embeddings to give", field="source_share", seen=source_share, allowed="1"
            )
        self.rows, self.table, self.budget, self.teacher, self.vectors = rows, table, budget, teacher, vectors
        self.source_share, self.negatives = source_share, negatives
        sources = {text for row in rows for text in row.columns[:_SOURCES]} if negatives else ()
        self._sources = np.array(sorted(sources), dtype=np.int64)

    def __call__(self, features: Sequence[dict[str, int]]) -> dict[str, Any]:
        """Make a batch.

        :param features: entries of the data set: ``{"row": number}``.
        :returns: ``parts`` and ``order`` of the packed texts, ``columns`` int64 ``[columns, rows]`` with positions
            among the texts, ``targets`` (number of target columns), ``teacher`` ``[texts, dim]`` if there is one, and
            ``given`` ``[given texts, dim]``: the texts that are not embedded, which come last among the texts; and
            ``negatives`` ``[negatives, dim]``.
        """
        rows = [self.rows[feature["row"]] for feature in features]
        queries = self._given([feature["row"] for feature in features])
        embedded = [text for row in rows for text in row.columns if text not in queries]
        places = {text: place for place, text in enumerate(dict.fromkeys([*embedded, *queries]))}
        columns = [[places[text] for text in row.columns] for row in rows]
        texts = list(places)
        own = texts[: len(texts) - len(queries)]
        if self.vectors is None:
            packed = pack(self.table, own, budget=self.budget)
        else:
            packed = Packed(({"sentence_embedding": self.vectors[torch.tensor(own)]},), torch.arange(len(own)))
        batch: dict[str, Any] = {
            "parts": list(packed.parts),
            "order": packed.order,
            "columns": torch.tensor(columns, dtype=torch.long).T.contiguous(),
            "targets": rows[0].targets,
        }
        if self.teacher is not None:
            batch["teacher"] = self.teacher[torch.tensor(texts)]
            if queries:
                batch["given"] = self.teacher[torch.tensor(list(queries))]
            if self.negatives:
                drawn = self._others(texts, np.random.default_rng([1, *(feature["row"] for feature in features)]))
                batch["negatives"] = self.teacher[torch.from_numpy(drawn)]
        return batch

    def _others(self, texts: Sequence[int], generator: np.random.Generator) -> NDArray[np.int64]:
        """A number of source-language texts that are not in the batch, in the order of the table."""
        wanted = self.negatives + len(texts)
        if len(self._sources) > _SPARSE * wanted:
            drawn = self._sources[generator.choice(len(self._sources), wanted, replace=False)]
            return np.sort(drawn[~np.isin(drawn, texts)][: self.negatives])
        others = np.setdiff1d(self._sources, texts)
        return others[np.sort(generator.permutation(len(others))[: self.negatives])]

    def _given(self, numbers: Sequence[int]) -> dict[int, None]:
        """Texts of a batch for which the teacher's embeddings are used."""
        if self.source_share == 1:
            return {}
        rows = [self.rows[number] for number in numbers]
        targets = {text for row in rows for text in row.columns[_SOURCES:]}
        texts = dict.fromkeys(text for row in rows for text in row.columns[:_SOURCES])
        sources = [text for text in texts if text not in targets]
        count = round((1 - self.source_share) * len(sources))
        drawn = np.random.default_rng([0, *numbers]).permutation(len(sources))[:count]
        return dict.fromkeys(sources[place] for place in sorted(drawn.tolist()))
