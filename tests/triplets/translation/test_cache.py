"""The file that keeps the answers of a translation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from haystack_crossalign.triplets.translation.cache import Answer, TranslationCache

# A limit on the size of files stands for a full disk: the operating system refuses to write either way.
FULL = """
import resource, sys
from haystack_crossalign.errors import ExternalError
from haystack_crossalign.triplets.translation.cache import Answer, TranslationCache

cache = TranslationCache(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (400, resource.RLIM_INFINITY))
try:
    with cache:
        for number in range(100):
            cache.add(f"{number:064}", Answer("answer"), {})
except ExternalError as error:
    print(error, number)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
with cache:  # in the same process: the lock was let go
    print(len(cache.answers(f"{0:064}")), len(cache.answers(f"{number:064}")))
    cache.add(f"{number:064}", Answer("later"), {})
"""


def test_a_full_disk_is_told_and_costs_no_answer_that_was_written(tmp_path: Path) -> None:
    path = tmp_path / "cache.jsonl"
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told, kept = done.stdout.splitlines()
    number = int(told.rsplit(" ", 1)[1])
    assert told == f"{path}: cannot be written (File too large) {number}"
    assert number > 0
    assert kept == "1 0"
    with TranslationCache(path) as cache:
        assert [len(cache.answers(f"{one:064}")) for one in range(number + 1)] == [1] * (number + 1)
        assert cache.answers(f"{number:064}") == (Answer("later"),)
