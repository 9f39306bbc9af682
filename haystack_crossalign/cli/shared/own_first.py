"""The bound on what the own language first may lose, as options give it."""

from __future__ import annotations

from typing import Literal

from haystack_crossalign.errors import InputError


def own_first_bound(text: str | None) -> float | Literal["auto"] | None:
    """The bound of ``--keep-own-first``: ``auto`` if it is not given, None for ``off``.

    :param text: what was typed.
    :raises InputError: if it is neither a number nor ``off``.
    """
    if text is None:
        return "auto"
    try:
        return None if text == "off" else float(text)
    except ValueError:
        raise InputError(
            "not a number", source="--keep-own-first", seen=text, allowed="0 to 1, such as 0.02, or off"
        ) from None
