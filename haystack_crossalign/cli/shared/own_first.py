"""The bound on what the own language first may lose, as options give it."""

from __future__ import annotations

from typing import Literal

from haystack_crossalign.errors import InputError


def own_first_bound(text: str | None) -> float | Literal["auto"] | None:
    """The bound of ``--keep-own-first``: ``auto`` if it is not given, None for ``off``.

    :param text: what was typed.
    :raises InputError: if it is neither a number from 0 to 1 nor ``off``.
    """
    if text is None:
        return "auto"
    if text == "off":
        return None
    try:
        bound = float(text)
    except ValueError:
        bound = -1.0
    if not 0 <= bound <= 1:
        raise InputError(
            "not a number from 0 to 1", source="--keep-own-first", seen=text, allowed="0 to 1, such as 0.02, or off"
        )
    return bound
