"""Lies about a proof: one thing in it is changed, and its own digest is made anew."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from hashlib import sha256
from typing import Any

Proof = dict[str, Any]


def sealed(proof: Proof) -> bytes:
    """The file of a proof, whatever is in it, with the right digest of itself."""
    rest = {name: value for name, value in proof.items() if name != "digest"}
    return _written({**rest, "digest": sha256(_written(rest)).hexdigest()})


def _written(proof: Proof) -> bytes:
    return json.dumps(proof, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _other(digits: str, source: random.Random) -> str:
    """A hash with one digit changed."""
    place, new = source.randrange(64), source.choice("0123456789abcdef")
    while new == digits[place]:
        new = source.choice("0123456789abcdef")
    return digits[:place] + new + digits[place + 1 :]


def _claim(proof: Proof, _: random.Random) -> Proof:
    return {**proof, "claim": "absent" if proof["claim"] == "included" else "included"}


def _root(proof: Proof, source: random.Random) -> Proof:
    return {**proof, "root": _other(proof["root"], source)}


def _leaf(proof: Proof, source: random.Random) -> Proof:
    """Another neighbour; where it is the document, also another document."""
    leaf = list(proof["leaf"])
    place = source.randrange(len(leaf))
    leaf[place] = _other(leaf[place], source)
    is_document = proof["claim"] == "included" and not place
    return {**proof, "leaf": leaf, "document": leaf[0] if is_document else proof["document"]}


def _stranger(proof: Proof, source: random.Random) -> Proof:
    """The claim for a document that is elsewhere."""
    stranger = source.choice([proof["leaf"][-1], "0" * 64, "f" * 64])
    if proof["claim"] == "absent":
        stranger = source.choice(proof["leaf"])
    return {**proof, "document": stranger if stranger != proof["document"] else "e" * 64}


def _elsewhere(proof: Proof, _: random.Random) -> Proof:
    """The absence of a document that lies on the other side of a neighbour."""
    outside = ["0" * 64] * (proof["place"] > 0) + ["f" * 64] * (len(proof["leaf"]) > 1)
    return {**proof, "claim": "absent", "document": [*outside, proof["leaf"][0]][0]}


def _cut_leaf(proof: Proof, source: random.Random) -> Proof:
    leaf = proof["leaf"]
    return {**proof, "leaf": leaf[:1] if len(leaf) > 1 else [*leaf, _other("f" * 64, source)]}


def _place(proof: Proof, source: random.Random) -> Proof:
    places = [p for p in range(proof["documents"]) if p != proof["place"]]
    return {**proof, "place": source.choice(places or [proof["place"] + 1])}


def _documents(proof: Proof, source: random.Random) -> Proof:
    size = proof["documents"]
    return {**proof, "documents": source.choice([size + 1, size * 2, max(size - 1, 0), size + 64])}


def _hash(proof: Proof, source: random.Random) -> Proof:
    path = list(proof["path"]) or ["0" * 64]
    place = source.randrange(len(path))
    path[place] = _other(path[place], source)
    return {**proof, "path": path}


def _shorter(proof: Proof, source: random.Random) -> Proof:
    path = list(proof["path"])
    if path:
        path.pop(source.randrange(len(path)))
    return {**proof, "path": path if path != proof["path"] else ["0" * 64]}


def _longer(proof: Proof, source: random.Random) -> Proof:
    path = list(proof["path"])
    path.insert(source.randrange(len(path) + 1), source.choice([*path, "0" * 64]))
    return {**proof, "path": path}


def _order(proof: Proof, source: random.Random) -> Proof:
    path = list(proof["path"])
    while len(set(path)) > 1 and path == proof["path"]:
        source.shuffle(path)
    return {**proof, "path": path if path != proof["path"] else [*path, "0" * 64]}


def _swap(proof: Proof, _: random.Random) -> Proof:
    leaf = proof["leaf"][::-1]
    return {**proof, "leaf": leaf if len(leaf) > 1 else leaf * 2}


def _kind(proof: Proof, source: random.Random) -> Proof:
    name = source.choice(sorted(proof.keys() - {"digest"}))
    return {**proof, name: source.choice([None, True, [], {}, 0.5, [[]], "", -1, 10**400])}


LIES: tuple[Callable[[Proof, random.Random], Proof], ...] = (
    *(_claim, _root, _leaf, _stranger, _elsewhere, _cut_leaf, _place, _documents),
    *(_hash, _shorter, _longer, _order, _swap, _kind),
)


def changed(proof: Proof, source: random.Random) -> tuple[str, Proof]:
    """(what was done, the proof with one thing changed so that it claims what is not so)."""
    lie = source.choice(LIES)
    return lie.__name__, lie(proof, source)
