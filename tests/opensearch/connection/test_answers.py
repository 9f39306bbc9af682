"""The collector of unreachable cycles is off while an answer is read, and on again afterwards."""

from __future__ import annotations

import gc
import threading

import pytest
from opensearchpy.exceptions import SerializationError

from haystack_crossalign.opensearch.connection.answers import AnswerSerializer, paused_collector


def test_it_is_on_again_after_answers_and_errors() -> None:
    assert gc.isenabled()
    assert AnswerSerializer().loads('{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}
    with pytest.raises(SerializationError):
        AnswerSerializer().loads("<html>")
    with pytest.raises(ZeroDivisionError), paused_collector():
        _ = 1 / gc.isenabled()
    assert gc.isenabled()


def test_who_switched_it_off_finds_it_off() -> None:
    gc.disable()
    try:
        with paused_collector():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize("first", [0, 1])
def test_overlapping_threads_leave_it_on(first: int) -> None:
    inside, leave = [threading.Event() for _ in range(2)], [threading.Event() for _ in range(2)]

    def work(number: int) -> None:
        with paused_collector():
            inside[number].set()
            leave[number].wait(10)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for number, thread in enumerate(threads):
        thread.start()
        assert inside[number].wait(10)
    for number in (first, 1 - first):
        leave[number].set()
        threads[number].join(10)
    assert gc.isenabled()
