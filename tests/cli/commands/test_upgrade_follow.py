"""`crossalign upgrade` after the switch, and `rollback --model`, as a user meets them: with real models in folders."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from switching import ALIAS, DIMENSION, OLD, TEXTS, Pair, both, pair, two_models
from upgrading import everything, moved, remove

from haystack_crossalign.models.identity import describe_model
from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.matrix_file import write_matrix_file

__all__ = ["both", "pair", "two_models"]

TEXT = "w4 w16 w28"


@pytest.fixture
def weights() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(DIMENSION, DIMENSION + 1)).astype(np.float32)


@pytest.fixture
def command(pair: Pair, tmp_path: Path, weights: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The upgrade by a matrix, as it is typed."""
    remove(pair.server, f"{ALIAS}-2*", "crossalign-ledger")
    path = tmp_path / "matrix.safetensors"
    base = describe_model(pair.models.old)
    write_matrix_file(AffineMap(weights[:, :-1].copy(), weights[:, -1].copy()), path, base=base)
    monkeypatch.setenv("CROSSALIGN_HOSTS", pair.server.url)
    yield ["upgrade", "--index", ALIAS, "--matrix", str(path), "--no-gate", "--apply", "--lease", "2"]
    remove(pair.server, f"{ALIAS}-2*", "crossalign-ledger")
    pair.server.request("PUT", f"/{OLD}/_settings", {"index.blocks.write": None})


def write_late(pair: Pair, name: str = "late") -> np.ndarray:
    vector: np.ndarray = pair.models.old.encode_documents([TEXT])[0]
    one = {"id": name, "content": TEXT, "language": "en", "embedding": vector.tolist()}
    pair.server.request("PUT", f"/{ALIAS}/_doc/{name}?refresh=true", one)
    return vector


def test_what_is_written_with_the_old_model_is_said_then_converted(
    crossalign: Any, command: list[str], pair: Pair, weights: np.ndarray
) -> None:
    done = crossalign(*command)
    assert done.code == 0, done.err
    assert "Written since the switch" not in done.out + done.err
    vector = write_late(pair)
    old = ["--old-model", str(pair.models.old_folder)]
    # A model that cannot be had is no reason to fail: what was asked for is done.
    again = crossalign(*command)
    assert again.code == 0
    assert "Written since the switch: 1 operations, not compared with the new model: following needs" in again.out
    told = crossalign(*command, *old)
    assert told.code == 0, told.err
    assert "1 of the 1 written last have vectors of another model: 'late'" in told.err
    assert "--follow converts what it wrote" in told.err
    followed = crossalign(*command, *old, "--follow", "--follow-idle", "0")
    assert followed.code == 0, followed.err
    assert "Followed: 1 documents looked at, 1 converted: late" in followed.out
    (index,) = pair.server.request("GET", f"/_alias/{ALIAS}")
    found = everything(pair.server, index)["late", None]["source"]["embedding"]
    np.testing.assert_allclose(found, moved(weights.astype(np.float64), vector.tolist()), atol=2e-6)
    well = crossalign(*command, *old)
    assert "Written since the switch: 1 documents; the 1 written last, embedded again, fit the model" in well.out
    wrong = crossalign(*command, "--old-model", str(pair.models.new_folder), "--follow", "--follow-idle", "0")
    assert wrong.code == 2
    assert f"--old-model: not the model of the old index '{OLD}'" in wrong.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--follow"], "--follow writes to the index; allowed: --follow --apply"),
        (["--follow-idle", "3"], "--follow-idle says when following ends; allowed: --follow --follow-idle SECONDS"),
    ],
)
def test_following_is_asked_for_in_full(crossalign: Any, options: list[str], told: str) -> None:
    finished = crossalign("upgrade", "--index", "prod", "--matrix", "m", *options)
    assert finished.code == 2
    assert told in finished.err


def test_old_vectors_are_kept_until_cleanup_takes_them_out(crossalign: Any, command: list[str], pair: Pair) -> None:
    command = [*command, "--keep-old-vectors"]
    done = crossalign(*command)
    assert done.code == 0, done.err
    (index,) = pair.server.request("GET", f"/_alias/{ALIAS}")
    properties = pair.server.request("GET", f"/{index}/_mapping")[index]["mappings"]["properties"]
    (field,) = (name for name in properties if name.startswith("embedding_"))
    assert "embedding keeps the old vectors, and searches of it find what they found before" in done.out
    assert f"queries of the new model name {field}" in done.out
    write_late(pair)
    told = crossalign(*command)
    assert "Written since the switch: 1 operations; 1 documents have no new vector" in told.out
    assert "--follow puts the new ones beside them" in told.err
    followed = crossalign(*command, "--follow", "--follow-idle", "0")
    assert followed.code == 0, followed.err
    assert "documents with an old vector only get the new one beside it" in followed.out
    assert "1 converted: late" in followed.out
    cleanup = ["cleanup", "--index", ALIAS, "--old-vectors", "--lease", "2"]
    assert crossalign(*cleanup, "--old").code == 2
    ended = crossalign(*cleanup, "--yes")
    assert ended.code == 0, ended.err
    assert f"{index}: embedding (old vectors beside {field})" in ended.out
    assert f"Taken out of {len(TEXTS) + 1} documents; the mapping keeps the empty field" in ended.out
    left = {"query": {"exists": {"field": "embedding"}}}
    assert pair.server.request("POST", f"/{ALIAS}/_count", left)["count"] == 0


