"""Haystack chat generators: load one from YAML, identify it for the cache, and call it with its errors classified."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import httpx
import openai
from haystack import Pipeline
from haystack.core.errors import ComponentError, DeserializationError, PipelineError, SerializationError
from haystack.core.serialization import component_to_dict
from haystack.dataclasses import ChatMessage

from haystack_crossalign.config.plain_yaml import parse_yaml, read_yaml_text, refuse_remote_code
from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.redaction import keep_named_secrets, redacted
from haystack_crossalign.triplets.translation.cache import Answer

_ALLOWED = (
    "a chat generator (type and init_parameters), or a Haystack pipeline that holds one, "
    "of a class on Haystack's allow-list (HAYSTACK_DESERIALIZATION_ALLOWLIST)"
)

# Haystack's loader raises various exceptions for a malformed mapping.
_MALFORMED = (
    DeserializationError,
    PipelineError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ImportError,
    RecursionError,
    OSError,
    AssertionError,
)
# Exceptions of components whose service fails: errors of requests are OSErrors, some integrations raise RuntimeError.
_FAULTS = (OSError, openai.OpenAIError, httpx.HTTPError, ComponentError, RuntimeError)
# Status codes for which only a different configuration helps.
_HOPELESS = frozenset({401, 402, 403, 404, 405})
# Status codes for a text that the service will not answer: a content filter, or a text that is too long.
_REFUSALS = frozenset({400, 413, 422})
# Parameters of transport, which do not affect answers; some hold secrets.
_TRANSPORT = (
    "api_key", "api_base_url", "base_url", "organization", "timeout", "max_retries", "http_client_kwargs",
    "streaming_callback", "tools", "tools_strict", "token",
)  # fmt: skip


class ChatGenerator(Protocol):
    """The interface of Haystack's chat generators."""

    def run(self, messages: list[ChatMessage]) -> dict[str, Any]:
        """Answer messages: ``{"replies": [ChatMessage, …]}``."""
        ...


class ServiceError(ExternalError):
    """The service did not answer; a retry may succeed.

    :param message: kind of the fault; never the service's message, which may repeat keys.
    :param wait: seconds that the service asked to wait, None if it did not.
    """

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class RefusalError(ExternalError):
    """The service will not answer this text; a retry does not help."""


def read_generator(path: str | Path, *, trust_remote_code: bool = False) -> ChatGenerator:
    """Load a chat generator from a YAML file: a component (``type``, ``init_parameters``), or a pipeline with one.

    :param path: the file.
    :param trust_remote_code: whether a model in it may run its own code.
    :raises InputError: if it cannot be read, holds no chat generator, or requires code that is not allowed.
    """
    path = Path(path)
    data = parse_yaml(read_yaml_text(path, "generator", _ALLOWED)[0], path, "generator")
    if not trust_remote_code:
        refuse_remote_code(data, path)
    if isinstance(data, dict) and isinstance(data.get("type"), str):
        data = {"components": {"generator": {"init_parameters": {}, **data}}, "connections": []}
    if not isinstance(data, dict) or not isinstance(data.get("components"), dict):
        raise InputError("holds no component", source=path, allowed=_ALLOWED)
    keep_named_secrets(data, os.environ)
    try:
        pipeline = Pipeline.from_dict(data)
    except _MALFORMED as error:
        # Only the first line of Haystack's message, since the others repeat the parameters, which may hold secrets.
        first = redacted(str(error)).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"cannot be loaded: {first}", source=path, allowed=_ALLOWED) from error
    inputs, outputs = (
        pipeline.inputs(include_components_with_connected_inputs=True),
        pipeline.outputs(include_components_with_connected_outputs=True),
    )
    names = [name for name in inputs if "messages" in inputs[name] and "replies" in outputs.get(name, {})]
    if len(names) != 1:
        raise InputError("holds no chat generator, or several", source=path, seen=names, allowed=_ALLOWED)
    return cast(ChatGenerator, pipeline.get_component(names[0]))


def generator_identity(generator: ChatGenerator) -> str:
    """Identity of a generator, as far as it affects answers: its class, and its parameters without those of transport.

    :param generator: any component; if it cannot be serialized (its key is not an environment variable), attributes
        with the names of its parameters are used.
    """
    kind = f"{type(generator).__module__}.{type(generator).__qualname__}"
    try:
        parameters = component_to_dict(generator, "generator").get("init_parameters", {})
    except (SerializationError, TypeError, ValueError):
        names = inspect.signature(type(generator).__init__).parameters
        parameters = {name: getattr(generator, name) for name in names if hasattr(generator, name)}
    kept = {name: value for name, value in parameters.items() if name not in _TRANSPORT}
    # Values that are not JSON are represented by their class, since their repr may contain a memory address.
    return f"{kind} {json.dumps(kept, sort_keys=True, default=lambda value: type(value).__qualname__)}"


def ask(generator: ChatGenerator, messages: list[ChatMessage]) -> Answer:
    """Send one request.

    :param generator: warmed up.
    :param messages: the messages.
    :returns: the first reply; an empty text if there is none.
    :raises ServiceError: if the service failed and a retry may succeed.
    :raises RefusalError: if it refuses this text.
    :raises ExternalError: if a retry cannot help: no access, no such model.
    """
    try:
        result = generator.run(messages=messages)
    except Exception as error:
        # Clients of other services (Anthropic, Cohere, Ollama, …) have exceptions without a common base class. Python's
        # built-in exceptions are bugs in the generator, for which a retry does not help.
        if not isinstance(error, _FAULTS) and type(error).__module__ == "builtins":
            message = (str(error).splitlines() or [""])[0]
            raise ExternalError(
                f"the chat generator {type(generator).__qualname__} has failed: {type(error).__name__}: {message}"
            ) from error
        status = _status(error)
        failure = f"{type(error).__name__}{f' (HTTP {status})' if status else ''}"
        if status in _HOPELESS:
            raise ExternalError(
                f"the chat generator cannot be used: {failure}; check its key, model and address"
            ) from error
        if status in _REFUSALS:
            raise RefusalError(failure) from error
        if status is None and isinstance(error, openai.OpenAIError) and not isinstance(error, openai.APIError):
            raise ExternalError(f"the chat generator cannot be used: {failure}; is its key set?") from error
        raise ServiceError(failure, _wait(error)) from error
    replies = result.get("replies") or []
    if not replies:
        return Answer("")
    meta: Mapping[str, Any] = replies[0].meta or {}
    usage = meta.get("usage")
    counts = usage if isinstance(usage, Mapping) else {}
    return Answer(
        # Half of a surrogate pair, which cannot be written to a file, becomes a question mark.
        (replies[0].text or "").encode("utf-8", "replace").decode("utf-8").strip(),
        cut_off=meta.get("finish_reason") == "length",
        refused=meta.get("finish_reason") == "content_filter",
        input_tokens=_count(counts, "prompt_tokens", "input_tokens"),
        output_tokens=_count(counts, "completion_tokens", "output_tokens"),
    )


def _count(usage: Mapping[str, Any], *names: str) -> int:
    return next((usage[name] for name in names if isinstance(usage.get(name), int)), 0)


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    for value in (getattr(error, "status_code", None), getattr(response, "status_code", None)):
        if isinstance(value, int):
            return value
    return None


def _wait(error: BaseException) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None)
    try:
        return None if headers is None else max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError, TypeError):
        return None
