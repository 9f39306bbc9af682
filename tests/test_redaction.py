"""Secrets are taken out of foreign text in every form in which others write them."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest

from haystack_crossalign import redaction
from haystack_crossalign.errors import ExternalError
from haystack_crossalign.redaction import (
    keep_environment_secrets,
    keep_named_secrets,
    keep_secret,
    redacted,
    redacted_values,
)

SECRET = 'Päß€漢 "\\x`%41&<>#?/@=+;Zz9'  # noqa: S105


@pytest.fixture(autouse=True)
def _no_other_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_kept", set())
    monkeypatch.setattr(redaction, "_everywhere", None)
    monkeypatch.setattr(redaction, "_pattern", redaction._pattern)  # put back after the test


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


FORMS = {
    "plain": SECRET,
    "lower case": SECRET.lower(),
    "base64 of the secret": base64_of(SECRET),
    "base64 of user and secret": base64_of(f"user:{SECRET}"),
    "without padding": base64_of(f"user:{SECRET}").rstrip("="),
    "for addresses": base64.urlsafe_b64encode(f"user:{SECRET}".encode()).decode(),
    "quoted": quote(SECRET),
    "quoted whole": quote(SECRET, safe=""),
    "quoted with plus": quote_plus(SECRET),
    "JSON": json.dumps(SECRET)[1:-1],
    "JSON in Unicode": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "JSON in JSON": json.dumps(json.dumps(SECRET))[3:-3],
    "HTML": html.escape(SECRET),
    "Python": repr(SECRET)[1:-1],
    "bytes of Python": repr(SECRET.encode())[2:-1],
    "hexadecimal": SECRET.encode().hex(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_each_form_is_taken_out_of_foreign_text_and_of_errors(form: str) -> None:
    keep_secret(SECRET, user="user")
    for hide in (redacted, lambda text: redacted(text, own=True), lambda text: str(ExternalError(text))):
        assert form not in hide(f"before {form} after")
        assert hide(f"before {form} after") == "before *** after"


def test_a_part_that_was_cut_off_is_taken_out() -> None:
    keep_secret(SECRET, user="user")
    header = base64_of(f"user:{SECRET}")
    assert header[:16] not in redacted(f"Authorization: {header[:20]}…")


def test_headers_of_others_are_taken_out_and_words_stay() -> None:
    for header in ("Basic dXNlcjpwYXNzd29yZA==", "Bearer eyJhbGciOi.J9x_-", "ApiKey abc123DEF=="):
        assert redacted(f"seen: {header}") == "seen: ***"
    for text in ("basic authentication required", "bearer tokens are refused", "no API key"):
        assert redacted(text) == text


def test_a_short_secret_is_taken_out_as_a_word_and_our_own_words_stay() -> None:
    keep_secret("open")
    assert redacted("an open door was opened") == "an *** door was opened"
    assert redacted("an open door", own=True) == "an open door"


def test_letters_are_no_secrets_but_what_they_become_in_a_header_is() -> None:
    keep_secret("t", user="somebody")
    assert redacted("couldn't: " + base64_of("somebody:t")) == "couldn't: ***"


def test_secrets_of_the_environment_are_known() -> None:
    keep_environment_secrets(
        {
            "OPENAI_API_KEY": "sk-0123456789",
            "HTTPS_PROXY": "http://me:proxy%40pass1@proxy:3128",
            "LANG": "en_US.UTF-8",
            "SHORT_TOKEN": "en",
            "CROSSALIGN_PASSWORD_FILE": "/etc/crossalign",
        }
    )
    assert redacted("key sk-0123456789, proxy@pass1, proxy%40pass1") == "key ***, ***, ***"
    assert redacted("en_US.UTF-8 en /etc/crossalign") == "en_US.UTF-8 en /etc/crossalign"


def test_secrets_that_a_pipeline_names_are_known() -> None:
    data = {"components": {"a": {"init_parameters": {"api_key": {"type": "env_var", "env_vars": ["MINE"]}}}}}
    keep_named_secrets(data, {"MINE": "0123456789abc", "OTHER": "x"})
    assert redacted("got 0123456789abc") == "got ***"


def test_values_are_redacted_at_any_depth() -> None:
    keep_secret("0123456789")
    value = {"a 0123456789": ["x0123456789", 1, None, {"b": ("0123456789",)}]}
    assert redacted_values(value) == {"a ***": ["x***", 1, None, {"b": ("***",)}]}
