"""Links to pages of documents: only addresses of the web, in a form that neither HTML nor Markdown can misread."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

_LONGEST = 2000
# Characters of RFC 3986 but "$", which starts a formula in some Markdown; all others are percent-encoded.
_KEPT = ":/?#[]@!&'()*+,;=%-._~"


def web_link(address: str | None) -> str | None:
    """An address for use in a link; None if it is not one that a report may link to.

    :param address: what a document gives as its address.
    :returns: an http or https URL of ASCII characters; None for other schemes, an address without a host, with a user
        name or password, with control characters, or of more than 2,000 characters.
    """
    if not address or len(address) > _LONGEST or any(character < " " or character == "\x7f" for character in address):
        return None
    try:
        parts = urlsplit(address)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        return quote(address, safe=_KEPT) if known and "\\" not in parts.netloc else None
    except ValueError:  # no valid host or port, or half of a surrogate pair
        return None
