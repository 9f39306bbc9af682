"""Where the compiled library lies; haystack_crossalign.ranks.int8 calls it."""

from __future__ import annotations

from pathlib import Path

LIBRARY = next(iter(sorted(Path(__file__).parent.glob("libcounting.*"))), None)
"""Path of the shared library, None where the build left none."""
