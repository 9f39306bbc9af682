"""Distillation: preserve similarities within each language, and pull translations to the teacher's embedding of the
original.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch code uses
from torch import Tensor

_QUERY, _PASSAGE, _FIRST_TARGET = 0, 1, 2


@dataclass(frozen=True)
class SimilarityDistillation:
    """``weight`` times the mean of ``KL(softmax(S_teacher / t) || softmax(S_student / t))`` over pairs of columns.

    S are the cosines of anchors and candidates of the same language within the batch. If both are the same column, the
    similarity of a text to itself is left out, as it is 1 for teacher and student.

    :param weight: weight of the term.
    :param temperature: t.
    :param similarities: pairs such as ``"query:passage"`` and ``"target_query:target"``.
    """

    weight: float
    temperature: float
    similarities: tuple[str, ...]

    def pairs(self, columns: int, targets: int) -> list[tuple[int, int]]:
        """Pairs of column numbers to compare.

        :param columns: number of columns.
        :param targets: number of target passages among them; any further columns are target-language queries.
        """
        passages = list(range(_FIRST_TARGET, _FIRST_TARGET + targets))
        queries = list(range(_FIRST_TARGET + targets, columns))
        pairs_by_name: dict[str, list[tuple[int, int]]] = {
            "query:passage": [(_QUERY, _PASSAGE)],
            "passage:passage": [(_PASSAGE, _PASSAGE)],
            "target_query:target": list(zip(queries, passages, strict=False)),
            "target:target": [(passage, passage) for passage in passages],
        }
        return [pair for name in self.similarities for pair in pairs_by_name[name]]

    def __call__(self, student: Sequence[Tensor], teacher: Sequence[Tensor], targets: int) -> Tensor:
        """The weighted term.

        :param student: ``[batch, dim]`` per column, of any length.
        :param teacher: the same of the teacher, without gradient; its dimension may differ.
        :param targets: number of target passages.
        """
        each = [
            similarity_divergence(student[a], student[b], teacher[a], teacher[b], self.temperature, without_own=a == b)
            for a, b in self.pairs(len(student), targets)
        ]
        return self.weight * torch.stack(each).mean() if each else student[0].new_zeros(())


@dataclass(frozen=True)
class AnchorDistillation:
    """Pull every version of a text to the teacher's embedding of the source-language version: the mean over the columns
    of

        weight * (-log(exp(s_ii / t) / sum_j exp(s_ij / t)) + attraction * (1 - s_ii))

    over the embedded texts of a column, with ``s_ij`` the cosine of the student's text i and the teacher's
    source-language text j, among all queries and passages of the batch and additionally drawn ones. This is
    multilingual knowledge distillation (Reimers and Gurevych 2020) with a contrastive term in addition to the distance.
    Source-language texts are pulled to their own teacher embeddings, so that their retrieval does not change; a
    translated query or passage retrieves what its original retrieves.

    :param weight: weight of the term.
    :param temperature: t.
    :param attraction: weight of the distance relative to the contrast.
    :param source_attraction: the same for source-language texts, which it keeps in place.
    """

    weight: float
    temperature: float
    attraction: float
    source_attraction: float

    def __call__(
        self,
        student: Sequence[Tensor],
        teacher: Sequence[Tensor],
        targets: int,
        *,
        given: Tensor | None = None,
        negatives: Tensor | None = None,
    ) -> Tensor:
        """The weighted term.

        :param student: ``[batch, dim]`` per column, of any length.
        :param teacher: the same of the teacher, without gradient and of the student's dimension.
        :param targets: number of target passages.
        :param given: bool ``[columns, batch]``: texts represented by the teacher's embeddings, which are not counted.
        :param negatives: ``[n, dim]``, the teacher's embeddings of further source-language texts, as negatives.
        """
        rows = len(student[_QUERY])
        passages = {_PASSAGE, *range(_FIRST_TARGET, _FIRST_TARGET + targets)}
        with torch.autocast(student[_QUERY].device.type, enabled=False):
            more = [] if negatives is None else [negatives]
            anchors = F.normalize(torch.cat([teacher[_QUERY], teacher[_PASSAGE], *more]).float(), dim=-1)
            own = torch.arange(rows, device=anchors.device)
            each = []
            for number, column in enumerate(student):
                cosines = F.normalize(column.float(), dim=-1) @ anchors.T
                labels = own + rows if number in passages else own
                if given is not None:
                    cosines, labels = cosines[~given[number]], labels[~given[number]]
                    if not len(labels):
                        continue
                distance = 1 - cosines.gather(1, labels[:, None]).mean()
                attraction = self.attraction if number >= _FIRST_TARGET else self.source_attraction
                each.append(F.cross_entropy(cosines / self.temperature, labels) + attraction * distance)
        return self.weight * torch.stack(each).mean()


def similarity_divergence(
    anchors: Tensor,
    candidates: Tensor,
    teacher_anchors: Tensor,
    teacher_candidates: Tensor,
    temperature: float,
    *,
    without_own: bool = False,
) -> Tensor:
    """Mean over the anchors of ``KL(softmax(S_teacher / t) || softmax(S_student / t))`` with S cosines.

    :param anchors: ``[n, dim]``.
    :param candidates: ``[m, dim]``.
    :param teacher_anchors: ``[n, teacher dim]``.
    :param teacher_candidates: ``[m, teacher dim]``.
    :param temperature: t, above 0.
    :param without_own: leave out candidate i for anchor i; needs at least three rows to have an effect.
    :returns: a scalar, 0 if both agree.
    """
    with torch.autocast(anchors.device.type, enabled=False):
        student = _scores(anchors, candidates, temperature, without_own)
        target = _scores(teacher_anchors, teacher_candidates, temperature, without_own)
        if not student.shape[1]:
            return student.sum()
        return F.kl_div(F.log_softmax(student, -1), F.log_softmax(target, -1), reduction="batchmean", log_target=True)


def _scores(anchors: Tensor, candidates: Tensor, temperature: float, without_own: bool) -> Tensor:
    scores = F.normalize(anchors.float(), dim=-1) @ F.normalize(candidates.float(), dim=-1).T / temperature
    if not without_own:
        return scores
    rows = len(scores)
    others = ~torch.eye(rows, dtype=torch.bool, device=scores.device)
    return scores[others].reshape(rows, rows - 1)
