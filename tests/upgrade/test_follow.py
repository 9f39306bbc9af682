"""Applications that write with the old model after the switch: what they write is converted, and nothing else."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from upgrading import BASE, DIMENSION, KEPT, Bed, ByText, document, everything, fill, moved

from haystack_crossalign.api.follow import newest_since_switch, open_sides, written_since_switch
from haystack_crossalign.api.gate import MovedEncoder
from haystack_crossalign.api.requests.index import IndexRequest
from haystack_crossalign.errors import CrossAlignError, InputError
from haystack_crossalign.opensearch.audit.pacing import Pace
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.matrix_file import read_matrix_file, write_matrix_file
from haystack_crossalign.upgrade import follow as module
from haystack_crossalign.upgrade.documents.vectors import ModelWay
from haystack_crossalign.upgrade.follow import Followed, Sides, follow
from haystack_crossalign.upgrade.front import open_way, run_upgrade
from haystack_crossalign.upgrade.options import UpgradeOptions
from haystack_crossalign.upgrade.rollback import roll_back

OPTIONS = UpgradeOptions(keep_fields=KEPT, unit=100, lease=2.0)
OLD = ByText(described=BASE)


@pytest.fixture
def bed(opensearch: Any, tmp_path: Path) -> Bed:
    return Bed(opensearch, tmp_path, documents=60)


def switched(bed: Bed, new: Any = None) -> str:
    outcome = run_upgrade(bed.reader(), bed.alias, new or open_way(bed.matrix, None, OPTIONS), OPTIONS)
    assert outcome.state == "switched"
    return str(outcome.new_index)


def sides_of(bed: Bed) -> Sides:
    new = open_way(bed.matrix, None, OPTIONS)
    return Sides(MovedEncoder(OLD, read_matrix_file(bed.matrix), new.model), OLD)


def follow_once(bed: Bed) -> Followed:
    return follow(bed.reader(), bed.alias, open_way(bed.matrix, None, OPTIONS), sides_of(bed), idle=0, lease=2.0)


def written(bed: Bed, number: int, *, content: str | None = None) -> dict[str, Any]:
    """A document as an application with the old model writes it."""
    made = document(number, bed.rng)
    made["content"] = content or made["content"]
    return made | {"embedding": OLD.encode_documents([made["content"]])[0].tolist()}


def vector_of(found: Any) -> np.ndarray:
    return np.asarray(found["source"]["embedding"])


def test_what_is_written_with_the_old_model_is_moved_and_the_rest_is_left(bed: Bed) -> None:
    new = switched(bed)
    assert written_since_switch(bed.reader(), bed.alias) == 0
    before = everything(bed.server, new)
    late, changed = written(bed, 805), written(bed, 3, content="changed since")
    right = written(bed, 811)
    right["embedding"] = moved(bed.weights, right["embedding"]).tolist()
    mute = document(812, bed.rng) | {"content": " "}
    plain = {"content": "no vector", "language": "en"}
    fill(bed.server, bed.alias, {"d-805": late, "d-3": changed, "d-811": right, "d-812": mute, "d-813": plain})
    bed.server.request("PUT", f"/{bed.alias}/_doc/numbered?version=700&version_type=external", written(bed, 806))
    there = everything(bed.server, new)
    assert written_since_switch(bed.reader(), bed.alias) == 6
    newest = newest_since_switch(bed.reader(), bed.alias, sides_of(bed))
    assert newest.documents == 5
    assert sorted(newest.foreign) == ["d-3", "d-805", "numbered"]
    found = follow_once(bed)
    assert (found.looked, found.converted, found.unknown, found.refused) == (5, 3, ["d-812"], [])
    assert sorted(found.shown) == ["d-3", "d-805", "numbered"]
    assert found.ended == "idle"
    now = everything(bed.server, new)
    converted = {("d-3", None), ("d-805", "r1"), ("numbered", None)}
    assert converted < there.keys()
    for key, one in there.items():
        if key in converted:
            np.testing.assert_allclose(vector_of(now[key]), moved(bed.weights, vector_of(one)), atol=2e-6)
            del one["source"]["embedding"], now[key]["source"]["embedding"]
        assert now[key] == one, key  # its version too
    assert now.keys() == before.keys() | converted | {("d-811", None), ("d-812", None), ("d-813", None)}
    # It goes on where it was, also in another process.
    again = follow_once(bed)
    assert (again.converted, again.unknown) == (0, [])
    assert newest_since_switch(bed.reader(), bed.alias, sides_of(bed)).foreign == ()


def test_following_keeps_to_the_load_that_it_is_given(bed: Bed) -> None:
    """It asks the pace for every document that it reads, also for one that stays as it is, and for its own writes."""
    asked: list[int] = []

    class Asked(Pace):
        def spend(self, documents: int) -> None:
            asked.append(documents)

    switched(bed)
    fill(bed.server, bed.alias, {f"d-{number}": written(bed, number) for number in range(800, 805)})
    fill(bed.server, bed.alias, {"d-805": {"content": "no vector"}})
    new, sides = open_way(bed.matrix, None, OPTIONS), sides_of(bed)
    found = follow(bed.reader(), bed.alias, new, sides, idle=0, lease=2.0, pace=Asked(None))
    assert found.converted == 5
    assert sum(asked) == 6 + 5


def test_without_the_old_model_the_new_one_tells(bed: Bed) -> None:
    made = ByText(7)
    new = open_way(None, made, OPTIONS)
    index = switched(bed, new)
    right = written(bed, 811)
    right["embedding"] = made.encode_documents([right["content"]])[0].tolist()
    fill(bed.server, bed.alias, {"d-801": written(bed, 801), "d-811": right})
    found = follow(bed.reader(), bed.alias, new, Sides(made, None), idle=0, lease=2.0)
    assert (found.looked, found.converted, found.shown) == (2, 1, ["d-801"])
    for name in ("d-801", "d-811"):
        one = everything(bed.server, index)[name, None]
        expected = made.encode_documents([one["source"]["content"]])[0]
        np.testing.assert_allclose(vector_of(one), expected, atol=1e-6)


def test_a_document_changed_in_the_same_moment_is_not_overwritten(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    new = switched(bed)
    fill(bed.server, bed.alias, {"d-801": written(bed, 801), "d-802": written(bed, 802), "d-803": written(bed, 803)})
    newer = written(bed, 801, content="even newer")
    write_items = module.write_items

    def change_first(client: Any, index: str, items: Any) -> Any:
        names = {item.key[0] for item in items}
        if "d-801" in names:
            bed.server.request("PUT", f"/{bed.alias}/_doc/d-801", newer)
        if "d-802" in names:
            bed.server.request("DELETE", f"/{bed.alias}/_doc/d-802")
        return write_items(client, index, items)

    monkeypatch.setattr(module, "write_items", change_first)
    assert follow_once(bed).shown == ["d-803"]
    there = everything(bed.server, new)
    assert there["d-801", None]["source"]["content"] == "even newer"
    np.testing.assert_allclose(vector_of(there["d-801", None]), newer["embedding"], atol=1e-6)
    assert ("d-802", None) not in there
    monkeypatch.undo()
    assert follow_once(bed).shown == ["d-801"]
    now = everything(bed.server, new)
    np.testing.assert_allclose(vector_of(now["d-801", None]), moved(bed.weights, newer["embedding"]), atol=2e-6)
    assert ("d-802", None) not in now


def test_writers_are_followed_until_they_are_quiet(bed: Bed) -> None:
    new = switched(bed)
    sent: dict[str, Any] = {}

    def write() -> None:
        for number in range(40):
            name = f"d-{900 + number % 20}"
            sent[name] = written(bed, 900 + number % 20, content=f"text {number}")
            bed.server.request("PUT", f"/{bed.alias}/_doc/{name}", sent[name])
            time.sleep(0.03)

    writer = threading.Thread(target=write)
    writer.start()
    way = open_way(bed.matrix, None, OPTIONS)
    found = follow(bed.reader(), bed.alias, way, sides_of(bed), idle=2.5, pause=0.1, lease=2.0)
    writer.join()
    assert found.ended == "idle"
    assert found.converted >= 20
    now = everything(bed.server, new)
    for name, one in sent.items():
        np.testing.assert_allclose(vector_of(now[name, None]), moved(bed.weights, one["embedding"]), atol=2e-6)
        assert now[name, None]["source"]["content"] == one["content"]


def test_a_rollback_ends_it_and_a_second_one_is_told(bed: Bed) -> None:
    switched(bed)
    ended: list[Followed] = []
    seen = threading.Event()
    way = open_way(bed.matrix, None, OPTIONS)
    options: dict[str, Any] = {"idle": None, "pause": 0.05, "lease": 5.0, "tell": lambda _: seen.set()}
    thread = threading.Thread(
        target=lambda: ended.append(follow(bed.reader(), bed.alias, way, sides_of(bed), **options)), daemon=True
    )
    thread.start()
    assert seen.wait(60)
    with pytest.raises(InputError, match=r"up: is followed by process .* already"):
        follow_once(bed)
    roll_back(bed.reader(), bed.alias, leave_behind=True, lease=2.0)
    thread.join(60)
    assert not thread.is_alive()
    assert ended[0].ended in ("rolling back", "rolled back")
    assert bed.behind() == bed.index
    with pytest.raises(InputError, match="up: has no upgrade that was switched, so there is nothing to follow"):
        follow_once(bed)


def test_ingest_pipelines_see_no_document_twice(bed: Bed) -> None:
    # A pipeline that is not there refuses whatever would pass through it.
    bed.server.request("PUT", f"/{bed.index}/_settings", {"index.default_pipeline": "nowhere"})
    new = switched(bed)
    bed.server.request("PUT", f"/{bed.alias}/_doc/late?pipeline=_none", written(bed, 801))
    assert follow_once(bed).shown == ["late"]
    bed.server.request("PUT", f"/{new}/_settings", {"index.final_pipeline": "nowhere"})
    with pytest.raises(InputError, match=r"'index.final_pipeline': .*final pipeline a second time"):
        follow_once(bed)


def test_another_matrix_than_that_of_the_switch_is_refused(bed: Bed, tmp_path: Path) -> None:
    switched(bed)
    other = tmp_path / "other.safetensors"
    write_matrix_file(AffineMap(np.eye(DIMENSION, dtype=np.float32), np.zeros(DIMENSION, np.float32)), other, base=BASE)
    settings = replace(open_way(bed.matrix, None, OPTIONS), settings="of another prompt")
    for new in (open_way(other, None, OPTIONS), settings):
        with pytest.raises(InputError, match="up: was upgraded by another matrix, or with other settings of it"):
            follow(bed.reader(), bed.alias, new, sides_of(bed), idle=0, lease=2.0)


def test_a_matrix_needs_the_old_model_and_no_other(bed: Bed) -> None:
    switched(bed)
    settings = LiveSettings(hosts=(bed.server.url,), index=bed.alias)
    new = open_way(bed.matrix, None, OPTIONS)
    with pytest.raises(CrossAlignError, match=r"following needs the model of the old index, 'own/model'"):
        open_sides(bed.reader(), IndexRequest(settings=settings), new)
    made = ByText(7)
    sides = open_sides(bed.reader(), IndexRequest(settings=settings), open_way(None, made, OPTIONS))
    assert (sides.new, sides.old) == (made, None)
    assert isinstance(open_way(None, made, OPTIONS).way, ModelWay)
