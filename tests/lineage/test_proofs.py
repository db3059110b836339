"""A proof that a document was read, or was not, is right or refused, whatever was done to it."""

from __future__ import annotations

import ast
import json
import random
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from pipelines.core.merkle import ROOT, Tree, levels_of
from pipelines.lineage import check_proof
from pipelines.lineage.check_proof import FORMAT, MOST_BYTES, Refused, check, told
from pipelines.lineage.proof import proof_of
from tests.lineage.lies import changed, sealed

SCRIPT = Path(check_proof.__file__)


def digest_of(word: object) -> bytes:
    return sha256(str(word).encode()).digest()


def tree_of(size: int) -> Tree:
    return Tree(map(digest_of, range(size)))


def is_refused(content: bytes) -> bool:
    try:
        check(content)
    except Refused:
        return True
    return False


def script(*arguments: Path) -> subprocess.CompletedProcess[str]:
    """The script by itself: -I keeps the project and the environment away."""
    command = [sys.executable, "-I", str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)


@pytest.mark.parametrize("size", [*range(1, 18), 31, 32, 33, 100])
def test_what_is_there_and_what_is_not_is_proved(size: int) -> None:
    tree = tree_of(size)
    edges = [bytes(32), b"\xff" * 32]
    for digest in (*tree.digests, *edges, *(digest_of(f"other {n}") for n in range(20))):
        proof = check(proof_of(tree, digest))
        assert proof["claim"] == ("included" if digest in tree else "absent")
        assert proof["root"] == tree.root.hex()
        assert proof["documents"] == size
        assert proof["document"] == digest.hex()


@pytest.mark.parametrize("size", [1, 2, 7])
@pytest.mark.parametrize("word", [0, "absent"])
def test_no_byte_of_a_proof_can_be_changed(size: int, word: object) -> None:
    content = proof_of(tree_of(size), digest_of(word))
    check(content)
    for place in range(len(content)):
        for byte in {content[place] ^ 1, content[place] ^ 32, ord("0"), ord(" "), 255}:
            if byte != content[place]:
                with pytest.raises(Refused):
                    check(content[:place] + bytes([byte]) + content[place + 1 :])
    for end in range(len(content)):
        with pytest.raises(Refused):
            check(content[:end])


def test_no_entry_of_a_proof_can_be_changed() -> None:
    """Also if the digest of the file is made anew, as a liar would."""
    source = random.Random(13)
    for _ in range(2000):
        tree = tree_of(source.randint(1, 70))
        proof = json.loads(proof_of(tree, digest_of(source.randint(0, 140))))
        kind, lie = changed(proof, source)
        assert is_refused(sealed(lie)), f"{kind} passed: {lie}"


def test_a_proof_of_another_document_of_the_gap_is_a_right_one() -> None:
    """That nothing lies between two neighbours is as true of the next number."""
    tree = Tree([bytes(31) + b"\x01", bytes(31) + b"\x09"])
    proof = json.loads(proof_of(tree, bytes(31) + b"\x05"))
    assert check(sealed({**proof, "document": (bytes(31) + b"\x06").hex()}))["claim"] == "absent"


RIGHT = json.loads(proof_of(tree_of(5), digest_of(0)))
HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"proof",
    "a list": b"[]\n",
    "deep nesting": b"[" * 15_000,
    "deep nesting of objects": b'{"a":' * 3_000,
    "a number of 5,000 digits": b'{"place":' + b"9" * 5_000 + b"}",
    "too large": b" " * (MOST_BYTES + 1),
    "not ASCII": '{"ä":1}\n'.encode(),
    "bad UTF-8": b"\xff\xfe{}",
    "no entries": b"{}\n",
    "an entry too many": sealed({**RIGHT, "more": 1}),
    "an entry too few": sealed({name: v for name, v in RIGHT.items() if name != "path"}),
    "an entry twice": sealed(RIGHT).replace(b'"place":', b'"place":0,"place":'),
    "spaces": json.dumps(RIGHT, sort_keys=True).encode() + b"\n",
    "another order": json.dumps(dict([*RIGHT.items()][::-1]), separators=(",", ":")).encode()
    + b"\n",
    "no newline": sealed(RIGHT)[:-1],
    "two newlines": sealed(RIGHT) + b"\n",
    "a place that is true": sealed({**RIGHT, "place": True}),
    "a place that is a float": sealed({**RIGHT, "place": float(RIGHT["place"])}),
    "a place that is a text": sealed({**RIGHT, "place": str(RIGHT["place"])}),
    "a place below 0": sealed({**RIGHT, "place": -1}),
    "a place past the end": sealed({**RIGHT, "place": RIGHT["documents"]}),
    "no documents": sealed({**RIGHT, "documents": 0}),
    "documents without number": sealed({**RIGHT, "documents": float("inf")}),
    "very many documents": sealed({**RIGHT, "documents": 10**4000}),
    "more documents than there can be": sealed({**RIGHT, "documents": (1 << 48) + 1}),
    "upper case": sealed({**RIGHT, "root": RIGHT["root"].upper()}),
    "no hexadecimal": sealed({**RIGHT, "root": "g" * 64}),
    "other digits": sealed({**RIGHT, "root": "٣" * 64}),
    "a short hash": sealed({**RIGHT, "document": "00"}),
    "a list for a hash": sealed({**RIGHT, "document": [RIGHT["document"]]}),
    "null for a hash": sealed({**RIGHT, "root": None}),
    "an object for the path": sealed({**RIGHT, "path": {}}),
    "a text for the path": sealed({**RIGHT, "path": RIGHT["path"][0]}),
    "a list in the path": sealed({**RIGHT, "path": [RIGHT["path"]]}),
    "no leaf": sealed({**RIGHT, "leaf": []}),
    "a leaf of three": sealed({**RIGHT, "leaf": [*RIGHT["leaf"], "f" * 64]}),
    "a leaf of equal ones": sealed({**RIGHT, "leaf": [RIGHT["leaf"][0]] * 2}),
    "another claim": sealed({**RIGHT, "claim": "absent"}),
    "no claim": sealed({**RIGHT, "claim": ""}),
    "another format": sealed({**RIGHT, "format": "dragon-proof-2"}),
    "a path of 200 hashes": sealed({**RIGHT, "path": RIGHT["path"] * 60}),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_everything_hostile_is_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(Refused) as fault:
        check(content)
    said = str(fault.value)
    assert "\n" not in said
    assert len(said) < 120


