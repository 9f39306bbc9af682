"""Other models, from a hub: each as it is, repaired and trained, side by side on the paper's page.

    CROSSALIGN_DATA=DIR python benchmarks/studies/other_models.py --output other_models

Models: intfloat/multilingual-e5-base and BAAI/bge-m3; `--model NAME` for others. Each model is repaired on NTREX-128
and trained by a recipe, both by the command line; `crossalign benchmark paper` then measures all of them. A folder
that is there is not made again. The settings are those chosen for multilingual-e5-small: nothing was chosen for these
models, and no figure of them is in this repository.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from haystack_crossalign.data.corpora.registry import corpus_folder

RECIPES = Path(__file__).resolve().parents[2] / "training" / "recipes"
MODELS = ("intfloat/multilingual-e5-base", "BAAI/bge-m3")


def crossalign(*arguments: str | Path) -> None:
    """Run the program; a failure ends the study with its exit code."""
    print("crossalign", *arguments, flush=True)
    done = subprocess.run([sys.executable, "-m", "haystack_crossalign", *map(str, arguments)], check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def short_name(model: str) -> str:
    return model.rstrip("/").rpartition("/")[2]


def make(
    model: str,
    output: Path,
    parallel: Sequence[str | Path],
    recipe: Path,
    settings: Sequence[str],
    data: Sequence[str | Path],
) -> list[str]:
    """Repair and train a model; labels and names for the page."""
    own = output / short_name(model)
    own.mkdir(parents=True, exist_ok=True)
    if not (own / "repaired").exists():
        crossalign("repair", "--model", model, *parallel, "--output", own / "repaired")
    if not (own / "trained").exists():
        flags = [part for setting in (f"model.name={model}", *settings) for part in ("--set", setting)]
        crossalign("train", "--recipe", recipe, "--output", own / "trained", "--resume", *data, *flags)
    return [f"{own.name}={model}"] + [f"{own.name}, {kind}={own / kind}" for kind in ("repaired", "trained")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", metavar="NAME", help="hub name or folder; repeatable")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the corpora; default: CROSSALIGN_DATA")
    parser.add_argument("--recipe", type=Path, default=RECIPES / "en_zh.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the recipe; repeatable")
    parser.add_argument("--languages", default="zh", help="to pair with English; those of the recipe")
    parser.add_argument("--parallel", type=Path, metavar="FILE", help="documents for the repair in place of NTREX-128")
    parser.add_argument("--output", type=Path, default=Path("other_models"))
    arguments = parser.parse_args()
    parallel: list[str | Path] = ["--languages", f"en,{arguments.languages}", "--parallel"]
    parallel += (
        [arguments.parallel] if arguments.parallel else [corpus_folder("ntrex", arguments.data), "--format", "ntrex"]
    )
    data: list[str | Path] = ["--data", arguments.data] if arguments.data else []
    labels = [
        label
        for model in arguments.model or MODELS
        for label in make(model, arguments.output, parallel, arguments.recipe, arguments.set, data)
    ]
    flags = [part for label in labels for part in ("--model", label)]
    crossalign(
        "benchmark", "paper", *data, "--languages", arguments.languages, *flags, "--output", arguments.output / "paper"
    )


if __name__ == "__main__":
    main()
