"""Haystack component that promotes documents in the language of the query by a given score."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict

from haystack_crossalign.components.balance.languages import check_top_k, document_tag, tag_of
from haystack_crossalign.errors import InputError


@component
class OwnLanguageRanker:
    """Adds a constant to the scores of documents in the language of the query, and sorts again.

    After repair or training, the versions of one content have almost equal scores, and a version in another language is
    often first. A small constant puts the user's own version first again and changes little else: a document passes
    only those whose scores were higher by less than the constant.

    ```python
    ranker = OwnLanguageRanker(bonus=0.01)
    documents = ranker.run(documents, language="de")["documents"]
    ```

    The constant is in the unit of the scores. OpenSearch's score of a cosine is (1 + cos) / 2, so 0.01 there is 0.02 of
    the cosine.

    :param bonus: the constant, 0 or more.
    :param language_field: meta field of the language.
    :param top_k: maximum number of documents to return; None for all.
    :raises InputError: for a bonus that is negative or not finite, or ``top_k`` below 1.
    """

    def __init__(self, *, bonus: float, language_field: str = "language", top_k: int | None = None) -> None:
        if isinstance(bonus, bool) or not isinstance(bonus, int | float) or not math.isfinite(bonus) or bonus < 0:
            raise InputError("wrong bonus", field="bonus", seen=bonus, allowed="a number from 0 on")
        check_top_k(top_k)
        self.bonus = bonus
        self.language_field = language_field
        self.top_k = top_k

    def to_dict(self) -> dict[str, Any]:
        """Serialize the component."""
        data: dict[str, Any] = default_to_dict(
            self, bonus=self.bonus, language_field=self.language_field, top_k=self.top_k
        )
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> OwnLanguageRanker:
        """Restore the component from the result of `to_dict`."""
        restored: OwnLanguageRanker = default_from_dict(cls, data)
        return restored

    @component.output_types(documents=list[Document])
    def run(
        self, documents: list[Document], language: str | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Sort documents by score, with the bonus for those in the language of the query.

        :param documents: documents with scores.
        :param language: language of the query; None if it is unknown, so that nothing gets the bonus.
        :param top_k: overrides the component's own.
        :returns: ``{"documents": [...]}``, copies whose score includes the bonus; equal scores keep their order.
        :raises InputError: a document without a finite score, or ``top_k`` below 1.
        """
        check_top_k(top_k)
        own, ranked = tag_of(language), []
        for document in documents:
            score = document.score
            if score is None or not math.isfinite(score):
                raise InputError(
                    "a document without a score cannot be ranked", field=f"documents, id {document.id}", seen=score,
                    allowed="a finite number",
                )  # fmt: skip
            if own is not None and document_tag(document, self.language_field) == own:
                score += self.bonus
            ranked.append(replace(document, score=score))
        ranked.sort(key=lambda document: -(document.score or 0.0))
        return {"documents": ranked[: self.top_k if top_k is None else top_k]}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, documents: list[Document], language: str | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Like `run`, without waiting for anything."""
        return self.run(documents, language, top_k)
