"""An upgrade by a matrix on a real server: everything is kept but the vectors, and one command goes back."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from upgrading import (
    BASE,
    DIMENSION,
    FILTER,
    KEPT,
    MAPPING,
    Bed,
    ByText,
    check_moved,
    document,
    everything,
    fill,
    moved,
)

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.matrix_file import write_matrix_file
from haystack_crossalign.upgrade.cleanup import clean_up, leftovers
from haystack_crossalign.upgrade.front import already_done, open_way, run_upgrade
from haystack_crossalign.upgrade.options import UpgradeOptions
from haystack_crossalign.upgrade.plan import make_plan, plan_lines
from haystack_crossalign.upgrade.rollback import roll_back

OPTIONS = UpgradeOptions(keep_fields=KEPT, unit=100, lease=2.0)


@pytest.fixture
def bed(opensearch: Any, tmp_path: Path) -> Bed:
    return Bed(opensearch, tmp_path, documents=300)


def upgrade(bed: Bed, options: UpgradeOptions = OPTIONS, **more: Any) -> Any:
    reader = bed.reader()
    try:
        return run_upgrade(reader, bed.alias, open_way(bed.matrix, None, options), options, **more)
    finally:
        reader.close()


def test_the_plan_writes_nothing_and_says_what_is_kept(bed: Bed) -> None:
    before = bed.server.request("GET", "/_cluster/state/metadata")["metadata"]["indices"].keys()
    plan = make_plan(bed.reader(), bed.alias, open_way(bed.matrix, None, OPTIONS), OPTIONS)
    told = "\n".join(plan_lines(plan))
    assert plan.documents == 300
    assert plan.without == {"embedding": 30}
    assert "30 of 300 documents have no vector in 'embedding'" in told
    assert "the vectors in 'chunks.embedding' are kept as they are" in told
    assert "aliases up, up-other" in told
    assert bed.server.request("GET", "/_cluster/state/metadata")["metadata"]["indices"].keys() == before


def test_pages_are_sized_by_what_documents_take_in_memory_and_not_on_disk(opensearch: Any, tmp_path: Path) -> None:
    """A text of one word again and again is compressed to nearly nothing."""
    bed = Bed(opensearch, tmp_path, documents=0)
    fill(opensearch, bed.index, {f"d-{number}": {"content": "word " * 10_000} for number in range(1, 9)})
    plan = make_plan(bed.reader(), bed.alias, open_way(bed.matrix, None, OPTIONS), OPTIONS)
    assert plan.size < 8 * 10_000
    # 50,000 letters and 14 signs around them.
    assert plan.page == 3_000_000 // 50_014


def test_everything_is_kept_but_the_vectors(bed: Bed) -> None:
    old = everything(bed.server, bed.index)
    aliases, settings = bed.aliases(bed.index), bed.settings(bed.index)
    outcome = upgrade(bed)
    assert outcome.state == "switched"
    assert outcome.counts["documents"] == 300
    assert outcome.counts["embedding"] == 270
    assert outcome.counts["without embedding"] == 30
    new = bed.behind()
    assert new == outcome.new_index != bed.index
    check_moved(old, everything(bed.server, new), bed.weights)
    assert bed.aliases(new) == aliases
    assert aliases["up"] == {"filter": FILTER, "is_write_index": True}
    assert bed.aliases(bed.index) == {}
    now = bed.settings(new)
    kept = {name: value for name, value in settings.items() if "uuid" not in name and "creation" not in name}
    assert {name: now[name] for name in kept if name not in ("index.provided_name", "index.version.created")} == {
        name: kept[name] for name in kept if name not in ("index.provided_name", "index.version.created")
    }
    assert set(now) == set(settings)
    mapping, before = bed.mapping(new), bed.mapping(bed.index)
    assert mapping["properties"] == before["properties"]
    meta = mapping["_meta"]
    assert meta["owner"] == "somebody"
    assert meta["crossalign"]["other"] == 1
    assert meta["crossalign"]["model"]["base"] == BASE
    assert meta["crossalign"]["model"]["name"].startswith("own/model with matrix ")


def test_an_index_is_not_moved_twice_by_one_matrix(bed: Bed) -> None:
    first = upgrade(bed)
    reader, new = bed.reader(), open_way(bed.matrix, None, OPTIONS)
    done = already_done(reader, bed.alias, new, OPTIONS)
    assert done is not None
    assert (done.state, done.new_index, done.counts) == ("switched", first.new_index, first.counts)
    # Also where nobody remembers.
    with pytest.raises(InputError, match="moved by this matrix already"):
        upgrade(bed)


def test_what_was_asked_for_otherwise_is_not_called_done(bed: Bed) -> None:
    upgrade(bed)
    reader, new = bed.reader(), open_way(bed.matrix, None, OPTIONS)
    kept = "--keep-old-vectors: this upgrade is done, and kept no old vectors; allowed: the command without it; or"
    with pytest.raises(InputError, match=re.escape(kept)):
        already_done(reader, bed.alias, new, replace(OPTIONS, keep_old_vectors=True))
    fields = "--vector-fields: this upgrade is done, of other fields; seen: 'embedding, title'; allowed: embedding; or"
    with pytest.raises(InputError, match=re.escape(fields)):
        already_done(reader, bed.alias, new, replace(OPTIONS, vector_fields=("embedding", "title")))


@pytest.mark.parametrize(
    ("base", "told"),
    [
        ({"sha256": "b" * 64}, "the matrix is for vectors of 'own/model'"),
        ({"prompts": {"query": "q: ", "document": ""}}, "the document prompt of the index is 'd: '"),
        ({"normalized": False}, "unit length"),
    ],
)
def test_a_matrix_of_another_model_is_refused_before_anything_is_written(
    bed: Bed, base: dict[str, Any], told: str
) -> None:
    weights = np.eye(DIMENSION, dtype=np.float32)
    write_matrix_file(AffineMap(weights, np.zeros(DIMENSION, np.float32)), bed.matrix, base=BASE | base)
    with pytest.raises(InputError, match=told):
        upgrade(bed)
    assert list(bed.server.request("GET", "/up-*,crossalign-*/_settings?expand_wildcards=all")) == [bed.index]


def test_a_matrix_of_another_dimension_and_one_without_a_name_are_refused(bed: Bed) -> None:
    write_matrix_file(AffineMap(np.eye(3, dtype=np.float32), np.zeros(3, np.float32)), bed.matrix, base=BASE)
    with pytest.raises(InputError, match="holds vectors of 8 numbers, and the matrix is for vectors of 3; allowed"):
        upgrade(bed)
    zero = np.zeros(DIMENSION, np.float32)
    write_matrix_file(AffineMap(np.eye(DIMENSION, dtype=np.float32), zero), bed.matrix)
    with pytest.raises(InputError, match="the matrix names no base"):
        upgrade(bed)
    assert upgrade(bed, UpgradeOptions(keep_fields=KEPT, accept_model=True, lease=2.0)).state == "switched"


@pytest.mark.parametrize("name", ["u*", "up,up-other", "-up*"])
def test_a_pattern_is_no_alias(bed: Bed, name: str) -> None:
    with pytest.raises(InputError, match="is a pattern or a list and no alias; allowed: an alias of one index"):
        make_plan(bed.reader(), name, open_way(bed.matrix, None, OPTIONS), OPTIONS)


def test_vector_fields_that_nobody_named_are_refused(bed: Bed) -> None:
    """The new index says one model; with vectors of the old one in another field two models would be compared."""
    with pytest.raises(
        InputError, match=r"'chunks.embedding, title_vector': .*--keep-fields chunks.embedding,title_ve"
    ):
        upgrade(bed, UpgradeOptions(lease=2.0))
    with pytest.raises(InputError, match=r"'title_vector': .*--keep-fields title_vector"):
        upgrade(bed, UpgradeOptions(vector_fields=("embedding", "chunks.embedding"), lease=2.0))
    with pytest.raises(InputError, match="--keep-fields: no other vector field; seen: 'content'; allowed: chunks"):
        upgrade(bed, UpgradeOptions(keep_fields=("content",), lease=2.0))
    assert list(bed.server.request("GET", "/up-*,crossalign-*/_settings?expand_wildcards=all")) == [bed.index]


def test_an_index_without_an_alias_is_explained(bed: Bed) -> None:
    reader = bed.reader()
    with pytest.raises(InputError, match="is an index and no alias; it has the alias up, up-other"):
        make_plan(reader, bed.index, open_way(bed.matrix, None, OPTIONS), OPTIONS)


def test_one_command_goes_back_and_carries_over_what_was_written(bed: Bed) -> None:
    old = everything(bed.server, bed.index)
    outcome = upgrade(bed)
    plain = {"content": "written later", "language": "en"}
    bed.server.request("PUT", f"/{bed.alias}/_doc/d-900?refresh=true", plain)
    bed.server.request("DELETE", f"/{bed.alias}/_doc/d-1?refresh=true")
    reader = bed.reader()
    result = roll_back(reader, bed.alias, lease=2.0)
    assert (result.index, result.carried, result.removed, result.left_behind) == (bed.index, 1, 1, [])
    assert bed.behind() == bed.index
    now = everything(bed.server, bed.index)
    assert now.pop(("d-900", None))["source"] == plain
    del old["d-1", None]
    assert now == old
    assert bed.aliases(bed.index)["up"] == {"filter": FILTER, "is_write_index": True}
    bed.server.request("PUT", f"/{bed.alias}/_doc/d-901", plain)
    (left,) = leftovers(reader, bed.alias, old=True)
    assert left.index == outcome.new_index
    assert clean_up(reader, bed.alias, [left], lease=2.0) == [outcome.new_index]
    assert leftovers(reader, bed.alias, old=True) == []


def test_aliases_go_back_as_they_are_now(bed: Bed) -> None:
    """A filter set since the switch may be an access limit."""
    new = upgrade(bed).new_index
    limit = {"term": {"language": "de"}}
    actions = [
        {"add": {"index": new, "alias": bed.alias, "filter": limit, "is_write_index": True}},
        {"add": {"index": new, "alias": "up-later", "routing": "r3"}},
        {"remove": {"index": new, "alias": "up-other"}},
    ]
    bed.server.request("POST", "/_aliases", {"actions": actions})
    since = bed.aliases(new)
    assert since["up"]["filter"] == limit
    result = roll_back(bed.reader(), bed.alias, lease=2.0)
    assert result.changed == ["up", "up-later", "up-other"]
    assert bed.aliases(bed.index) == since
    assert bed.aliases(new) == {}


def test_documents_with_vectors_of_the_new_model_are_not_left_behind_unasked(bed: Bed) -> None:
    outcome = upgrade(bed)
    fill(bed.server, outcome.new_index, {"d-801": document(801, bed.rng)})
    reader = bed.reader()
    with pytest.raises(InputError, match=r"1 documents were written since the switch.* first 'd-801'"):
        roll_back(reader, bed.alias, lease=2.0)
    assert bed.behind() == outcome.new_index
    bed.server.request("PUT", f"/{bed.alias}/_doc/d-802", {"content": "still writable"})
    result = roll_back(reader, bed.alias, leave_behind=True, lease=2.0)
    assert result.left_behind == ["d-801"]
    assert ("d-801", None) not in everything(bed.server, bed.index)


def test_an_alias_moved_by_somebody_else_is_left_where_it_is(bed: Bed) -> None:
    bed.server.request("PUT", "/up-theirs", {})

    def interfere(*_: Any) -> bool:
        actions = [
            {"remove": {"index": bed.index, "alias": bed.alias}},
            {"add": {"index": "up-theirs", "alias": bed.alias}},
        ]
        bed.server.request("POST", "/_aliases", {"actions": actions})
        return True

    with pytest.raises(ExternalError, match=r"changed by somebody else .* points to up-theirs"):
        upgrade(bed, before_switch=interfere)
    assert bed.behind() == "up-theirs"
    bed.server.request("PUT", f"/{bed.index}/_doc/free-1", {"content": "not blocked any more"})


def test_a_document_that_the_new_index_refuses_is_named_and_nothing_is_switched(bed: Bed) -> None:
    three = document(811, bed.rng)
    three["chunks"].append({"content": "c"})
    fill(bed.server, bed.index, {"d-811": three})
    # Lowered after the document was taken: a copy of it is refused, all others are not.
    limit = "index.mapping.nested_objects.limit"
    bed.server.request("PUT", f"/{bed.index}/_settings", {limit: 2})
    outcome = upgrade(bed)
    assert outcome.state == "catching up"
    ((name, _, reason),) = outcome.refused
    assert name == "d-811"
    assert "number of nested documents has exceeded" in reason
    assert "text 811" not in reason
    assert outcome.counts["documents"] == 300
    assert bed.behind() == bed.index
    # Once the document can be written, the same command ends the upgrade.
    bed.server.request("PUT", f"/{outcome.new_index}/_settings", {limit: 10000})
    outcome = upgrade(bed)
    assert outcome.state == "switched"
    check_moved(everything(bed.server, bed.index), everything(bed.server, bed.behind()), bed.weights)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ({"content": "changed"}, "the source differs"),
        ({"meta": {"n": 8.5}}, "the source differs"),
        ({"embedding": None}, "1 vectors in 'embedding' of the old index, 0 in 'embedding' of the new one"),
        ({"embedding": [2.0] + [0.0] * (DIMENSION - 1)}, "a vector in 'embedding' has length 2.0000 and not 1"),
    ],
)
def test_a_document_that_differs_is_found_before_the_switch(
    bed: Bed, damage: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from haystack_crossalign.upgrade import run

    restore = run.restore

    def damaged(client: Any, reader: Any, job: Any) -> None:
        restore(client, reader, job)
        key = ("d-8", None)
        found = everything(bed.server, job.target.name)[key]
        path = f"/{job.target.name}/_doc/d-8?refresh=true&version_type=external_gte&version={found['version']}"
        bed.server.request("PUT", path, found["source"] | damage)

    monkeypatch.setattr(run, "restore", damaged)
    with pytest.raises(ExternalError, match=rf"1 of 300 documents of .*first 'd-8': {told}"):
        upgrade(bed)
    assert bed.behind() == bed.index


def test_vectors_that_are_not_those_of_the_way_are_found_by_the_sample(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from haystack_crossalign.upgrade import run

    restore = run.restore

    def damaged(client: Any, reader: Any, job: Any) -> None:
        restore(client, reader, job)
        lines: list[dict[str, Any]] = []
        for (name, routing), one in everything(bed.server, job.target.name).items():
            action = {"_id": name, "version": one["version"], "version_type": "external_gte"}
            if "embedding" in one["source"]:
                one["source"]["embedding"] = one["source"]["embedding"][::-1]
            lines += [{"index": action | ({"routing": routing} if routing else {})}, one["source"]]
        assert not bed.server.request("POST", f"/{job.target.name}/_bulk?refresh=true", lines)["errors"]

    monkeypatch.setattr(run, "restore", damaged)
    with pytest.raises(ExternalError, match="vectors made again differ from those in"):
        upgrade(bed)
    assert bed.behind() == bed.index


def test_vectors_that_sources_leave_out_are_made_anew_and_not_moved(opensearch: Any, tmp_path: Path) -> None:
    mapping = copy.deepcopy(MAPPING) | {"_source": {"excludes": ["embedding"]}}
    bed = Bed(opensearch, tmp_path, documents=60, mapping=mapping)
    with pytest.raises(InputError, match=r"'embedding': is left out of the sources .* embeds anew"):
        upgrade(bed)
    options = UpgradeOptions(keep_fields=KEPT, unit=100, lease=2.0)
    outcome = run_upgrade(bed.reader(), bed.alias, open_way(None, ByText(), options), options)
    assert outcome.state == "switched"
    new = bed.behind()
    assert bed.mapping(new)["_source"] == {"excludes": ["embedding"]}
    assert everything(bed.server, new) == everything(bed.server, bed.index)
    exists = {"query": {"exists": {"field": "embedding"}}}
    assert bed.server.request("POST", f"/{new}/_count", exists)["count"] == 60
    # The nearest document of a text's vector is the one with that text.
    source = everything(bed.server, new)["d-8", None]["source"]
    vector = ByText().encode_documents([source["content"]])[0].tolist()
    body = {"size": 1, "query": {"knn": {"embedding": {"vector": vector, "k": 1}}}}
    (hit,) = bed.server.request("POST", f"/{new}/_search", body)["hits"]["hits"]
    assert hit["_id"] == "d-8"


def test_chunks_and_several_fields_are_upgraded_together(bed: Bed) -> None:
    old = everything(bed.server, bed.index)
    options = UpgradeOptions(vector_fields=("embedding", "title_vector", "chunks.embedding"), unit=100, lease=2.0)
    outcome = upgrade(bed, options)
    assert outcome.counts["chunks.embedding"] == 300
    new = everything(bed.server, bed.behind())
    for key, before in old.items():
        was, now = before["source"], new[key]["source"]
        for one, other in ((was["title_vector"], now["title_vector"]), *chunk_vectors(was, now)):
            np.testing.assert_allclose(other, moved(bed.weights, one), atol=2e-6)
        assert [one["content"] for one in now["chunks"]] == [one["content"] for one in was["chunks"]]


def chunk_vectors(was: dict[str, Any], now: dict[str, Any]) -> list[tuple[list[float], list[float]]]:
    pairs = zip(was["chunks"], now["chunks"], strict=True)
    return [(one["embedding"], other["embedding"]) for one, other in pairs if "embedding" in one]
