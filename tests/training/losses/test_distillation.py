from __future__ import annotations

import math

import pytest
import torch

from haystack_crossalign.training.losses.distillation import (
    AnchorDistillation,
    SimilarityDistillation,
    similarity_divergence,
)
from haystack_crossalign.training.recipe.sections import SIMILARITIES


def slow_divergence(a, b, ta, tb, temperature: float, without_own: bool) -> float:
    """KL(teacher || student) from the formula, element by element."""

    def cosine(x, y) -> float:
        return float(x @ y) / math.sqrt(float(x @ x) * float(y @ y))

    total = 0.0
    for i in range(len(a)):
        places = [j for j in range(len(b)) if not (without_own and j == i)]
        student = [math.exp(cosine(a[i], b[j]) / temperature) for j in places]
        teacher = [math.exp(cosine(ta[i], tb[j]) / temperature) for j in places]
        for s, t in zip(student, teacher, strict=True):
            p, q = t / sum(teacher), s / sum(student)
            total += p * math.log(p / q)
    return total / len(a)


def random(rows: int, dim: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("without_own", [False, True])
def test_the_divergence_equals_a_slow_reference(without_own: bool) -> None:
    a, b, ta, tb = random(5, 8, 0), random(5, 8, 1), random(5, 6, 2), random(5, 6, 3)
    value = similarity_divergence(a, b, ta, tb, 0.3, without_own=without_own)
    assert value.item() == pytest.approx(slow_divergence(a, b, ta, tb, 0.3, without_own), rel=1e-5)


def test_it_is_zero_where_both_agree_also_after_a_rotation_and_any_scale() -> None:
    a, b = random(5, 8, 0), random(5, 8, 1)
    rotation, _ = torch.linalg.qr(random(8, 8, 5))
    assert similarity_divergence(3 * a @ rotation, b @ rotation, a, b, 0.1).item() == pytest.approx(0, abs=1e-6)


def test_a_batch_of_one_row_has_nothing_to_compare() -> None:
    a = random(1, 8, 0).requires_grad_()
    value = similarity_divergence(a, a, a.detach(), a.detach(), 0.1, without_own=True)
    assert value.item() == 0
    value.backward()


def test_pairs_stay_inside_a_language() -> None:
    term = SimilarityDistillation(1.0, 0.1, SIMILARITIES)
    # query, passage, target
    assert term.pairs(3, 1) == [(0, 1), (1, 1), (2, 2)]
    # query, passage, target, target query
    assert term.pairs(4, 1) == [(0, 1), (1, 1), (3, 2), (2, 2)]
    # query, passage, two targets and their queries
    assert term.pairs(6, 2) == [(0, 1), (1, 1), (4, 2), (5, 3), (2, 2), (3, 3)]
    assert SimilarityDistillation(1.0, 0.1, ("query:passage",)).pairs(4, 1) == [(0, 1)]


def test_the_term_is_the_weighted_mean_over_pairs_and_0_without_any() -> None:
    student = [random(4, 8, seed).float() for seed in range(3)]
    teacher = [random(4, 8, seed).float() for seed in range(3, 6)]
    value = SimilarityDistillation(0.5, 0.2, ("query:passage", "target:target"))(student, teacher, 1)
    first = slow_divergence(student[0], student[1], teacher[0], teacher[1], 0.2, False)
    second = slow_divergence(student[2], student[2], teacher[2], teacher[2], 0.2, True)
    assert value.item() == pytest.approx(0.5 * (first + second) / 2, rel=1e-4)
    assert SimilarityDistillation(0.5, 0.2, ("target_query:target",))(student, teacher, 1).item() == 0


@pytest.mark.parametrize("extended", [False, True])
def test_anchors_equal_a_slow_reference(extended: bool) -> None:
    """Query, passage, two targets, two target queries: all against the teacher's queries and passages."""
    student, teacher = ([random(4, 8, seed) for seed in range(start, start + 6)] for start in (0, 10))
    more = random(5, 8, 20)
    given = torch.zeros(6, 4, dtype=torch.bool)
    if extended:
        given[0] = True  # no query is embedded
        given[1, :3] = True
    anchors = [*teacher[0], *teacher[1], *(more if extended else ())]
    first = {0: 0, 4: 0, 5: 0, 1: 4, 2: 4, 3: 4}  # row of the first anchor of each column
    columns = []
    for number, column in enumerate(student):
        counted = []
        for row, text in enumerate(column):
            if given[number, row]:
                continue
            cosines = [float(text @ one / text.norm() / one.norm()) for one in anchors]
            own = cosines[first[number] + row]
            others = math.log(sum(math.exp(one / 0.2) for one in cosines))
            counted.append(others - own / 0.2 + (3 if number > 1 else 7) * (1 - own))
        if counted:
            columns.append(sum(counted) / len(counted))
    options = {"given": given, "negatives": more} if extended else {}
    value = AnchorDistillation(0.5, 0.2, 3.0, 7.0)(student, teacher, 2, **options)
    assert value.item() == pytest.approx(0.5 * sum(columns) / len(columns), rel=1e-5)


def test_anchors_draw_translations_to_the_teachers_originals() -> None:
    teacher = [random(6, 8, seed) for seed in range(4)]
    originals = [teacher[0], teacher[1], teacher[1], teacher[0]]
    term = AnchorDistillation(1.0, 0.05, 5.0, 5.0)
    assert term(originals, teacher, 1) < term(teacher, teacher, 1)
    moving = [column.clone().requires_grad_() for column in teacher]
    term(moving, teacher, 1).backward()
    for column, towards in zip(moving, originals, strict=True):
        step = column.detach() - 0.1 * column.grad
        before = torch.cosine_similarity(column.detach(), towards)
        after = torch.cosine_similarity(step, towards)
        # What stands at its own place stays there but for the contrast with its neighbours.
        assert (after > before - 1e-3).all()
