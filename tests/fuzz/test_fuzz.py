"""The fuzz in short; `CROSSALIGN_FUZZ_RUNS` and `CROSSALIGN_FUZZ_SEED` make it longer, and another one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fuzz import fuzz
from kinds import KINDS


@pytest.mark.exhaustive
def test_no_input_gives_a_traceback_a_long_message_or_a_touched_output(tmp_path: Path) -> None:
    runs = int(os.environ.get("CROSSALIGN_FUZZ_RUNS", str(2 * len(KINDS))))
    seed = int(os.environ.get("CROSSALIGN_FUZZ_SEED", "0"))
    assert fuzz(runs, seed, folder=tmp_path) == []
