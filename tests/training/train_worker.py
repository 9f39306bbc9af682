"""A training run in a process of its own: ``train_worker.py RECIPE OUTPUT TRIPLETS KILL_AT [--resume]``.

The process kills itself (SIGKILL, nothing is cleaned up) once it has taken KILL_AT steps; 0 lets it finish, -1 kills it
between the last step and the choice of the weights.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from training_runs import made_triplets

from haystack_crossalign.training import trainer
from haystack_crossalign.training.recipe.recipe import make_recipe


def main() -> None:
    recipe, output, count, kill_at, *rest = sys.argv[1:]
    torch.set_num_threads(1)

    def progress(stage: str, done: int, total: int, terms: Mapping[str, float]) -> None:  # noqa: ARG001
        if stage == "Training" and done == int(kill_at):
            os.kill(os.getpid(), signal.SIGKILL)

    if int(kill_at) < 0:
        trainer.choose_weights = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
    trainer.train(
        make_recipe(json.loads(Path(recipe).read_text(encoding="utf-8"))),
        output,
        triplets=made_triplets(int(count), target_queries=False),
        resume="--resume" in rest,
        progress=progress,
    )


if __name__ == "__main__":
    main()
