"""Old and new vectors side by side on a real server: nobody's search changes until it names the new field."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from upgrading import BASE, DIMENSION, KEPT, MAPPING, Bed, ByText, document, everything, fill, moved

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.upgrade.follow import follow
from haystack_crossalign.upgrade.front import open_way, run_upgrade
from haystack_crossalign.upgrade.old_vectors import kept_vectors, remove_old_vectors
from haystack_crossalign.upgrade.options import UpgradeOptions
from haystack_crossalign.upgrade.plan import make_plan
from haystack_crossalign.upgrade.rollback import roll_back

OPTIONS = UpgradeOptions(keep_fields=KEPT, keep_old_vectors=True, unit=100, lease=2.0)


@pytest.fixture
def bed(opensearch: Any, tmp_path: Path) -> Bed:
    return Bed(opensearch, tmp_path, documents=60)


def upgrade(bed: Bed, options: UpgradeOptions = OPTIONS, **more: Any) -> Any:
    return run_upgrade(bed.reader(), bed.alias, open_way(bed.matrix, None, options), options, **more)


def new_field(bed: Bed) -> str:
    return f"embedding_{open_way(bed.matrix, None, OPTIONS).sha256[:8]}"


def nearest(bed: Bed, name: str, vector: list[float]) -> list[tuple[str, float]]:
    """Exact scores, so that two graphs cannot differ in what they miss."""
    score = {"source": "knn_score", "lang": "knn", "params": {"field": name, "query_value": vector, "space_type": "l2"}}
    body = {"size": 60, "query": {"script_score": {"query": {"exists": {"field": name}}, "script": score}}}
    bed.server.request("POST", f"/{bed.alias}/_refresh")
    hits = bed.server.request("POST", f"/{bed.alias}/_search", body)["hits"]["hits"]
    return sorted((hit["_id"], hit["_score"]) for hit in hits)


def test_searches_of_the_old_field_find_what_they_found_and_the_new_one_has_the_new_vectors(bed: Bed) -> None:
    old, query = everything(bed.server, bed.index), [1.0] + [0.0] * (DIMENSION - 1)
    before, name = nearest(bed, "embedding", query), new_field(bed)
    outcome = upgrade(bed)
    assert outcome.state == "switched"
    assert nearest(bed, "embedding", query) == before
    assert {one for one, _ in nearest(bed, name, query)} == {one for one, _ in before}
    new = everything(bed.server, bed.behind())
    assert new.keys() == old.keys()
    for key, one in new.items():
        vector = one["source"].pop(name, None)
        assert one == old[key]
        assert (vector is None) == ("embedding" not in one["source"])
        if vector is not None:
            np.testing.assert_allclose(vector, moved(bed.weights, one["source"]["embedding"]), atol=2e-6)
    mapping, fields = bed.mapping(bed.behind()), bed.mapping(bed.index)["properties"]
    assert mapping["properties"] == fields | {name: fields["embedding"]}
    own = mapping["_meta"]["crossalign"]
    assert own["model"] == BASE
    assert own["fields"][name]["base"] == BASE
    # The old model is still that of the index, so nobody needs it to tell whose a vector is.
    with pytest.raises(InputError, match="has these new vectors already"):
        upgrade(bed)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ({"embedding": [1.0] + [0.0] * (DIMENSION - 1)}, "the source differs"),
        ({"new": None}, "1 vectors in 'embedding' of the old index, 0 in 'embedding_.*' of the new one"),
    ],
)
def test_an_old_vector_that_differs_is_found_as_a_missing_new_one_is(
    bed: Bed, damage: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from haystack_crossalign.upgrade import run

    restore, name = run.restore, new_field(bed)

    def damaged(client: Any, reader: Any, job: Any) -> None:
        restore(client, reader, job)
        found = everything(bed.server, job.target.name)["d-8", None]
        wrong = {name if key == "new" else key: value for key, value in damage.items()}
        path = f"/{job.target.name}/_doc/d-8?refresh=true&version_type=external_gte&version={found['version']}"
        bed.server.request("PUT", path, found["source"] | wrong)

    monkeypatch.setattr(run, "restore", damaged)
    with pytest.raises(ExternalError, match=rf"1 of 60 documents of .*first 'd-8': {told}"):
        upgrade(bed)
    assert bed.behind() == bed.index


def test_following_puts_the_new_vector_beside_an_old_one_and_renews_a_stale_one(bed: Bed) -> None:
    upgrade(bed)
    name, new = new_field(bed), open_way(bed.matrix, None, OPTIONS)
    lacking, stale, own = (document(number, bed.rng) for number in (801, 802, 803))
    stale[name] = moved(bed.weights, lacking["embedding"]).tolist()
    right = document(804, bed.rng)
    right[name] = moved(bed.weights, right["embedding"]).tolist()
    own[name] = own.pop("embedding")
    fill(bed.server, bed.alias, {"d-801": lacking, "d-802": stale, "d-803": own, "d-804": right})
    there = everything(bed.server, bed.behind())
    found = follow(bed.reader(), bed.alias, new, None, idle=0, lease=2.0)
    assert sorted(found.shown) == ["d-801", "d-802"]
    now = everything(bed.server, bed.behind())
    for number, one in ((801, lacking), (802, stale)):
        made = now[f"d-{number}", None]["source"].pop(name)
        np.testing.assert_allclose(made, moved(bed.weights, one["embedding"]), atol=2e-6)
        there[f"d-{number}", None]["source"].pop(name, None)
    assert now == there


def test_a_rollback_carries_the_old_vectors_over_and_leaves_the_new_ones(bed: Bed) -> None:
    old = everything(bed.server, bed.index)
    upgrade(bed)
    name = new_field(bed)
    both, only_new = document(801, bed.rng), document(802, bed.rng)
    fill(bed.server, bed.alias, {"d-801": both | {name: both["embedding"]}})
    only_new[name] = only_new.pop("embedding")
    fill(bed.server, bed.alias, {"d-802": only_new})
    both = everything(bed.server, bed.behind())["d-801", None]["source"]  # the server writes numbers in its own way
    del both[name]
    reader = bed.reader()
    with pytest.raises(InputError, match=r"1 documents .* have no vector of the old model, first 'd-802'"):
        roll_back(reader, bed.alias, lease=2.0)
    result = roll_back(reader, bed.alias, leave_behind=True, lease=2.0)
    assert (result.carried, result.left_behind) == (1, ["d-802"])
    now = everything(bed.server, bed.index)
    assert now.pop(("d-801", None))["source"] == both
    assert now == old


def test_the_old_vectors_are_taken_out_at_the_end_and_nothing_else(bed: Bed) -> None:
    old = everything(bed.server, bed.index)
    with pytest.raises(InputError, match="has no old vectors beside new ones"):
        kept_vectors(bed.reader(), bed.alias)
    upgrade(bed)
    name = new_field(bed)
    fill(bed.server, bed.alias, {"d-801": document(801, bed.rng)})  # has no new vector yet
    there = everything(bed.server, bed.behind())
    done = remove_old_vectors(bed.reader(), bed.alias, lease=2.0)
    assert (done.removed, done.kept, done.refused) == (54, {"d-801"}, [])
    now = everything(bed.server, bed.behind())
    for key, one in there.items():
        if key != ("d-801", None):
            one["source"].pop("embedding", None)
        assert now[key] == one  # its version too
    assert now.keys() == there.keys()
    assert bed.server.request("POST", f"/{bed.alias}/_count", {"query": {"exists": {"field": name}}})["count"] == 54
    assert remove_old_vectors(bed.reader(), bed.alias, lease=2.0).removed == 0
    # The old index still has them, so that there is a way back.
    result = roll_back(bed.reader(), bed.alias, lease=2.0)
    assert (result.carried, result.left_behind) == (1, [])
    back = everything(bed.server, bed.index)
    assert back.pop(("d-801", None))["source"] == now["d-801", None]["source"]
    assert back == old


def test_chunks_keep_their_old_vectors_too(bed: Bed) -> None:
    old = everything(bed.server, bed.index)
    fields = ("embedding", "title_vector", "chunks.embedding")
    options = replace(OPTIONS, vector_fields=fields, keep_fields=())
    upgrade(bed, options)
    beside = new_field(bed).removeprefix("embedding")
    for key, one in everything(bed.server, bed.behind()).items():
        source = one["source"]
        pairs = [(source, "title_vector"), *((chunk, "embedding") for chunk in source["chunks"]), (source, "embedding")]
        for holder, field in pairs:
            made = holder.pop(field + beside, None)
            assert (made is None) == (field not in holder)
            if made is not None:
                np.testing.assert_allclose(made, moved(bed.weights, holder[field]), atol=2e-6)
        assert one == old[key]


def test_an_unfinished_upgrade_goes_on_with_its_own_choice_only(bed: Bed) -> None:
    assert upgrade(bed, before_switch=lambda *_: False).state == "catching up"
    with pytest.raises(InputError, match=r"fields embedding, old vectors kept\) is unfinished"):
        upgrade(bed, replace(OPTIONS, keep_old_vectors=False))
    assert upgrade(bed).state == "switched"


def test_vectors_that_cannot_be_read_cannot_be_kept(opensearch: Any, tmp_path: Path) -> None:
    mapping = copy.deepcopy(MAPPING) | {"_source": {"excludes": ["embedding"]}}
    bed = Bed(opensearch, tmp_path, documents=3, mapping=mapping)
    with pytest.raises(InputError, match="cannot be read and kept"):
        make_plan(bed.reader(), bed.alias, open_way(None, ByText(), OPTIONS), OPTIONS)
