"""Language detection: candidate libraries on XQuAD, and the detector built on the chosen one.

Run: ``python benchmarks/detection/language_detection.py [--data ../shared/data] [--output FILE.md]``. Candidates
that are not installed are left out. Each candidate runs in a process of its own, on one core.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from language_detection_candidates import CANDIDATES, LANGUAGES

REPETITIONS = 3
SPEED_TEXTS = 100
"""Texts per language in the speed measurement."""
Texts = dict[str, list[str]]


def read_texts(folder: Path) -> dict[str, Texts]:
    """Questions, their first words, and passages of each language."""
    questions: Texts = {}
    passages: Texts = {}
    for language in LANGUAGES:
        articles = json.loads((folder / "xquad" / f"xquad.{language}.json").read_text("utf-8"))["data"]
        paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
        passages[language] = [paragraph["context"] for paragraph in paragraphs]
        questions[language] = [entry["question"] for paragraph in paragraphs for entry in paragraph["qas"]]
    words = {language: [first_words(text, language) for text in texts] for language, texts in questions.items()}
    return {"questions": questions, "words": words, "passages": passages}


def first_words(text: str, language: str) -> str:
    """About three words; Chinese and Thai have no spaces, so as many characters as three words have there."""
    characters = {"zh": 6, "th": 12}.get(language)
    return text[:characters] if characters else " ".join(text.split()[:3])


def measure(name: str, folder: Path) -> dict[str, object]:
    """Accuracy, speed and memory of one candidate, in this process."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    texts = read_texts(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    make = CANDIDATES[name].make
    detect = make(None)
    detect("Where is the station?")
    result: dict[str, object] = {"load": time.process_time() - start}
    result["speed"] = {kind: speed(detect, texts[kind]) for kind in texts}
    result["accuracy"] = {kind: accuracy(detect, texts[kind]) for kind in texts}
    result["memory"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if CANDIDATES[name].restricts:
        given = make(LANGUAGES)
        result["given"] = {kind: accuracy(given, texts[kind]) for kind in texts}
    return result


def speed(detect: Callable[[str], str | None], texts: Texts) -> float:
    """Texts a second of CPU time, median of the repetitions; CPU time since other programs may share the core."""
    sample = [text for language in LANGUAGES for text in texts[language][:SPEED_TEXTS]]
    runs = []
    for _ in range(REPETITIONS):
        start = time.process_time()
        for text in sample:
            detect(text)
        runs.append(len(sample) / (time.process_time() - start))
    return statistics.median(runs)


def accuracy(detect: Callable[[str], str | None], texts: Texts) -> dict[str, list[float]]:
    """Shares of texts in each language whose language was told rightly, and for which none was told."""
    shares = {}
    for language, entries in texts.items():
        told = [detect(text) for text in entries]
        right = sum(1 for tag in told if tag == language)
        shares[language] = [right / len(told), sum(1 for tag in told if tag is None) / len(told)]
    return shares


def disk(distributions: Iterable[str]) -> float:
    """Size of the installed files in MB, without the bytecode that Python adds."""
    total = 0
    for name in distributions:
        for file in importlib.metadata.files(name) or []:
            path = Path(str(file.locate()))
            if path.suffix != ".pyc" and path.is_file():
                total += path.stat().st_size
    return total / 1e6


def mean(shares: dict[str, list[float]], column: int = 0) -> float:
    return statistics.fmean(values[column] for values in shares.values())


def report(results: dict[str, dict]) -> str:
    """The Markdown tables."""
    version = importlib.metadata.version
    lines = [
        "| library | version | licence | languages | questions | 3 words | passages "
        "| questions, 12 given | 3 words, 12 given | questions/s | passages/s | load s | disk MB | memory MB |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, result in results.items():
        candidate = CANDIDATES[name]
        every, given = result["accuracy"], result.get("given")
        cells = [
            name,
            version(candidate.distributions[0]) if candidate.distributions else "this package",
            candidate.licence,
            str(candidate.languages),
            *(f"{100 * mean(every[kind]):.2f}" for kind in ("questions", "words", "passages")),
            *(f"{100 * mean(given[kind]):.2f}" if given else "—" for kind in ("questions", "words")),
            *(f"{result['speed'][kind]:,.0f}" for kind in ("questions", "passages")),
            f"{result['load']:.2f}",
            f"{disk(candidate.distributions):.1f}" if candidate.distributions else "—",
            f"{result['memory']:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    for kind, title in (("questions", "Questions"), ("words", "First three words of the questions")):
        for key, given_title in (("accuracy", "any language"), ("given", "12 languages given")):
            lines += ["", f"{title}, {given_title}: right, in percent", ""]
            lines += [f"| library | {' | '.join(LANGUAGES)} |", "|---" + "|--:" * len(LANGUAGES) + "|"]
            for name, result in results.items():
                if key in result:
                    row = " | ".join(f"{100 * result[key][kind][language][0]:.1f}" for language in LANGUAGES)
                    lines.append(f"| {name} | {row} |")
    ours = results.get("LanguageDetector")
    if ours:
        lines += ["", "`LanguageDetector` at its default confidence: wrong / undetermined, in percent", ""]
        lines += [
            f"| texts | languages given | all | {' | '.join(LANGUAGES)} |",
            "|---|---" + "|--:" * (len(LANGUAGES) + 1) + "|",
        ]
        for kind in ("questions", "words", "passages"):
            for key, title in (("accuracy", "any"), ("given", "the 12")):
                cells = [_pair(ours[key][kind][language]) for language in LANGUAGES]
                overall = [mean(ours[key][kind], column) for column in (0, 1)]
                lines.append(f"| {kind} | {title} | {_pair(overall)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _pair(values: list[float]) -> str:
    right, undetermined = values
    return f"{100 * max(0.0, 1 - right - undetermined):.2f} / {100 * undetermined:.2f}"


def hardware() -> str:
    """CPU model and cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    return f"{model}, {os.cpu_count()} cores (one used), Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--output", type=Path)
    parser.add_argument("--candidate", choices=sorted(CANDIDATES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.candidate:
        print(json.dumps(measure(options.candidate, options.data)))
        return
    results = {}
    for name in CANDIDATES:
        command = [sys.executable, __file__, "--data", str(options.data), "--candidate", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{name} left out: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        else:
            results[name] = json.loads(done.stdout.splitlines()[-1])
    text = f"{hardware()}\n\n{report(results)}"
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
