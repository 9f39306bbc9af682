"""The stock trainer, set up as a recipe says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments

from haystack_crossalign.training.batches.packing import TextTable, token_budget
from haystack_crossalign.training.batches.rows import Collator, TrainRow, kind_batch_sampler
from haystack_crossalign.training.linear_module import head_of
from haystack_crossalign.training.losses.distillation import AnchorDistillation, SimilarityDistillation
from haystack_crossalign.training.monitor import Monitor
from haystack_crossalign.training.recipe.recipe import Recipe
from haystack_crossalign.training.stock_trainer import PackedTrainer
from haystack_crossalign.training.training_loss import TrainingLoss


def packed_trainer(
    recipe: Recipe,
    model: SentenceTransformer,
    rows: Sequence[TrainRow],
    table: TextTable,
    *,
    teacher: torch.Tensor | None,
    frozen: torch.Tensor | None,
    monitor: Monitor,
    checkpoints: Path,
    device: str,
    bf16: bool,
    processes: int,
) -> PackedTrainer:
    """A trainer that starts from the model's present weights.

    :param recipe: the recipe.
    :param model: prepared for training.
    :param rows: what is trained on, as rows of the table.
    :param table: the texts.
    :param teacher: float32 ``[texts, dim]``, embeddings by the teacher; None if the recipe has none.
    :param frozen: float32 ``[texts, dim]``, embeddings by the encoder where it is frozen; None if it is trained.
    :param monitor: is called after each step.
    :param checkpoints: folder for checkpoints.
    :param device: where the model is.
    :param bf16: whether transformers compute in bf16.
    :param processes: number of processes that train together.
    :raises InputError: if no step has a row of a language for every process.
    """
    distil = recipe.distil
    with_queries = [len(row.columns) > 2 + row.targets for row in rows]
    loss = TrainingLoss(
        model if frozen is None else head_of(model),
        recipe.loss,
        distillation=SimilarityDistillation(distil.weight, distil.temperature, distil.similarities)
        if distil.weight
        else None,
        anchors=AnchorDistillation(
            distil.anchor_weight,
            distil.anchor_temperature,
            distil.anchor_attraction,
            distil.source_attraction,
        )
        if distil.anchor_weight
        else None,
        bf16=bf16 and frozen is None,
        target_queries=any(with_queries),
        without=not all(with_queries),
        gather_across_devices=processes > 1,
    )
    trainer = PackedTrainer(
        model=model,
        args=_arguments(recipe, rows, checkpoints, device, processes),
        train_dataset=Dataset.from_dict({"row": list(range(len(rows)))}),
        loss=loss,
        data_collator=Collator(
            rows,
            table,
            budget=token_budget(device),
            teacher=teacher,
            vectors=frozen,
            source_share=distil.anchor_share,
            negatives=distil.anchor_negatives if distil.anchor_weight else 0,
        ),
        callbacks=[monitor],
        to_start=recipe.optimiser.to_start,
    )
    trainer.keep_start()
    return trainer


def _tags(rows: Sequence[TrainRow]) -> set[str]:
    """Target languages of rows, of which each may have several."""
    return {tag for row in rows for tag in row.language.split("+")}


def _arguments(
    recipe: Recipe, rows: Sequence[TrainRow], checkpoints: Path, device: str, processes: int
) -> SentenceTransformerTrainingArguments:
    optimiser = recipe.optimiser
    sampler = kind_batch_sampler(
        rows, processes=processes, neighbours=recipe.batch_neighbours, exponent=recipe.language_exponent
    )
    dealt = sampler(rows, optimiser.batch_size, False, seed=recipe.seed)
    trained = [rows[number] for batch in dealt for number in batch]
    missing = _tags(rows) - _tags(trained) if recipe.batch_languages != "mixed" else set()
    if missing or not trained:
        raise recipe.error(
            f"no step has a row of the language for each of the {processes} processes that train together",
            ("languages",),
            sorted(missing),
            "more rows that share no query, passage or group, or fewer processes",
        )
    epoch = len(dealt) // processes
    steps = min(math.ceil(optimiser.epochs * epoch), optimiser.max_steps or math.inf)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(checkpoints),
        per_device_train_batch_size=optimiser.batch_size,
        max_steps=int(steps),
        learning_rate=optimiser.learning_rate,
        weight_decay=optimiser.weight_decay,
        # A number below 1 is a share of the steps.
        warmup_steps=min(optimiser.warmup_ratio, 1 - 1e-9),
        lr_scheduler_type="constant_with_warmup" if optimiser.schedule == "constant" else optimiser.schedule,
        max_grad_norm=optimiser.max_grad_norm,
        seed=recipe.seed,
        data_seed=recipe.seed,
        eval_strategy="no",
        save_strategy="no",
        save_total_limit=2,
        logging_steps=max(1, min(10, int(steps) // 20)),
        report_to="none",
        disable_tqdm=True,
        use_cpu=device == "cpu",
        # BERT's own pooler gets no gradient, and the number of forward passes differs between processes.
        ddp_find_unused_parameters=True,
        ddp_broadcast_buffers=False,
        dataloader_pin_memory=device != "cpu",
        batch_sampler=sampler,
    )
    # The stock arguments switch this on for several processes; the sampler has equal batches for all in every step.
    arguments.dataloader_drop_last = False
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several GPUs take several processes, not DataParallel
    return arguments
