"""A root vouches for a set: the shape is RFC 6962's, and no second set has the same root."""

from __future__ import annotations

import itertools
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.merkle import LEAF, NODE, Tree, levels_of

# The leaves and roots of the reference tests of Certificate Transparency (google/certificate-
# transparency, merkle_tree_test.cc), which RFC 6962 describes.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657",
          "606162636465666768696a6b6c6d6e6f"]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

digests = st.binary(min_size=32, max_size=32)


def number(value: int) -> bytes:
    return value.to_bytes(32, "big")


@pytest.mark.parametrize("count", range(1, 9))
def test_the_shape_is_that_of_rfc_6962(count: int) -> None:
    levels = levels_of(map(bytes.fromhex, LEAVES[:count]))
    assert levels[-1][0].hex() == ROOTS[count - 1]


def test_the_levels_are_those_of_the_recursive_definition() -> None:
    def top(leaves: list[bytes]) -> bytes:
        if len(leaves) == 1:
            return sha256(LEAF + leaves[0]).digest()
        split = 1 << (len(leaves) - 1).bit_length() - 1
        return sha256(NODE + top(leaves[:split]) + top(leaves[split:])).digest()

    for count in range(1, 70):
        leaves = [number(value) for value in range(count)]
        assert levels_of(leaves)[-1] == [top(leaves)]


@given(st.sets(digests, min_size=1, max_size=20), st.randoms())
def test_order_and_repetition_do_not_change_the_root(some: set[bytes], random) -> None:
    told = [*some, *list(some)[:3]]
    random.shuffle(told)
    tree = Tree(told)
    assert (tree.root, len(tree)) == (Tree(some).root, len(some))
    assert all(digest in tree for digest in some)


def test_no_two_sets_have_the_same_root() -> None:
    everything = [number(value) for value in range(10)]
    subsets = [some for size in range(1, 11) for some in itertools.combinations(everything, size)]
    assert len({Tree(some).root for some in subsets}) == len(subsets) == 2**10 - 1


def test_a_node_is_no_leaf_and_a_top_is_no_root() -> None:
    """The bytes of a node, taken as the leaf of a smaller tree, give another root."""
    tree = Tree([number(1), number(2)])
    below, top = levels_of([number(1) + number(2), number(2)])
    assert levels_of([b"".join(below)])[-1] != top
    assert tree.root not in (*top, *below)


def test_a_tree_needs_digests() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Tree([])
    with pytest.raises(ValueError, match="00ff: has 2 bytes"):
        Tree([number(1), b"\x00\xff"])
