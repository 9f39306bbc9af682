"""Callback between training steps: evaluation, best weights, early stopping, checkpoints, progress."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list  # type: ignore[import-untyped]
from torch import nn
from transformers import TrainerCallback, TrainerControl

from haystack_crossalign.files.writing import write_atomically
from haystack_crossalign.training.evaluation import HeldOutScore, RowScore, preference
from haystack_crossalign.training.recipe.sections import Evaluate
from haystack_crossalign.training.stock_trainer import check_finite, trained_weights, write_weights

_CHECKPOINTS = 4
_HISTORY = "evaluations.json"
START_STEP = 0


TrainProgress = Callable[[str, int, int, Mapping[str, float]], None]
"""Called during a run with the current stage, the amount done, the total, and the last known loss terms (empty
outside of training).
"""


@dataclass(frozen=True)
class Evaluation:
    """The held-out part at one step."""

    step: int
    score: HeldOutScore

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"step": self.step, "rows": [row.to_dict() for row in self.score.rows]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evaluation:
        """From plain data."""
        rows = tuple(RowScore(**{**row, "pool": tuple(row["pool"])}) for row in data["rows"])
        return cls(int(data["step"]), HeldOutScore(rows))


class Monitor(TrainerCallback):
    """Callback of the stock trainer.

    The history of evaluations is stored in a file for resumed runs; entries after the checkpoint from which a run
    resumes are discarded.

    :param options: the section of the recipe.
    :param folder: folder of the history and the best weights.
    :param evaluate: scores the model; None if nothing is held out.
    :param base: score of the base model, or None.
    :param start: score of the start.
    :param checkpoint: steps between checkpoints; None for one at each evaluation or, without evaluations, four per
        epoch (or per run, if that is shorter).
    :param keep_best: whether the best weights are kept.
    :param progress: called after each step.
    :param main: whether this is the first process.
    """

    def __init__(
        self,
        options: Evaluate,
        folder: Path,
        *,
        evaluate: Callable[[nn.Module], HeldOutScore] | None,
        base: HeldOutScore | None,
        start: HeldOutScore | None,
        checkpoint: int | None,
        keep_best: bool,
        progress: TrainProgress | None,
        main: bool,
    ) -> None:
        self.options, self.folder, self.progress, self.main = options, folder, progress, main
        self.base = base
        self.history: list[Evaluation] = [] if start is None else [Evaluation(START_STEP, start)]
        self.seconds = 0.0
        self.step = START_STEP
        self._evaluate, self._checkpoint, self._keep_best = evaluate, checkpoint, keep_best
        self._every: int | None = None
        self._terms: dict[str, float] = {}

    def resume(self, step: int) -> None:
        """Load the history of a run that was interrupted after a checkpoint.

        :param step: step of the checkpoint.
        """
        path = self.folder / _HISTORY
        if path.is_file() and self.history:
            known = [Evaluation.from_dict(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
            self.history = [
                self.history[0],
                *(evaluation for evaluation in known if START_STEP < evaluation.step <= step),
            ]
        self.step = step

    @property
    def best(self) -> Evaluation | None:
        """The best evaluation by :func:`preference`, the earliest of equal ones; None if there is none."""
        if self.base is None or not self.history:
            return None
        base = self.base
        return max(
            self.history,
            key=lambda evaluation: (preference(evaluation.score, base, self.options), -evaluation.step),
        )

    @property
    def exhausted(self) -> bool:
        """Whether there were ``patience`` evaluations after the best one."""
        best = self.best
        if best is None or self.options.patience is None:
            return False
        return sum(evaluation.step > best.step for evaluation in self.history) >= self.options.patience

    def best_weights(self, step: int) -> Path:
        """File of the weights of a best step."""
        return self.folder / f"best-{step}.safetensors"

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Convert shares of an epoch, or of a shorter run, to steps."""
        every, epoch = self.options.every, min(len(kwargs["train_dataloader"]), args.max_steps)
        if every is not None and self._evaluate is not None:
            self._every = max(1, round(every * epoch)) if every < 1 else max(1, round(every))
        if self._checkpoint is None:
            self._checkpoint = self._every or max(1, epoch // _CHECKPOINTS)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Store the loss terms for progress reports."""
        skipped = ("epoch", "learning_rate", "grad_norm")
        logs: Mapping[str, float] = kwargs.get("logs") or {}
        if "loss" in logs:
            self._terms = {name: value for name, value in logs.items() if name not in skipped}

    def on_step_end(self, args: Any, state: Any, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        """Evaluate, store the best weights, stop early, request a checkpoint."""
        self.step = step = state.global_step
        last = state.global_step >= state.max_steps
        if self.progress is not None and self.main:
            self.progress("Training", step, state.max_steps, self._terms)
        due = self._evaluate is not None and (last or (self._every is not None and step % self._every == 0))
        if due:
            check_finite(trained_weights(kwargs["model"]).values(), step, args.learning_rate)
            stop = [self._evaluated(kwargs["model"], step) if self.main else None]
            control.should_training_stop = bool(broadcast_object_list(stop)[0]) or control.should_training_stop
        if self._checkpoint is not None and step % self._checkpoint == 0:
            control.should_save = True
            # The trainer's sums between two log entries are not in checkpoints.
            control.should_log = True
        return control

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Evaluate the last weights if an epoch ended sooner than the trainer expected."""
        if self._evaluate is not None and self.main:
            self._evaluated(kwargs["model"], state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Delete weights that are no longer the best, which a resumed run cannot need any more."""
        best = self.best
        if self.main and best is not None:
            for path in self.folder.glob("best-*.safetensors"):
                if path != self.best_weights(best.step):
                    path.unlink(missing_ok=True)

    def _evaluated(self, model: nn.Module, step: int) -> bool:
        """Evaluate; return whether to stop."""
        if self._evaluate is None or any(evaluation.step == step for evaluation in self.history):
            return False
        began = time.perf_counter()
        self.history.append(Evaluation(step, self._evaluate(model)))
        best = self.best
        if best is not None and best.step == step and self._keep_best:
            write_weights(model, self.best_weights(step))
        write_atomically(self.folder / _HISTORY, json.dumps([evaluation.to_dict() for evaluation in self.history]))
        self.seconds += time.perf_counter() - began
        return self.exhausted
