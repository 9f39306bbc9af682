from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import Dense, Normalize

from haystack_crossalign.errors import InputError
from haystack_crossalign.training import CachedCrossAlignLoss, CrossAlignLoss
from haystack_crossalign.training.losses.objective import Objective
from haystack_crossalign.training.losses.unnormalized import without_final_normalization


def reference_jsd(z1: torch.Tensor, z2: torch.Tensor) -> torch.Tensor:
    """Mean over rows of sqrt(JSD), straight from the formula in double precision."""
    p, q = F.softmax(z1.double(), -1), F.softmax(z2.double(), -1)
    m = (p + q) / 2
    return ((p * (p / m).log()).sum(-1) / 2 + (q * (q / m).log()).sum(-1) / 2).sqrt().mean()


def reference_nce(anchor: torch.Tensor, candidates: torch.Tensor, temperature: float) -> torch.Tensor:
    scores = F.cosine_similarity(anchor.double()[:, None], candidates.double()[None], dim=-1) / temperature
    return (scores.logsumexp(-1) - scores.diagonal()).mean()


def embeddings(columns: int, rows: int = 6, dim: int = 12) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(columns)
    return [torch.randn(rows, dim, generator=generator) for _ in range(columns)]


def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual.double(), expected.double(), rtol=1e-5, atol=1e-7)


def test_terms_equal_a_reference_written_from_the_formulas(tiny_model) -> None:
    query, passage, target = embeddings(3)
    loss = CrossAlignLoss(tiny_model, alignment_weight=0.5, nce_weight=2.0, temperature=0.1, softmax_temperature=0.7)
    terms = loss.compute_loss_from_embeddings([query, passage, target])
    assert list(terms) == ["jsd", "nce"]
    close(terms["jsd"], 0.5 * reference_jsd(passage / 0.7, target / 0.7))
    close(terms["nce"], 2.0 * reference_nce(target, query, 0.1))


def test_contrast_equals_that_of_sentence_transformers_with_the_target_passage_first(tiny_model) -> None:
    query, passage, target = embeddings(3)
    terms = CrossAlignLoss(tiny_model, temperature=0.05).compute_loss_from_embeddings([query, passage, target])
    stock = MultipleNegativesRankingLoss(tiny_model, scale=20).compute_loss_from_embeddings([target, query], None)
    close(terms["nce"], stock)


def test_every_query_is_contrasted_with_one_pool_of_all_languages(tiny_model) -> None:
    query, passage, first, second, first_query, second_query = embeddings(6)
    loss = CrossAlignLoss(
        tiny_model, alignment_weight=0, nce_weight=0, pool_weight=3.0, temperature=0.1, target_queries=True
    )
    terms = loss.compute_loss_from_embeddings([query, passage, first, second, first_query, second_query])
    pool = torch.cat([passage, first, second])
    each = []
    for anchors in (query, first_query, second_query):
        scores = F.cosine_similarity(anchors.double()[:, None], pool.double()[None], dim=-1) / 0.1
        positives = torch.stack([scores[:, start : start + 6].diagonal() for start in (0, 6, 12)]).mean(0)
        each.append((scores.logsumexp(-1) - positives).mean())
    assert list(terms) == ["pool"]
    close(terms["pool"], 3.0 * torch.stack(each).mean())


@pytest.mark.parametrize(
    ("direction", "anchors"),
    [("passage_to_query", ["t"]), ("query_to_passage", ["q"]), ("symmetric", ["t", "q"])],
)
def test_direction_says_which_side_is_contrasted_with_the_batch(tiny_model, direction: str, anchors: list[str]) -> None:
    query, passage, target = embeddings(3)
    terms = CrossAlignLoss(tiny_model, direction=direction, temperature=0.1).compute_loss_from_embeddings(
        [query, passage, target]
    )
    each = {"t": reference_nce(target, query, 0.1), "q": reference_nce(query, target, 0.1)}
    close(terms["nce"], torch.stack([each[name] for name in anchors]).mean())


