"""Certificates at their full size: a million documents, 10,000 proofs, 10,000 lies.

    python -m benchmarks.proofs [--documents 1000000] [--proofs 10000]

Prints the seconds and the memory of the tree, the size of the longest proof, how many random proofs
the checker found right, and how many changed ones it refused: half of them had one byte changed,
the other half one entry, with the digest of the file made anew as a liar would. Some of each also
go through the script in a process of its own. It ends with 1 if one of them was judged wrongly.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from hashlib import sha256
from pathlib import Path

from pipelines.core.merkle import Tree
from pipelines.lineage import check_proof
from pipelines.lineage.proof import proof_of
from tests.lineage.lies import changed, sealed

BY_SCRIPT = 50  # proofs, and lies, that the script judges in a process of its own


def main() -> int:
    """The measurement; 1 if a proof was refused or a lie passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--proofs", type=int, default=10_000)
    given = parser.parse_args()
    source = random.Random(13)
    tree = _tree(given.documents)
    right = [_proof(tree, source) for _ in range(given.proofs)]
    print(f"longest proof: {max(map(len, right)):,} bytes")
    begun = time.perf_counter()
    passed = sum(_passes(proof) for proof in right)
    seconds = time.perf_counter() - begun
    print(f"proofs: {passed:,} of {len(right):,} right, {1e6 * seconds / len(right):.0f} us each")
    lies = [_lie(proof, source) for proof in right]
    refused = Counter(kind for kind, content in lies if not _passes(content))
    print(f"lies: {refused.total():,} of {len(lies):,} refused: {dict(sorted(refused.items()))}")
    by_script = [_by_script(proof) for proof in right[:BY_SCRIPT]]
    lies_by_script = [_by_script(content) for _, content in lies[:BY_SCRIPT]]
    print(
        f"script: {by_script.count(0)} of {len(by_script)} right,"
        f" {lies_by_script.count(1)} of {len(lies_by_script)} lies refused"
    )
    sound = passed == len(right) and refused.total() == len(lies)
    return 0 if sound and not any(by_script) and all(lies_by_script) else 1


def _tree(size: int) -> Tree:
    digests = [sha256(number.to_bytes(8, "big")).digest() for number in range(size)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    tree = Tree(digests)
    root = tree.root
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"tree of {size:,}: {seconds:.2f} s, {peak / 1024:.0f} MB more, root {root.hex()[:16]}")
    return tree


def _proof(tree: Tree, source: random.Random) -> bytes:
    """A proof of a random member, of a random stranger, or of one beside a member."""
    member = source.choice(tree.digests)
    beside = (int.from_bytes(member, "big") ^ 1).to_bytes(32, "big")
    digest = source.choice([member, member, source.randbytes(32), beside])
    proof = proof_of(tree, digest)
    claims = json.loads(proof)["claim"]
    assert claims == ("included" if digest in tree else "absent")
    return proof


def _lie(proof: bytes, source: random.Random) -> tuple[str, bytes]:
    if source.random() < 0.5:
        kind, lie = changed(json.loads(proof), source)
        return kind, sealed(lie)
    place = source.randrange(len(proof))
    byte = source.choice([b for b in range(256) if b != proof[place]])
    return "byte", proof[:place] + bytes([byte]) + proof[place + 1 :]


def _passes(content: bytes) -> bool:
    try:
        check_proof.check(content)
    except check_proof.Refused:
        return False
    return True


def _by_script(content: bytes) -> int:
    """The exit status of the script for a proof."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(content)
        command = [sys.executable, "-I", check_proof.__file__, file.name]
        return subprocess.run(command, capture_output=True, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
