from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from training_runs import made_recipe, made_triplets

from haystack_crossalign.data.triplets import Triplet
from haystack_crossalign.errors import InputError
from haystack_crossalign.models.prompts import Prompts
from haystack_crossalign.training.batches.packing import (
    DOCUMENT,
    QUERY,
    Packed,
    TextTable,
    embed_packed,
    embed_table,
    pack,
)
from haystack_crossalign.training.batches.rows import Collator, TrainRow, kind_batch_sampler, make_rows
from haystack_crossalign.training.losses.distillation import AnchorDistillation
from haystack_crossalign.training.losses.joint import CrossAlignLoss
from haystack_crossalign.training.losses.unnormalized import without_final_normalization
from haystack_crossalign.training.recipe.recipe import make_recipe
from haystack_crossalign.training.recipe.sections import LossOptions
from haystack_crossalign.training.trainer_setup import _arguments
from haystack_crossalign.training.training_loss import TrainingLoss

PROMPTS = Prompts("w1 ", "w2 ", "model")


def table_with(model: SentenceTransformer, texts: list[str]) -> tuple[TextTable, list[int]]:
    table = TextTable(model, PROMPTS)
    return table, [table.add(QUERY if number % 3 == 0 else DOCUMENT, text) for number, text in enumerate(texts)]


def test_packed_texts_are_embedded_as_each_alone(tiny_model, make_texts) -> None:
    (texts,) = make_texts(1, 23)
    table, rows = table_with(tiny_model, texts)
    packed = pack(table, rows, budget=30)
    assert len(packed.parts) > 4
    sizes = [part["input_ids"].numel() for part in packed.parts]
    assert max(sizes) <= 30
    together = embed_packed(tiny_model, packed).detach()
    for place, text in enumerate(texts):
        alone = tiny_model.encode([text], prompt="w1 " if place % 3 == 0 else "w2 ")
        np.testing.assert_allclose(together[place].numpy(), alone[0], atol=1e-5)
    np.testing.assert_allclose(embed_table(tiny_model, table, rows, device="cpu", bf16=False), together, atol=1e-5)


def test_embedding_for_evaluation_leaves_the_mode_of_the_model(tiny_model, make_texts) -> None:
    table, rows = table_with(tiny_model, make_texts(1, 4)[0])
    tiny_model.train()
    first = embed_table(tiny_model, table, rows, device="cpu", bf16=False)
    assert tiny_model.training
    # Dropout was off, else a second pass would differ.
    np.testing.assert_array_equal(first, embed_table(tiny_model, table, rows, device="cpu", bf16=False))


def test_bf16_is_close_and_leaves_no_trace(tiny_model, make_texts) -> None:
    table, rows = table_with(tiny_model, make_texts(1, 8)[0])
    exact = embed_table(tiny_model, table, rows, device="cpu", bf16=False)
    rounded = embed_table(tiny_model, table, rows, device="cpu", bf16=True)
    assert 0 < np.abs(exact - rounded).max() < 0.05
    np.testing.assert_array_equal(exact, embed_table(tiny_model, table, rows, device="cpu", bf16=False))


def test_texts_are_cut_and_the_limit_of_the_model_stays(tiny_model) -> None:
    table = TextTable(tiny_model, Prompts("", "", "none"), max_tokens=8)
    row = table.add(QUERY, " ".join(["w3"] * 20))
    assert table.lengths([row]).tolist() == [8]
    assert tiny_model.max_seq_length == 32


def test_a_model_without_tokens_is_refused() -> None:
    class Bag:
        max_seq_length = None
        tokenizer = None

        def preprocess(self, texts: list[str], **_: object) -> dict[str, torch.Tensor]:
            return {"values": torch.zeros(len(texts), 4)}

    table = TextTable(Bag(), PROMPTS)
    with pytest.raises(InputError, match="transformer"):
        table.lengths([table.add(QUERY, "a")])