def test_z_after_normalization_is_scaled_to_unit_length(tiny_model) -> None:
    query, passage, target = embeddings(3)
    terms = CrossAlignLoss(tiny_model, z_from="after_normalization").compute_loss_from_embeddings(
        [query, passage, target]
    )
    close(terms["jsd"], reference_jsd(F.normalize(passage, dim=-1), F.normalize(target, dim=-1)))


def test_ablations_leave_a_term_out_or_put_the_contrast_of_passages_in_its_place(tiny_model) -> None:
    columns = embeddings(3)
    _, passage, target = columns

    def terms(**options: object) -> dict[str, torch.Tensor]:
        return CrossAlignLoss(tiny_model, temperature=0.1, **options).compute_loss_from_embeddings(columns)

    assert list(terms(alignment_weight=0)) == ["nce"]
    assert list(terms(nce_weight=0)) == ["jsd"]
    contrast = terms(alignment="passage_nce", alignment_weight=3.0)
    assert list(contrast) == ["passage_nce", "nce"]
    close(contrast["passage_nce"], 3 * reference_nce(target, passage, 0.1))
    both = (reference_nce(target, passage, 0.1) + reference_nce(passage, target, 0.1)) / 2
    close(terms(alignment="passage_nce", direction="symmetric")["passage_nce"], both)


def test_several_target_passages_are_averaged(tiny_model) -> None:
    columns = embeddings(5)
    query, passage, *targets = columns
    terms = CrossAlignLoss(tiny_model, temperature=0.1).compute_loss_from_embeddings(columns)
    close(terms["jsd"], torch.stack([reference_jsd(passage, target) for target in targets]).mean())
    close(terms["nce"], torch.stack([reference_nce(target, query, 0.1) for target in targets]).mean())


def test_a_fourth_column_of_target_language_queries_is_brought_to_both_passages(tiny_model) -> None:
    columns = embeddings(4)
    query, passage, target, target_query = columns
    terms = CrossAlignLoss(tiny_model, temperature=0.1, target_queries=True).compute_loss_from_embeddings(columns)
    pairs = [(target, query), (target, target_query), (passage, target_query)]
    close(terms["nce"], torch.stack([reference_nce(*pair, 0.1) for pair in pairs]).mean())
    close(terms["jsd"], reference_jsd(passage, target))


def test_target_language_queries_of_several_targets_are_matched_in_order(tiny_model) -> None:
    columns = embeddings(6)
    _, _, first, second, query_of_first, query_of_second = columns
    terms = CrossAlignLoss(
        tiny_model, temperature=0.1, target_queries=True, nce_pairs=["target:target_query"]
    ).compute_loss_from_embeddings(columns)
    close(terms["nce"], (reference_nce(first, query_of_first, 0.1) + reference_nce(second, query_of_second, 0.1)) / 2)


def test_the_english_anchor_is_counted_once_however_many_targets_there_are(tiny_model) -> None:
    columns = embeddings(4)
    query, passage, *targets = columns
    terms = CrossAlignLoss(
        tiny_model, temperature=0.1, nce_pairs=["passage:query", "target:query"]
    ).compute_loss_from_embeddings(columns)
    anchors = [passage, *targets]
    close(terms["nce"], torch.stack([reference_nce(anchor, query, 0.1) for anchor in anchors]).mean())


