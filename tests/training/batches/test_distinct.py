from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

from haystack_crossalign.data.triplets import Triplet, article_of, columns
from haystack_crossalign.errors import InputError
from haystack_crossalign.training import CrossAlignLoss
from haystack_crossalign.training.batches.distinct import (
    DistinctBatchSampler,
    batch_sampler,
    distinct_batches,
    triplet_keys,
)


def triplet(number: int, **changes: object) -> Triplet:
    values = {
        "id": f"t{number}",
        "group": f"g{number}",
        "language": "en",
        "query": f"query {number}",
        "passage": f"passage {number}",
        "targets": {"zh": f"文 {number}"},
    }
    return Triplet(**(values | changes))  # type: ignore[arg-type]


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.frozensets(st.integers(0, 12), min_size=1, max_size=3), max_size=40),
    st.integers(1, 6),
    st.integers(0, 5),
    st.integers(1, 4),
)
def test_every_row_is_dealt_once_and_no_batch_holds_a_key_twice(
    keys: list[frozenset[int]], batch_size: int, seed: int, neighbours: int
) -> None:
    dealt = {"seed": seed, "articles": [str(max(one) // 4) for one in keys], "neighbours": neighbours}
    batches = distinct_batches(keys, batch_size, **dealt)
    assert sorted(itertools.chain(*batches)) == list(range(len(keys)))
    for batch in batches:
        assert 0 < len(batch) <= batch_size
        held = [key for row in batch for key in keys[row]]
        assert len(held) == len(set(held))
    full = distinct_batches(keys, batch_size, drop_last=True, **dealt)
    assert sorted(full) == sorted(batch for batch in batches if len(batch) == batch_size)


def test_batches_are_full_where_keys_differ() -> None:
    batches = distinct_batches([{number} for number in range(23)], 5, seed=0)
    assert sorted(map(len, batches)) == [3, 5, 5, 5, 5]


def test_neighbours_of_one_article_come_into_a_batch_together() -> None:
    articles = [str(row % 10) for row in range(120)]
    keys = [{row} for row in range(120)]

    def of_one_article(neighbours: int) -> float:
        batches = distinct_batches(keys, 12, seed=3, articles=articles, neighbours=neighbours)
        pairs = [articles[a] == articles[b] for batch in batches for a, b in itertools.combinations(batch, 2)]
        return sum(pairs) / len(batches)

    # Twelve of an article: in fours they are three times six pairs in a batch, in twelves all 66.
    assert of_one_article(12) == 66
    assert 18 <= of_one_article(4) < 30
    assert of_one_article(1) < 10
    assert len({str(distinct_batches(keys, 12, seed=s, articles=articles, neighbours=4)) for s in range(5)}) == 5
    with pytest.raises(InputError, match="neighbours"):
        distinct_batches(keys, 12, seed=0, articles=articles, neighbours=0)


@pytest.mark.parametrize(
    ("group", "article"),
    [
        ("squad:Oil:7", "squad:Oil"),
        ("file.md#2", "file.md"),
        ("a:1/2", "a"),
        ("g1", "g1"),
        (":1", ":1"),
        ("https://site/page", "https://site/page"),
        ("https://site:8080/page", "https://site:8080/page"),
        ("https://site:8080/page:2", "https://site:8080/page"),
        ("https://site/page#part/2", "https://site/page"),
    ],
)
def test_an_article_is_what_stands_before_the_last_mark(group: str, article: str) -> None:
    assert article_of(group) == article


def test_query_passage_group_and_translations_each_keep_triplets_apart() -> None:
    base = triplet(0, target_queries={"zh": "问 0"})
    for change in (
        {"query": "QUERY  0"},
        {"passage": "Passage 0"},
        {"group": "g0"},
        {"targets": {"zh": "文 0"}},
        {"target_queries": {"zh": "问 0"}},
    ):
        assert not triplet_keys(base).isdisjoint(triplet_keys(triplet(1, **change)))
    assert triplet_keys(base).isdisjoint(triplet_keys(triplet(1)))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    keys = [{number} for number in range(50)]

    def order(seed: int, epoch: int) -> list[list[int]]:
        sampler = DistinctBatchSampler(range(50), keys, 8, False, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(0, 0) == order(0, 0)
    assert len({str(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9
    assert len(DistinctBatchSampler(range(50), keys, 8, True)) == 6
    with pytest.raises(InputError, match="keys"):
        DistinctBatchSampler(range(49), keys, 8, False)


def test_batches_of_one_step_share_no_key_over_processes() -> None:
    keys = [{number % 12} for number in range(60)]
    sampler = DistinctBatchSampler(range(60), keys, 4, False, processes=2)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert len(batches) % 2 == 0
    assert batches
    for first, second in zip(batches[::2], batches[1::2], strict=True):
        held = [next(iter(keys[row])) for row in first + second]
        assert len(held) == len(set(held)) == 2 * len(first)
    dealt = [row for batch in batches for row in batch]
    # Of a step that is not full, one row can be too many for two equal parts.
    assert 60 - len(batches) // 2 <= len(dealt) == len(set(dealt))
    assert len({len(batch) for batch in batches}) > 1


def test_the_stock_trainer_gets_batches_without_false_negatives(tiny_model, tmp_path: Path) -> None:
    triplets = [triplet(number, group=f"g{number // 2}", query=f"w{number // 2}") for number in range(16)]
    data = Dataset.from_dict(columns(triplets, ["zh"]))
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=4,
        batch_sampler=batch_sampler(triplets),
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = SentenceTransformerTrainer(
        model=tiny_model, args=arguments, train_dataset=data, loss=CrossAlignLoss(tiny_model)
    )
    queries = [batch["query_input_ids"].numpy() for batch in trainer.get_train_dataloader()]
    assert sum(map(len, queries)) == 16
    for batch in queries:
        assert len(np.unique(batch, axis=0)) == len(batch)
    assert trainer.train().global_step == 3 * len(queries)