@pytest.mark.parametrize("queries", [False, True])
@pytest.mark.parametrize("z_from", ["before_normalization", "after_normalization"])
def test_the_loss_of_a_packed_batch_and_its_gradient_are_those_of_the_joint_loss(
    tiny_model, queries: bool, z_from: str
) -> None:
    triplets = [one for one in made_triplets(12) if bool(one.target_queries) == queries]
    table = TextTable(tiny_model, PROMPTS)
    rows = make_rows(triplets, table, languages=["zh"], batch_languages="one")
    batch = Collator(rows, table, budget=40)([{"row": number} for number in range(len(rows))])
    tokens = {"token_weight": 2.0, "token_temperature": 0.1, "token_limit": 9}
    packed_loss = TrainingLoss(tiny_model, LossOptions(z_from=z_from, temperature=0.1, **tokens))
    terms = packed_loss([batch])
    sum(terms.values()).backward()
    found = {name: weight.grad.clone() for name, weight in tiny_model.named_parameters() if weight.grad is not None}
    tiny_model.zero_grad()

    texts = [[one.query for one in triplets], [one.passage for one in triplets]]
    texts += [[one.targets["zh"] for one in triplets]]
    texts += [[one.target_queries["zh"] for one in triplets]] if queries else []
    prompts = ["w1 ", "w2 ", "w2 ", "w1 "]
    plain = CrossAlignLoss(tiny_model, z_from=z_from, temperature=0.1, target_queries=queries, **tokens)
    expected = plain([tiny_model.preprocess(column, prompt=prompts[place]) for place, column in enumerate(texts)])
    sum(expected.values()).backward()
    assert terms.keys() == expected.keys() == {"jsd", "nce", "token"}
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, rtol=1e-4, atol=1e-6)
    for name, weight in tiny_model.named_parameters():
        if weight.grad is not None:
            torch.testing.assert_close(found[name], weight.grad, rtol=1e-3, atol=1e-5, msg=name)


def test_a_text_that_stands_twice_in_a_batch_is_embedded_once(tiny_model) -> None:
    triplets = [replace(one, query="w1 w2") for one in made_triplets(4)]
    table = TextTable(tiny_model, PROMPTS)
    rows = make_rows(triplets, table, languages=["zh"], batch_languages="mixed")
    batch = Collator(rows[:1] + rows[2:3], table, budget=100)([{"row": 0}, {"row": 1}])
    assert len(batch["order"]) == 5
    assert batch["columns"][0].tolist() == [0, 0]
    with torch.no_grad(), without_final_normalization(tiny_model):
        embedded = embed_packed(tiny_model, Packed(tuple(batch["parts"]), batch["order"]))
    assert len(embedded) == 5


def test_rows_of_each_layout(tiny_model) -> None:
    triplets = made_triplets(4, ("zh", "ar"))

    def kinds(batch_languages: str) -> tuple[list[int], Counter[str]]:
        rows = make_rows(
            triplets, TextTable(tiny_model, PROMPTS), languages=["zh", "ar"], batch_languages=batch_languages
        )
        return sorted({len(row.columns) for row in rows}), Counter(row.kind for row in rows)

    assert kinds("one") == ([3, 4], Counter({"zh": 2, "ar": 2, "zh with queries": 2, "ar with queries": 2}))
    assert kinds("mixed") == ([3, 4], Counter({"mixed": 4, "mixed with queries": 4}))
    assert kinds("all") == ([4, 6], Counter({"zh+ar": 2, "zh+ar with queries": 2}))


