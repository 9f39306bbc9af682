"""haystack-crossalign: find, measure and repair language bias in multilingual search on Haystack and OpenSearch.

Importing the package registers its modules with Haystack's deserialisation allow-list, so that pipelines written in
YAML may name its components. It imports nothing heavy: take components from `haystack_crossalign.components`.
"""

from __future__ import annotations

import os

from haystack_crossalign._version import __version__

__all__ = ["__version__"]

_ALLOWLIST = "HAYSTACK_DESERIALIZATION_ALLOWLIST"


def _register_with_haystack() -> None:
    # Haystack reads the variable at every check, so this works before and after it is imported; the function it
    # offers for the same purpose would cost its import, torch included.
    pattern = f"{__name__}.*"
    patterns = [part.strip() for part in os.environ.get(_ALLOWLIST, "").split(",") if part.strip()]
    if pattern not in patterns:
        os.environ[_ALLOWLIST] = ",".join([*patterns, pattern])


_register_with_haystack()
