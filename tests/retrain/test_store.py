"""Versions stand in the order of publishing, whatever the clock says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from haystack_crossalign.retrain.store import ModelStore, version_name


def built(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "model").write_text("weights", encoding="utf-8")
    return folder


def test_a_clock_that_was_set_back_does_not_make_the_newest_version_the_oldest(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    now = datetime(2025, 1, 1, tzinfo=UTC)
    # The clock goes back by a year after the second one.
    times = [now, now + timedelta(days=1), now - timedelta(days=364), now - timedelta(days=363)]
    names = [version_name(time, f"{number:012x}") for number, time in enumerate(times)]
    for name in names:
        store.publish(built(store.work / "model"), name)
    assert store.versions() == names
    assert store.latest() == names[-1]
    removed, faults = store.prune(2)
    assert (removed, faults) == (names[:2], [])
    assert store.versions() == names[2:]


def test_versions_from_before_the_order_was_kept_count_as_the_oldest_by_name(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    old = [version_name(datetime(2030, 1, day, tzinfo=UTC), "0" * 12) for day in (1, 2)]
    for name in reversed(old):
        built(tmp_path / name)
    new = version_name(datetime(2024, 1, 1, tzinfo=UTC), "1" * 12)
    store.publish(built(store.work / "model"), new)
    assert store.versions() == [*old, new]


def test_an_order_that_names_what_is_not_there_is_passed_over(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    name = version_name(datetime(2024, 1, 1, tzinfo=UTC), "1" * 12)
    store.publish(built(store.work / "model"), name)
    order = tmp_path / ".order"
    order.write_bytes(b"2023-01-01T00-00-00Z-000000000000\n" + order.read_bytes() + order.read_bytes() + b"\xff")
    assert store.versions() == [name]
