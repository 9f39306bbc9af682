"""Training against the stock sentence-transformers trainer: triplets per second and peak memory.

    python benchmarks/speed/training_speed.py            # 6 steps of each contestant, one process after the other

The stock trainer gets the same triplets (SQuAD and course sections, English and Chinese), batch size, learning rate,
prompts and dropout, and each of the precisions. In its plain rows it has an equivalent loss: the stock
MultipleNegativesRankingLoss on target passage and query, plus the root of the Jensen-Shannon divergence between the
passages. "Best settings" are what makes it fast on a CPU: eager attention, the token table frozen (the default of ours
on a CPU), and CachedMultipleNegativesRankingLoss over the same three texts in mini-batches of ``--mini-batch``, texts
of similar lengths together. The other term has no cached form, so that this loss computes less.

Times run from the end of the second step to the end of the last, by the wall clock and by the processor time of the
process, which other work on the machine disturbs less. With ``--rounds`` the contestants take turns and medians are
shown. Threads: ``OMP_NUM_THREADS``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "train"
MODEL = "offline:multilingual-e5-small"
CONTESTANTS = (
    "crossalign auto",
    "crossalign auto, no dropout",
    "crossalign fp32",
    "stock bf16",
    "stock fp32",
    "stock bf16, best settings",
    "stock fp32, best settings",
)
SKIPPED = 2  # steps in which memory is taken and kernels are prepared


class Clock:
    """Wall and processor time at the end of each step."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float]] = []

    def tick(self) -> None:
        self.steps.append((time.perf_counter(), time.process_time()))

    def seconds(self) -> tuple[float, float]:
        first, last = self.steps[SKIPPED - 1], self.steps[-1]
        return last[0] - first[0], last[1] - first[1]


