"""The way back with the old model: what was written since gets its vectors, and another model is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from upgrading import BASE, KEPT, MAPPING, Bed, ByText, document, everything, fill, remove

from haystack_crossalign.errors import InputError
from haystack_crossalign.upgrade.documents.vectors import ModelWay
from haystack_crossalign.upgrade.front import open_way, run_upgrade
from haystack_crossalign.upgrade.options import UpgradeOptions
from haystack_crossalign.upgrade.rollback import roll_back

OPTIONS = UpgradeOptions(keep_fields=KEPT, unit=100, lease=2.0)


def as_old(**changes: Any) -> ByText:
    """The model that the old index names, with changes."""
    return ByText(described=BASE | changes)


@pytest.fixture
def bed(opensearch: Any, tmp_path: Path) -> Bed:
    return Bed(opensearch, tmp_path, documents=60)


def switched(bed: Bed, *, accept: bool = False) -> str:
    options = UpgradeOptions(keep_fields=KEPT, unit=100, lease=2.0, accept_model=accept)
    outcome = run_upgrade(bed.reader(), bed.alias, open_way(bed.matrix, None, options), options)
    assert outcome.state == "switched"
    return str(outcome.new_index)


def test_documents_written_since_get_vectors_of_the_old_model(bed: Bed) -> None:
    before = everything(bed.server, bed.index)
    new = switched(bed)
    changed = document(3, bed.rng) | {"content": "changed since"}
    mute = document(802, bed.rng) | {"content": " "}
    fill(bed.server, new, {"d-801": document(801, bed.rng), "d-3": changed, "d-802": mute})
    written = everything(bed.server, new)
    # Its query prompt is not of interest: no query is embedded.
    model = as_old(prompts={"query": "other: ", "document": "d: "})
    result = roll_back(bed.reader(), bed.alias, way=ModelWay(model, "content"), lease=2.0)
    assert (result.carried, result.removed) == (2, 0)
    assert result.left_behind == ["d-802"]
    now = everything(bed.server, bed.index)
    for name in ("d-801", "d-3"):
        source = now.pop((name, None))["source"]
        vector = np.asarray(source.pop("embedding"))
        np.testing.assert_allclose(vector, model.encode_documents([source["content"]])[0], atol=1e-7)
        there = dict(written[name, None]["source"])
        del there["embedding"]
        assert source == there
    del before["d-3", None]
    assert now == before


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sha256": "f" * 64}, "the index was made with 'own/model'"),
        ({"prompts": {"query": "q: ", "document": ""}}, "the document prompt of the index is 'd: ', that in use ''"),
        ({"dimension": 4}, "8 dimensions in the index, 4 of the model"),
    ],
)
def test_another_model_than_the_index_names_is_refused(bed: Bed, changes: dict[str, Any], told: str) -> None:
    new = switched(bed)
    fill(bed.server, new, {"d-801": document(801, bed.rng)})
    with pytest.raises(InputError, match=rf"--model: not the model of the old index 'up-1': .*{told}") as caught:
        roll_back(bed.reader(), bed.alias, way=ModelWay(as_old(**changes), "content"), lease=2.0)
    assert caught.value.exit_code == 2
    assert bed.behind() == new
    bed.server.request("PUT", f"/{bed.alias}/_doc/free", {"content": "still writable"})


def test_where_the_index_names_no_model_some_documents_are_embedded_again(opensearch: Any, tmp_path: Path) -> None:
    bed = Bed(opensearch, tmp_path, documents=0, mapping={"properties": MAPPING["properties"]})
    old = ByText(1)
    documents = {f"d-{number}": document(number, bed.rng) for number in range(1, 31)}
    for one in documents.values():
        one["embedding"] = old.encode_documents([one["content"]])[0].tolist()
    fill(bed.server, bed.index, documents)
    new = switched(bed, accept=True)
    fill(bed.server, new, {"d-801": document(801, bed.rng)})
    with pytest.raises(InputError, match="not the model of the old index 'up-1'"):
        roll_back(bed.reader(), bed.alias, way=ModelWay(ByText(2), "content"), lease=2.0)
    assert bed.behind() == new
    result = roll_back(bed.reader(), bed.alias, way=ModelWay(old, "content"), lease=2.0)
    assert (result.carried, result.left_behind) == (1, [])
    found = everything(bed.server, bed.index)["d-801", None]["source"]
    np.testing.assert_allclose(found["embedding"], old.encode_documents([found["content"]])[0], atol=1e-7)
    remove(opensearch, "up-*", "crossalign-ledger")
