"""The similarity that defines the ranks of an audit, and its origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from haystack_crossalign.ranks import DEFAULT_SIMILARITY, Similarity, parse_similarity
from haystack_crossalign.ranks.similarity import IndexSimilarity

Origin = Literal["model", "option", "store", "default"]


@dataclass(frozen=True)
class RankedBy:
    """A similarity and its origin.

    :param similarity: the similarity.
    :param origin: ``model``: stated by the embedding model; ``option``: chosen by the user; ``store``: set in the
        document store of a pipeline; ``default``: none of these.
    :param own: what the model states, if something else decides.
    """

    similarity: Similarity = DEFAULT_SIMILARITY
    origin: Origin = "default"
    own: Similarity | None = None

    def to_dict(self) -> dict[str, Any]:
        """As it stands in the provenance of a result."""
        data: dict[str, Any] = {"name": self.similarity, "from": self.origin}
        return data if self.own is None else {**data, "own": self.own}


@dataclass(frozen=True)
class RankedByIndex:
    """The similarity of the vector field of an index.

    :param similarity: that of the field's space.
    :param own: what the model states, if that is different.
    """

    similarity: IndexSimilarity
    own: Similarity | None = None

    def to_dict(self) -> dict[str, Any]:
        """As it stands in the provenance of a result."""
        data: dict[str, Any] = {"name": self.similarity, "from": "index"}
        return data if self.own is None else {**data, "own": self.own}


def settle_similarity(
    model: Mapping[str, Any] | None, chosen: Similarity | None = None, store: Similarity | None = None
) -> RankedBy:
    """The similarity to rank by: the user's choice, else that of the store, else the model's, else cosine.

    :param model: description of the embedder; None if all vectors came with the data.
    :param chosen: the user's choice.
    :param store: that of the document store that the vectors come from; None if there is none, or it does not say.
    """
    own = _own(model)
    if chosen is not None:
        return RankedBy(chosen, "option", own if own != chosen else None)
    if store is not None:
        return RankedBy(store, "store", own if own != store else None)
    if own is None:
        return RankedBy()
    return RankedBy(own, "store" if model is not None and model.get("similarity_from") == "store" else "model")


def of_index(similarity: IndexSimilarity, model: Mapping[str, Any] | None) -> RankedByIndex:
    """The similarity of an index, whatever the model states.

    :param similarity: that of its vector field.
    :param model: description of the embedder of the queries; None if they came with vectors.
    """
    own = _own(model)
    return RankedByIndex(similarity, own if own != similarity else None)


def _own(model: Mapping[str, Any] | None) -> Similarity | None:
    if model is None or model.get("similarity") is None:
        return None
    return parse_similarity(model["similarity"], source=str(model.get("name")), field="similarity")
