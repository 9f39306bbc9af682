"""Import OpenVINO, an optional package, without its statistics of usage."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from haystack_crossalign.errors import ExternalError

_INSTALL = "pip install 'haystack-crossalign[openvino]'"
_STATISTICS = "openvino_telemetry"


def import_openvino() -> Any:
    """The package ``openvino``.

    :raises ExternalError: if it is not installed or cannot be imported, with what to do.
    """
    try:
        with without_statistics():
            return importlib.import_module("openvino")
    except ModuleNotFoundError as error:
        if error.name != "openvino":
            raise ExternalError(f"the package openvino cannot be imported ({error}): {_INSTALL}") from error
        raise ExternalError(f"the backend openvino needs the package openvino: {_INSTALL}") from error
    except (ImportError, OSError) as error:
        raise ExternalError(f"the package openvino cannot be imported ({error}): {_INSTALL}") from error


@contextmanager
def without_statistics() -> Iterator[None]:
    """Hide, within the block, the package by which OpenVINO reports each import and conversion to its maker.

    Without that package OpenVINO reports nothing. What has imported OpenVINO before this package keeps its own choice.
    """
    if _STATISTICS in sys.modules:
        yield
        return
    modules = cast("dict[str, Any]", sys.modules)
    modules[_STATISTICS] = None
    try:
        yield
    finally:
        modules.pop(_STATISTICS, None)
