"""Check addresses of servers before anything is sent; addresses that may contain a password are never shown."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from haystack_crossalign.errors import InputError

_ALLOWED = "https://name:9200, without user, password, query and fragment"


def checked_address(
    host: str, *, source: str | Path = "hosts", line: int | None = None, field: str | None = None
) -> str:
    """Normalize an address to the form that the client expects: scheme, name, port, and optional path.

    :param host: as written by the user; without a scheme, plain HTTP is assumed.
    :param source: its file or option, for the message.
    :param line: 1-based line in that file, for the message.
    :param field: name of the field, for the message.
    :raises InputError: if it is not an address, or contains a user name or password, which the message does not repeat.
    """
    # A password may contain '/', '?', '#' and ':', which confuse parsers, but the '@' always reveals it.
    if "@" in host:
        raise InputError(
            "the address holds a user name or password",
            source=source,
            line=line,
            field=field,
            allowed="an address without '@'; credentials come from the environment or a file",
        )
    try:
        parts = urlsplit(host if "://" in host else f"http://{host}")
        valid = parts.port is None or parts.port > 0
        parse_url(parts.geturl())  # what sends the requests is stricter
    except (ValueError, HTTPError):  # a port that is no number, half of an IPv6 address, an escape in a name
        parts, valid = urlsplit(""), False
    plain = parts.hostname is not None and not any(character.isspace() for character in host)
    if not valid or not plain or parts.scheme not in {"http", "https"} or parts.query or parts.fragment:
        raise InputError(
            "not an address of a server", source=source, line=line, field=field, seen=host, allowed=_ALLOWED
        )
    return parts.geturl().rstrip("/")


def is_loopback(address: str) -> bool:
    """Whether an address is on this machine, so that no traffic goes over a network.

    :param address: as `checked_address` returns it.
    """
    name = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
