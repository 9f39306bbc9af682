"""Languages that look alike: right, wrong and undetermined, with and without the second detector and the words.

Run: ``python benchmarks/detection/detection_neighbors.py --ntrex NTREX/NTREX-128 [--output FILE]``. NTREX-128 is 128
languages of 1,997 sentences each (github.com/MicrosoftTranslator/NTREX, CC BY-SA 4.0); every eighth sentence that the
words were not checked on is read. The sentences of ``tests/support/neighbor_sentences.toml`` come second. "Before" is
the first detector alone.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from haystack_crossalign.languages import normalize_language
from haystack_crossalign.text.detection import DETECTABLE_LANGUAGES, Detection, LanguageDetector
from haystack_crossalign.text.prose import Stretch

WORDS = 6
# Characters that say about as much as six words.
CHARACTERS = {"zh": 12, "yue": 12, "ja": 16, "th": 30, "lo": 30, "km": 30, "my": 30, "bo": 30, "dz": 30}
WITH_ENGLISH = (
    "id",
    "ms",
    "hr",
    "bs",
    "sr-Latn",
    "af",
    "nl",
    "mk",
    "sr",
    "ps",
    "fa",
    "ne",
    "hi",
    "gl",
    "es",
    "zh",
    "ja",
)
PAIRS = (
    ("id", "ms"),
    ("hr", "sr-Latn"),
    ("nl", "af"),
    ("sr", "mk"),
    ("fa", "ps"),
    ("hi", "ne"),
    ("es", "gl"),
    ("zh", "ja"),
)


class Before(LanguageDetector):
    """The first detector alone."""

    def _settle(self, tag: str, _script: str, _found: list[Stretch]) -> tuple[str | None, tuple[str, ...]]:
        return tag, ()

    def _by_second(self, _found: list[Stretch], confidence: float) -> Detection:
        return Detection(None, confidence)


def ntrex(folder: Path) -> dict[str, list[str]]:
    """Sentences by the code of NTREX; the first translation into each language."""
    texts = {}
    for path in sorted(folder.glob("newstest2019-ref.*.txt")):
        lines = [line.strip("\ufeff ") for line in path.read_text("utf-8").split("\n")]
        code = path.name.removeprefix("newstest2019-ref.").removesuffix(".txt")
        texts[code] = [line for line in lines[1::2] if re.search(r"[^\W\d_]{2}", line)][::4]
    return texts


def language_of(code: str) -> str:
    """Tag that a detection has for a language: Chinese is one in both scripts."""
    tag = normalize_language(code)
    return "zh" if tag == "zh-Hant" else tag


def shortened(text: str, tag: str) -> str:
    return text[: CHARACTERS[tag]] if tag in CHARACTERS else " ".join(text.split()[:WORDS])


def shares(detector: LanguageDetector, texts: list[str], tag: str) -> tuple[float, float, float, str]:
    """Right, wrong and undetermined, in percent, and what the wrong ones were taken for."""
    told = Counter(detection.language for detection in detector.detect(texts))
    wrong = Counter({name: count for name, count in told.items() if name not in (None, tag)})
    rates = [100 * count / len(texts) for count in (told[tag], sum(wrong.values()), told[None])]
    return rates[0], rates[1], rates[2], ", ".join(f"{name} {count}" for name, count in wrong.most_common(2))


def table(texts: Mapping[str, list[str]], least: float) -> Iterator[str]:
    """A row for each language with mistakes, or with many texts left open, before or after; and the totals."""
    detectors = (Before(), LanguageDetector())
    yield "| language | texts | before: right / wrong / undetermined | after | taken for (before) | (after) |"
    yield "|---|--:|--:|--:|---|---|"
    totals: dict[tuple[bool, int], list[float]] = {}
    for code, sentences in texts.items():
        tag = language_of(code)
        rows = [shares(detector, sentences, tag) for detector in detectors]
        for number, row in enumerate(rows):
            total = totals.setdefault((tag in DETECTABLE_LANGUAGES, number), [0.0] * 4)
            for column, value in enumerate((*row[:3], 1.0)):
                total[column] += value
        poor = tag in DETECTABLE_LANGUAGES and min(row[0] for row in rows) < 100 - 5 * least
        if max(row[1] for row in rows) >= least or poor:
            cells = [f"{right:.1f} / {wrong:.1f} / {open_:.1f}" for right, wrong, open_, _ in rows]
            yield f"| {code} | {len(sentences)} | {cells[0]} | {cells[1]} | {rows[0][3]} | {rows[1][3]} |"
    for known, name in ((True, "codes of languages that can be detected"), (False, "others")):
        if (known, 0) in totals:
            cells = []
            for number in (0, 1):
                *sums, count = totals[known, number]
                cells.append(" / ".join(f"{value / count:.2f}" for value in sums))
            yield f"| **all {totals[known, 0][3]:.0f} {name}** | | {cells[0]} | {cells[1]} | | |"


def pools(texts: Mapping[str, list[str]]) -> Iterator[str]:
    """Texts of the first language where it and another are given."""
    yield "| texts in | given | sentences: right / wrong / undetermined | six words |"
    yield "|---|---|--:|--:|"
    by_tag = {language_of(code): sentences for code, sentences in texts.items()}
    for first, second in [*((tag, "en") for tag in WITH_ENGLISH), *PAIRS, *(pair[::-1] for pair in PAIRS)]:
        detector = LanguageDetector([first, second])
        cells = []
        for sentences in (by_tag[first], [shortened(text, first) for text in by_tag[first]]):
            right, wrong, undetermined, _ = shares(detector, sentences, first)
            cells.append(f"{right:.1f} / {wrong:.1f} / {undetermined:.1f}")
        yield f"| {first} | {first}, {second} | {cells[0]} | {cells[1]} |"


def speed(data: Path) -> Iterator[str]:
    """CPU time of both, one after the other in one process, on the questions and passages of XQuAD."""
    questions, passages = [], []
    for path in sorted((data / "xquad").glob("xquad.*.json")):
        paragraphs = [one for article in json.loads(path.read_text("utf-8"))["data"] for one in article["paragraphs"]]
        passages += [paragraph["context"] for paragraph in paragraphs[:50]]
        questions += [paragraph["qas"][0]["question"] for paragraph in paragraphs[:100]]
    yield "| XQuAD, 12 languages | before, µs a text | after | ratio |"
    yield "|---|--:|--:|--:|"
    for name, texts in (("questions", questions), ("passages", passages)):
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(7):
            for detector, taken in zip((Before(), LanguageDetector()), times, strict=True):
                start = time.process_time()
                detector.detect(texts)
                taken.append(1e6 * (time.process_time() - start) / len(texts))
        before, after = map(statistics.median, times)
        yield f"| {len(texts)} {name} | {before:.0f} | {after:.0f} | {after / before:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ntrex", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    texts = ntrex(options.ntrex)
    short = {code: [shortened(one, language_of(code)) for one in sentences] for code, sentences in texts.items()}
    own = tomllib.loads(Path("tests/support/neighbor_sentences.toml").read_text("utf-8"))
    parts = [
        "### NTREX-128, whole sentences", "", *table(texts, 1.0), "",
        f"### NTREX-128, the first {WORDS} words", "", *table(short, 2.0), "",
        "### The pool's languages given", "", *pools(texts), "",
        "### Sentences of the tests", "", *table(own, 0.1), "",
        "### Speed", "", *speed(options.data),
    ]  # fmt: skip
    report = "\n".join(parts) + "\n"
    print(report)
    if options.output:
        options.output.write_text(report, encoding="utf-8")


if __name__ == "__main__":
    main()
