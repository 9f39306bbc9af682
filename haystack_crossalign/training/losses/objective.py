"""The objective of the joint loss: its options, and the loss of every row as a function of embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch code uses
from torch import Tensor

from haystack_crossalign.config.rules import Rule
from haystack_crossalign.errors import InputError
from haystack_crossalign.training.losses.functional import info_nce_rows, jsd_distance, mixed_pool_nce_rows, widen
from haystack_crossalign.training.losses.gather import Gathered
from haystack_crossalign.training.losses.tokens import Tokens, token_alignment_rows
from haystack_crossalign.training.recipe.sections import LossOptions

_QUERY, _PASSAGE, _FIRST_TARGET = 0, 1, 2


@dataclass(frozen=True)
class Plan:
    """The columns to compare, as pairs of column numbers.

    :param jsd: pairs whose distributions are pulled together.
    :param passage_nce: (anchor, candidates) of the contrast between passages.
    :param nce: (anchor, candidates) of the contrast between passages and queries.
    :param pool_queries: anchors of the contrast with the mixed pool.
    :param pool_passages: the versions that make up that pool.
    :param tokens: pairs whose tokens are aligned.
    """

    jsd: tuple[tuple[int, int], ...]
    passage_nce: tuple[tuple[int, int], ...]
    nce: tuple[tuple[int, int], ...]
    pool_queries: tuple[int, ...] = ()
    pool_passages: tuple[int, ...] = ()
    tokens: tuple[tuple[int, int], ...] = ()

    @property
    def used(self) -> tuple[int, ...]:
        """The columns that must be embedded, ascending."""
        pairs = (*self.jsd, *self.passage_nce, *self.nce, *self.tokens, self.pool_queries, self.pool_passages)
        return tuple(sorted({column for columns in pairs for column in columns}))

    @property
    def token_columns(self) -> tuple[int, ...]:
        """The columns whose tokens are needed, ascending."""
        return tuple(sorted({column for pair in self.tokens for column in pair}))

    @property
    def candidates(self) -> tuple[int, ...]:
        """The columns used as in-batch negatives, ascending, which are gathered over processes."""
        pairs = (*self.passage_nce, *self.nce)
        return tuple(sorted({*(candidates for _, candidates in pairs), *self.pool_passages}))


@dataclass(frozen=True)
class Objective(LossOptions):
    """The joint loss: its options, explained at :class:`~haystack_crossalign.training.losses.joint.CrossAlignLoss`.

    :param target_queries: the last columns hold target-language queries.
    :raises InputError: for a value that is not allowed, or options that contradict each other.
    """

    target_queries: bool = False

    def __post_init__(self) -> None:
        for entry in fields(LossOptions):
            rule: Rule = entry.metadata["rule"]
            value = getattr(self, entry.name)
            try:
                object.__setattr__(self, entry.name, rule.read(value))
            except (ValueError, TypeError) as error:
                raise InputError("not allowed", field=entry.name, seen=value, allowed=rule.allowed) from error
        if not self.weights_anything:
            raise InputError(
                "all weights are 0, nothing is left to train",
                field="alignment_weight, nce_weight, pool_weight, token_weight",
            )
        for pair in self.nce_pairs or ():
            if pair.endswith("target_query") and not self.target_queries:
                raise InputError("needs target_queries=True", field="nce_pairs", seen=pair)

    @property
    def pairs(self) -> tuple[str, ...]:
        """The passage-query pairs to contrast: the given ones, or the default."""
        if self.nce_pairs is not None:
            return self.nce_pairs
        return (
            ("target:query", "target:target_query", "passage:target_query")
            if self.target_queries
            else ("target:query",)
        )

    def config(self) -> dict[str, Any]:
        """Every option with its value, including default pairs."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"nce_pairs": self.pairs}

    def plan(self, columns: int) -> Plan:
        """Decide which columns to compare.

        :param columns: number of input columns: query, passage, one or more target passages and, with
            ``target_queries``, as many target-language queries in the same order.
        :raises InputError: if that number does not fit.
        """
        targets, target_queries = self._targets(columns)
        align = [(_PASSAGE, target) for target in targets] if self.alignment_weight else []
        nce: list[tuple[int, int]] = []
        for pair in self.pairs if self.nce_weight else ():
            passages = targets if pair.startswith("target:") else [_PASSAGE] * len(targets)
            queries = target_queries if pair.endswith("target_query") else [_QUERY] * len(targets)
            for passage, query in dict.fromkeys(zip(passages, queries, strict=True)):
                nce += self._directed(passage, query)
        more: dict[str, Any] = {}
        if self.pool_weight:
            more = {"pool_queries": (_QUERY, *target_queries), "pool_passages": (_PASSAGE, *targets)}
        if self.token_weight:
            more["tokens"] = tuple((_PASSAGE, target) for target in targets)
        if self.alignment == "jsd":
            return Plan(jsd=tuple(align), passage_nce=(), nce=tuple(nce), **more)
        # The English passage replaces the query: the target passage is the anchor in the paper's direction.
        contrast = [pair for passage, target in align for pair in self._directed(target, passage)]
        return Plan(jsd=(), passage_nce=tuple(contrast), nce=tuple(nce), **more)

    def rows(
        self,
        plan: Plan,
        columns: Mapping[int, Tensor],
        candidates: Mapping[int, Gathered],
        rows: slice,
        tokens: Mapping[int, Tokens] | None = None,
    ) -> dict[str, Tensor]:
        """Weighted loss of some rows of the batch, per term.

        :param plan: from :meth:`plan`.
        :param columns: embeddings ``[batch, dim]`` of each used column.
        :param candidates: the same for the columns that serve as negatives, gathered over all processes.
        :param rows: the rows to compute, with explicit bounds.
        :param tokens: the tokens of the columns whose tokens are aligned.
        :returns: ``[rows]`` for each term whose weight is not 0: ``"jsd"`` or ``"passage_nce"``, ``"nce"``, ``"pool"``
            and ``"token"``. A term with several pairs of columns is their mean, so that its weight does not depend on
            the number of languages. ``"token"`` is 0 where :meth:`counted` is False.
        """
        terms: dict[str, Tensor] = {}
        if plan.jsd:
            each = [jsd_distance(self._z(columns[a][rows]), self._z(columns[b][rows])) for a, b in plan.jsd]
            terms["jsd"] = self.alignment_weight * _mean(each)
        for name, pairs, weight in (
            ("passage_nce", plan.passage_nce, self.alignment_weight),
            ("nce", plan.nce, self.nce_weight),
        ):
            if pairs:
                each = [self._nce(columns[anchor][rows], candidates[other], rows.start) for anchor, other in pairs]
                terms[name] = weight * _mean(each)
        if plan.pool_queries:
            versions = [candidates[column] for column in plan.pool_passages]
            each = [
                mixed_pool_nce_rows(
                    columns[query][rows],
                    [version.rows for version in versions],
                    self.temperature,
                    first_positive=versions[0].offset + rows.start,
                )
                for query in plan.pool_queries
            ]
            terms["pool"] = self.pool_weight * _mean(each)
        if plan.tokens and tokens is not None:
            each = [
                token_alignment_rows(tokens[a][rows], tokens[b][rows], self.token_temperature, self.token_threshold)
                for a, b in plan.tokens
            ]
            terms["token"] = self.token_weight * _mean(each) * self.counted(tokens)[rows]
        return terms

    @staticmethod
    def counted(tokens: Mapping[int, Tokens]) -> Tensor:
        """Bool ``[batch]``: the rows in which every version has tokens.

        :param tokens: the tokens of the columns whose tokens are aligned.
        """
        return torch.stack([each.any for each in tokens.values()]).all(dim=0)

    def _z(self, embeddings: Tensor) -> Tensor:
        # Not in half precision, in which a small divergence would be lost.
        with torch.autocast(embeddings.device.type, enabled=False):
            z = widen(embeddings)
            return (F.normalize(z, dim=-1) if self.z_from == "after_normalization" else z) / self.softmax_temperature

    def _nce(self, anchor: Tensor, candidates: Gathered, start: int) -> Tensor:
        return info_nce_rows(anchor, candidates.rows, self.temperature, first_positive=candidates.offset + start)

    def _targets(self, columns: int) -> tuple[list[int], list[int]]:
        if not self.target_queries:
            if columns < 3:
                raise InputError(
                    "too few columns", field="columns", seen=columns, allowed="query, passage, target passage, ..."
                )
            return list(range(_FIRST_TARGET, columns)), []
        if columns < 4 or columns % 2:
            raise InputError(
                "the columns do not fit target_queries=True",
                field="columns",
                seen=columns,
                allowed="query, passage, target passages, then one target-language query for each of them",
            )
        middle = (columns + _FIRST_TARGET) // 2
        return list(range(_FIRST_TARGET, middle)), list(range(middle, columns))

    def _directed(self, passage: int, query: int) -> list[tuple[int, int]]:
        forward, backward = (passage, query), (query, passage)
        return {
            "passage_to_query": [forward],
            "query_to_passage": [backward],
            "symmetric": [forward, backward],
        }[self.direction]


def _mean(rows: list[Tensor]) -> Tensor:
    return sum(rows[1:], rows[0]) / len(rows)