def test_forward_takes_z_before_the_last_normalization_and_leaves_the_model_as_it_was(tiny_model, make_texts) -> None:
    texts = make_texts(3, 5)
    features = [tiny_model.preprocess(column) for column in texts]
    raw = []
    for column in texts:
        output = tiny_model.preprocess(column)
        for module in list(tiny_model)[:-1]:
            output = module(output)
        raw.append(output["sentence_embedding"].detach())
    terms = CrossAlignLoss(tiny_model)(features)
    close(terms["jsd"], reference_jsd(raw[1], raw[2]))
    close(terms["nce"], reference_nce(raw[2], raw[0], 0.02))
    lengths = tiny_model(tiny_model.preprocess(texts[0]))["sentence_embedding"].norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones(5))
    after = CrossAlignLoss(tiny_model, z_from="after_normalization")(
        [tiny_model.preprocess(column) for column in texts]
    )
    close(after["jsd"], reference_jsd(F.normalize(raw[1], dim=-1), F.normalize(raw[2], dim=-1)))


def test_only_the_last_of_several_normalizations_is_left_out(tiny_model, make_texts) -> None:
    dense = Dense(16, 16, activation_function=None)
    repaired = SentenceTransformer(modules=[*tiny_model, dense, Normalize()], device="cpu")
    texts = make_texts(1, 3)[0]
    unit = tiny_model(tiny_model.preprocess(texts))["sentence_embedding"]
    with without_final_normalization(repaired):
        output = repaired(repaired.preprocess(texts))
    torch.testing.assert_close(output["sentence_embedding"], dense.linear(unit))
    assert "crossalign_unnormalized" not in output


def test_compiled_models_are_refused_where_their_graph_would_ignore_the_option(tiny_model, make_texts) -> None:
    features = [tiny_model.preprocess(column) for column in make_texts(3, 2)]
    tiny_model.compile(backend="eager")
    with pytest.raises(InputError, match="compiled model"):
        CrossAlignLoss(tiny_model)(features)


def test_columns_that_no_term_needs_are_not_embedded(tiny_model, make_texts) -> None:
    features = [tiny_model.preprocess(column) for column in make_texts(3, 4)]
    calls = []
    tiny_model.register_forward_hook(lambda *_: calls.append(1))
    CrossAlignLoss(tiny_model, nce_weight=0)(features)
    assert len(calls) == 2


@pytest.mark.parametrize("loss_class", [CrossAlignLoss, CachedCrossAlignLoss])
def test_configuration_names_every_option(tiny_model, loss_class) -> None:
    expected = {
        "alignment": "jsd",
        "alignment_weight": 1.0,
        "nce_weight": 1.0,
        "pool_weight": 0.0,
        "token_weight": 0.0,
        "token_temperature": 0.02,
        "token_threshold": 0.1,
        "token_limit": 128,
        "temperature": 0.02,
        "z_from": "before_normalization",
        "softmax_temperature": 1.0,
        "direction": "passage_to_query",
        "nce_pairs": ("target:query",),
        "target_queries": False,
        "gather_across_devices": False,
    }
    if loss_class is CachedCrossAlignLoss:
        expected |= {"mini_batch_size": 16, "mini_batch_num_tokens": None}
    loss = loss_class(tiny_model)
    assert loss.get_config_dict() == expected
    assert "2604.05684" in loss.citation
    assert "2604.05684" in (CrossAlignLoss.__doc__ or "")
    again = loss_class(tiny_model, **loss.get_config_dict())
    assert again.get_config_dict() == expected


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"alignment": "kl"}, "alignment"),
        ({"direction": "both"}, "direction"),
        ({"z_from": "middle"}, "z_from"),
        ({"temperature": 0.0}, "temperature"),
        ({"softmax_temperature": -1.0}, "softmax_temperature"),
        ({"nce_weight": -1.0}, "nce_weight"),
        ({"pool_weight": -1.0}, "pool_weight"),
        ({"alignment_weight": float("nan")}, "alignment_weight"),
        ({"alignment_weight": 0, "nce_weight": 0}, "nce_weight"),
        ({"nce_pairs": ["target:target_query"]}, "nce_pairs"),
        ({"nce_pairs": []}, "nce_pairs"),
    ],
)
def test_options_outside_of_what_is_allowed_are_named(tiny_model, options: dict[str, object], field: str) -> None:
    with pytest.raises(InputError, match=field):
        CrossAlignLoss(tiny_model, **options)


