"""Checks that a document was, or was not, among those that a model was trained on.

    python check_proof.py PROOF [TEXT]

PROOF is a file that ``dragon prove`` wrote. TEXT is the document as a text file; its sha256 must
then be the one in the proof. The exit status is 0 if the proof is right, else 1 with the reason.
This file needs Python 3.8 or later and nothing else, so anybody can read and run it.

What a right proof says: of the set of documents with this root, the document with this sha256 is a
member, or is none. Whoever trained the model has to publish the root, best before the training. The
proof does not say that the model was trained on that set and on nothing else: for this the
training has to be repeated. And it speaks of exact texts: a text that differs in one letter is
another document.

A proof is one JSON object, written without spaces and with sorted keys:

    claim      "included" or "absent"
    document   the sha256 of the document's text in UTF-8
    root       the root of the set
    documents  the number of documents in the set
    leaf       the digests of two neighbours in the sorted set; the last document stands alone
    place      the number of the first of them, from 0
    path       the hashes beside the way from the leaf to the root, the lowest first
    format     "dragon-proof-1"
    digest     the sha256 of the object without this entry, against accidents

Whoever made the tree could leave it unsorted, or have a leaf name a wrong neighbour; then "absent"
is no proof. ``dragon certificate`` on the store makes the tree again and compares the root.

The hashes (RFC 6962 and one more; | joins bytes, the size has 8 bytes, the highest first):

    leaf:  sha256(0x00 | digest | next digest)
    node:  sha256(0x01 | left hash | right hash)
    root:  sha256(0x02 | number of documents | topmost hash)

A hash that has no partner on its level is passed up unchanged.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from typing import Any

FORMAT = "dragon-proof-1"
ENTRIES = {
    "claim": str,
    "digest": str,
    "document": str,
    "documents": int,
    "format": str,
    "leaf": list,
    "path": list,
    "place": int,
    "root": str,
}
MOST_BYTES = 16_384  # of a proof; one of a million documents has 2,000
MOST_DOCUMENTS = 1 << 48
HEX = re.compile("[0-9a-f]{64}")


class Refused(Exception):  # noqa: N818 - the state of a proof
    """The proof is not right; the message is the reason."""


def check(content: bytes) -> dict[str, Any]:
    """The entries of a right proof. Raises Refused with the reason for any other content."""
    proof = _read(content)
    document, place, size = proof["document"], proof["place"], proof["documents"]
    if not 0 <= place < size <= MOST_DOCUMENTS:
        raise Refused(f"place {str(place)[:20]} of {str(size)[:20]} documents: there is none")
    leaf = proof["leaf"]
    if len(leaf) != (1 if place == size - 1 else 2) or leaf != sorted(set(leaf)):
        raise Refused("leaf: is not a document and the next one")
    if proof["claim"] == "included":
        if leaf[0] != document:
            raise Refused("document: the leaf is of another one")
    elif proof["claim"] == "absent":
        between = leaf[0] < document and (len(leaf) == 1 or document < leaf[1])
        if not between and not (place == 0 and document < leaf[0]):
            raise Refused("document: does not lie between the neighbours")
    else:
        raise Refused("claim: is neither included nor absent")
    if _root(leaf, place, size, proof["path"]) != proof["root"]:
        raise Refused("path: does not lead to the root")
    return proof


def _read(content: bytes) -> dict[str, Any]:
    """The entries of a proof, each of its type and written in the one way that is allowed."""
    if len(content) > MOST_BYTES:
        raise Refused(f"the file has more than {MOST_BYTES:,} bytes")
    try:
        proof = json.loads(content.decode("ascii"))
        if not isinstance(proof, dict) or proof.keys() != ENTRIES.keys():
            raise Refused("the file has not the entries of a proof")
        again = written(proof)
    except (ValueError, RecursionError):  # not ASCII, not JSON, a number of 5,000 digits
        raise Refused("the file is not JSON of a proof") from None
    # This also refuses an entry that is given twice.
    if again != content:
        raise Refused("the file is not written as a proof is: no spaces, sorted keys, one newline")
    for name, kind in ENTRIES.items():
        if type(proof[name]) is not kind:  # in JSON true is no number
            raise Refused(f"{name}: is not of type {kind.__name__}")
    hashes = [proof["document"], proof["root"], proof["digest"], *proof["leaf"], *proof["path"]]
    if not all(isinstance(word, str) and HEX.fullmatch(word) for word in hashes):
        raise Refused("a hash is not written as 64 hexadecimal digits")
    if proof["format"] != FORMAT:
        raise Refused(f"format: is not {FORMAT}")
    rest = {name: value for name, value in proof.items() if name != "digest"}
    if hashlib.sha256(written(rest)).hexdigest() != proof["digest"]:
        raise Refused("digest: the file was changed")
    return proof


def written(proof: dict[str, Any]) -> bytes:
    """The one way in which a proof is written."""
    return json.dumps(proof, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _root(leaf: list[str], place: int, size: int, path: list[str]) -> str:
    """The root to which a path leads; empty if it has too few or too many hashes."""
    hashes = [bytes.fromhex(word) for word in path]
    top = _sha256(b"\x00" + b"".join(map(bytes.fromhex, leaf)))
    width = size
    while width > 1:
        if place ^ 1 < width:
            if not hashes:
                return ""
            beside = hashes.pop(0)
            top = _sha256(b"\x01" + (beside + top if place & 1 else top + beside))
        place, width = place >> 1, (width + 1) >> 1
    return "" if hashes else _sha256(b"\x02" + size.to_bytes(8, "big") + top).hex()


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def is_text_of(content: bytes, document: str) -> bool:
    """Whether a text file is the document, but for ends of lines that an editor changed."""
    return document in digests_of(content)


def digests_of(content: bytes) -> list[str]:
    """The sha256 of a text file as it is, without its last newline, and with newlines of Unix."""
    ways = []
    for way in dict.fromkeys((content, content.replace(b"\r\n", b"\n"))):
        ways += [way, way[:-1]] if way.endswith(b"\n") else [way]
    return [hashlib.sha256(way).hexdigest() for way in dict.fromkeys(ways)]


def told(proof: dict[str, Any]) -> str:
    """What a right proof says, in one line."""
    is_in = "is one" if proof["claim"] == "included" else "is none"
    return (
        f"right: the document {proof['document']} {is_in} of the {proof['documents']:,} documents"
        f" with the root {proof['root']}"
    )


def main(arguments: list[str]) -> int:
    """The exit status of the command with these arguments."""
    if len(arguments) not in (1, 2):
        print("usage: python check_proof.py PROOF [TEXT]", file=sys.stderr)
        return 2
    try:
        with open(arguments[0], "rb") as file:  # noqa: PTH123 - read no more than a proof has
            proof = check(file.read(MOST_BYTES + 1))
        if arguments[1:]:
            with open(arguments[1], "rb") as file:  # noqa: PTH123
                if not is_text_of(file.read(), proof["document"]):
                    raise Refused(f"{arguments[1]} is not the document of the proof")
    except (Refused, OSError) as error:
        print(f"refused: {error}", file=sys.stderr)
        return 1
    print(told(proof))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
