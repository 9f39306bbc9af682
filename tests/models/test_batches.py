from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from haystack_crossalign.models.batches import length_batches


@given(st.lists(st.integers(1, 600), max_size=200), st.integers(1, 2000))
def test_every_text_is_in_one_batch_and_batches_stay_in_the_budget(lengths: list[int], budget: int) -> None:
    array = np.array(lengths, dtype=np.int64)
    batches = list(length_batches(array, budget))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * array[batch].max() <= budget


def test_equal_lengths_keep_their_order_and_the_longest_come_first() -> None:
    batches = list(length_batches(np.array([3, 7, 3, 7, 3]), 14))
    assert [batch.tolist() for batch in batches] == [[1, 3], [0, 2, 4]]


def test_a_batch_has_no_more_texts_than_asked_for() -> None:
    batches = list(length_batches(np.array([3, 7, 3, 7, 3]), 1000, most=2))
    assert [batch.tolist() for batch in batches] == [[1, 3], [0, 2], [4]]
