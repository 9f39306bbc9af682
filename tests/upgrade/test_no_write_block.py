"""A switch without a write block: what slips through is counted and named, and not deleted unasked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from upgrading import KEPT, Bed, check_moved, everything

from haystack_crossalign.errors import InputError
from haystack_crossalign.upgrade import switch
from haystack_crossalign.upgrade.cleanup import clean_up, leftovers
from haystack_crossalign.upgrade.front import already_done, open_way, run_upgrade
from haystack_crossalign.upgrade.options import UpgradeOptions
from haystack_crossalign.upgrade.plan import make_plan, plan_lines
from haystack_crossalign.upgrade.rollback import roll_back

OPTIONS = UpgradeOptions(keep_fields=KEPT, unit=100, lease=2.0, write_block=False)


@pytest.fixture
def bed(opensearch: Any, tmp_path: Path) -> Bed:
    return Bed(opensearch, tmp_path, documents=60)


def upgrade(bed: Bed) -> Any:
    return run_upgrade(bed.reader(), bed.alias, open_way(bed.matrix, None, OPTIONS), OPTIONS)


def test_without_writers_nothing_is_missed_and_writes_pass_all_the_while(bed: Bed) -> None:
    old = everything(bed.server, bed.index)
    plan = make_plan(bed.reader(), bed.alias, open_way(bed.matrix, None, OPTIONS), OPTIONS)
    told = f"Note: no write block: what is written to {bed.index} between the last pass and the switch stays there only"
    assert any(line.startswith(told) for line in plan_lines(plan))
    outcome = upgrade(bed)
    assert (outcome.state, outcome.blocked_seconds) == ("switched", 0.0)
    assert outcome.missed is not None
    assert (outcome.missed["operations"], outcome.missed["documents"]) == (0, [])
    check_moved(old, everything(bed.server, bed.behind()), bed.weights)
    # From now on whoever writes to the old index by its own name is told.
    assert bed.settings(bed.index)["index.blocks.write"] == "true"


class CutOffError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("cut_off", [False, True])
def test_what_is_written_after_the_last_pass_is_counted_named_and_kept(
    bed: Bed, cut_off: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = switch.move_aliases

    def write_first(*given: Any, **named: Any) -> None:
        bed.server.request("PUT", f"/{bed.alias}/_doc/late", {"content": "one moment too late"})
        bed.server.request("PUT", f"/{bed.alias}/_doc/d-3", {"content": "changed"})
        bed.server.request("DELETE", f"/{bed.alias}/_doc/d-4")
        move(*given, **named)
        if cut_off:
            raise CutOffError

    monkeypatch.setattr(switch, "move_aliases", write_first)
    if cut_off:
        with pytest.raises(CutOffError):
            upgrade(bed)
        outcome = already_done(bed.reader(), bed.alias, open_way(bed.matrix, None, OPTIONS), OPTIONS)
        assert outcome is not None
    else:
        outcome = upgrade(bed)
    assert outcome.state == "switched"
    assert outcome.missed is not None
    assert (outcome.missed["operations"], outcome.missed["count"]) == (3, 2)
    assert sorted(outcome.missed["documents"]) == ["d-3", "late"]
    new = everything(bed.server, outcome.new_index)
    assert ("late", None) not in new
    assert ("d-4", None) in new
    reader = bed.reader()
    (old,) = leftovers(reader, bed.alias, old=True)
    assert (old.index, old.only_here) == (bed.index, 2)
    with pytest.raises(InputError, match="up-1: holds 2 documents that are in no other index"):
        clean_up(reader, bed.alias, [old], lease=2.0)
    # The way back has them.
    monkeypatch.undo()
    assert roll_back(reader, bed.alias, lease=2.0).index == bed.index
    assert everything(bed.server, bed.index)["late", None]["source"] == {"content": "one moment too late"}
