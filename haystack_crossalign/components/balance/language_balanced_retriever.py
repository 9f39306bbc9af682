"""Haystack component that searches each language separately and fuses the lists by rank."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Mapping
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict, logging
from haystack.core.serialization import component_to_dict
from haystack.utils import deserialize_component_inplace
from haystack_integrations.components.retrievers.opensearch import OpenSearchEmbeddingRetriever

from haystack_crossalign.components.balance.interleaving import interleaved
from haystack_crossalign.components.balance.languages import check_top_k, checked_languages, tag_of
from haystack_crossalign.components.opensearch_search import Batch, search_many, search_many_async
from haystack_crossalign.errors import InputError

logger = logging.getLogger(__name__)

_OTHERS = ""
"""Key of the list of documents in none of the languages; no language uses it."""


@component
class LanguageBalancedRetriever:
    """Searches once per language, and takes the hits of the languages in turn.

    Scores of a model are comparable within a language, but not between languages: sorting by score can put unrelated
    documents of one language above relevant ones of another. Here each language is ranked separately, and the ranks are
    merged: first the best hit of every language, beginning with the user's own, then the second ones, and so on.

    It works with any retriever that takes ``filters`` and ``top_k``, and has the retriever's other inputs (``query`` or
    ``query_embedding``). With an ``OpenSearchEmbeddingRetriever`` all languages are searched in one ``_msearch``, with
    the filter inside the approximate search, so that no language gets too few hits.

    ```python
    retriever = LanguageBalancedRetriever(
        retriever=InMemoryEmbeddingRetriever(store), languages=["en", "de", "zh"], top_k=10
    )
    documents = retriever.run(query_embedding=vector, language="de")["documents"]
    ```

    :param retriever: a Haystack retriever.
    :param languages: at least two languages, as in the meta field; their order decides between hits of equal rank.
    :param language_field: meta field of the language.
    :param others: whether to search documents in none of these languages, or without a language, as one more list after
        the others. Otherwise they are never found.
    :param top_k: maximum number of documents to return, and to retrieve in every language.
    :raises InputError: for a retriever that takes no filters, fewer than two languages, a duplicate language, a custom
        query without ``$filters``, or ``top_k`` below 1.
    """

    def __init__(
        self,
        *,
        retriever: Any,
        languages: list[str],
        language_field: str = "language",
        others: bool = True,
        top_k: int = 10,
    ) -> None:
        check_top_k(top_k)
        self.retriever = retriever
        self.languages = checked_languages(languages, "languages", least=2)
        self.language_field = language_field
        self.others = others
        self.top_k = top_k
        sockets = getattr(retriever, "__haystack_input__", None)
        inputs = {} if sockets is None else dict(sockets._sockets_dict)
        lacking = [name for name in ("filters", "top_k") if name not in inputs]
        if lacking:
            raise InputError(
                f"the retriever takes no {' and no '.join(lacking)}", field="retriever",
                seen=type(retriever).__name__, allowed="a Haystack retriever with the inputs filters and top_k",
            )  # fmt: skip
        self._search = _Search(retriever)
        for name, socket in inputs.items():
            if name not in ("filters", "top_k", "language"):
                component.set_input_type(self, name, socket.type, socket.default_value)

    def warm_up(self) -> None:
        """Warm up the retriever if necessary."""
        if hasattr(self.retriever, "warm_up"):
            self.retriever.warm_up()

    def to_dict(self) -> dict[str, Any]:
        """Serialize the component with its retriever."""
        data: dict[str, Any] = default_to_dict(
            self,
            retriever=component_to_dict(self.retriever, "retriever"),
            languages=self.languages,
            language_field=self.language_field,
            others=self.others,
            top_k=self.top_k,
        )
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LanguageBalancedRetriever:
        """Restore the component from the result of `to_dict`."""
        deserialize_component_inplace(data["init_parameters"], key="retriever")
        restored: LanguageBalancedRetriever = default_from_dict(cls, data)
        return restored

    @component.output_types(documents=list[Document])
    def run(
        self,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        language: str | None = None,
        **inputs: Any,
    ) -> dict[str, list[Document]]:
        """Find documents in every language.

        :param filters: further conditions, in addition to the retriever's.
        :param inputs: the other inputs of the retriever, such as ``query_embedding``.
        :returns: ``{"documents": [...]}``, each with the score 1 / (60 + its rank in its language).
        :raises InputError: if ``top_k`` is below 1, or a document has a language that the filter excludes: the
            retriever ignores filters, or does not filter by ``language_field``.
        """
        wanted, conditions = self._prepare(filters, top_k)
        return self._fused(self._search.run(conditions, wanted, inputs), wanted, language)

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        language: str | None = None,
        **inputs: Any,
    ) -> dict[str, list[Document]]:
        """Like `run`; the languages are searched concurrently, in threads if the retriever has no ``run_async``."""
        wanted, conditions = self._prepare(filters, top_k)
        return self._fused(await self._search.run_async(conditions, wanted, inputs), wanted, language)

    def _prepare(self, filters: dict[str, Any] | None, top_k: int | None) -> tuple[int, dict[str, dict[str, Any]]]:
        check_top_k(top_k)
        field = f"meta.{self.language_field}"
        conditions = {tag: {"field": field, "operator": "==", "value": tag} for tag in self.languages}
        if self.others:
            conditions[_OTHERS] = {"field": field, "operator": "not in", "value": self.languages}  # type: ignore[dict-item]
        shared = [one for one in (filters, self._search.filters()) if one]
        return self.top_k if top_k is None else top_k, {
            name: {"operator": "AND", "conditions": [condition, *shared]} if shared else condition
            for name, condition in conditions.items()
        }

    def _fused(
        self, lists: Mapping[str, list[Document]], top_k: int, language: str | None
    ) -> dict[str, list[Document]]:
        for name, documents in lists.items():
            for document in documents:
                if not self._is_in(document, name):
                    raise InputError(
                        f"the retriever returned a document in another language than asked for (id {document.id})",
                        field="retriever", seen=document.meta.get(self.language_field),
                        allowed=f"documents whose {self.language_field} is "
                        f"{name or 'none of ' + ', '.join(self.languages)}: filters must be obeyed",
                    )  # fmt: skip
        own = tag_of(language)
        first = next((name for name in self.languages if tag_of(name) == own), None)
        return {"documents": interleaved(lists, first=first, top_k=top_k)}

    def _is_in(self, document: Document, name: str) -> bool:
        """Whether the filter of a list admits a document. The field may hold several languages, and other spellings of
        one, which filters tell apart.
        """
        value = document.meta.get(self.language_field)
        values = value if isinstance(value, list) else [value]
        return name in values if name else not any(one in self.languages for one in values)


class _Search:
    """Several searches of one retriever that differ only in their filters.

    :param retriever: the retriever.
    :raises InputError: its custom query would ignore filters.
    """

    def __init__(self, retriever: Any) -> None:
        self._retriever = retriever
        # A subclass may search differently.
        self._batched = type(retriever) is OpenSearchEmbeddingRetriever
        _check_custom_query(_own(retriever, "custom_query"))

    def filters(self) -> dict[str, Any] | None:
        """The retriever's own filters, which filters of a call might replace."""
        own = _own(self._retriever, "filters")
        return own if isinstance(own, dict) and own else None

    def run(
        self, filters: Mapping[str, dict[str, Any]], top_k: int, inputs: Mapping[str, Any]
    ) -> dict[str, list[Document]]:
        """The hits of each filter."""
        if not self._batched:
            return {
                name: self._retriever.run(filters=one, top_k=top_k, **inputs)["documents"]
                for name, one in filters.items()
            }
        batch = self._batch(filters, top_k, inputs)
        try:
            lists = search_many(batch)
        except Exception as error:  # noqa: BLE001 - as the stock retriever decides it
            lists = self._given_up(error, len(filters))
        return dict(zip(filters, lists, strict=True))

    async def run_async(
        self, filters: Mapping[str, dict[str, Any]], top_k: int, inputs: Mapping[str, Any]
    ) -> dict[str, list[Document]]:
        """`run` with the asynchronous retriever, or in threads."""
        if not self._batched:
            lists = await asyncio.gather(*(self._one_async(one, top_k, inputs) for one in filters.values()))
            return dict(zip(filters, lists, strict=True))
        batch = self._batch(filters, top_k, inputs)
        try:
            lists = await search_many_async(batch)
        except Exception as error:  # noqa: BLE001 - as the stock retriever decides it
            lists = self._given_up(error, len(filters))
        return dict(zip(filters, lists, strict=True))

    async def _one_async(self, filters: dict[str, Any], top_k: int, inputs: Mapping[str, Any]) -> list[Document]:
        if inspect.iscoroutinefunction(getattr(self._retriever, "run_async", None)):
            answer = await self._retriever.run_async(filters=filters, top_k=top_k, **inputs)
        else:
            answer = await asyncio.to_thread(self._retriever.run, filters=filters, top_k=top_k, **inputs)
        documents: list[Document] = answer["documents"]
        return documents

    def _batch(self, filters: Mapping[str, dict[str, Any]], top_k: int, inputs: Mapping[str, Any]) -> Batch:
        _check_custom_query(inputs.get("custom_query"))
        return Batch.of(self._retriever, inputs, list(filters.values()), top_k)

    def _given_up(self, error: Exception, lists: int) -> list[list[Document]]:
        if _own(self._retriever, "raise_on_failure") is not False:
            raise error
        logger.warning("The search in every language failed, and nothing is returned: {error}", error=str(error))
        return [[] for _ in range(lists)]


def _own(retriever: Any, name: str) -> Any:
    """An init parameter of a retriever; Haystack's retrievers store it under its name, with or without an
    underscore.
    """
    return getattr(retriever, name, getattr(retriever, f"_{name}", None))


def _check_custom_query(query: object) -> None:
    if query is not None and '"$filters"' not in json.dumps(query):
        raise InputError("the custom query takes no filters", field="custom_query", allowed='one with "$filters"')
