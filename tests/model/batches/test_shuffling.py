"""Orders without lists: permutations, the same one by one and all together."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.batches.shuffling import key_of, permuted, permuted_all


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 16, 17, 100, 1000, 4097])
@pytest.mark.parametrize("key", [0, 1, 2**64 - 1])
def test_permuted_is_a_permutation(size, key):
    assert sorted(permuted(i, size, key) for i in range(size)) == list(range(size))


def test_permutations_differ_by_key_and_leave_no_place_favoured():
    assert [permuted(i, 50, 1) for i in range(50)] != [permuted(i, 50, 2) for i in range(50)]
    landed = Counter(permuted(3, 10, key) for key in range(5000))
    assert set(landed) == set(range(10))
    assert max(landed.values()) < 1.25 * 500
    assert min(landed.values()) > 0.75 * 500
    # Neighbours do not stay neighbours.
    steps = Counter(permuted(i + 1, 1000, 9) - permuted(i, 1000, 9) for i in range(999))
    assert max(steps.values()) < 12


def test_permuted_reaches_sizes_no_list_would():
    size = 10**15
    landed = {permuted(i, size, 4) for i in range(1000)}
    assert len(landed) == 1000
    assert max(landed) > size // 2


def test_permuted_refuses_what_is_outside():
    with pytest.raises(ValueError, match=r"index=5"):
        permuted(5, 5, 0)


def as_int64(numbers: list[int]) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.int64)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 2**60), st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=3), st.data()
)
def test_all_together_as_one_by_one(size, keys, data):
    indices = data.draw(st.lists(st.integers(0, size - 1), max_size=20))
    pick = st.integers(0, len(keys) - 1)
    which = data.draw(st.lists(pick, min_size=len(indices), max_size=len(indices)))
    sent = permuted_all(as_int64(indices), size, keys, as_int64(which))
    assert sent.dtype == torch.int64
    told = [permuted(i, size, keys[k]) for i, k in zip(indices, which, strict=True)]
    assert sent.tolist() == told


def test_orders_of_earlier_versions_stand():
    """Known values: a run that is resumed under a later version reads on in the same order."""
    key = key_of("order", 1337, "text", 0)
    assert key == 7467484261274044836
    assert [permuted(i, 10, key) for i in range(10)] == [5, 2, 8, 3, 1, 6, 4, 9, 7, 0]
