"""The stock sentence-transformers trainer with packed batches and checkpoints of only the trained weights."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformerTrainer
from torch import Tensor, nn
from transformers.trainer_callback import PrinterCallback, TrainerState

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.training.batches.dropout import CheapDropout

WEIGHTS = "trained.safetensors"
_STATE = "trainer_state.json"


class PackedTrainer(SentenceTransformerTrainer):
    """Stock trainer with packed batches from our collator.

    Its checkpoints hold only the trained weights (safetensors), and optimizer, schedule, random states and position in
    the data as in the stock trainer.

    :param to_start: weight of ``|weights - start weights|^2`` over the trained weights; the gradient is added after
        the backward pass, so that it is the same in every process.
    """

    def __init__(self, *arguments: Any, to_start: float = 0.0, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.remove_callback(PrinterCallback)
        self._to_start = to_start
        self._start: dict[str, Tensor] | None = None

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Does nothing: we write the card, and the data set holds only row numbers."""

    def collect_features(self, inputs: dict[str, Any]) -> tuple[list[dict[str, Any]], None]:
        """The batch as it is."""
        return [inputs], None

    def keep_start(self) -> None:
        """Store the current weights as those to which ``to_start`` pulls."""
        if self._to_start:
            self._start = {name: weight.detach().clone() for name, weight in trained_weights(self.model).items()}

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """A step of the stock trainer, plus the pull to the start."""
        with CheapDropout():
            loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        check_finite([loss], self.state.global_step + 1, self.args.learning_rate)
        if self._start is None:
            return loss
        total = loss.new_zeros(())
        for name, weight in trained_weights(self.model).items():
            if weight.grad is not None:
                difference = weight.detach() - self._start[name]
                weight.grad.add_(difference, alpha=2 * self._to_start)
                total = total + self._to_start * difference.square().sum().to(total.device)
        self.track_loss_components({"to_start": total}, count=False)
        return loss + total

    def resume_finished(self, checkpoint: Path) -> None:
        """Load the weights and the state of a finished run; transformers would do another step."""
        self.state = checkpoint_state(checkpoint)
        self._load_from_checkpoint(str(checkpoint))

    def check_weights(self) -> None:
        """Check the weights after the last step.

        :raises InputError: if a weight is not finite.
        """
        check_finite(trained_weights(self.model).values(), self.state.global_step, self.args.learning_rate)

    def track_loss_components(self, loss: dict[str, Tensor], *, count: bool = True) -> None:
        """Sum up the terms between two log entries.

        :param count: whether this is a new step, or further terms of the last one.
        """
        kept = self.accum_loss_components["train" if self.model.training else "eval"]
        steps = kept.get("steps")
        before = None if steps is None else steps.clone()
        super().track_loss_components(loss)
        if not count and before is not None:
            kept["steps"] = before

    def _save_checkpoint(self, *arguments: Any, **options: Any) -> None:
        """A checkpoint of the stock trainer.

        :raises ExternalError: if it cannot be written.
        """
        try:
            super()._save_checkpoint(*arguments, **options)
        except (OSError, RuntimeError, SafetensorError) as error:  # torch.save raises a RuntimeError
            raise unwritable(Path(str(self.args.output_dir)), error) from error

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:  # noqa: ARG002 - the interface
        if not self.args.should_save:
            # The base trainer calls this in all processes, and two of them would rename the same temporary file.
            return
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        write_weights(self.model, folder / WEIGHTS)

    def _load_from_checkpoint(self, checkpoint_path: str, model: Any = None) -> None:  # noqa: ARG002 - the interface
        read_weights(self.model, Path(checkpoint_path) / WEIGHTS)


def check_finite(values: Iterable[Tensor], step: int, learning_rate: float) -> None:
    """Raise an error if a run has diverged.

    :param values: the loss, or weights.
    :param step: the last step.
    :param learning_rate: learning rate of the recipe.
    :raises InputError: if a value is not finite.
    """
    if not all(bool(torch.isfinite(tensor).all()) for tensor in values):
        raise InputError(
            f"training has diverged at step {step}: the loss or a weight is not finite",
            field="optimiser.learning_rate",
            seen=learning_rate,
            allowed="a smaller one; or a higher loss.temperature, or max_grad_norm above 0",
        )


def unwritable(path: Path, error: Exception) -> ExternalError:
    """The error for files that cannot be written, from any library."""
    return ExternalError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error})")


def trained_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that are trained, by name."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def write_weights(model: nn.Module, path: Path) -> None:
    """Write the trained weights atomically.

    :raises ExternalError: if they cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    tensors = {name: weight.detach().cpu().contiguous() for name, weight in trained_weights(model).items()}
    try:
        save_file(tensors, str(temporary))
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise unwritable(path, error) from error


def read_weights(model: nn.Module, path: Path) -> None:
    """Load trained weights into a model.

    :raises InputError: if the file does not contain exactly the trained weights.
    """
    weights = trained_weights(model)
    tensors = load_file(str(path))
    if tensors.keys() != weights.keys():
        raise InputError("the checkpoint is of another model or recipe", source=path.name)
    for name, weight in weights.items():
        weight.data.copy_(tensors[name])


def last_checkpoint(folder: Path) -> Path | None:
    """The last complete checkpoint in a folder, None if there is none."""
    steps = sorted(
        (int(path.name.rpartition("-")[2]), path)
        for path in folder.glob("checkpoint-*")
        if path.name.rpartition("-")[2].isdigit()
    )
    return next((path for _, path in reversed(steps) if _complete(path)), None)


def checkpoint_state(checkpoint: Path) -> TrainerState:
    """Step and log of a checkpoint."""
    state: TrainerState = TrainerState.load_from_json(str(checkpoint / _STATE))
    return state


def _complete(checkpoint: Path) -> bool:
    # The state file is written last; it is incomplete if the process was killed.
    try:
        json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return (checkpoint / WEIGHTS).is_file()
