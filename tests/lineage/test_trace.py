"""Lineage: from any weights down to the documents, re-verified, and a changed link is named."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest

from pipelines.core.artefact import MANIFEST, Artefact, CorruptArtefact
from pipelines.core.identity import canonical, digest
from pipelines.core.record import Record, StoreError
from pipelines.core.store import Store
from pipelines.core.work import seal
from pipelines.corpora.artefacts import Documents
from pipelines.lineage.trace import DEEPEST, Node, locate, trace
from pipelines.lineage.tree import tree
from pipelines.lineage.views import open_current
from pipelines.training.artefacts import Checkpoint

FOUNDATION = "tiny/foundation"
PARENTS = {
    "tiny/tokenizer",
    "tiny/token_shards",
    "toy_dialogues/documents",
    "toy_dialogues/raw_text",
}


@pytest.fixture
def weights(chain, tmp_path):
    """The weights file alone, copied to another place under another name."""
    folder = chain.store.current(FOUNDATION, Checkpoint).folder
    return Path(shutil.copy(folder / "model.safetensors", tmp_path / "found.bin"))


def files_of_lineage(store) -> list[Path]:
    """Every file that ``trace tiny/foundation`` vouches for."""
    nodes = trace(store, store.current(FOUNDATION, Checkpoint)).walk()
    found = []
    for node in nodes:
        folder = node.artefact.folder
        found += [folder / name for name in (*node.artefact.files, MANIFEST)]
        found.append(store.root / "records" / f"{node.record.derivation}.json")
    return found


def test_a_key_a_folder_and_a_bare_file_tell_the_same(chain, weights, monkeypatch):
    artefact = chain.store.current(FOUNDATION, Checkpoint)
    told = chain.dragon("trace", FOUNDATION)
    assert told.code == 0
    assert told.err == ""
    for target in (
        str(artefact.folder),
        str(chain.root / FOUNDATION / "current"),
        str(chain.root / FOUNDATION / "current" / "model.safetensors"),
        str(chain.root / FOUNDATION / artefact.derivation),
        str(weights),
        f"{FOUNDATION}@{artefact.version[:8]}",
        f"{FOUNDATION}@{artefact.version}",
    ):
        assert chain.dragon("trace", target) == told
    monkeypatch.chdir(artefact.folder.parent)
    assert chain.dragon("trace", artefact.version) == told


def test_it_names_every_version_down_to_the_documents(chain):
    told = chain.dragon("trace", FOUNDATION).out
    for key in {FOUNDATION} | PARENTS:
        version = open_current(chain.store, key).version
        assert re.search(rf"{key}  {version[:12]}\b", told), key
    ledger = chain.store.current("toy_dialogues/documents", Documents).ledger()
    assert f"{ledger.kept.total():,} of 1,500 documents" in told
    assert "1,500 documents, generated: dialogues, CC0-1.0" in told
    assert re.search(r"\nverified: 5 artefacts, \d+ files, \d+\.\d MB, 5 records\n", told)


def test_a_node_that_many_hang_on_is_walked_once(chain):
    """Forged records can be diamonds above diamonds: 2 to the power of 60 ways lead down."""
    node = trace(chain.store, open_current(chain.store, "toy_dialogues/raw_text"))
    for level in range(60):
        artefact = dataclasses.replace(node.artefact, version=f"{level:064d}")
        node = Node(artefact, node.record, (node, node))
    assert len(node.walk()) == 61


def test_the_store_is_chosen_by_option_too(chain, weights, tmp_path):
    elsewhere = dataclasses.replace(chain, root=tmp_path / "none")
    assert "no store; run a recipe" in elsewhere.dragon("trace", str(weights)).fault
    assert elsewhere.dragon("trace", str(weights), "--store", str(chain.root)).code == 0


def test_it_needs_no_database(chain, weights, tmp_path):
    lost = dataclasses.replace(chain, home=tmp_path / "lost")
    assert lost.dragon("trace", str(weights)) == chain.dragon("trace", FOUNDATION)
    assert not lost.home.exists()


def test_the_report_hangs_on_everything(chain):
    node = trace(chain.store, locate(chain.store, "tiny/report"))
    keys = [found.artefact.key for found in node.walk()]
    assert sorted(keys) == sorted(chain.store.keys())
    assert keys[-1] == "tiny/report"
    order = {key: place for place, key in enumerate(keys)}
    for found in node.walk():
        assert all(order[p.artefact.key] < order[found.artefact.key] for p in found.parents)
    lines = tree(node)
    assert lines[0].startswith("tiny/report  ")
    for found in node.walk():
        shown = [line for line in lines if f" {found.artefact.key}  " in f" {line}"]
        in_full = [line for line in shown if not line.endswith("see above")]
        assert shown
        assert len(in_full) == 1 or not found.parents


def test_a_changed_weights_byte_is_unknown(chain, weights):
    content = bytearray(weights.read_bytes())
    for position in (0, 8, len(content) // 2, len(content) - 1):
        content[position] ^= 1
        weights.write_bytes(content)
        fault = chain.dragon("trace", str(weights)).fault
        assert fault.startswith(f"dragon: {weights}: no manifest in {chain.root} lists these bytes")
        content[position] ^= 1
    weights.write_bytes(content[:-1])
    assert "lists these bytes" in chain.dragon("trace", str(weights)).fault
    weights.write_bytes(content)
    assert chain.dragon("trace", str(weights)).code == 0


def test_a_changed_byte_anywhere_in_the_lineage_is_named(copy, weights):
    for path in files_of_lineage(copy.store):
        content = path.read_bytes()
        changed = bytearray(content)
        changed[len(content) // 2] ^= 1
        path.chmod(0o644)
        path.write_bytes(changed)
        for target in (FOUNDATION, str(weights)):
            assert str(path) in copy.dragon("trace", target).fault
        path.write_bytes(content[:-1])
        assert str(path) in copy.dragon("trace", FOUNDATION).fault
        path.write_bytes(content)
    assert copy.dragon("trace", FOUNDATION).code == 0


def test_a_missing_link_is_named(copy):
    for path in files_of_lineage(copy.store):
        moved = path.rename(copy.root / "moved")
        said = copy.dragon("trace", FOUNDATION).fault
        assert str(path) in said or (path.parent.name == "records" and "record" in said)
        moved.rename(path)
    documents = copy.store.current("toy_dialogues/documents", Documents)
    shutil.rmtree(documents.folder)
    said = copy.dragon("trace", FOUNDATION).fault
    assert f"toy_dialogues/documents: the store has no version {documents.version[:12]}" in said


def test_a_rewritten_parent_is_seen(copy):
    """A record that was changed together with its digest still tells of the wrong parents."""
    artefact = copy.store.current(FOUNDATION, Checkpoint)
    record = copy.store.record(artefact.derivation)
    lied = [{**p, "version": "0" * 64} if "shards" in p["input"] else p for p in record.parents]
    path = copy.root / "records" / f"{record.derivation}.json"
    path.write_bytes(dataclasses.replace(record, parents=tuple(lied)).to_bytes())
    assert "parents that are not its inputs" in copy.dragon("trace", FOUNDATION).fault
    path.write_bytes(dataclasses.replace(record, version="0" * 64).to_bytes())
    assert copy.dragon("trace", FOUNDATION).code != 0
    content = json.loads(record.to_bytes())
    content["decides"]["seed"] = 1
    content["digest"] = digest({k: v for k, v in content.items() if k != "digest"})
    path.write_bytes(canonical(content))
    assert "is the record of another derivation" in copy.dragon("trace", FOUNDATION).fault


def test_a_fault_elsewhere_does_not_stop_a_trace(copy, weights):
    manifest = open_current(copy.store, "toy_messages/raw_text").folder / MANIFEST
    manifest.chmod(0o644)
    manifest.write_bytes(b"{}")
    assert copy.dragon("trace", str(weights)).code == 0
    weights.write_bytes(b"unknown")
    assert str(manifest) in copy.dragon("trace", str(weights)).fault  # it might have listed it


def test_a_copied_folder_is_only_what_its_bytes_are(copy, tmp_path):
    artefact = copy.store.current(FOUNDATION, Checkpoint)
    copied = Path(shutil.copytree(artefact.folder, tmp_path / "elsewhere" / artefact.version))
    assert copy.dragon("trace", str(copied)) == copy.dragon("trace", FOUNDATION)
    (copied / "config.json").chmod(0o644)
    (copied / "config.json").write_bytes(b"{}")
    assert str(copied / "config.json") in copy.dragon("trace", str(copied)).fault
    renamed = copied.rename(copied.with_name("0" * 64))
    assert "is not a version of" in copy.dragon("trace", str(renamed)).fault


def test_a_reference_says_its_own_key_not_a_twins(copy):
    """Two corpora may hold the same bytes; the reference tells which is meant."""
    first = open_current(copy.store, "toy_messages/raw_text")
    twin = copy.store.reusable("a_twin/raw_text", first.derivation, Artefact)
    assert twin is not None
    assert twin.folder == first.folder
    for key in ("a_twin/raw_text", first.key):
        for place in ("current", "current/tables.json", first.derivation):
            found = locate(copy.store, str(copy.root / key / place))
            assert (found.key, found.version) == (key, first.version)
    # A name of the same scope is the one that a trace says, should several refer to a parent.
    assert "toy_messages/raw_text" in copy.dragon("trace", "toy_messages/documents").out


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("none/foundation", "none/foundation: not made yet"),
        ("tinny/foundation", "not made yet; did you mean 'tiny/foundation'?"),
        ("tiny/foundatoin", "not made yet; did you mean 'tiny/foundation'?"),
        ("tiny foundation", "or asset; did you mean 'tiny/foundation'?"),
        ("records/foundation", "no such file, version folder or asset"),
        (".", "no version folder (manifest.json) and no export (lineage.json)"),
        ("/dev/null", "no version folder (manifest.json) and no export (lineage.json)"),
        ("tiny/foundation@zz", "0 versions begin with 'zz'"),
        ("no such thing", "no such file, version folder or asset"),
        ("../escape", "no such file, version folder or asset"),
        ("", "no such file, version folder or asset"),
        ("a\0b", "no such file, version folder or asset"),
        ("x" * 5000, ""),
    ],
)
def test_a_target_that_is_nothing_is_one_line(chain, target, told):
    assert told in chain.dragon("trace", target).fault


def test_locate_raises_what_a_caller_can_catch(chain):
    with pytest.raises(StoreError):
        locate(chain.store, "none/foundation")


# Records that somebody wrote by hand


def publish(store, key, inputs=(), recipe=None, makes="Artefact"):
    """An artefact of ``key`` made from ``inputs``, artefacts that were published before."""
    decides = {"code": key, "recipe": recipe or {}, "libraries": {}, "seed": 0}
    decides["inputs"] = {a.key: a.version for a in inputs}
    parents = [{"input": a.key, "version": a.version, "derivation": a.derivation} for a in inputs]
    with store.work(key, digest(decides)) as work:
        draft = work.draft()
        (draft / "a.txt").write_text(key)
        record = Record(seal(draft), makes, decides, tuple(parents), {"key": key})
        store.publish(key, draft, record)
    return store.open(key, record.version, Artefact, record.derivation)


def test_an_artefact_cannot_come_from_itself(tmp_path):
    store = Store(tmp_path)
    first = publish(store, "a/documents")
    decides = store.record(first.derivation).decides
    decides = {**decides, "inputs": {first.key: first.version}}
    itself = {"input": first.key, "version": first.version, "derivation": digest(decides)}
    forged = Record(first.version, "Artefact", decides, (itself,), {"key": first.key})
    (tmp_path / "records" / f"{forged.derivation}.json").write_bytes(forged.to_bytes())
    with pytest.raises(CorruptArtefact, match=r"a/documents: the records say .* from itself"):
        trace(store, store.open(first.key, first.version, Artefact, forged.derivation))


def test_a_parent_that_no_key_refers_to_any_more_is_called_as_it_was_made(tmp_path):
    store = Store(tmp_path)
    last = publish(store, "late/documents", [publish(store, "early/raw_text")])
    shutil.rmtree(tmp_path / "early")
    assert [node.artefact.key for node in trace(store, last).walk()] == [
        "early/raw_text",
        "late/documents",
    ]


def test_a_chain_without_end_is_refused(tmp_path):
    store = Store(tmp_path)
    last = publish(store, "a0/documents")
    for number in range(1, DEEPEST):
        last = publish(store, f"a{number}/documents", [last])
    assert len(trace(store, last).walk()) == DEEPEST
    last = publish(store, "one_more/documents", [last])
    with pytest.raises(CorruptArtefact, match=f"made from a chain of {DEEPEST} others"):
        trace(store, last)


@pytest.mark.parametrize("recipe", [{}, {"kind": "tape"}, {"kind": "url"}, {"kind": ["url"]}])
def test_a_record_of_no_known_source_is_named(tmp_path, recipe):
    store = Store(tmp_path)
    node = trace(store, publish(store, "a/raw_text", recipe=recipe, makes="RawText"))
    with pytest.raises(CorruptArtefact, match=rf"a/raw_text: .*{node.record.derivation[:12]}"):
        tree(node)


def test_a_record_beside_a_bad_one_serves_ls_and_a_run(copy):
    key, other = "toy_dialogues/documents", "1" * 64
    bad = copy.root / "records" / f"{other}.json"
    bad.write_text("{}")
    (copy.root / key / other).symlink_to(f"../../objects/{other}")
    listed = copy.dragon("ls")
    assert listed.code == 0
    assert re.search(r"toy_dialogues/documents +[-0-9]{10} [0-9:]{5} .* [0-9a-f]{12} ", listed.out)
    assert copy.dragon("trace", FOUNDATION).code == 0
    for derivation in copy.store.references.versions(key):
        record = bad.with_name(f"{derivation}.json")
        record.chmod(0o644)
        record.write_text("[]")
    listed = copy.dragon("ls")
    assert listed.code == 0
    assert re.search(r"toy_dialogues/documents +/.*json: is not a record", listed.out)
    assert re.search(r"tiny/foundation +[-0-9]{10} [0-9:]{5} .* [0-9a-f]{12} ", listed.out)


def test_a_parent_is_called_as_its_child_reads_it(tmp_path):
    """Of several keys of one derivation: of the input's name, of the child's scope, of its task."""
    store = Store(tmp_path)
    raw = publish(store, "beta/raw_text")
    store.reusable("alpha/raw_text", raw.derivation, Artefact)
    documents = publish(store, "beta/documents", [raw])
    store.reusable("alpha/documents", documents.derivation, Artefact)
    few = publish(store, "beta/few_examples", [documents])
    store.reusable("beta/reply_examples", few.derivation, Artefact)
    decides = {"code": "", "recipe": {}, "libraries": {}, "seed": 0}
    inputs = {"documents/beta": documents, "examples": few}
    decides["inputs"] = {name: artefact.version for name, artefact in inputs.items()}
    parents = tuple(
        {"input": name, "version": a.version, "derivation": a.derivation}
        for name, a in inputs.items()
    )
    with store.work("chat/reply_assistant", digest(decides)) as work:
        draft = work.draft()
        (draft / "a.txt").write_text("weights")
        record = Record(seal(draft), "Artefact", decides, parents, {})
        store.publish("chat/reply_assistant", draft, record)
    node = trace(store, open_current(store, "chat/reply_assistant"))
    assert [parent.artefact.key for parent in node.parents] == [
        "beta/documents",
        "beta/reply_examples",
    ]
    assert node.parents[0].parents[0].artefact.key == "beta/raw_text"


def test_a_reference_by_derivation_is_that_derivation(tmp_path):
    store = Store(tmp_path)
    first, second = (publish(store, f"a{n}/raw_text", recipe={"n": n}) for n in range(2))
    assert first.version != second.version
    twin = publish(store, "a0/documents", [first])
    other = publish(store, "a0/documents", [second])
    assert twin.version == other.version
    for artefact in (twin, other):
        found = locate(store, str(tmp_path / "a0/documents" / artefact.derivation))
        assert found.derivation == artefact.derivation


def test_a_key_of_before_is_led_to_todays(chain):
    for earlier, today in (
        ("raw_text/toy_dialogues", "toy_dialogues/raw_text"),
        ("assistant/tiny/toy_reply", "tiny/toy_reply_assistant"),
    ):
        assert f"did you mean {today!r}?" in chain.dragon("trace", earlier).fault
