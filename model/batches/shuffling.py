"""Seeded orders without a list: a permutation is a function from an index to an index.

An order is a pure function of (seed, name of the order, index), the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor

_BITS = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_ROUNDS = 6


def key_of(*parts: int | str) -> int:
    """An integer of 64 bits that depends on every part, the same on every machine."""
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest(), "little")


def permuted(index: int, size: int, key: int) -> int:
    """The image of ``index`` under a permutation of range(size) chosen by ``key``; O(1) memory.

    A Feistel network permutes the next even power of two; walking its cycle until the range is hit
    makes that a permutation of the range (Black & Rogaway 2002). At most about four walks.
    """
    if not 0 <= index < size:
        raise ValueError(f"index={index} is outside range({size})")
    half = _half(size)
    while True:
        index = _feistel(index, half, key)
        if index < size:
            return index


def permuted_all(indices: Tensor, size: int, keys: Sequence[int], which: Tensor) -> Tensor:
    """``permuted`` of each index under ``keys[which]``: int64 (N,), (N,) -> (N,).

    Every index must be in range(size). numpy does the arithmetic, because torch has no unsigned
    shift. In calls with thousands of indices, each costs a fraction of a microsecond.
    """
    half = _half(size)
    key = torch.tensor(keys, dtype=torch.uint64).numpy()[which.numpy()]
    images = indices.numpy().astype("uint64")
    walking = torch.arange(len(images)).numpy()
    while len(walking):
        images[walking] = _feistel(images[walking], half, key[walking])
        walking = walking[images[walking] >= size]
    return torch.from_numpy(images.astype("int64"))


def _half(size: int) -> int:
    """How many bits each half of the Feistel network has for range(size)."""
    return max(1, ((size - 1).bit_length() + 1) // 2)


def _feistel(index: Any, half: int, key: Any) -> Any:
    """A permutation of 2 * half bits, of one integer or of an array of unsigned 64 bits."""
    low = (1 << half) - 1
    left, right = index >> half, index & low
    for turn in range(_ROUNDS):
        left, right = right, left ^ (_mix(right ^ (key + (turn * _GOLDEN & _BITS))) & low)
    return left << half | right


def _mix(x: Any) -> Any:
    """splitmix64's finaliser: every input bit changes every output bit (Steele et al. 2014)."""
    x = x & _BITS
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & _BITS
    x = (x ^ x >> 27) * 0x94D049BB133111EB & _BITS
    return x ^ x >> 31
