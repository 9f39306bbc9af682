"""A fuzz of structured mutations over all kinds of user input.

A short run with a fixed seed is part of the test suite. A long one:

    python tests/fuzz/fuzz.py --runs 2500 --seed 7 [--kind NAME]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

for folder in (Path(__file__).resolve().parent, Path(__file__).resolve().parents[1] / "support"):
    sys.path.insert(0, str(folder))

from kinds import KINDS, Case, Kind, write_bases  # noqa: E402

__all__ = ["Fault", "fuzz"]

OUTPUTS = ("out.json", "out.html", "out.md", "out.txt", "out.jsonl", "out.times.json")
UNTOUCHED = "what stood here before\n"
ALLOWED = frozenset({0, 1, 2, 3})
LONGEST = 1000


@dataclass(frozen=True)
class Fault:
    """What was wrong with one run, and how to repeat it."""

    kind: str
    seed: str
    problem: str


def fuzz(runs: int, seed: int, *, kind: str | None = None, folder: Path, report: bool = False) -> list[Fault]:
    """Run mutations, kind by kind in turn.

    :param runs: how many.
    :param seed: of all of them.
    :param kind: only this one.
    :param folder: where inputs are written.
    :param report: print each fault at once.
    :returns: everything that was wrong.
    """
    bases = folder / "bases"
    bases.mkdir()
    write_bases(bases)
    _made_by_the_program(bases)
    kinds = [one for one in KINDS if kind in (None, one.name)]
    faults = []
    codes: Counter[str] = Counter()
    for number in range(runs):
        one = kinds[number % len(kinds)]
        name = f"{seed}:{number}"
        place = folder / f"run{number}"
        started = time.process_time()
        code, problem = _run(one, place, bases, random.Random(f"{name}:{one.name}"))
        seconds = time.process_time() - started
        if seconds > 20:  # of the processor, whatever else the machine does
            problem = problem or f"took {seconds:.0f} s of the processor"
        codes[f"{one.name}: {code}"] += 1
        if problem is None:
            shutil.rmtree(place, ignore_errors=True)
            continue
        faults.append(Fault(one.name, name, problem))
        if report:
            print(f"{one.name} {name} in {place}: {problem}", file=sys.__stdout__, flush=True)
    if report:
        print(*(f"{name} x {count}" for name, count in sorted(codes.items())), sep="\n", file=sys.__stdout__)
    return faults


def _made_by_the_program(bases: Path) -> None:
    """Inputs that only the program writes."""
    files = ["--documents", str(bases / "documents.jsonl"), "--queries", str(bases / "queries.jsonl")]
    for command in (
        ["audit", *files, "--samples", "100", "--json", str(bases / "result.json")],
        ["convert", *files, "--workbench-out", str(bases / "workbench.json")],
    ):
        code, _, err = _call(command)
        assert code == 0, err


def _run(kind: Kind, place: Path, bases: Path, chance: random.Random) -> tuple[int, str | None]:
    place.mkdir()
    case = kind.prepare(place, bases, chance)
    for name in OUTPUTS:
        (place / name).write_text(UNTOUCHED, encoding="utf-8")
    before = {path.name for path in place.iterdir()}
    # An output without a folder, such as "-1", belongs into the run's own.
    with contextlib.chdir(place):
        code, out, err = _call(case)
    lines = err.splitlines()
    for text in (*lines, *out.splitlines()):
        if len(text) > LONGEST:
            return code, f"a message of {len(text)} characters: {text[:200]}"
    if "Traceback" in err or "fault of the program" in err:
        return code, "Traceback: " + " | ".join(lines[-6:])
    if code not in ALLOWED:
        return code, f"exit code {code}: {err[-300:]}"
    if any(character in out + err for character in "\x1b\x9b\x07\u202e"):
        return code, f"control characters: {(out + err)[:300]!r}"
    if code in (2, 3):
        said = [line for line in lines if line.startswith("crossalign: ") and "warning" not in line]
        if len(said) > 1 or any(not line.startswith("crossalign: ") for line in lines):
            return code, f"more than one line: {err[:600]!r}"
        written = code == 3 or kind.name == "server"  # a doctor writes what it finds
        touched = [n for n in OUTPUTS if (place / n).read_text(encoding="utf-8") != UNTOUCHED] if not written else []
        left = {path.name for path in place.iterdir()} - before - {"models"}
        left = {name for name in left if not name.endswith(".lock")}
        if touched or (left and not written):
            return code, f"touched {touched}, left {sorted(left)}: {err[:300]}"
    return code, None


def _call(case: Case) -> tuple[int, str, str]:
    from haystack_crossalign.cli.main import main
    from haystack_crossalign.errors import CrossAlignError

    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            if callable(case):
                case()
            else:
                main(case)
        except SystemExit as stop:
            code = stop.code
        except CrossAlignError as error:
            code = error.exit_code
            err.write(f"crossalign: {error}\n")
        except Exception:  # noqa: BLE001 - what a user would see as a traceback
            import traceback

            traceback.print_exc(file=err)
            code = 3
    return code if isinstance(code, int) else 0, out.getvalue(), err.getvalue()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--kind")
    given = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    print(f"seed {given.seed}", flush=True)
    found = fuzz(given.runs, given.seed, kind=given.kind, folder=Path(tempfile.mkdtemp(prefix="fuzz-")), report=True)
    print(f"{len(found)} faults in {given.runs} runs")
    sys.exit(bool(found))
