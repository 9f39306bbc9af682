"""The gate of `crossalign upgrade`, built from the options of the command."""

from __future__ import annotations

from typing import Any

import pytest

from haystack_crossalign.cli.shared.options import ModelFlags
from haystack_crossalign.cli.shared.upgrade_options import GateFlags
from haystack_crossalign.cli.shared.upgrade_parts import open_gate
from haystack_crossalign.opensearch.connection.settings import LiveSettings


@pytest.mark.parametrize("local", [True, False])
def test_the_old_model_is_opened_as_the_new_one(local: bool) -> None:
    """With --local-files-only the hub is not asked for it either."""
    nothing: Any = None  # neither a connection nor vectors are needed yet
    flags = ModelFlags(local_files_only=local, trust_remote_code=local)
    gate = open_gate(nothing, GateFlags(old_model="org/old"), LiveSettings(index="up"), nothing, flags, None)
    assert gate is not None
    model = gate.request.model
    assert (model.model, model.local_files_only, model.trust_remote_code) == ("org/old", local, local)