@pytest.mark.parametrize(("processes", "neighbours"), [(1, 1), (2, 1), (1, 3), (2, 3)])
def test_batches_hold_one_kind_and_no_key_twice_in_every_epoch(processes: int, neighbours: int) -> None:
    rows = [
        TrainRow((0, 1), 0, f"kind {number % 3}", "", {("group", number // 7), ("query", number)}, f"a{number // 14}")
        for number in range(120)
    ]
    sampler = kind_batch_sampler(rows, processes=processes, neighbours=neighbours)(rows, 4, False, seed=1)
    orders, counts = [], set()
    for epoch in range(4):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        counts.add(len(batches))
        assert len(sampler) == len(batches)
        for start in range(0, len(batches), processes):
            step = [row for batch in batches[start : start + processes] for row in batch]
            assert len({rows[row].kind for row in step}) == 1
            held = [key for row in step for key in rows[row].keys]
            assert len(held) == len(set(held))
        if processes == 1 and epoch == 0:
            assert sorted(row for batch in batches for row in batch) == list(range(120))
        orders.append(batches)
    # The trainer takes the number of batches for the same in every epoch.
    assert len(counts) == 1
    assert orders[0] != orders[1]
    sampler.set_epoch(0)
    assert list(sampler) == orders[0]


def with_sizes(sizes: dict[str, int]) -> list[TrainRow]:
    """Rows of several languages, every third without a query of the target language."""
    names = [(tag, number) for tag, size in sizes.items() for number in range(size)]
    return [
        TrainRow((0, 1, 2), 1, f"{tag}{' with queries' if number % 3 else ''}", tag, {("group", tag, number)}, tag)
        for tag, number in names
    ]


def test_a_language_that_several_processes_cannot_share_is_told(tiny_model, tmp_path: Path) -> None:
    triplets = [
        *made_triplets(20),
        *(replace(one, id=f"{one.id} th", group="one") for one in made_triplets(6, ("th",))),
    ]
    table = TextTable(tiny_model, PROMPTS)

    def steps(batch_languages: str, processes: int) -> int:
        recipe = made_recipe(tmp_path, languages=["zh", "th"], batch_languages=batch_languages)
        rows = make_rows(triplets, table, languages=["zh", "th"], batch_languages=batch_languages)
        return _arguments(recipe, rows, tmp_path, "cpu", processes).max_steps

    # All Thai rows are of one group, so that no batch has two of them.
    for batch_languages in ("one", "all"):
        with pytest.raises(InputError, match=r"no step has a row of the language for each of the 2.*seen: \['th'\]"):
            steps(batch_languages, 2)
    assert steps("mixed", 2) > 0
    assert steps("one", 1) > 0


@pytest.mark.parametrize("processes", [2, 8])
def test_small_languages_are_trained_by_several_processes_too(processes: int) -> None:
    rows = with_sizes({"zh": 100, "th": 31, "ar": 30})
    sampler = kind_batch_sampler(rows, processes=processes)(rows, 16, False, seed=1)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        for start in range(0, len(batches), processes):
            assert len({len(batch) for batch in batches[start : start + processes]}) == 1
        dealt = Counter(rows[row].language for batch in batches for row in batch)
        for tag, size in {"zh": 100, "th": 31, "ar": 30}.items():
            # What is left over of each kind, with queries and without, is fewer than there are processes.
            assert size - 2 * (processes - 1) <= dealt[tag] <= size


@pytest.mark.parametrize(
    ("exponent", "expected"),
    [
        (1.0, {"es": 96, "zh": 48, "th": 6}),
        (0.5, {"es": 77, "zh": 54, "th": 19}),
        (0.0, {"es": 50, "zh": 50, "th": 50}),
    ],
)
def test_languages_come_as_often_as_the_exponent_says(exponent: float, expected: dict[str, int]) -> None:
    rows = with_sizes({"es": 96, "zh": 48, "th": 6})
    sampler = kind_batch_sampler(rows, exponent=exponent)(rows, 5, False, seed=1)
    seen: set[int] = set()
    counts = set()
    for epoch in range(20):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        counts.add(len(batches))
        for batch in batches:
            assert len({rows[row].kind for row in batch}) == 1
            assert len(set(batch)) == len(batch)
        dealt = Counter(row for batch in batches for row in batch)
        if epoch == 0:  # later ones have as many steps, so that a row or two can be missing
            assert Counter(rows[row].language for row in dealt.elements()) == expected
            for tag in expected:
                # Each row as often as every other, but for one.
                own = [dealt[row] for row in range(len(rows)) if rows[row].language == tag]
                assert max(own) - min(own) <= 1
        seen |= set(dealt)
    assert len(counts) == 1
    # What one epoch leaves out, another takes.
    assert seen == set(range(len(rows)))


def test_a_recipe_says_how_evenly_languages_come(tmp_path: Path) -> None:
    rows = with_sizes({"es": 96, "th": 6})
    for exponent, expected in ((1, {"es": 96, "th": 6}), (0, {"es": 51, "th": 51})):
        recipe = make_recipe({"model": "m", "languages": ["es", "th"], "language_exponent": exponent})
        sampler = _arguments(recipe, rows, tmp_path, "cpu", 1).batch_sampler
        batches = sampler(rows, 6, False, seed=0)
        assert Counter(rows[row].language for batch in batches for row in batch) == expected


def translated(count: int) -> list[Triplet]:
    """Triplets that all have target-language queries."""
    return [one for one in made_triplets(2 * count) if one.target_queries]


def test_the_teacher_gives_some_of_the_source_texts_and_no_gradient_goes_there(tiny_model) -> None:
    table = TextTable(tiny_model, PROMPTS)
    rows = make_rows(translated(12), table, languages=["zh"], batch_languages="one")
    features = [{"row": number} for number in range(8)]
    teacher = torch.nn.functional.normalize(torch.randn(len(table), 32, generator=torch.manual_seed(0)), dim=-1)
    whole = Collator(rows, table, budget=256, teacher=teacher)(features)
    assert "given" not in whole
    for share in (0.0, 0.25):
        collate = Collator(rows, table, budget=256, teacher=teacher, source_share=share)
        batch = collate(features)
        sources = len({text for row in rows[:8] for text in row.columns[:2]})
        assert len(batch["given"]) == round((1 - share) * sources)
        embedded = sum(len(part["input_ids"]) for part in batch["parts"])
        assert embedded + len(batch["given"]) == len(batch["teacher"]) == len(whole["teacher"])
        assert int(batch["columns"][2:].max()) < embedded  # target passages and queries
        torch.testing.assert_close(batch["given"], batch["teacher"][embedded:])
        for column, rows_of in zip(batch["columns"], zip(*(row.columns for row in rows[:8]), strict=True), strict=True):
            torch.testing.assert_close(batch["teacher"][column], teacher[torch.tensor(rows_of)])
        again = collate(features)
        assert torch.equal(again["columns"], batch["columns"])
        others = collate([{"row": number} for number in range(4, 12)])
        assert others["given"].shape == batch["given"].shape


def test_given_texts_stand_in_the_loss_as_the_teacher_has_them(tiny_model) -> None:
    table = TextTable(tiny_model, PROMPTS)
    rows = make_rows(translated(8), table, languages=["zh"], batch_languages="one")
    used = list(range(len(table)))
    own = torch.from_numpy(embed_table(tiny_model, table, used, device="cpu", bf16=False))
    features = [{"row": number} for number in range(8)]
    found = []
    for share in (1.0, 0.5):
        loss = TrainingLoss(
            tiny_model,
            LossOptions(alignment_weight=0, nce_weight=0, pool_weight=1.0, temperature=0.1),
            anchors=AnchorDistillation(1.0, 0.1, 5.0, 5.0),
            bf16=False,
            target_queries=True,
            without=False,
        )
        terms = loss([Collator(rows, table, budget=256, teacher=own, source_share=share)(features)])
        found.append({name: term.item() for name, term in terms.items()})
        sum(terms.values()).backward()
        assert all(weight.grad is None or weight.grad.isfinite().all() for weight in tiny_model.parameters())
    # The teacher is the model itself, before any step: the pool is the same, whoever gives the passages.
    assert found[0]["pool"] == pytest.approx(found[1]["pool"], rel=1e-4)
    assert found[0]["anchor"] != pytest.approx(found[1]["anchor"], rel=1e-4)


def test_tokens_are_aligned_in_the_rows_whose_passage_is_embedded(tiny_model) -> None:
    table = TextTable(tiny_model, PROMPTS)
    rows = make_rows(translated(8), table, languages=["zh"], batch_languages="one")
    used = list(range(len(table)))
    own = torch.from_numpy(embed_table(tiny_model, table, used, device="cpu", bf16=False))
    alone = {"alignment_weight": 0.0, "nce_weight": 0.0, "token_weight": 1.0, "token_temperature": 0.1}
    loss = TrainingLoss(tiny_model, LossOptions(**alone), without=False)

    def value(numbers: list[int], share: float) -> tuple[dict, float]:
        collate = Collator(rows, table, budget=64, teacher=own, source_share=share)
        batch = collate([{"row": number} for number in numbers])
        with torch.no_grad():
            return batch, float(loss([batch])["token"])

    batch, found = value(list(range(8)), 0.5)
    texts = sum(len(part["input_ids"]) for part in batch["parts"])
    embedded = [number for number, place in enumerate(batch["columns"][1].tolist()) if place < texts]
    assert 0 < len(embedded) < 8
    assert found == pytest.approx(value(embedded, 1.0)[1], rel=1e-4)
    assert found != pytest.approx(value(list(range(8)), 1.0)[1], rel=1e-4)


def test_more_negatives_are_source_texts_of_other_rows(tiny_model) -> None:
    table = TextTable(tiny_model, PROMPTS)
    rows = make_rows(translated(12), table, languages=["zh"], batch_languages="one")
    teacher = torch.arange(len(table), dtype=torch.float32)[:, None]
    collate = Collator(rows, table, budget=256, teacher=teacher, negatives=6)
    for chosen in (range(8), range(4, 12)):
        batch = collate([{"row": number} for number in chosen])
        drawn = [int(one) for one in batch["negatives"][:, 0]]
        others = {text for number, row in enumerate(rows) if number not in chosen for text in row.columns[:2]}
        assert len(set(drawn)) == 6
        assert set(drawn) <= others
    many = Collator(rows, table, budget=256, teacher=teacher, negatives=1000)
    assert len(many([{"row": number} for number in range(8)])["negatives"]) == 8


def test_only_a_teacher_can_give_texts(tiny_model) -> None:
    table = TextTable(tiny_model, PROMPTS)
    with pytest.raises(InputError, match="source_share"):
        Collator([], table, budget=256, source_share=0.5)


def test_few_negatives_of_many_texts_are_drawn_without_laying_out_all(tiny_model) -> None:
    table = TextTable(tiny_model, PROMPTS)
    rows = make_rows(translated(200), table, languages=["zh"], batch_languages="one")
    teacher = torch.arange(len(table), dtype=torch.float32)[:, None]
    collate = Collator(rows, table, budget=256, teacher=teacher, negatives=8)
    seen: set[int] = set()
    for start in range(0, 200, 2):
        features = [{"row": start}, {"row": start + 1}]
        drawn = [int(one) for one in collate(features)["negatives"][:, 0]]
        own = {text for number in (start, start + 1) for text in rows[number].columns}
        assert len(set(drawn)) == 8
        assert drawn == sorted(drawn)
        assert own.isdisjoint(drawn)
        assert drawn == [int(one) for one in collate(features)["negatives"][:, 0]]
        seen.update(drawn)
    sources = {text for row in rows for text in row.columns[:2]}
    assert seen <= sources
    assert len(seen) > 0.75 * len(sources)  # 800 draws of 400


def test_texts_of_both_roles_are_tokenized_many_at_once(tiny_model, make_texts, monkeypatch) -> None:
    texts = make_texts(3, 300)[0]
    table, calls, plain = TextTable(tiny_model, PROMPTS), [], tiny_model.preprocess
    monkeypatch.setattr(tiny_model, "preprocess", lambda texts, **more: calls.append(texts) or plain(texts, **more))
    rows = [(role, table.add(role, text), text) for text in texts for role in (QUERY, DOCUMENT)]
    lengths = table.lengths([row for _, row, _ in rows])
    assert len(calls) == 2
    late = table.add(QUERY, "w1 w2 w3")
    for role, row, text in [*rows[::37], (QUERY, late, "w1 w2 w3")]:
        alone = plain([text], prompt=[PROMPTS.query, PROMPTS.document][role] or None, task=["query", "document"][role])
        found = table.tokens(row)
        for name in ("input_ids", "attention_mask"):
            assert torch.equal(found[name], alone[name][0])
            assert found[name].dtype == alone[name].dtype
        assert row == late or lengths[row] == len(found["input_ids"])
    assert len(calls) == 3