REASONS = {
    "too large": "the file has more than 16,384 bytes",
    "a place below 0": "place -1 of 5 documents: there is none",
    "a place past the end": "place 5 of 5 documents: there is none",
    "more documents than there can be": "documents: there is none",
    "a place that is true": "place: is not of type int",
    "a leaf of equal ones": "leaf: is not a document and the next one",
    "a leaf of three": "leaf: is not a document and the next one",
    "a path of 200 hashes": "path: does not lead to the root",
    "an entry twice": "not written as a proof is",
}


@pytest.mark.parametrize("name", REASONS)
def test_the_reason_is_told(name: str) -> None:
    with pytest.raises(Refused) as fault:
        check(HOSTILE[name])
    assert REASONS[name] in str(fault.value)


def test_a_tree_that_is_not_sorted_proves_nothing() -> None:
    """Whoever builds the tree may lie as well: two neighbours in the wrong order are refused."""
    low, high = b"\x11" * 32, b"\x99" * 32
    top = levels_of([high + low, low])
    root = sha256(ROOT + (2).to_bytes(8, "big") + top[-1][0]).hexdigest()
    proof = {"claim": "included", "document": high.hex(), "documents": 2, "format": FORMAT,
             "leaf": [high.hex(), low.hex()], "path": [top[0][1].hex()], "place": 0,
             "root": root}  # fmt: skip
    with pytest.raises(Refused, match="leaf: is not a document and the next one"):
        check(sealed(proof))


def test_a_tree_with_a_false_neighbour_is_seen_where_it_is_made_again() -> None:
    """A proof by itself cannot see it; the root over the same documents is another one."""
    a, b, c = (bytes([value]) * 32 for value in (1, 2, 3))
    levels = levels_of([a + c, b + c, c])
    root = sha256(ROOT + (3).to_bytes(8, "big") + levels[-1][0]).hexdigest()
    about = {"document": b.hex(), "documents": 3, "format": FORMAT, "root": root}
    last = levels[0][2].hex()
    absent = {"claim": "absent", "leaf": [a.hex(), c.hex()], "place": 0}
    included = {"claim": "included", "leaf": [b.hex(), c.hex()], "place": 1}
    for place, one in enumerate((absent, included)):
        check(sealed({**about, **one, "path": [levels[0][1 - place].hex(), last]}))
    assert Tree([a, b, c]).root.hex() != root
    assert "dragon certificate" in str(check_proof.__doc__)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_ends_of_lines_that_an_editor_changed_are_forgiven(ends: str, last: bool) -> None:
    content = f"one line{ends}and another{ends if last else ''}".encode()
    assert check_proof.is_text_of(content, sha256(b"one line\nand another").hexdigest())
    assert check_proof.is_text_of(content, sha256(content).hexdigest())
    assert not check_proof.is_text_of(content, sha256(b"one line and another").hexdigest())


def test_the_script_needs_python_alone(tmp_path: Path) -> None:
    text, other, proof = tmp_path / "text", tmp_path / "other", tmp_path / "proof"
    text.write_text("a document\n")
    other.write_text("a dokument\n")
    tree = Tree([digest_of("a document"), *map(digest_of, range(9))])
    proof.write_bytes(proof_of(tree, digest_of("a document")))
    for arguments in ((proof,), (proof, text)):
        done = script(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{told(check(proof.read_bytes()))}\n"
        assert "is one of the 10 documents" in done.stdout
    done = script(proof, other)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"refused: {other} is not the document of the proof\n"
    absent = tmp_path / "absent"
    absent.write_bytes(proof_of(tree, digest_of("a dokument")))
    assert "is none of the 10 documents" in script(absent, other).stdout
    absent.write_bytes(absent.read_bytes().replace(b"1", b"2", 1))
    done = script(absent)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert script(tmp_path / "none").returncode == 1
    assert script(tmp_path).returncode == 1
    assert script().returncode == 2


def test_the_script_is_short_and_imports_what_python_has() -> None:
    code = SCRIPT.read_text()
    assert len(code.splitlines()) <= 200
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else
                     [alias.name for alias in node.names])
    }  # fmt: skip
    assert imported <= sys.stdlib_module_names


@pytest.mark.parametrize("digest", [digest_of(0), digest_of("absent"), bytes(32)])
def test_a_proof_among_a_million_documents_is_small(
    digest: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the longest one, which has 20 hashes beside its way."""
    size, tree = 1_000_000, tree_of(5)
    path = tree.path(digest)
    long = type(path)(size - 2, tuple(tree.digests[:2]), (digest,) * 20)
    monkeypatch.setattr(Tree, "path", lambda *_: long)
    monkeypatch.setattr(Tree, "__len__", lambda _: size)
    assert len(proof_of(tree, digest)) <= 2048
