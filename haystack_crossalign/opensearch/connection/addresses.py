"""Addresses of servers: checked before anything is sent, and never shown where they may hold a password."""

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
    """The address in the one form that the client takes: scheme, name, port, and a path where there is one.

    :param host: as a person wrote it; without a scheme it is taken as plain HTTP.
    :param source: file or option it stands in, for the message.
    :param line: 1-based line in that file, for the message.
    :param field: name of the field, for the message.
    :raises InputError: it is not an address, or it holds a user name or password, which the message does not repeat.
    """
    # A password may hold '/', '?', '#' and ':', after which no parser finds it any more. The '@' tells in all cases.
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
    """Whether an address stays on this machine, so that nothing on it can be overheard in a network.

    :param address: as `checked_address` returns it.
    """
    name = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