def started(python: list[str], command: list[str], *options: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*python, "-m", "haystack_crossalign", *command, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    # A program that says nothing more must not hold the test for ever.
    watchdog = threading.Timer(120, process.kill)
    watchdog.daemon = True
    watchdog.start()
    return process


def read_until(process: subprocess.Popen[str], sign: str) -> str:
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if sign in line:
            return read
    raise AssertionError(read + (process.stderr.read() if process.stderr else ""))


@pytest.mark.process
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_following_with_its_summary(
    crossalign: Any, command: list[str], pair: Pair, quick_python: list[str], sign: signal.Signals
) -> None:
    assert crossalign(*command).code == 0
    process = started(quick_python, command, "--old-model", str(pair.models.old_folder), "--follow")
    with process:
        read_until(process, f"Following '{ALIAS}'")
        write_late(pair)
        read_until(process, "Converted: 1 documents")
        process.send_signal(sign)
        out, err = process.communicate()
    assert "Followed: 1 documents looked at, 1 converted: late" in out
    assert (process.returncode, err) == (0, "")
    # Its lease was given back: nobody has to wait for the next one.
    again = crossalign(*command, "--old-model", str(pair.models.old_folder), "--follow", "--follow-idle", "0")
    assert again.code == 0, again.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--ray", "local"], "--ray shares the work, and a plan has none; allowed: --ray ADDRESS --apply"),
        (["--ray", "local", "--apply", "--slice", "1/2"], "--ray and --slice exclude each other"),
        (["--ray-workers", "2"], "--ray-workers is for workers of Ray; allowed: --ray ADDRESS"),
    ],
)
def test_options_of_ray_that_do_not_go_together_are_refused(crossalign: Any, options: list[str], told: str) -> None:
    finished = crossalign("upgrade", "--index", "prod", "--matrix", "m", *options)
    assert finished.code == 2
    assert told in finished.err


def test_a_rollback_embeds_with_the_old_model_and_refuses_another(
    crossalign: Any, command: list[str], pair: Pair
) -> None:
    assert crossalign(*command).code == 0
    vector = write_late(pair)
    back = ["rollback", "--index", ALIAS, "--lease", "2"]
    assert crossalign(*back).code == 2
    wrong = crossalign(*back, "--model", str(pair.models.new_folder))
    assert wrong.code == 2
    assert f"--model: not the model of the old index '{OLD}': the index was made with 'model'" in wrong.err
    done = crossalign(*back, "--model", str(pair.models.old_folder))
    assert done.code == 0, done.err
    assert "Written since the switch: 1 documents carried over, 0 deletes repeated" in done.out
    found = everything(pair.server, OLD)["late", None]["source"]["embedding"]
    # The command may compute in bf16.
    assert float(np.dot(found, vector)) > 0.999


def test_other_settings_of_a_model_are_another_upgrade(
    crossalign: Any, command: list[str], pair: Pair, tmp_path: Path
) -> None:
    """The weights are the same, and the vectors are not."""
    base = [part for part in command if part not in ("--matrix", str(tmp_path / "matrix.safetensors"))]
    base += ["--model", str(pair.models.new_folder)]
    seen = []
    for prefix in ("w1 w2 ", "w3 w4 ", "w3 w4 "):
        done = crossalign(*base, "--document-prefix", prefix)
        assert done.code == 0, done.err
        seen.append("This upgrade is done" in done.out)
        hits = pair.server.request("POST", f"/{ALIAS}/_search", {"size": 100})["hits"]["hits"]
        vectors = {hit["_id"]: hit["_source"]["embedding"] for hit in hits}
        assert vectors.keys() == TEXTS.keys()
        made = pair.models.new.encode_documents([prefix + TEXTS[name] for name in vectors])
        np.testing.assert_allclose(list(vectors.values()), made, atol=0.02)
    assert seen == [False, False, True]


def test_the_gate_reads_the_old_index_by_its_own_prompt(
    crossalign: Any, command: list[str], pair: Pair, tmp_path: Path
) -> None:
    base = [part for part in command if part not in ("--matrix", str(tmp_path / "matrix.safetensors"), "--no-gate")]
    queries = tmp_path / "queries.jsonl"
    lines = [{"id": f"q{name}", "text": TEXTS[name], "language": "en", "relevant": [name]} for name in list(TEXTS)[:3]]
    queries.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    base = [part for part in base if part != "--apply"]
    more = ["--model", str(pair.models.new_folder), "--old-model", str(pair.models.old_folder), "--queries", queries]
    planned = crossalign(*base, *more, "--document-prefix", "w1 w2 ")
    assert "the document prompt of the index is" not in planned.err
    assert planned.code == 0, planned.err
    assert "Gate: an audit of both indices with 3 queries" in planned.out
