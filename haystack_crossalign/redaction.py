"""Remove secrets, in every encoding in which they may be echoed, from external text.

A server or a proxy may repeat a rejected request, headers included. Code that sends a secret registers it with
:func:`keep_secret`; external text that may be shown, logged or stored goes through :func:`redacted`.
"""

from __future__ import annotations

import base64
import html
import json
import re
import threading
from collections.abc import Iterator, Mapping
from typing import TypeVar
from urllib.parse import quote, quote_plus, unquote, urlsplit

HIDDEN = "***"

_Value = TypeVar("_Value")
_STRONG = 8
"""Characters from which on a secret is taken out wherever it stands; a shorter one only as a word of its own, since
taking every "is" out of a message would tell the secret."""
_LEAST = 4
"""Characters below which only the encodings of a secret are taken out: the "t" of "couldn't" is nobody's secret."""
_PREFIX = 12
"""Number of leading characters of a long form by which a truncated copy of it is recognized."""
_SECRET_NAME = re.compile(r"PASSW|SECRET|TOKEN|_KEY|APIKEY|CREDENTIAL", re.IGNORECASE)
# A header that was truncated or that another client sent; a digit distinguishes it from "basic authentication".
_HEADER = r"\b(?:basic|bearer|apikey)(?:\s|%20|\+)+(?=[A-Za-z+/_.~%-]*[0-9=])[A-Za-z0-9+/_=.~%-]{6,}"
_SIGNATURE = r"\bSignature=[0-9a-f]{16,}"

_lock = threading.Lock()
_kept: set[tuple[str, str]] = set()
_pattern = re.compile(f"{_HEADER}|{_SIGNATURE}", re.IGNORECASE)
_everywhere: re.Pattern[str] | None = None


def keep_secret(secret: str, *, user: str = "") -> None:
    """Register a secret, so that :func:`redacted` removes it from now on.

    :param secret: password, token or key.
    :param user: the user name that is sent with a password.
    """
    global _pattern, _everywhere
    if not secret.strip() or (secret, user) in _kept:
        return
    with _lock:
        _kept.add((secret, user))
        strong: set[str] = set()
        weak: set[str] = set()
        for kept, name in _kept:
            if len(kept) >= _LEAST:
                (strong if len(kept) >= _STRONG else weak).update(_written(kept))
            strong.update(form for form in _encoded(kept, name) if len(form) >= _STRONG)
        forms = sorted(strong, key=len, reverse=True)
        # Whole forms first: the forms of one secret begin alike, and removing a part of one must not leave the rest of
        # another.
        parts = [re.escape(form) for form in forms] + [_part(form) for form in forms if len(form) >= 2 * _PREFIX]
        words = [rf"(?<!\w){re.escape(form)}(?!\w)" for form in sorted(weak, key=len, reverse=True)]
        _everywhere = re.compile("|".join(parts), re.IGNORECASE) if parts else None
        _pattern = re.compile("|".join([*parts, *words, _HEADER, _SIGNATURE]), re.IGNORECASE)


def keep_environment_secrets(environ: Mapping[str, str]) -> None:
    """Register what looks like a secret in an environment: the values of names such as ``OPENAI_API_KEY`` and
    ``HF_TOKEN``, and passwords of proxies.

    :param environ: the environment.
    """
    for name, value in environ.items():
        if name.lower().endswith("_proxy"):
            try:
                parts = urlsplit(value if "://" in value else f"http://{value}")
                password, user = parts.password, parts.username
            except ValueError:
                continue
            if password:
                keep_secret(unquote(password), user=unquote(user or ""))
                keep_secret(password)
        elif _SECRET_NAME.search(name) and len(value) >= _STRONG and not name.upper().endswith("_FILE"):
            keep_secret(value)


def keep_named_secrets(data: object, environ: Mapping[str, str]) -> None:
    """Register the values of the variables from which a Haystack pipeline takes its secrets.

    :param data: mapping of the pipeline, with secrets as ``{type: env_var, env_vars: [NAME]}`` at any depth.
    :param environ: the environment.
    """
    pending = [data]
    while pending:
        value = pending.pop()
        if isinstance(value, Mapping):
            names = value.get("env_vars")
            if value.get("type") == "env_var" and isinstance(names, list):
                for name in names:
                    keep_secret(environ.get(str(name), ""))
            pending += value.values()
        elif isinstance(value, list | tuple):
            pending += value


def redacted(text: str, *, own: bool = False) -> str:
    """Remove registered secrets, and credentials in headers, from a text.

    :param text: external text.
    :param own: the text is a message of this program that quotes external text: short secrets stay, since the program's
        own words may contain them.
    """
    pattern = _everywhere if own else _pattern
    return text if pattern is None else pattern.sub(HIDDEN, text)


def redacted_values(value: _Value) -> _Value:
    """A JSON value with all its texts and keys redacted.

    :param value: mappings, lists and plain values, nested.
    """
    if isinstance(value, str):
        return redacted(value)  # type: ignore[return-value]
    if isinstance(value, Mapping):
        return {redacted(str(key)): redacted_values(item) for key, item in value.items()}  # type: ignore[return-value]
    if isinstance(value, list | tuple):
        return type(value)(redacted_values(item) for item in value)
    return value


def _part(form: str) -> str:
    return re.escape(form[:_PREFIX]) + "[A-Za-z0-9+/_=.~%-]*"


def _written(secret: str) -> Iterator[str]:
    """The secret as it is written in plain text, code, web pages and URLs."""
    yield from (secret, repr(secret)[1:-1], repr(secret.encode())[2:-1])
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    yield from (json.dumps(json.dumps(secret))[3:-3], html.escape(secret), html.escape(secret, quote=False))
    yield from (quote(secret), quote(secret, safe=""), quote_plus(secret))


def _encoded(secret: str, user: str) -> Iterator[str]:
    """The secret as it is encoded in headers."""
    for text in (secret, f"{user}:{secret}"):
        raw = text.encode("utf-8", "surrogateescape")
        for form in (base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()):
            yield from (form, form.rstrip("="), quote(form, safe=""))
        yield raw.hex()
