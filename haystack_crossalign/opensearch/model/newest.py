"""Check whether the most recently written documents have vectors of the model stated in the index.

An application that was not updated after a switch still writes vectors of the previous model, which only the vectors
reveal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.opensearch.index.groups import Member, stored_text
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.model.fit import OUTLIER
from haystack_crossalign.opensearch.model.probe import StoredText, stored_cosines

if TYPE_CHECKING:
    from haystack_crossalign.audit.run import Embedder

_SHOWN = 3


@dataclass(frozen=True)
class Newest:
    """The result of the comparison.

    :param documents: number of documents with a vector written since the given point, or of all.
    :param compared: number of documents embedded again.
    :param foreign: ids of those whose vectors are not the model's, newest first.
    """

    documents: int
    compared: int
    foreign: tuple[str, ...]

    def told(self) -> str:
        """In a sentence."""
        if not self.foreign:
            return f"the {self.compared} written last, embedded again, fit the model"
        shown = ", ".join(f"'{name}'" for name in self.foreign[:_SHOWN])
        more = f" and {len(self.foreign) - _SHOWN} more" if len(self.foreign) > _SHOWN else ""
        return f"{len(self.foreign)} of the {self.compared} written last have vectors of another model: {shown}{more}"


def probe_newest(
    view: IndexView,
    encoder: Embedder,
    *,
    after: Mapping[int, int] | None = None,
    previous: Embedder | None = None,
    sample: int = 32,
    content_field: str = "content",
    title_field: str | None = None,
) -> Newest:
    """Embed the newest documents again and compare.

    A vector is another model's if its cosine with the model's vector of the text is below 0.97, with and without the
    title before it; or, if the previous model is given, if it is nearer to that model's vector. A repair may change
    vectors so little that only this distinguishes them.

    :param view: one index, or an alias of one, with its fields.
    :param encoder: the model of the index.
    :param after: last sequence number of each shard to ignore, for example that at the switch.
    :param previous: the model before the switch.
    :param sample: maximum documents to embed.
    :param content_field: field that holds the text.
    :param title_field: field whose value may go before the text.
    :raises CrossAlignError: the index cannot be read.
    """
    documents, newest = _newest(view, after, sample, content_field, title_field)
    if not newest:
        return Newest(documents, 0, ())
    fit = _cosines(view, encoder, newest)
    other = np.full(len(newest), -1.0) if previous is None else _cosines(view, previous, newest)
    # A document deleted meanwhile has no cosine and is ignored.
    foreign = (other > fit) if previous is not None else (fit < OUTLIER)
    return Newest(
        documents,
        int(np.count_nonzero(~np.isnan(fit))),
        tuple(newest[row].identifier for row in np.flatnonzero(foreign)),
    )


def _newest(
    view: IndexView, after: Mapping[int, int] | None, sample: int, content_field: str, title_field: str | None
) -> tuple[int, list[StoredText]]:
    """Number of documents, and the texts of the newest. Sequence numbers are per shard, so each shard is searched."""
    total = 0
    newest: list[tuple[int, StoredText]] = []
    for index in view.fields.indices:
        shards = view.client.stats(index, shards=True)["indices"][index]["shards"]
        for shard in sorted(int(number) for number in shards):
            last = -1 if after is None else after.get(shard, -1)
            body = {
                "size": sample,
                "track_total_hits": True,
                "_source": [field for field in (content_field, title_field) if field is not None],
                "query": view.scoring.pool({"range": {"_seq_no": {"gt": last}}}),
                "sort": [{"_seq_no": "desc"}],
            }
            (answer,) = view.client.search_all([body], index, preference=f"_shards:{shard}")
            total += int(answer["hits"]["total"]["value"])
            newest += [(int(hit["sort"][0]), _text(hit, content_field, title_field)) for hit in answer["hits"]["hits"]]
    newest.sort(key=lambda entry: (-entry[0], entry[1].identifier))
    return total, [text for _, text in newest if text.text.strip()][:sample]


def _text(hit: Mapping[str, Any], content_field: str, title_field: str | None) -> StoredText:
    member = Member(str(hit["_id"]), UNDETERMINED, None, hit.get("_source") or {})
    title = "" if title_field is None else stored_text(member, title_field)
    return StoredText(str(hit["_index"]), member.identifier, stored_text(member, content_field), title)


def _cosines(view: IndexView, encoder: Embedder, documents: list[StoredText]) -> NDArray[np.float64]:
    """Cosine of the text with or without the title before it, whichever is nearer."""
    cosines = stored_cosines(view, documents, encoder.encode_documents([document.text for document in documents]))
    if any(document.title for document in documents):
        titled = encoder.encode_documents([f"{document.title}\n{document.text}" for document in documents])
        cosines = np.fmax(cosines, stored_cosines(view, documents, titled))
    return cosines
