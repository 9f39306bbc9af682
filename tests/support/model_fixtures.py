"""The tiny model and batches for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from tiny_models import WORDS, tiny_model_folder

__all__ = ["tiny_model_folder"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def tiny_model(tiny_model_folder: Path) -> SentenceTransformer:
    """The tiny model, loaded again: dropout off, as after loading."""
    return SentenceTransformer(str(tiny_model_folder), device="cpu").eval()


@pytest.fixture(scope="session")
def make_texts() -> Callable[[int, int], list[list[str]]]:
    """``make_texts(columns, rows)``: columns of texts of 2 to 9 words, no text twice."""

    def make(columns: int, rows: int, seed: int = 0) -> list[list[str]]:
        generator = torch.Generator().manual_seed(seed)

        def text() -> str:
            length = int(torch.randint(2, 10, (), generator=generator))
            return " ".join(WORDS[int(word)] for word in torch.randint(len(WORDS), (length,), generator=generator))

        return [[text() for _ in range(rows)] for _ in range(columns)]

    return make
