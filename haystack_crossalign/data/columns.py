"""Arrays from columns of languages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def codes(values: Sequence[str], languages: Sequence[str]) -> NDArray[np.int32]:
    """Index of each value in ``languages``, -1 if it is not in the list: int32 [n]."""
    code = {language: number for number, language in enumerate(languages)}
    return np.fromiter((code.get(value, -1) for value in values), dtype=np.int32, count=len(values))


def positions(values: Sequence[str], languages: Iterable[str]) -> NDArray[np.int64]:
    """Ascending positions of the values that are one of ``languages``: int64."""
    wanted = {languages} if isinstance(languages, str) else set(languages)
    return np.flatnonzero(np.fromiter((value in wanted for value in values), dtype=bool, count=len(values)))
