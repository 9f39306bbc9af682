"""Fit the constants of ``haystack_crossalign.text.detection`` and show what each confidence keeps.

Run: ``python benchmarks/detection/language_detection_fit.py [--data ../shared/data]``. The texts are NTREX-128 and
TICO-19, none of which is in XQuAD: whole sentences and their first 1, 2, 3, 4 and 6 words, in 15 languages that the
library knows and in Swahili, which it does not know. Each text counts once; a
language told for Swahili counts as wrong.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from haystack_crossalign.text import detection
from haystack_crossalign.text.detection import LanguageDetector
from haystack_crossalign.text.prose import stretches

LANGUAGES = ("en", "zh", "ar", "es", "th", "vi", "hi", "ru", "de", "el", "tr", "ro", "ja", "ko", "sw", "bn")
WORDS = (1, 2, 3, 4, 6, None)
FILES = {"ntrex_16lang.jsonl": 1997, "tico19_8lang.jsonl": 1500}
CHARACTERS_PER_WORD = {"zh": 2, "ja": 2, "th": 5}
LEAST_LETTERS = 4.0
MIXED = (("en", "es"), ("de", "en"), ("vi", "en"), ("es", "ro"), ("ru", "en"), ("ar", "en"), ("hi", "en"), ("en", "zh"))


def texts(folder: Path) -> Iterator[tuple[str, int | None, str]]:
    """Language, number of words and text."""
    for name, limit in FILES.items():
        for line in (folder / "train" / name).read_text("utf-8").splitlines()[:limit]:
            sentence = json.loads(line)
            for language in LANGUAGES:
                for words in WORDS if sentence.get(language) else ():
                    yield language, words, first_words(sentence[language], language, words)


def first_words(text: str, language: str, words: int | None) -> str:
    if words is None:
        return text
    if language in CHARACTERS_PER_WORD:
        return text[: words * CHARACTERS_PER_WORD[language]]
    return " ".join(text.split()[:words])


def features(folder: Path) -> tuple[np.ndarray, ...]:
    """For the longest stretch of each text: (1, log lead, fit), is its best language right, language, words, close."""
    detector = LanguageDetector()
    rows, right, language_of, words_of, close_of = [], [], [], [], []
    for language, words, text in texts(folder):
        stretch = max(stretches(text), key=lambda one: one.letters, default=None)
        if stretch is None or stretch.letters < LEAST_LETTERS:
            continue
        evidence = detector._evidence(stretch)
        ranked = sorted(((total, code) for code, total in evidence.totals.items()), reverse=True)
        if not ranked:
            continue
        (own, best), (other, rival) = ranked[0], ranked[1] if len(ranked) > 1 else (0.0, "")
        close = {best, rival} == detection._CLOSE
        lead = own - other - (detection._CLOSE_LEAD if close else 0.0)
        lead = max(lead, detection._LEAST_LEAD * evidence.letters)
        rows.append((1.0, np.log(lead), min(own / evidence.letters, detection._FULL_FIT)))
        right.append(best == language)
        language_of.append(language)
        words_of.append(words or 0)
        close_of.append(close)
    columns = (rows, right, language_of, words_of, close_of)
    return tuple(np.array(column) for column in columns)


def fit(rows: np.ndarray, right: np.ndarray, ridge: float = 1e-3, steps: int = 50) -> np.ndarray:
    """Logistic regression by Newton's method."""
    weights = np.zeros(rows.shape[1])
    for _ in range(steps):
        expected = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        gradient = rows.T @ (right - expected) - ridge * weights
        curvature = (rows * (expected * (1 - expected))[:, None]).T @ rows + ridge * np.eye(len(weights))
        weights += np.linalg.solve(curvature, gradient)
    return weights


def mixed(folder: Path, count: int = 1000) -> Iterator[str]:
    """Rows of a table: what is told of texts in two languages, a sentence or four words of each."""
    lines = (folder / "train" / "ntrex_16lang.jsonl").read_text("utf-8").splitlines()[:count]
    sentences = [json.loads(line) for line in lines]
    shifted = sentences[7:] + sentences[:7]
    detector = LanguageDetector()
    for first, second in MIXED:
        cells = []
        for words in (None, 4):
            texts = [
                f"{first_words(one[first], first, words)} {first_words(other[second], second, words)}"
                for one, other in zip(sentences, shifted, strict=True)
            ]
            told = [detection.language for detection in detector.detect(texts)]
            cells += [100 * told.count(tag) / len(told) for tag in (None, first, second)]
        yield f"| {first} + {second} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    folder = parser.parse_args().data
    rows, right, language, words, close = features(folder)
    # The lead between Hindi and Marathi has been cut, so those texts are judged by the fit and play no part in it.
    weights = fit(rows[~close], right[~close])
    print(f"{len(rows):,} texts; intercept {weights[0]:.2f}, lead {weights[1]:.2f}, fit {weights[2]:.2f}")
    used = np.array([detection._INTERCEPT, detection._LEAD, detection._FIT])
    confidence = 1 / (1 + np.exp(-(rows @ used)))
    known = language != "sw"
    print(
        "\n| confidence from | told | wrong of those told | Swahili told | told: 1 / 2 / 3 / 4 / 6 words / sentence |"
    )
    print("|--:|--:|--:|--:|---|")
    for least in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        told = confidence >= least
        by_words = " / ".join(f"{100 * told[known & (words == (count or 0))].mean():.1f}" for count in WORDS)
        wrong = 100 * (1 - right[told & known]).mean()
        print(
            f"| {least} | {100 * told[known].mean():.1f} | {wrong:.2f} | {100 * told[~known].mean():.1f} | {by_words} |"
        )
    print("\n| confidence | texts | mean confidence | right |\n|---|--:|--:|--:|")
    edges = [0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 1.0 + 1e-9]
    for low, high in itertools.pairwise(edges):
        inside = (confidence >= low) & (confidence < high)
        print(
            f"| {low:.2f} to {min(high, 1.0):.2f} | {inside.sum():,} | {confidence[inside].mean():.2f} "
            f"| {right[inside].mean():.2f} |"
        )
    print(
        "\n| two languages | sentences: undetermined | as first | as second | 4 + 4 words: undetermined | as first ",
        end="",
    )
    print("| as second |\n|---|--:|--:|--:|--:|--:|--:|")
    for row in mixed(folder):
        print(row)


if __name__ == "__main__":
    main()
