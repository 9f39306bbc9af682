"""AWS Signature Version 4 as AWS publishes it, on the side of the server: what our signer is held against.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote_plus

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
    r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def signature(
    method: str,
    target: str,
    headers: Sequence[tuple[str, str]],
    signed: Sequence[str],
    body_hash: str,
    *,
    time: str,
    key: bytes,
    scope: str,
) -> str:
    """Signature of a request as it arrived: the path is encoded once more, the query is sorted by name and value."""
    path, _, query = target.partition("?")
    pairs = [part.partition("=")[::2] for part in query.split("&") if part]
    encoded = sorted(
        (quote(unquote_plus(name), safe="~"), quote(unquote_plus(value), safe="~")) for name, value in pairs
    )
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(" ".join(value.split()))
    canonical = "\n".join(
        [
            method,
            quote(path, safe="/~"),
            "&".join(f"{name}={value}" for name, value in encoded),
            *(f"{name}:{','.join(values[name])}" for name in signed),
            "",
            ";".join(signed),
            body_hash,
        ]
    )
    text = "\n".join(["AWS4-HMAC-SHA256", time, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def refusal(
    method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes, *, keys: dict[str, str], scope: str
) -> str | None:
    """Why the service refuses a request, or None where it lets it in.

    :param keys: secret key by access key.
    :param scope: region and service it is for, as ``eu-central-1/es``.
    """
    by_name = {name.lower(): value for name, value in headers}
    found = _AUTHORIZATION.fullmatch(by_name.get("authorization", ""))
    if found is None:
        return "no signature"
    access, date, region, service, names, claimed = found.groups()
    signed = names.split(";")
    time = by_name.get("x-amz-date", "")
    moment = datetime.strptime(time, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    body_hash = hashlib.sha256(body).hexdigest()
    must = {"host", *(name for name in by_name if name.startswith("x-amz-"))}
    if access not in keys:
        return "unknown access key"
    if f"{region}/{service}" != scope or not time.startswith(date):
        return "wrong scope"
    if abs(datetime.now(UTC) - moment) > timedelta(minutes=15):
        return "wrong time"
    if not must <= set(signed) or signed != sorted(signed):
        return "headers not signed"
    if by_name.get("x-amz-content-sha256", body_hash) != body_hash:
        return "the body is another one"
    right = signature(
        method,
        target,
        headers,
        signed,
        body_hash,
        time=time,
        key=signing_key(keys[access], date, region, service),
        scope=f"{date}/{region}/{service}/aws4_request",
    )
    return None if hmac.compare_digest(right, claimed) else "wrong signature"
