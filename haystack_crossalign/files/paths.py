"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path

from haystack_crossalign.errors import InputError


def expanded(path: str | Path, *, source: str | Path | None = None, field: str | None = None) -> Path:
    """The path with a home folder in place of ``~`` or ``~user``.

    :param path: the path.
    :param source: file or option that it comes from, for the message.
    :param field: field or parameter that it is the value of, for the message.
    :raises InputError: for a user that this machine does not know.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError("unknown user in the path", source=source, field=field, seen=path, allowed="a path") from None
