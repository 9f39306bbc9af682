"""Silence progress bars and notices of the underlying libraries; in their place, announce what takes long."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from logging import ERROR, getLogger
from typing import Any

Listener = Callable[[str], AbstractContextManager[object]]
"""Called with what is being done; the context is left when it is done."""

_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


def announce_to(listener: Listener | None) -> None:
    """Have a listener told of work that may take long and cannot say how far it is, such as the loading of a model.

    :param listener: the listener; None for none, which is the default: a library prints nothing by itself.
    """
    _LISTENER.set(listener)


@contextmanager
def announced(what: str) -> Iterator[None]:
    """Tell the listener of the work within the block; of blocks inside of others only the outermost is told.

    :param what: the work, as the beginning of a sentence.
    """
    listener = _LISTENER.get()
    if listener is None:
        yield
        return
    token = _LISTENER.set(None)
    try:
        with listener(what):
            yield
    finally:
        _LISTENER.reset(token)


@contextmanager
def quiet_libraries(*, only_loaded: bool = False) -> Iterator[None]:
    """Silence progress bars and notices of transformers, sentence-transformers and the hub client within the block, and
    bars of datasets.

    Their bars clutter our own output and the log files of jobs. What they report on the weights and settings of a model
    is checked by this package, which reports each problem on one line.

    :param only_loaded: do not import transformers, which takes seconds, if nothing has imported it yet.
    """
    if not only_loaded:
        import transformers  # noqa: F401
    transformers_module, datasets = sys.modules.get("transformers"), sys.modules.get("datasets")
    logging: Any = None if transformers_module is None else transformers_module.utils.logging
    bars = logging is not None and logging.is_progress_bar_enabled()
    mapped = datasets is not None and datasets.is_progress_bar_enabled()
    if logging is not None:
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    if datasets is not None and mapped:
        datasets.disable_progress_bars()
    loggers = [getLogger(name) for name in ("sentence_transformers", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if logging is not None:
            logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
        if datasets is not None and mapped:
            datasets.enable_progress_bars()
