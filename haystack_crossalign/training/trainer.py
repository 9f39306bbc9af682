"""Training: from a recipe to a model folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState  # type: ignore[import-untyped]
from accelerate.utils import broadcast_object_list  # type: ignore[import-untyped]
from sentence_transformers import SentenceTransformer
from transformers import set_seed

from haystack_crossalign.data.triplets import Triplet
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.writing import resolved_file
from haystack_crossalign.models.quiet import quiet_libraries
from haystack_crossalign.precision import resolve_precision
from haystack_crossalign.ranks import Similarity
from haystack_crossalign.repair.language_maps import LanguageMaps
from haystack_crossalign.repair.matrix_file import VectorMap
from haystack_crossalign.repair.model_folder import repaired_model, with_map
from haystack_crossalign.training.batches.packing import TextTable
from haystack_crossalign.training.batches.rows import make_rows
from haystack_crossalign.training.candidates import Finish, choose_weights, weights_of
from haystack_crossalign.training.evaluation import HeldOutAudit, HeldOutScore
from haystack_crossalign.training.linear_module import (
    EmbeddingMemory,
    FinalSample,
    Vectors,
    apply_head,
    encoder_of,
    fit_own_maps,
    has_final_map,
    head_of,
    map_of,
    protected_languages,
    queries_to_fit_on,
)
from haystack_crossalign.training.model_setup import (
    BaseModel,
    StartRepair,
    choose_start,
    load_base,
    passage_sample,
    prepare_training,
)
from haystack_crossalign.training.monitor import Monitor, TrainProgress
from haystack_crossalign.training.outcome import OwnFirstLostError, TrainingOutcome
from haystack_crossalign.training.output_folder import WorkFolder, check_output, locked_output, recover_output
from haystack_crossalign.training.publish import describe_run, write_result
from haystack_crossalign.training.recipe.recipe import Recipe
from haystack_crossalign.training.stock_trainer import PackedTrainer, checkpoint_state, last_checkpoint
from haystack_crossalign.training.train_data import TrainData, read_train_data
from haystack_crossalign.training.trainer_setup import packed_trainer
from haystack_crossalign.triplets.builders import BuiltTriplets


def train(
    recipe: Recipe,
    output: Path | str,
    *,
    resume: bool = False,
    or_anew: bool = False,
    progress: TrainProgress | None = None,
    triplets: Sequence[Triplet] | BuiltTriplets | None = None,
    memory: EmbeddingMemory | None = None,
    trust_remote_code: bool = False,
) -> TrainingOutcome:
    """Train a model by a recipe and write it as a stock sentence-transformers folder.

    The run works in a folder next to the output, which is renamed at the end. With ``resume=True`` a killed run
    continues from its last checkpoint and gives the weights of an uninterrupted one, bit-identical on the same CPU
    machine with the same number of threads. Under ``accelerate launch`` all processes call this function; the first one
    evaluates and writes.

    :param recipe: the recipe.
    :param output: new or empty folder, or that of an earlier run, which is replaced.
    :param resume: resume an interrupted run if there is one.
    :param or_anew: with ``resume``: start over if the interrupted run had another recipe, model or data.
    :param progress: called while the run works.
    :param triplets: triplets in memory, in addition to the recipe's files; optionally with counts of what was left out.
    :param memory: cache of base-model embeddings, for several runs of one process.
    :returns: the folder, the figures before and after, and times.
    :param trust_remote_code: run code that comes with the model.
    :raises InputError: for a recipe or data that cannot be used, or an output that must not be replaced.
    :raises ExternalError: if the model cannot be loaded, the output cannot be written, or another run writes it.
    :raises OwnFirstLostError: if nothing keeps to ``evaluate.keep_own_first``; nothing is written then.
    """
    output = resolved_file(output, source="output")
    if os.environ.get("RANK", "0") == "0":
        recover_output(output)
    check_output(output)
    device = _device(recipe)
    processes = PartialState(cpu=device == "cpu")
    if (processes.device.type == "cpu") != (device == "cpu"):
        # Accelerate does not change the device that a process has used first.
        raise recipe.error(
            "this process has trained on another device already",
            ("device",),
            f"{recipe.device}, which is {device} here",
            f"{processes.device.type}, or a process of its own",
        )
    with locked_output(output) if processes.is_main_process else nullcontext(), quiet_libraries():
        run = _Run(
            recipe, WorkFolder(output), processes, str(processes.device), resume, or_anew, progress, memory,
            trust_remote_code,
        )  # fmt: skip
        return run.go(triplets)


@dataclass
class _Run:
    """A run, with its steps in order."""

    recipe: Recipe
    work: WorkFolder
    processes: PartialState
    device: str
    resume: bool
    or_anew: bool
    progress: TrainProgress | None
    memory: EmbeddingMemory | None = None
    trust_remote_code: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    def go(self, triplets: Sequence[Triplet] | BuiltTriplets | None) -> TrainingOutcome:
        recipe = self.recipe
        if recipe.freeze_encoder and self.processes.num_processes > 1:
            raise recipe.error(
                "with the encoder frozen there is nothing to share between processes",
                ("freeze_encoder",),
                True,
                "false, or one process",
            )
        with self._timed("data"):
            data = read_train_data(recipe, triplets)
        with self._timed("model"):
            try:
                base = load_base(recipe.model, self.device, trust_remote_code=self.trust_remote_code)
            except InputError as error:
                if error.source is not None:  # a file of the model
                    raise
                key = error.field if error.field in ("query_prompt", "document_prompt") else "name"
                raise recipe.error(error.problem, ("model", key), error.seen, error.allowed) from error
        bf16 = resolve_precision(recipe.precision, self.device) == "bf16"
        table = TextTable(base.model, base.prompts, max_tokens=recipe.model.max_tokens)
        rows = make_rows(data.train, table, languages=recipe.languages, batch_languages=recipe.batch_languages)
        audit = self._audit(data, table, base.similarity)
        self._open(data, base)
        set_seed(recipe.seed)

        vectors = Vectors(table, self.device, bf16, self.memory or EmbeddingMemory())
        fit = vectors
        if recipe.start.max_tokens is not None:
            fit_table = TextTable(base.model, base.prompts, max_tokens=recipe.start.max_tokens)
            fit = Vectors(fit_table, self.device, bf16, vectors.memory)
        used = sorted({text for row in rows for text in row.columns})
        # Anchors are source-language texts: the query and the passage.
        taught = used if recipe.distil.weight else sorted({text for row in rows for text in row.columns[:2]})
        frozen: torch.Tensor | None = None
        with self._timed("before"):
            self._tell("Embedding", 0, 1)
            if recipe.freeze_encoder:
                frozen = torch.from_numpy(vectors.whole(base, sorted({*used, *(audit.rows if audit else ())})))
            before = None if audit is None else audit.score(vectors.of_base(base, audit.rows))
            start, choice = self._start(base, data, fit, vectors, audit)

            def embedded(model: Any, wanted: Sequence[int]) -> Any:
                if frozen is None:
                    return vectors(model, wanted)
                return apply_head(head_of(model), frozen[torch.tensor(wanted)])

            def of_start(wanted: Sequence[int]) -> Any:
                embedded = vectors.of_base(base, wanted)
                return embedded if choice is None else apply_head(head_of(start), torch.from_numpy(embedded))

            start_score = before
            if choice is not None and audit is not None:
                start_score = audit.score(of_start(audit.rows))
            teacher = self._teacher(
                of_start if recipe.distil.teacher == "start" else lambda wanted: vectors.of_base(base, wanted),
                taught,
                len(table),
            )
            self._tell("Embedding", 1, 1)
        prepare_training(start, recipe, self.device)
        origin = weights_of(start)

        def scored(model: Any) -> HeldOutScore:
            return audit.score(embedded(model, audit.rows))  # type: ignore[union-attr]

        monitor = Monitor(
            recipe.evaluate,
            self.work.path,
            evaluate=None if audit is None else scored,
            base=before,
            start=start_score,
            checkpoint=recipe.checkpoint,
            keep_best=recipe.evaluate.keep == "best",
            progress=self.progress,
            main=self.processes.is_main_process,
        )
        trainer = packed_trainer(
            recipe,
            start,
            rows,
            table,
            teacher=teacher,
            frozen=frozen,
            monitor=monitor,
            checkpoints=self.work.checkpoints,
            device=self.device,
            bf16=bf16,
            processes=self.processes.num_processes,
        )
        with self._timed("training"):
            log = self._train(trainer, monitor)
        self.seconds["evaluation"] = monitor.seconds
        self.seconds["training"] -= monitor.seconds
        facts: dict[str, Any] = {"result": None}
        if self.processes.is_main_process:
            with self._timed("after"):
                chosen = choose_weights(start, origin, monitor, recipe, None if audit is None else scored)
                trained = start

                wanted = audit.rows if audit is not None else []

                def of_encoder() -> Any:
                    return vectors(encoder_of(trained), wanted) if frozen is None else frozen[wanted].numpy()

                def held_out_by(final: VectorMap | None) -> Any:
                    return final.apply(of_encoder()) if isinstance(final, LanguageMaps) else embedded(trained, wanted)

                finish = Finish(
                    recipe, trained, choice,
                    lambda: self._final_sample(trained, choice, base, data, fit, frozen=frozen is not None),
                    of_encoder, held_out_by, audit, before,
                )  # fmt: skip
                try:
                    chosen, final, after = finish(chosen, origin)
                except OwnFirstLostError:
                    self.work.discard()
                    raise
                if isinstance(final, LanguageMaps):
                    start = with_map(start, final)
                facts = describe_run(
                    recipe=recipe,
                    data=data,
                    base=base,
                    rows=rows,
                    texts=table,
                    choice=choice,
                    monitor=monitor,
                    log=log,
                    chosen=chosen,
                    refitted=final,
                    scores=None
                    if audit is None or before is None or start_score is None or after is None
                    else (before, start_score, audit.score(after), audit.intervals(after, seed=recipe.seed)),
                    unmeasured=() if audit is None else audit.unmeasured,
                    precision="bf16" if bf16 else "fp32",
                    device=self.device,
                    processes=self.processes.num_processes,
                )
            moves = None if frozen is None else final or map_of(start)
            write_result(start, self.work, facts, self.seconds, repair=moves)
        self.processes.wait_for_everyone()
        return TrainingOutcome(self.work.output, facts, dict(self.seconds))

    def _audit(self, data: TrainData, table: TextTable, similarity: Similarity) -> HeldOutAudit | None:
        if not data.held_out:
            return None
        recipe = self.recipe
        with recipe.errors_at("held_out"):
            return HeldOutAudit(
                data.held_out,
                table,
                language=recipe.language,
                languages=recipe.languages,
                pool=recipe.evaluate.pool,
                similarity=similarity,
            )

    def _open(self, data: TrainData, base: BaseModel) -> None:
        if self.processes.is_main_process:
            fingerprint = {
                "recipe": self.recipe.to_dict(),
                "model": base.loaded.sha256,
                # Not only the files: a drop list and a held-out file also count.
                "data": data.sha256(),
                "processes": self.processes.num_processes,
            }
            self.work.open(fingerprint, resume=self.resume, or_anew=self.or_anew)
        self.processes.wait_for_everyone()

    def _teacher(self, embed: Callable[[Sequence[int]], Any], used: Sequence[int], texts: int) -> torch.Tensor | None:
        """The teacher's embeddings in a table of all texts, if the recipe has a teacher."""
        if not (self.recipe.distil.weight or self.recipe.distil.anchor_weight):
            return None
        embedded = embed(used)
        whole = np.zeros((texts, embedded.shape[1]), dtype=np.float32)
        whole[used] = embedded
        return torch.from_numpy(whole)

    def _start(
        self,
        base: BaseModel,
        data: TrainData,
        fit: Vectors,
        vectors: Vectors,
        audit: HeldOutAudit | None,
    ) -> tuple[SentenceTransformer, StartRepair | None]:
        recipe = self.recipe
        if recipe.start.kind == "base":
            return base.model, None
        rows, tags, groups = passage_sample(data.fit, fit.table, recipe.start.passages, recipe.seed)
        held_out = None if audit is None else audit.held_out(vectors.of_base(base, audit.rows))
        passages = fit.of_base(base, rows)
        others = protected_languages(recipe, base, fit, sorted(set(tags)))
        keep = recipe.evaluate.keep_own_first
        choice = choose_start(recipe.start, passages, tags, groups, held_out, others, keep)
        if recipe.start.own_share is not None:
            # It is fitted at the end, but what prevents it, such as a language between two others, is reported now.
            fit_own_maps(recipe, choice.repair, passages, tags, groups, others)
        return repaired_model(base.model, choice.repair), choice

    def _final_sample(
        self,
        model: SentenceTransformer,
        choice: StartRepair | None,
        base: BaseModel,
        data: TrainData,
        fit: Vectors,
        *,
        frozen: bool,
    ) -> FinalSample | None:
        """The passages that the final map is fitted on after training, if the recipe has one.

        :param model: its encoder embeds them.
        :param base: the model that training began with.
        :param frozen: whether its layers were not trained.
        """
        if choice is None or not has_final_map(self.recipe):
            return None
        rows, tags, groups = passage_sample(data.fit, fit.table, self.recipe.start.passages, self.recipe.seed)
        encoder = None if frozen else encoder_of(model)
        fitted = fit.of_base(base, rows) if encoder is None else fit(encoder, rows)
        others = protected_languages(self.recipe, base, fit, sorted(set(tags)), encoder)
        return FinalSample(fitted, tags, groups, others, queries_to_fit_on(base, fit, rows, tags, encoder))

    def _train(self, trainer: PackedTrainer, monitor: Monitor) -> list[dict[str, float]]:
        checkpoint = last_checkpoint(self.work.checkpoints) if self.resume else None
        finished = False
        if checkpoint is not None:
            step = checkpoint_state(checkpoint).global_step
            monitor.resume(step)
            finished = broadcast_object_list([step >= trainer.args.max_steps or monitor.exhausted])[0]
        if checkpoint is not None and finished:
            trainer.resume_finished(checkpoint)
            monitor.on_train_end(trainer.args, trainer.state, trainer.control, model=trainer.model)
        else:
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        trainer.check_weights()
        return [dict(entry) for entry in trainer.state.log_history if "loss" in entry]

    def _tell(self, stage: str, done: int, total: int) -> None:
        if self.progress is not None and self.processes.is_main_process:
            self.progress(stage, done, total, {})

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began


def _device(recipe: Recipe) -> str:
    available = torch.cuda.is_available()
    if recipe.device == "cuda" and not available:
        raise recipe.error("this machine has no such device", ("device",), recipe.device, "auto or cpu")
    return "cuda" if available and recipe.device != "cpu" else "cpu"
