"""Small indices for the examination, and short ways to run it and to read what it found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from haystack_crossalign.opensearch.connection.connect import open_client
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.connection.traffic import Traffic
from haystack_crossalign.opensearch.doctor.diagnose import diagnose
from haystack_crossalign.opensearch.doctor.findings import Diagnosis

INDEX = "doctor"


def document(number: int, language: str | None, group: str | None, *, vector: bool = True) -> dict[str, Any]:
    made: dict[str, Any] = {"content": f"text {number}"}
    made |= {"embedding": [1.0, float(number), 0.0, 1.0]} if vector else {}
    made |= {"language": language} if language else {}
    return made | ({"group": group} if group else {})


# Two groups in both languages, one in English alone; both spellings of Chinese are one language.
DOCUMENTS = {
    "a-en": document(1, "en", "a"),
    "a-zh": document(2, "zh", "a"),
    "b-en": document(3, "en", "b"),
    "b-zh": document(4, "zh_CN", "b"),
    "c-en": document(5, "en", "c"),
}
FLAWED = DOCUMENTS | {
    "no-vector": document(6, "en", "d", vector=False),
    "no-language": document(7, None, "e"),
    "no-group": document(8, "zh", None),
    "no-tag": document(9, "klingonisch", "f"),
}
COMPLETE = {name: one for name, one in DOCUMENTS.items() if name != "c-en"}


def examined(
    settings: LiveSettings,
    environ: dict[str, str] | None = None,
    traffic: Traffic | None = None,
    encoder: Any = None,
) -> Diagnosis:
    client = open_client(replace(settings, patience=0.2), environ or {}, traffic=traffic)
    try:
        return diagnose(client, settings, open_encoder=None if encoder is None else lambda _: encoder)
    finally:
        client.close()


def found(diagnosis: Diagnosis) -> dict[str, tuple[str, str]]:
    """State and what was seen, by check."""
    return {finding.check: (finding.state, finding.seen) for finding in diagnosis.findings}


def advice(diagnosis: Diagnosis, check: str) -> str:
    return next(finding.advice for finding in diagnosis.findings if finding.check == check)