def test_every_option_is_explained_and_an_unknown_one_is_refused_by_name(tiny_model) -> None:
    for entry in fields(Objective):
        assert f":param {entry.name}:" in (CrossAlignLoss.__doc__ or "")
    with pytest.raises(TypeError, match="weight_of_alignment"):
        CrossAlignLoss(tiny_model, weight_of_alignment=1.0)


@pytest.mark.parametrize(("columns", "target_queries"), [(2, False), (3, True), (5, True)])
def test_a_number_of_columns_that_does_not_fit_is_an_error(tiny_model, columns: int, target_queries: bool) -> None:
    with pytest.raises(InputError, match="columns"):
        CrossAlignLoss(tiny_model, target_queries=target_queries).compute_loss_from_embeddings(embeddings(columns))


@pytest.mark.parametrize("options", [{"softmax_temperature": 0.1}, {"z_from": "after_normalization"}])
def test_z_is_prepared_in_single_precision(tiny_model, options) -> None:
    draw = torch.Generator().manual_seed(0)
    passage = torch.randn(5, 384, generator=draw)
    target = (passage + 0.01 * torch.randn(5, 384, generator=draw)).bfloat16()
    columns = [passage.bfloat16(), passage.bfloat16(), target]
    loss = CrossAlignLoss(tiny_model, nce_weight=0.0, **options)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = loss.compute_loss_from_embeddings(columns)["jsd"]
    wide = loss.compute_loss_from_embeddings([one.float() for one in columns])["jsd"]
    torch.testing.assert_close(half, wide, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equal_passages_give_finite_gradients_in_all_weights(tiny_model, make_texts, dtype: torch.dtype) -> None:
    query, passage = make_texts(2, 4)
    tiny_model.to(dtype)
    terms = CrossAlignLoss(tiny_model)([tiny_model.preprocess(column) for column in (query, passage, passage)])
    sum(terms.values()).backward()
    assert terms["jsd"].item() == 0
    assert all(torch.isfinite(p.grad).all() for p in tiny_model.parameters() if p.grad is not None)
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in tiny_model.parameters())


@pytest.mark.parametrize("loss_class", [CrossAlignLoss, CachedCrossAlignLoss])
@pytest.mark.training
def test_the_stock_trainer_trains_with_it_and_logs_both_terms(
    tiny_model, make_texts, tmp_path: Path, loss_class
) -> None:
    texts = make_texts(3, 24)
    data = Dataset.from_dict(dict(zip(["query", "passage", "target"], texts, strict=True)))
    before = tiny_model.encode(texts[1])
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=8,
        max_steps=9,
        learning_rate=1e-3,
        logging_steps=3,
        report_to=[],
        use_cpu=True,
        seed=0,
        save_strategy="no",
        eval_strategy="no",
        disable_tqdm=True,
    )
    trainer = SentenceTransformerTrainer(
        model=tiny_model,
        args=arguments,
        train_dataset=data,
        eval_dataset=data,
        loss=loss_class(tiny_model, temperature=0.1),
    )
    untrained = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < untrained
    logged = [entry for entry in trainer.state.log_history if "jsd" in entry]
    assert len(logged) == 3
    for entry in logged:
        assert entry["loss"] == pytest.approx(entry["jsd"] + entry["nce"], abs=1e-3)
    assert abs(tiny_model.encode(texts[1]) - before).max() > 1e-3
    folder = tmp_path / "saved"
    tiny_model.save(str(folder))
    again = SentenceTransformer(str(folder), device="cpu")
    assert (again.encode(texts[1]) == tiny_model.encode(texts[1])).all()
    assert "2604.05684" in (folder / "README.md").read_text(encoding="utf-8")


def test_importing_the_package_of_training_loads_no_torch() -> None:
    code = "import sys, haystack_crossalign.training; sys.exit('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
