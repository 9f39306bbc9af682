from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from haystack_crossalign.training import CrossAlignLoss

pytestmark = pytest.mark.training

WORKER = Path(__file__).with_name("gather_worker.py")

CASES = [
    ("plain", {"temperature": 0.1}),
    ("plain", {"temperature": 0.1, "direction": "symmetric", "alignment": "passage_nce"}),
    ("cached", {"temperature": 0.1, "mini_batch_size": 2}),
    ("plain", {"temperature": 0.1, "pool_weight": 1.0}),
    ("plain", {"temperature": 0.1, "token_weight": 2.0, "token_temperature": 0.1}),
    ("cached", {"temperature": 0.1, "token_weight": 2.0, "token_temperature": 0.1, "mini_batch_size": 2}),
    ("cached", {"mini_batch_size": 2, "direction": "symmetric", "nce_pairs": ["passage:query", "target:query"]}),
]
# Rows of the first and the second process: a share of the batch each, and the short last batch of an epoch.
BOUNDS = [[(0, 4), (4, 8)], [(0, 5), (5, 8)]]


def test_two_processes_train_as_one_process_with_the_whole_batch(
    tiny_model_folder: Path, make_texts, tmp_path: Path, quick_python: list[str]
) -> None:
    texts = make_texts(3, 8)
    texts[1][1] = ""  # a passage without a token, which the term over tokens leaves out
    cases = [(name, options, bounds) for name, options in CASES for bounds in BOUNDS]
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"texts": texts, "cases": cases}), encoding="utf-8")
    arguments = ["2", str(tmp_path / "store"), str(tiny_model_folder), str(spec), str(tmp_path / "result")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen(
            [*quick_python, str(WORKER), str(rank), *arguments], env=environment, stderr=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    try:
        for worker in workers:
            _, errors = worker.communicate(timeout=240)
            assert worker.returncode == 0, errors
    finally:
        for worker in workers:
            worker.kill()
    results = [load_file(f"{tmp_path / 'result'}.{rank}") for rank in range(2)]
    for number, (_, options, _bounds) in enumerate(cases):
        model = SentenceTransformer(str(tiny_model_folder), device="cpu").double().eval()
        plain_options = {name: value for name, value in options.items() if name != "mini_batch_size"}
        loss = CrossAlignLoss(model, **plain_options)
        value = sum(loss([model.preprocess(column) for column in texts]).values())
        value.backward()
        both = (results[0][f"{number}/loss"] + results[1][f"{number}/loss"]) / 2
        torch.testing.assert_close(both, value.detach(), rtol=1e-10, atol=1e-12)
        for name, parameter in model.named_parameters():
            if parameter.grad is None:
                continue
            for result in results:
                torch.testing.assert_close(
                    result[f"{number}/{name}"], parameter.grad, rtol=1e-8, atol=1e-10, msg=f"{number}/{name}"
                )
