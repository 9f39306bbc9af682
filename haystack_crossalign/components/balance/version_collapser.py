"""Haystack component that returns each content once, in the language that the user prefers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict

from haystack_crossalign.components.balance.languages import check_top_k, checked_languages, document_tag, tag_of
from haystack_crossalign.pipelines.documents import known_group


@component
class VersionCollapser:
    """Keeps one hit of each parallel group: in the user's language, else in the first available of a list of
    preferences.

    It gets the position and score of the group's first hit, so that a good version in a foreign language promotes the
    user's own version. Chunks of a version are hits of their group; the best chunk of the chosen version is kept.
    Documents without a group are kept.

    It can only choose among retrieved documents, so retrieve several times as many documents as you show.

    ```python
    collapser = VersionCollapser(preferences=["en"], top_k=10)
    documents = collapser.run(documents, language="de")["documents"]
    ```

    :param preferences: languages to use if the user's own is not among the hits, in order; otherwise the group's first
        hit is kept.
    :param language_field: meta field of the language.
    :param group_field: meta field that the versions of one content share.
    :param top_k: maximum number of documents to return; None for all.
    :raises InputError: for a preference that is not a string or is duplicate, or ``top_k`` below 1.
    """

    def __init__(
        self,
        *,
        preferences: list[str] | None = None,
        language_field: str = "language",
        group_field: str = "parallel_id",
        top_k: int | None = None,
    ) -> None:
        check_top_k(top_k)
        self.preferences = None if preferences is None else checked_languages(preferences, "preferences", least=0)
        self.language_field = language_field
        self.group_field = group_field
        self.top_k = top_k

    def to_dict(self) -> dict[str, Any]:
        """Serialize the component."""
        data: dict[str, Any] = default_to_dict(
            self,
            preferences=self.preferences,
            language_field=self.language_field,
            group_field=self.group_field,
            top_k=self.top_k,
        )
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> VersionCollapser:
        """Restore the component from the result of `to_dict`."""
        restored: VersionCollapser = default_from_dict(cls, data)
        return restored

    @component.output_types(documents=list[Document])
    def run(
        self, documents: list[Document], language: str | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Keep one hit of each group.

        :param documents: hits, the best first.
        :param language: language of the user; None if it is unknown, so that the preferences decide.
        :param top_k: overrides the component's own.
        :returns: ``{"documents": [...]}``.
        :raises InputError: ``top_k`` below 1.
        """
        check_top_k(top_k)
        order: dict[str | None, int] = {}
        for tag in (tag_of(language), *map(tag_of, self.preferences or ())):
            if tag is not None:
                order.setdefault(tag, len(order))
        groups: dict[object, list[Document]] = {}
        for place, document in enumerate(documents):
            group = known_group(document.meta.get(self.group_field))
            # The key of a document without a group is its position, which differs from all groups.
            groups.setdefault(("group", str(group)) if group is not None else place, []).append(document)
        limit = self.top_k if top_k is None else top_k
        kept = []
        for hits in list(groups.values())[:limit]:
            chosen = min(hits, key=lambda hit: order.get(document_tag(hit, self.language_field), len(order)))
            kept.append(chosen if chosen is hits[0] else replace(chosen, score=hits[0].score))
        return {"documents": kept}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, documents: list[Document], language: str | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Like `run`, without waiting for anything."""
        return self.run(documents, language, top_k)
