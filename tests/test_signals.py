"""Signals are deferred over work that would lose them."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from haystack_crossalign.api.model_options import ModelOptions
from haystack_crossalign.signals import collected_afterwards, handled_afterwards


@pytest.fixture
def interrupting() -> Iterator[None]:
    """SIGTERM raises, as in the command line."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("interrupting")
def test_a_signal_within_work_that_swallows_everything_is_handled_afterwards() -> None:
    done = []

    def work() -> None:
        # As modules do that are imported on trial.
        with handled_afterwards(signal.SIGTERM), suppress(BaseException):
            signal.raise_signal(signal.SIGTERM)
            done.append("the work went on")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["the work went on"]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.usefixtures("interrupting")
def test_without_a_signal_nothing_changes_in_any_thread() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with handled_afterwards(signal.SIGTERM):
            seen.append(signal.getsignal(signal.SIGTERM))

    with handled_afterwards(signal.SIGTERM, signal.SIGINT):
        assert signal.getsignal(signal.SIGTERM) is not before
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
    assert signal.getsignal(signal.SIGTERM) is before


# As a library that imports another one on trial. The package of Haystack's integrations has no file of its own, so that
# any folder can add to it.
IMPATIENT = """
import signal
from contextlib import suppress

from haystack import Document, component

with suppress(BaseException):
    signal.raise_signal(signal.SIGTERM)


@component
class TextEmbedder:
    @component.output_types(embedding=list[float])
    def run(self, text: str):
        return {"embedding": [1.0]}


@component
class DocumentEmbedder:
    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]):
        return {"documents": documents}
"""


@pytest.mark.usefixtures("interrupting")
def test_a_signal_while_the_components_of_a_file_are_imported_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "haystack_integrations").mkdir()
    (tmp_path / "haystack_integrations" / "impatient.py").write_text(IMPATIENT)
    monkeypatch.syspath_prepend(tmp_path)
    kinds = {"text": "TextEmbedder", "documents": "DocumentEmbedder"}
    components = {name: {"type": f"haystack_integrations.impatient.{kind}"} for name, kind in kinds.items()}
    file = tmp_path / "embedder.yaml"
    file.write_text(yaml.safe_dump({"components": components, "connections": []}))
    with pytest.raises(KeyboardInterrupt):
        ModelOptions(embedder=file).open()
    embedder = ModelOptions(embedder=file).open()  # imported by now, without a signal
    assert embedder.encode_queries(["a"]).tolist() == [[1.0]]


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_collected_again_after_imports_if_it_was_before(enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with suppress(ImportError), collected_afterwards():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()
