"""Make a Haystack pipeline read-only: reject writers, and restrict every document store in it.

There are three independent protections: writers are rejected by their names and by the methods that their code calls;
OpenSearch stores get a transport that sends only reads; and the methods of any store that change documents are replaced
by ones that raise an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType
from typing import Any, NoReturn

from haystack import Pipeline

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.addresses import checked_address
from haystack_crossalign.opensearch.connection.read_only import WriteRefusedError, guarded_transport
from haystack_crossalign.opensearch.connection.traffic import Traffic

_FROM_ENVIRONMENT = "haystack_crossalign.components.environment."
_STORE = "OpenSearchDocumentStore"
_CHANGES = ("write_", "delete_", "update_", "create_index")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def refuse_named_writers(data: Mapping[str, Any], source: Path) -> None:
    """Reject components whose class is named a writer, before anything is imported or built.

    :param data: mapping of the pipeline; pipelines inside its components are also searched.
    :param source: its file, for the message.
    :raises InputError: naming the component.
    """
    for name, part in _parts(data, ""):
        kind = str(part.get("type", ""))
        if kind.rpartition(".")[2].endswith("Writer"):
            _refuse_writer(name, kind, source)


def guarded_mapping(
    data: Mapping[str, Any],
    source: Path,
    *,
    traffic: Traffic,
    connection: Mapping[str, Any] | None,
    timeout: float,
    environ: Mapping[str, str],
) -> dict[str, Any]:
    """The pipeline's mapping with every OpenSearch document store in it made read-only.

    Stores do not create an index, verify certificates unless configured otherwise, have a timeout, and send only reads.
    ``${NAME}`` in hosts and index is replaced by an environment variable, and a store without hosts uses the connection
    of the audit. Retrievers that would turn a failure into an empty list raise it instead.

    :param data: mapping of the pipeline; not changed.
    :param source: its file, for messages.
    :param traffic: record of the stores' requests.
    :param connection: connection of the audit, see `ReadOnlyClient.connection`.
    :param timeout: timeout in seconds for stores without one.
    :param environ: the environment.
    :raises InputError: for an address or a secret that is not allowed in a file, or a variable that is not set.
    """

    def guarded(value: Any, name: str) -> Any:
        if isinstance(value, list):
            return [guarded(item, name) for item in value]
        if not isinstance(value, Mapping):
            return value
        mapping = {key: guarded(item, f"{name}.{key}" if name else str(key)) for key, item in value.items()}
        if str(mapping.get("type", "")).rpartition(".")[2] == _STORE:
            mapping["init_parameters"] = options(dict(mapping.get("init_parameters") or {}), name)
        if mapping.get("raise_on_failure") is False:
            mapping["raise_on_failure"] = True
        return mapping

    def options(parameters: dict[str, Any], name: str) -> dict[str, Any]:
        _refuse_plain_secrets(parameters, source, name)
        for key in ("hosts", "index"):
            parameters[key] = _expanded(parameters.get(key), source, f"{name}.{key}", environ)
        inherited: dict[str, Any] | None = None
        if parameters["hosts"] is None:
            if connection is None:
                raise InputError("names no hosts", source=source, field=name, allowed="addresses of the cluster")
            inherited = dict(connection)
            parameters["hosts"] = inherited.pop("hosts")
        parameters["hosts"] = _checked_hosts(parameters["hosts"], source, name)
        if parameters["index"] is None:
            del parameters["index"]
        for key in ("connection_class", "transport_class"):
            parameters.pop(key, None)
        if parameters.get("verify_certs") is None:
            parameters["verify_certs"] = True
        if parameters.get("timeout") is None:
            parameters["timeout"] = timeout
        return {**parameters, "create_index": False, "transport_class": guarded_transport(traffic, inherited)}

    made: dict[str, Any] = guarded(data, "")
    return made


def hold_to_reading(pipeline: Pipeline, source: Path) -> tuple[str, ...]:
    """Reject components whose code writes, and make the stores of all others read-only.

    :param pipeline: a pipeline from `guarded_mapping`.
    :param source: its file, for the message.
    :returns: sentences on what cannot be guaranteed: other kinds of stores are protected only by replacing their
        methods.
    :raises InputError: naming a component that writes, or one that creates an OpenSearch store itself.
    """
    notes = []
    for name, part in built_parts(pipeline):
        if not _is_store(part):
            if _writes(type(part)):
                _refuse_writer(name, f"{type(part).__module__}.{type(part).__qualname__}", source)
            continue
        if type(part).__name__ == _STORE and not _is_guarded(part):
            raise InputError(
                f"component '{name}' makes an OpenSearch document store of its own, and that could write",
                source=source,
                field="components",
                allowed="a store in the component's init_parameters",
            )
        if (note := hold_store_to_reading(part, name, source)) is not None:
            notes.append(note)
    return tuple(dict.fromkeys(notes))


def hold_store_to_reading(store: Any, name: str, source: Path) -> str | None:
    """Replace the methods of a store that change documents by ones that raise an error.

    :param store: any Haystack document store.
    :param name: of the component that holds it, or of the store.
    :param source: its file.
    :returns: a sentence on what cannot be guaranteed; None for stores that are also kept from it by what they send.
    """
    kind = type(store)
    for method in dir(kind):
        if method.startswith(_CHANGES):
            setattr(store, method, _refusal(name, method))
    if kind.__name__ == _STORE or kind.__module__.startswith("haystack.document_stores.in_memory."):
        return None
    return (
        f"{source.name}: the document store of '{name}' ({kind.__name__}) is kept from writing by its methods, but not "
        "what it sends"
    )


def _parts(data: Any, prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Components by name; those of nested pipelines are prefixed with the outer component's name."""
    if isinstance(data, list):
        for document in data:
            yield from _parts(document, prefix)
    if not isinstance(data, Mapping):
        return
    for key, value in data.items():
        if key == "components" and isinstance(value, Mapping):
            for name, part in value.items():
                if isinstance(part, Mapping):
                    yield f"{prefix}{name}", part
                    yield from _parts(part, f"{prefix}{name}.")
        else:
            yield from _parts(value, prefix)


