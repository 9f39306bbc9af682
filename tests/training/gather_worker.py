"""One process of the distributed test: ``gather_worker.py RANK WORLD STORE MODEL SPEC OUTPUT``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from torch.nn.parallel import DistributedDataParallel

from haystack_crossalign.training import CachedCrossAlignLoss, CrossAlignLoss


def main() -> None:
    rank, world = int(sys.argv[1]), int(sys.argv[2])
    store, folder, spec_file, output = sys.argv[3:]
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    spec = json.loads(Path(spec_file).read_text(encoding="utf-8"))
    results = {}
    for number, (name, options, bounds) in enumerate(spec["cases"]):
        start, end = bounds[rank]
        model = SentenceTransformer(folder, device="cpu").double().eval()
        features = [model.preprocess(column[start:end]) for column in spec["texts"]]
        loss_class = CachedCrossAlignLoss if name == "cached" else CrossAlignLoss
        loss = loss_class(model, gather_across_devices=True, **options)
        # As the trainer does it: BERT's own pooler gets no gradient.
        loss.model = DistributedDataParallel(model, find_unused_parameters=True)
        terms = loss(features)
        sum(terms.values()).backward()
        results[f"{number}/loss"] = sum(terms.values()).detach()
        for key, parameter in model.named_parameters():
            if parameter.grad is not None:
                results[f"{number}/{key}"] = parameter.grad.contiguous()
    save_file(results, f"{output}.{rank}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
