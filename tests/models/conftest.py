"""The unpacked 4-bit model and encoders of both precisions, shared by the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from haystack_crossalign.models.encoder import Encoder
from haystack_crossalign.models.offline import resolve_offline_model

SENTENCES = (
    "Women aged 19 to 70 need 46 grams of protein a day.",
    "十九至七十岁的女性每天需要四十六克蛋白质。",
    "تحتاج النساء إلى ستة وأربعين غراما من البروتين يوميا.",
    "Die Brücke über den Fluss wurde 1894 eröffnet.",
    "Hi.",
    "The bridge across the river opened in 1894. " * 12,
)


@pytest.fixture(scope="session")
def sentences() -> tuple[str, ...]:
    """Texts in four languages, one very short and one long, two pairs of like meaning."""
    return SENTENCES


@pytest.fixture(scope="session")
def model_folder(offline_model: str) -> Path:
    """The unpacked folder in the cache of the user."""
    return resolve_offline_model(offline_model)


@pytest.fixture(scope="session")
def fp32(offline_model: str) -> Encoder:
    """The model in float32 on the CPU."""
    return Encoder(offline_model, device="cpu", precision="fp32")
