"""Documents that an application writes with the model before the switch are found by their vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from doctor_helpers import examined, found
from numpy.typing import NDArray
from switching import ALIAS, NEW, TEXTS, Pair, both, fill, pair, point, two_models

from haystack_crossalign.models.encoder import Encoder
from haystack_crossalign.models.identity import describe_model
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.model.newest import Newest, probe_newest

__all__ = ["both", "pair", "two_models"]

LATE = {"late1": "w3 w9 w27", "late2": "w4 w16", "late3": "w5 w25 w50 w2"}


@pytest.fixture
def switched(pair: Pair) -> Pair:
    pair.switch(NEW)
    return pair


def view(server: Any, target: str = ALIAS) -> IndexView:
    client = ReadOnlyClient(server.url)
    return IndexView(client, target, read_fields(client, target, vector="embedding", language="language"))


def checkpoint(server: Any) -> dict[int, int]:
    stats = server.request("GET", f"/{NEW}/_stats/docs?level=shards")["indices"][NEW]["shards"]
    return {int(number): copies[0]["seq_no"]["global_checkpoint"] for number, copies in stats.items()}


def write(server: Any, vectors: NDArray[np.float32], texts: dict[str, str] = LATE, **more: str) -> None:
    for (name, text), vector in zip(texts.items(), vectors, strict=True):
        document = {"id": name, "content": text, "language": "en", "embedding": vector.tolist(), **more}
        server.request("PUT", f"/{ALIAS}/_doc/{name}", document)
    server.request("POST", f"/{ALIAS}/_refresh")


def test_documents_of_the_model_before_are_found_and_only_those(switched: Pair) -> None:
    server, new = switched.server, switched.models.new
    after = checkpoint(server)
    assert probe_newest(view(server), new, after=after) == Newest(0, 0, ())
    write(server, new.encode_documents(list(LATE.values())))
    assert probe_newest(view(server), new, after=after) == Newest(3, 3, ())
    old = switched.models.old.encode_documents(["w4 w16"])
    write(server, old, {"late2": "w4 w16"})
    assert probe_newest(view(server), new, after=after) == Newest(3, 3, ("late2",))
    assert probe_newest(view(server), new, after=after, previous=switched.models.old).foreign == ("late2",)
    assert probe_newest(view(server), new) == Newest(len(TEXTS) + 3, 32, ("late2",))
    assert probe_newest(view(server), new, sample=1) == Newest(len(TEXTS) + 3, 1, ("late2",))


def test_a_repair_that_moves_vectors_little_is_told_by_the_model_before(switched: Pair) -> None:
    """Old and new vectors have a cosine of 0.99 here, which the threshold alone would let pass."""

    class Moved:
        """Vectors of a model, each turned by the same angle towards another axis."""

        def __init__(self, encoder: Encoder) -> None:
            self.encoder = encoder

        def provenance(self) -> dict[str, Any]:
            return self.encoder.provenance()

        def encode_documents(self, texts: list[str]) -> NDArray[np.float32]:
            moved = self.encoder.encode_documents(texts)
            moved[:, 0] += 0.1
            return (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)

    old = switched.models.old
    new: Any = Moved(old)
    texts = list(LATE.values())
    assert (np.sum(old.encode_documents(texts) * new.encode_documents(texts), axis=1) > 0.98).all()
    fill(switched.server, NEW, new.encode_documents(list(TEXTS.values())), describe_model(old))
    point(switched.server, NEW)
    after = checkpoint(switched.server)
    write(switched.server, old.encode_documents(texts))
    assert probe_newest(view(switched.server), new, after=after).foreign == ()
    found_ids = probe_newest(view(switched.server), new, after=after, previous=old).foreign
    assert found_ids == ("late3", "late2", "late1")


def test_a_title_in_front_is_no_other_model(switched: Pair) -> None:
    after = checkpoint(switched.server)
    titled = switched.models.new.encode_documents([f"w7 w8 w9\n{text}" for text in LATE.values()])
    write(switched.server, titled, tenant="w7 w8 w9")
    probed = probe_newest(view(switched.server), switched.models.new, after=after, title_field="tenant")
    assert probed == Newest(3, 3, ())


def test_the_doctor_says_it(switched: Pair) -> None:
    settings = LiveSettings(hosts=(switched.server.url,), index=ALIAS, model="the new one")
    diagnosis = found(examined(settings, encoder=switched.models.new))
    assert diagnosis["newest documents"] == ("ok", "the 32 written last, embedded again, fit the model")
    write(switched.server, switched.models.old.encode_documents(list(LATE.values())))
    diagnosis = found(examined(settings, encoder=switched.models.new))
    assert diagnosis["newest documents"] == (
        "warning",
        "3 of the 32 written last have vectors of another model: 'late3', 'late2', 'late1'",
    )
