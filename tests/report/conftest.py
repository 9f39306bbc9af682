"""Results to report on: invented ranks over real texts, see `synthetic.py`."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_SPEC = importlib.util.spec_from_file_location("crossalign_synthetic", Path(__file__).with_name("synthetic.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
_SYNTHETIC = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_SYNTHETIC)

LANGUAGES = ("en", "ar", "de", "el", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")


@pytest.fixture(scope="session")
def make_result() -> Callable[..., dict[str, Any]]:
    """The generator, for results of any size."""
    return _SYNTHETIC.synthetic_result


@pytest.fixture(scope="session")
def two(shared_data: Path) -> dict[str, Any]:
    """As `pair`, shared by tests that only read it."""
    return _SYNTHETIC.synthetic_result(("en", "zh"), 1190, xquad=shared_data / "xquad")


@pytest.fixture
def pair(two: dict[str, Any]) -> dict[str, Any]:
    """English and Chinese, 1,190 queries each, mixed and one-language pools: the usual case."""
    return copy.deepcopy(two)


@pytest.fixture(scope="session")
def twelve(shared_data: Path) -> dict[str, Any]:
    """Twelve languages in one mixed pool."""
    return _SYNTHETIC.synthetic_result(LANGUAGES, 120, xquad=shared_data / "xquad", mono=True, examples=4)


@pytest.fixture(scope="session")
def live(shared_data: Path) -> dict[str, Any]:
    """Results as served, cut at rank 50; Arabic among them."""
    return _SYNTHETIC.synthetic_result(("en", "ar"), 300, xquad=shared_data / "xquad", mono=False, live_depth=50)


@pytest.fixture(scope="session")
def compared(shared_data: Path) -> dict[str, Any]:
    """Two results over the same queries, the second one less biased, and their comparison."""
    from haystack_crossalign.audit.compare import compare_results
    from haystack_crossalign.audit.result import AuditResult

    make = _SYNTHETIC.synthetic_result
    before = make(("en", "zh"), 200, xquad=shared_data / "xquad")
    after = make(("en", "zh"), 200, xquad=shared_data / "xquad", seed=8, sink={"en": 3, "zh": 5})
    results = AuditResult.from_dict(before), AuditResult.from_dict(after)
    comparison = compare_results(*results, samples=200, permutations=5000).to_dict()
    return {"comparison": comparison, "a": before, "b": after}