def read(data: Path, count: int) -> Any:
    from haystack_crossalign.training.recipe.recipe import make_recipe
    from haystack_crossalign.training.train_data import read_train_data

    files = [
        {"path": "squad_dev_minus_xquad_en_zh_es_vi.jsonl", "format": "squad", "limit": count // 2},
        {"path": "ms_coop_sections_6lang.jsonl", "format": "course_sections", "limit": count - count // 2},
    ]
    values = {"model": MODEL, "languages": ["zh"], "target_queries": False, "held_out": {"share": 0}, "data": files}
    return read_train_data(make_recipe(values, folder=data)).train


def ours(triplets: Sequence[Any], options: argparse.Namespace, folder: Path) -> Clock:
    from haystack_crossalign.training.recipe.recipe import make_recipe
    from haystack_crossalign.training.trainer import train

    clock = Clock()
    recipe = make_recipe(
        {
            "model": MODEL,
            "languages": ["zh"],
            "target_queries": False,
            "held_out": {"share": 0},
            "device": "cpu",
            "precision": "fp32" if "fp32" in options.contestant else "auto",
            "dropout": 0.0 if "no dropout" in options.contestant else None,
            "optimiser": {"batch_size": options.batch_size, "max_steps": options.steps},
        }
    )

    def progress(stage: str, *_: Any) -> None:
        if stage == "Training":
            clock.tick()

    train(recipe, folder / "model", triplets=triplets, progress=progress)
    return clock


def stock(triplets: Sequence[Any], options: argparse.Namespace, folder: Path) -> Clock:
    import torch
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from sentence_transformers.sentence_transformer.losses import (
        CachedMultipleNegativesRankingLoss,
        MultipleNegativesRankingLoss,
    )
    from torch.utils.data import SequentialSampler
    from transformers import TrainerCallback
    from transformers.trainer_callback import PrinterCallback

    from haystack_crossalign.models.offline import resolve_offline_model
    from haystack_crossalign.training.losses.functional import jsd_distance

    best = "best settings" in options.contestant
    settings = {"attn_implementation": "eager"} if best else {}
    model = SentenceTransformer(str(resolve_offline_model()), device="cpu", model_kwargs=settings)
    if best:
        model[0].auto_model.get_input_embeddings().requires_grad_(False)
        size = options.batch_size
        batches = [triplets[start : start + size] for start in range(0, len(triplets), size)]
        triplets = [one for batch in batches for one in sorted(batch, key=lambda each: len(each.passage))]

    class Loss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.contrast = MultipleNegativesRankingLoss(model, scale=50)

        def forward(self, features: Any, labels: Any = None) -> dict[str, torch.Tensor]:  # noqa: ARG002
            query, passage, target = (self.model(one)["sentence_embedding"] for one in features)
            return {
                "jsd": jsd_distance(passage, target).mean(),
                "nce": self.contrast.compute_loss_from_embeddings([target, query], None),
            }

    def in_order(dataset: Dataset, **options: Any) -> DefaultBatchSampler:
        return DefaultBatchSampler(SequentialSampler(dataset), **options)

    clock = Clock()

    class Ticker(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick()

    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=options.batch_size,
            max_steps=options.steps,
            learning_rate=2e-5,
            bf16="bf16" in options.contestant,
            use_cpu=True,
            batch_sampler=in_order if best else "no_duplicates",
            prompts={"query": "query: ", "passage": "passage: ", "target": "passage: "},
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_dict(
            {
                "query": [one.query for one in triplets],
                "passage": [one.passage for one in triplets],
                "target": [one.targets["zh"] for one in triplets],
            }
        ),
        loss=CachedMultipleNegativesRankingLoss(model, scale=50, mini_batch_size=options.mini_batch)
        if best
        else Loss(),
        callbacks=[Ticker()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return clock


def contest(options: argparse.Namespace) -> None:
    triplets = read(options.data, options.steps * options.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        run = ours if options.contestant.startswith("crossalign") else stock
        clock = run(triplets, options, Path(folder))
    wall, processor = clock.seconds()
    seen = (len(clock.steps) - SKIPPED) * options.batch_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"wall": seen / wall, "processor": seen / processor, "peak": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--mini-batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=CONTESTANTS, default=CONTESTANTS)
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant is not None:
        contest(options)
        return
    from rich.console import Console
    from rich.table import Table

    found: dict[str, list[dict[str, float]]] = {name: [] for name in options.only}
    numbers = {"--steps": options.steps, "--batch-size": options.batch_size, "--mini-batch": options.mini_batch}
    own = ["--data", str(options.data), *(part for name, value in numbers.items() for part in (name, str(value)))]
    for _ in range(options.rounds):
        for name in options.only:
            command = [sys.executable, __file__, "--contestant", name, *own]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
            if done.returncode:
                sys.exit(f"{name}: left with {done.returncode}\n{done.stderr[-2000:]}")
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
            one = found[name][-1]
            # At once: the table comes only at the end of a long way.
            print(f"{name}: {one['wall']:.2f} triplets/s, {one['peak']:.0f} MiB at most", file=sys.stderr, flush=True)
    middle = {
        name: {key: statistics.median(one[key] for one in runs) for key in runs[0]} for name, runs in found.items()
    }
    best = {
        key: max((values[key] for name, values in middle.items() if name.startswith("stock")), default=None)
        for key in ("wall", "processor")
    }
    title = f"{options.steps} steps of {options.batch_size} triplets; ratio to the fastest stock row (target: 2)"
    table = Table(title=title, title_justify="left")
    for column in ("contestant", "triplets/s", "ratio", "triplets/s of processor time", "ratio", "peak MiB"):
        table.add_column(column, justify="left" if column == "contestant" else "right")
    for name, values in middle.items():
        cells = []
        for key in ("wall", "processor"):
            fastest = best[key]
            cells += [f"{values[key]:.2f}", "" if fastest is None else f"{values[key] / fastest:.2f}"]
        table.add_row(name, *cells, f"{values['peak']:.0f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