def built_parts(pipeline: Pipeline) -> Iterator[tuple[str, Any]]:
    """Components and document stores at any depth, by the name of the component that contains them."""
    seen = {id(pipeline)}
    pending: list[tuple[str, Any]] = [(name, part) for name, part in pipeline.walk()]
    while pending:
        name, value = pending.pop(0)
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Pipeline):
            pending += [(f"{name}.{inner}", part) for inner, part in value.walk()]
        elif isinstance(value, Mapping):
            pending += [(name, item) for item in value.values()]
        elif isinstance(value, (list, tuple, set)):
            pending += [(name, item) for item in value]
        elif hasattr(value, "__haystack_input__") or _is_store(value):
            yield name, value
            pending += [(name, attribute) for attribute in vars(value).values()]


def _is_store(value: object) -> bool:
    stores = ("write_documents", "count_documents", "filter_documents")
    return not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in stores)


def _is_guarded(store: Any) -> bool:
    parameters = store.to_dict()["init_parameters"]
    made_here = getattr(parameters.get("transport_class"), "__module__", None) == guarded_transport.__module__
    return made_here and parameters.get("create_index") is False


def _writes(kind: type) -> bool:
    """Whether any method of a class refers to a document store method that changes documents."""
    names: set[str] = set()
    for base in kind.__mro__:
        for attribute in vars(base).values():
            function = getattr(attribute, "__func__", attribute)
            code = getattr(function, "__code__", None)
            if isinstance(code, CodeType):
                names.update(_names(code))
    documents = (name.removesuffix("_async") for name in names if name.startswith(_CHANGES))
    return any(name.endswith(("_documents", "_by_filter")) for name in documents)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _refusal(name: str, method: str) -> Any:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise WriteRefusedError(f"refused {method} on the document store of '{name}': an audit only reads")

    return refuse


def _refuse_writer(name: str, kind: str, source: Path) -> NoReturn:
    raise InputError(
        f"component '{name}' writes documents; an audit only reads",
        source=source,
        field="components",
        seen=kind,
        allowed="a query pipeline without writers",
    )


def _refuse_plain_secrets(parameters: Mapping[str, Any], source: Path, name: str) -> None:
    login = parameters.get("http_auth")
    plain = isinstance(login, str) or (isinstance(login, list) and any(isinstance(item, str) for item in login))
    headers = parameters.get("headers")
    if plain or (isinstance(headers, Mapping) and any(str(key).lower() == "authorization" for key in headers)):
        # The value is not shown, since it may be the secret.
        raise InputError(
            "holds a user name or secret in plain text",
            source=source,
            field=f"{name}.http_auth" if plain else f"{name}.headers",
            allowed="secrets of type env_var, or no hosts, for the connection of the audit",
        )


def _expanded(value: Any, source: Path, field: str, environ: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_expanded(item, source, field, environ) for item in value]
    if isinstance(value, Mapping) and str(value.get("type", "")).startswith(_FROM_ENVIRONMENT):
        # Resolved here so that the addresses can be checked.
        parameters = dict(value.get("init_parameters") or {})
        variable = parameters.get("variable")
        value = environ.get(str(variable)) or parameters.get("default") or f"${{{variable}}}"
    if not isinstance(value, str):
        return value
    for name in _VARIABLE.findall(value):
        if name not in environ:
            raise InputError(f"the environment variable {name} is not set", source=source, field=field)
    return _VARIABLE.sub(lambda match: environ[match[1]], value)


def _checked_hosts(hosts: Any, source: Path, name: str) -> list[Any]:
    listed = hosts if isinstance(hosts, list) else [hosts]
    parts = [part for host in listed for part in (host.split(",") if isinstance(host, str) else [host])]
    return [
        checked_address(host.strip(), source=source, field=f"{name}.hosts") if isinstance(host, str) else host
        for host in parts
    ]
