"""Analyze a pipeline: the inputs for a query, the output with its documents, and whether lists can be made longer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from haystack import Document, Pipeline
from haystack.components.joiners import DocumentJoiner

from haystack_crossalign.errors import InputError

_QUERY_NAMES = frozenset({"query", "text", "question"})


@dataclass(frozen=True)
class PipelineShape:
    """How to run a pipeline that turns a query into documents.

    Inputs are pairs of component and socket.

    :param output: output with the documents.
    :param texts: inputs for the query's text.
    :param text_lists: inputs for a list of texts.
    :param vectors: inputs for the query's vector.
    :param depths: inputs for the number of documents to return; empty if lists have their configured length.
    :param deep: whether a list shorter than the requested depth has ended by itself.
    """

    output: tuple[str, str]
    texts: tuple[tuple[str, str], ...]
    text_lists: tuple[tuple[str, str], ...]
    vectors: tuple[tuple[str, str], ...]
    depths: tuple[tuple[str, str], ...]
    deep: bool


def cut_to_documents(pipeline: Pipeline, source: Path) -> PipelineShape:
    """Find the component whose documents are the result, and remove all components after it, such as a generator.

    Lists can be made longer only if the retrievers are followed by nothing but joiners: the result of a ranker depends
    on its input, and users see the result for the configured numbers.

    :param pipeline: components that do not lead to the result are removed from it.
    :param source: its file, for messages.
    :raises InputError: if there is not exactly one result, or a required input cannot be filled by a query.
    """
    outputs = pipeline.outputs(include_components_with_connected_outputs=True)
    makers = {
        name: [socket for socket, about in sockets.items() if _is_list_of(about["type"], Document)]
        for name, sockets in outputs.items()
    }
    makers = {name: sockets for name, sockets in makers.items() if sockets}
    edges = [(sender, receiver) for sender, receiver, *_ in pipeline.graph.edges]
    last = [name for name in makers if not _reached(name, edges) & (makers.keys() - {name})]
    if len(last) != 1 or len(makers[last[0]]) != 1:
        found = [f"{name}.{socket}" for name in sorted(last) for socket in makers[name]]
        raise InputError(
            f"documents come out in {len(found)} places",
            source=source,
            field="connections",
            seen=found,
            allowed="one; a DocumentJoiner makes one list of several",
        )
    result = last[0]
    kept = {result, *_reached(result, [(receiver, sender) for sender, receiver in edges])}
    for name in [name for name, _ in pipeline.walk() if name not in kept]:
        pipeline.remove_component(name)
    texts, text_lists, vectors = _query_inputs(pipeline, source)
    depths, deep = _depths(pipeline, [name for name in makers if name in kept])
    return PipelineShape((result, makers[result][0]), texts, text_lists, vectors, depths, deep)


def _query_inputs(pipeline: Pipeline, source: Path) -> tuple[tuple[tuple[str, str], ...], ...]:
    texts: list[tuple[str, str]] = []
    text_lists: list[tuple[str, str]] = []
    vectors: list[tuple[str, str]] = []
    for name, sockets in sorted(pipeline.inputs().items()):
        for socket, about in sorted(sockets.items()):
            needed, kind = about["is_mandatory"], about["type"]
            if (_accepts(kind, str) and needed) or (_accepts(kind, str, Any) and socket in _QUERY_NAMES):
                texts.append((name, socket))
            elif _is_list_of(kind, float) and socket == "query_embedding":
                vectors.append((name, socket))
            elif needed and _is_list_of(kind, str):
                text_lists.append((name, socket))
            elif needed:
                raise InputError(
                    f"component '{name}' needs an input that a query cannot fill",
                    source=source,
                    field=socket,
                    seen=str(kind),
                    allowed="inputs for the query's text or vector (query_embedding)",
                )
    if not texts + text_lists + vectors:
        raise InputError(
            "takes no query", source=source, field="components", allowed=f"an input called {sorted(_QUERY_NAMES)}"
        )
    return tuple(texts), tuple(text_lists), tuple(vectors)


def _depths(pipeline: Pipeline, makers: list[str]) -> tuple[tuple[tuple[str, str], ...], bool]:
    taking = pipeline.inputs(include_components_with_connected_inputs=True)
    open_inputs = pipeline.inputs()
    depths: list[tuple[str, str]] = []
    deep = True
    for name in sorted(makers):
        joins = isinstance(pipeline.get_component(name), DocumentJoiner)
        if not joins and any(_mentions_documents(about["type"]) for about in taking.get(name, {}).values()):
            return (), False
        here = [socket for socket in sorted(open_inputs.get(name, {})) if f"{socket}_".startswith("top_k_")]
        depths += [(name, socket) for socket in here]
        # A component with several of them joins lists internally, and may cut the result to a configured length.
        deep = deep and here == ["top_k"]
    return tuple(depths), deep


def _reached(start: str, edges: Sequence[tuple[str, str]]) -> set[str]:
    """All components that can be reached from one."""
    reached: set[str] = set()
    pending = [start]
    while pending:
        here = pending.pop()
        new = {to for sender, to in edges if sender == here} - reached
        reached |= new
        pending += new
    return reached


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)


def _accepts(kind: Any, *wanted: Any) -> bool:
    return any(alternative in wanted for alternative in _alternatives(kind))


def _is_list_of(kind: Any, wanted: type) -> bool:
    return any(
        get_origin(alternative) is list and get_args(alternative) == (wanted,) for alternative in _alternatives(kind)
    )


def _mentions_documents(kind: Any) -> bool:
    return kind is Document or any(_mentions_documents(arg) for arg in get_args(kind))
