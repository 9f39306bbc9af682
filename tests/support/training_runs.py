"""Triplets of words that the tiny model knows, and a recipe for it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tiny_models import WORDS

from haystack_crossalign.data.triplets import Triplet
from haystack_crossalign.training.recipe.recipe import Recipe, make_recipe


def made_triplets(
    count: int, languages: tuple[str, ...] = ("zh",), *, target_queries: bool = True, seed: int = 0
) -> list[Triplet]:
    """Triplets without a shared text; every second one has target-language queries."""
    draw = random.Random(seed)  # noqa: S311 - no secret

    def text(words: int) -> str:
        return " ".join(draw.choice(WORDS) for _ in range(words))

    return [
        Triplet(
            id=f"t{number}",
            group=f"g{number}",
            language="en",
            query=text(5),
            passage=text(12),
            targets={tag: text(11) for tag in languages},
            target_queries={tag: text(4) for tag in languages} if target_queries and number % 2 else {},
        )
        for number in range(count)
    ]


def quoted_triplets(count: int, seed: int) -> list[Triplet]:
    """Triplets whose queries are the beginnings of their passages, so that each finds its own version first."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    made = []
    for number in range(count):
        passages = {tag: [draw.choice(WORDS[start : start + 30]) for _ in range(10)]
                    for tag, start in (("en", 0), ("zh", 30))}  # fmt: skip
        made.append(
            Triplet(
                f"{seed}:{number}", f"{seed}:{number}", "en",
                " ".join(passages["en"][:8]), " ".join(passages["en"]), {"zh": " ".join(passages["zh"])},
                {"zh": " ".join(passages["zh"][:8])},
            )
        )  # fmt: skip
    return made


def made_recipe(folder: Path, **changes: Any) -> Recipe:
    """A short run on the CPU."""
    values: dict[str, Any] = {
        "model": str(folder),
        "languages": ["zh"],
        "device": "cpu",
        "precision": "fp32",
        "optimiser": {"batch_size": 8, "epochs": 1, "learning_rate": 1e-3},
        "evaluate": {"every": None},
    }
    for name, value in changes.items():
        known = values.get(name)
        values[name] = known | value if isinstance(known, dict) and isinstance(value, dict) else value
    return make_recipe(values)
