"""Libraries underneath that draw bars and write notes of their own, kept quiet for a while."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging import ERROR, getLogger
from typing import Any


@contextmanager
def quiet_libraries(*, only_loaded: bool = False) -> Iterator[None]:
    """No bars and no notes of transformers and sentence-transformers, and no bars of datasets, while the block runs.

    Bars are noise beside our own, and in the log file of a job; what these libraries note of weights and settings of a
    model is judged here, and a message of ours is one line.

    :param only_loaded: leave transformers alone where nothing has imported it yet, which takes seconds.
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
    sentences = getLogger("sentence_transformers")
    level = sentences.level
    sentences.setLevel(ERROR)
    try:
        yield
    finally:
        sentences.setLevel(level)
        if logging is not None:
            logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
        if datasets is not None and mapped:
            datasets.enable_progress_bars()
