"""The order of ties: the hash against another implementation, a total order, and no language in front."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haystack_crossalign.ranks.ties import TIE_SEED, tie_key, tie_order


@pytest.mark.parametrize(
    ("document_id", "digest"),
    [
        # printf '%s' ID | openssl mac -macopt hexkey:63726f7373616c69676e2e746965732f31 -macopt size:16 BLAKE2BMAC
        ("", "c5fb2d45dc473026c7715a897da5669a"),
        ("en:1", "cd38c433d13943a3eebcf148485a8f62"),
        ("文書-7", "1d5a5b0dfc830e2524c5a385caf8eaea"),
    ],
)
def test_the_key_is_the_keyed_hash_of_the_id(document_id: str, digest: str) -> None:
    assert TIE_SEED.encode().hex() == "63726f7373616c69676e2e746965732f31"
    assert tie_key(document_id) == bytes.fromhex(digest) + document_id.encode()


@given(st.lists(st.text(), unique=True))
def test_every_document_has_a_place_of_its_own_that_the_others_do_not_change(ids: list[str]) -> None:
    order = tie_order(ids)
    assert sorted(order.tolist()) == list(range(len(ids)))
    placed = [one for _, one in sorted(zip(order.tolist(), ids, strict=True))]
    half = ids[::2]
    kept = [one for _, one in sorted(zip(tie_order(half).tolist(), half, strict=True))]
    assert kept == [one for one in placed if one in set(half)]


@pytest.mark.parametrize("form", ["{tag}:{number}", "{tag}-{number:05}", "{number}_{tag}", "{tag}{number}"])
def test_no_language_comes_first_whatever_the_form_of_the_ids(form: str) -> None:
    count, tags = 2000, ("ar", "en", "zh")
    order = tie_order([form.format(tag=tag, number=number) for number in range(count) for tag in tags])
    places = order.reshape(count, len(tags))
    first = [int((places.argmin(axis=1) == column).sum()) for column in range(len(tags))]
    deviation = math.sqrt(count * (1 / 3) * (2 / 3))
    assert all(abs(share - count / 3) < 4 * deviation for share in first), first
    # The mean place of n documents drawn from N = 3n without replacement: (N - 1) / 2, variance (N + 1)(N - n) / 12n.
    total = count * len(tags)
    spread = math.sqrt((total + 1) * (total - count) / (12 * count))
    assert all(abs(float(mean) - (total - 1) / 2) < 4 * spread for mean in places.mean(axis=0))
