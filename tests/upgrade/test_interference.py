"""What other people do to the indices, the alias and the ledger of an upgrade while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from upgrading import KEPT, Bed, everything

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.upgrade.front import open_way, run_upgrade
from haystack_crossalign.upgrade.options import UpgradeOptions
from haystack_crossalign.upgrade.rollback import roll_back

OPTIONS = UpgradeOptions(keep_fields=KEPT, unit=100, lease=2.0)
BLOCK = {"index.blocks.write": True}


@pytest.fixture
def bed(opensearch: Any, tmp_path: Path) -> Bed:
    return Bed(opensearch, tmp_path, documents=60)


def upgrade(bed: Bed, **more: Any) -> Any:
    return run_upgrade(bed.reader(), bed.alias, open_way(bed.matrix, None, OPTIONS), OPTIONS, **more)


def test_a_write_block_of_somebody_else_is_never_lifted(bed: Bed) -> None:
    bed.server.request("PUT", f"/{bed.index}/_settings", BLOCK)
    with pytest.raises(InputError, match=r"up-1, field 'index.blocks.write': .*lets nobody write"):
        upgrade(bed)
    assert bed.settings(bed.index)["index.blocks.write"] == "true"
    bed.server.request("PUT", f"/{bed.index}/_settings", {"index.blocks.write": None})

    def block(*_: Any) -> bool:
        bed.server.request("PUT", f"/{bed.index}/_settings", BLOCK)
        return True

    with pytest.raises(ExternalError, match="somebody else blocked writes to 'up-1'"):
        upgrade(bed, before_switch=block)
    assert bed.settings(bed.index)["index.blocks.write"] == "true"
    bed.server.request("PUT", f"/{bed.index}/_settings", {"index.blocks.write": None})
    new = upgrade(bed).new_index
    bed.server.request("PUT", f"/{new}/_settings", BLOCK)
    with pytest.raises(InputError, match="lets nobody write"):
        roll_back(bed.reader(), bed.alias, lease=2.0)
    assert bed.behind() == new
    assert bed.settings(new)["index.blocks.write"] == "true"


@pytest.mark.parametrize("blocked", [False, True])
def test_an_alias_removed_meanwhile_leaves_the_old_index_writable(
    bed: Bed, blocked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from haystack_crossalign.upgrade import switch

    aliases = bed.aliases(bed.index)
    restore_last = switch.restore_last

    def take_away(*given: Any) -> Any:
        action = {"remove": {"index": bed.index, "alias": bed.alias}}
        bed.server.request("POST", "/_aliases", {"actions": [action]})
        return restore_last(*given) if blocked else True

    if blocked:
        monkeypatch.setattr(switch, "restore_last", take_away)
    with pytest.raises(ExternalError, match=r"the alias 'up' was removed by somebody else .*run the same command"):
        upgrade(bed, before_switch=None if blocked else take_away)
    monkeypatch.undo()
    assert "index.blocks.write" not in bed.settings(bed.index)
    # The same command says the same, and not that there is no such index.
    with pytest.raises(ExternalError, match="the alias 'up' was removed by somebody else"):
        upgrade(bed)
    action = {"add": {"index": bed.index, "alias": bed.alias, **aliases[bed.alias]}}
    bed.server.request("POST", "/_aliases", {"actions": [action]})
    assert upgrade(bed).state == "switched"


def test_an_alias_removed_after_the_switch_stops_the_way_back_with_exit_3(bed: Bed) -> None:
    new = upgrade(bed).new_index
    bed.server.request("POST", "/_aliases", {"actions": [{"remove": {"index": new, "alias": bed.alias}}]})
    with pytest.raises(ExternalError, match=rf"was removed by somebody else since the switch; give it to '{new}'"):
        roll_back(bed.reader(), bed.alias, lease=2.0)
    assert len(everything(bed.server, new)) == 60


def test_a_new_index_deleted_meanwhile_is_said_and_not_taken_for_a_typing_error(bed: Bed) -> None:
    def delete(_: Any, job: Any) -> bool:
        bed.server.request("DELETE", f"/{job.target.name}")
        return True

    with pytest.raises(ExternalError, match=r"the new index 'up-2\d+-\w+' was deleted or made again by somebody else"):
        upgrade(bed, before_switch=delete)
    assert bed.behind() == bed.index
    assert "index.blocks.write" not in bed.settings(bed.index)


def test_a_ledger_deleted_meanwhile_is_said_by_this_run_and_by_the_next(bed: Bed) -> None:
    def delete(*_: Any) -> bool:
        bed.server.request("DELETE", "/crossalign-ledger")
        return True

    told = r"is gone from the ledger 'crossalign-ledger': somebody else deleted it"
    with pytest.raises(ExternalError, match=told):
        upgrade(bed, before_switch=delete)
    assert bed.behind() == bed.index
    assert "index.blocks.write" not in bed.settings(bed.index)
    # The write that found it gone had the server make an index of that name.
    with pytest.raises(ExternalError, match=r"'crossalign-ledger' is not the ledger that upgrades make: .*Delete it"):
        upgrade(bed)
    bed.server.request("DELETE", "/crossalign-ledger")
    assert upgrade(bed).state == "switched"


def test_documents_pass_through_no_pipeline_twice_after_a_switch_that_failed(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from haystack_crossalign.upgrade import switch

    # A pipeline that is not there refuses whatever would pass through it (the servers of the tests have no processors).
    bed.server.request("PUT", f"/{bed.index}/_settings", {"index.default_pipeline": "nowhere"})

    def fail(*_: Any, **__: Any) -> None:
        raise ExternalError("the switch failed")

    monkeypatch.setattr(switch, "move_aliases", fail)
    with pytest.raises(ExternalError, match="the switch failed"):
        upgrade(bed)
    monkeypatch.undo()
    bed.server.request("PUT", f"/{bed.alias}/_doc/later?pipeline=_none", {"content": "written in between"})
    assert upgrade(bed).state == "switched"
    new = bed.behind()
    assert everything(bed.server, new)["later", None]["source"] == {"content": "written in between"}
    assert bed.settings(new)["index.default_pipeline"] == "nowhere"
