"""``dragon certificate``, ``prove``, ``check`` and ``licences`` on a chain that was trained."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from pipelines.core.merkle import Tree
from pipelines.core.record import Record, StoreError
from pipelines.corpora.artefacts import Documents
from pipelines.interop.artefacts import Weights
from pipelines.lineage import certificate as certificates
from pipelines.lineage.certificate import certificate_of, models_of
from pipelines.lineage.licences import notice, terms_of
from pipelines.lineage.proof import find, near_copies
from pipelines.lineage.sources import trainings_of
from pipelines.lineage.trace import Node, locate, trace
from pipelines.text.tables import Document
from pipelines.training.artefacts import Checkpoint
from tests.conftest import Chain, Place

FOUNDATION = "tiny/foundation"


def node(place: Place, key: str = FOUNDATION) -> Node:
    return trace(place.store, locate(place.store, key), verify=False)


def assistant(place: Place) -> str:
    (key,) = [key for key in sorted(place.store.keys()) if key.endswith("_assistant")]
    return key


def documents(place: Place, split: str) -> list[Document]:
    key = "toy_dialogues/documents"
    return list(place.store.current(key, Documents).split(split))


def promise(place: Place, **changes: object) -> None:
    """Change the certificate in the foundation's record, whose digest is made anew."""
    record = place.store.current_record(FOUNDATION)
    told = {"root": certificate_of(node(place)).root, "documents": 1, "committed": "2026-01-02",
            "timestamp": None, **changes}  # fmt: skip
    forged = dataclasses.replace(record, made={**record.made, "certificate": told})
    path = place.root / "records" / f"{record.derivation}.json"
    assert Record.from_file(path) == record
    path.write_bytes(forged.to_bytes())


def test_the_root_is_over_what_was_read(chain: Chain) -> None:
    draws = list(chain.store.current(FOUNDATION, Checkpoint).draws())
    root = Tree(draw.sha256 for draw in draws).root.hex()
    told = chain.dragon("certificate", FOUNDATION)
    assert (told.code, told.err) == (0, "")
    assert f"  root       {root}\n" in told.out
    assert f"{len({draw.sha256 for draw in draws}):,} documents" in told.out
    assert "It does not prove that nothing else was read" in told.out
    texts = {document.sha256 for document in documents(chain, "train")}
    assert {draw.sha256.hex() for draw in draws} <= texts


def test_a_certificate_is_a_file(chain: Chain, tmp_path: Path) -> None:
    told = chain.dragon("certificate", FOUNDATION, str(tmp_path / "c.json"), "--json")
    content = json.loads((tmp_path / "c.json").read_bytes())
    stamp = json.loads(told.out).pop("time_stamp")
    assert {**content, "time_stamp": stamp} == json.loads(told.out)
    version = chain.store.current(FOUNDATION, Checkpoint).version
    assert (content["key"], content["version"]) == (FOUNDATION, version)
    assert set(content) == {"format", "key", "version", "root", "documents", "tokens", "promised"}
    right = chain.dragon("check", str(tmp_path / "c.json"))
    assert right.out == f"right: {FOUNDATION} {version[:12]} has the root {content['root']}\n"


def test_no_byte_of_a_certificate_can_be_changed(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, found = tmp_path / "c.json", certificate_of(node(chain))
    monkeypatch.setattr(certificates, "certificate_of", lambda _: found)
    chain.dragon("certificate", FOUNDATION, str(file))
    content = file.read_bytes()
    for place in range(len(content)):
        for byte in {content[place] ^ 1, ord("7"), ord(" ")} - {content[place]}:
            file.write_bytes(content[:place] + bytes([byte]) + content[place + 1 :])
            fault = chain.dragon("check", str(file)).fault
            assert fault.startswith(f"dragon: {file}: refused: ")
    changed = json.dumps({**json.loads(content), "tokens": 1}, separators=(",", ":"))
    file.write_text(changed)
    assert "refused: 'tokens' differ from what" in chain.dragon("check", str(file)).fault


def test_a_document_is_proved_by_its_text_its_id_and_its_digest(
    chain: Chain, tmp_path: Path
) -> None:
    read = certificate_of(node(chain)).draws[3]
    text = next(d.text for d in documents(chain, "train") if d.id == read.document_id)
    (tmp_path / "text").write_text(text)
    (tmp_path / "edited").write_text(f"{text}\n")  # as an editor leaves it
    names = (read.document_id, f"{read.corpus}/{read.document_id}", read.sha256.hex())
    proofs = set()
    for name in (*names, str(tmp_path / "text"), str(tmp_path / "edited")):
        proof = tmp_path / "proof.json"
        told = chain.dragon("prove", FOUNDATION, name, str(proof))
        assert told.code == 0, told.err
        assert told.out.startswith(f"{read.sha256.hex()} was read in the training of {FOUNDATION}")
        proofs.add(proof.read_bytes())
        checked = chain.dragon("check", str(proof), str(tmp_path / "edited"))
        assert checked.code == 0, checked.err
        assert checked.out.startswith(f"right: the document {read.sha256.hex()} is one of the ")
        assert f"the root is that of {FOUNDATION}" in checked.out
    assert len(proofs) == 1


def test_what_was_held_out_is_proved_absent(chain: Chain, tmp_path: Path) -> None:
    held_out, proof = documents(chain, "validation")[0], tmp_path / "proof.json"
    told = chain.dragon("prove", FOUNDATION, held_out.id, str(proof), "--script")
    assert told.out.startswith(f"{held_out.sha256} was not read in the training of {FOUNDATION}")
    assert "is none of the " in chain.dragon("check", str(proof)).out
    (tmp_path / "text").write_text(held_out.text)
    command = [sys.executable, "-I", "check_proof.py", "proof.json", "text"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"right: the document {held_out.sha256} is none of the ")


def test_a_near_copy_is_told_and_not_called_a_proof(chain: Chain, tmp_path: Path) -> None:
    certificate = certificate_of(node(chain))
    read = certificate.draws[5]
    text = next(d.text for d in documents(chain, "train") if d.id == read.document_id)
    (tmp_path / "near").write_text(f"{text} Yes.")
    told = chain.dragon("prove", FOUNDATION, str(tmp_path / "near"), str(tmp_path / "p"))
    assert "was not read" in told.out
    (line, *_) = [line for line in told.out.splitlines() if line.startswith("near, not proven: ")]
    assert line.endswith(f"of the words like {read.corpus}/{read.document_id}")
    near = near_copies(certificate, text)
    assert (near[0].document_id, near[0].similarity) == (read.document_id, 1.0)
    assert near_copies(certificate, "nothing of the kind stands anywhere in here") == []
    quiet = chain.dragon(
        "prove", FOUNDATION, str(tmp_path / "near"), str(tmp_path / "p"), "--no-near"
    )
    assert "near" not in quiet.out.replace(str(tmp_path), "")


def test_an_example_of_a_fine_tuning_is_proved(chain: Chain, tmp_path: Path) -> None:
    key, proof = assistant(chain), str(tmp_path / "proof.json")
    certificate = certificate_of(node(chain, key))
    assert certificate.is_of_examples
    example = certificate.draws[0].example_id
    assert "was read" in chain.dragon("prove", key, example, proof).out
    assert f"the root is that of {key}" in chain.dragon("check", proof).out
    held_out = next(
        row["id"]
        for parent in node(chain, key).parents
        if parent.record.makes == "Examples"
        for row in parent.artefact.rows("validation")  # type: ignore[attr-defined]
    )
    assert "was not read" in chain.dragon("prove", key, held_out, proof).out
    (tmp_path / "text").write_text("a text")
    fault = chain.dragon("prove", key, str(tmp_path / "text"), proof).fault
    assert "was trained on examples, and a text is not one" in fault


def test_a_fine_tuning_names_what_it_began_with(chain: Chain) -> None:
    version = chain.store.current(FOUNDATION, Checkpoint).version[:12]
    line = f"  after      {FOUNDATION} {version}, which has its own certificate\n"
    assert line in chain.dragon("certificate", assistant(chain)).out
    assert "  after " not in chain.dragon("certificate", FOUNDATION).out


def test_trainings_come_oldest_first(chain: Chain) -> None:
    key = assistant(chain)
    assert [one.artefact.key for one in trainings_of(node(chain, key))] == [FOUNDATION, key]


def test_a_document_that_nobody_knows_is_told(chain: Chain, tmp_path: Path) -> None:
    proof = tmp_path / "proof.json"
    fault = chain.dragon("prove", FOUNDATION, "nobody", str(proof)).fault
    assert fault.startswith("dragon: nobody: neither a text file nor a sha256, and no document")
    for length in (300, 9000):  # no file can have such a name
        fault = chain.dragon("prove", FOUNDATION, "x" * length, str(proof)).fault
        assert "neither a text file nor a sha256" in fault
    away = tmp_path / "away" / "file"
    for command in ("certificate", "licences"):
        fault = chain.dragon(command, FOUNDATION, str(away)).fault
        assert f"make the folder {away.parent} first" in fault
    assert not proof.exists()


def test_what_is_no_training_has_no_certificate(chain: Chain) -> None:
    assert "no training made it" in chain.dragon("certificate", "tiny/tokenizer").fault


def test_a_version_of_an_earlier_program_is_told(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoint, "draws", lambda _: iter(()))
    fault = chain.dragon("certificate", FOUNDATION).fault
    assert "has no list of what was read, since an earlier program trained it" in fault


def test_a_promise_that_was_kept_is_told(copy: Chain) -> None:
    promise(copy)
    told = copy.dragon("certificate", FOUNDATION).out
    assert "  promised   at 2026-01-02, before the first step\n" in told


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"root": "0" * 64}, "the record promised the root 000000000000 before the first step"),
        ({"root": "0" * 63}, "has not the fields of one; remove the record and run again"),
        ({"root": 7}, "has not the fields of one"),
        ({"documents": "many"}, "has not the fields of one"),
        ({"committed": 5}, "has not the fields of one"),
        ({"timestamp": "now"}, "has not the fields of one"),
        ({"timestamp": {"token": "forged"}}, "time stamp: cannot be read"),
    ],
)
def test_a_false_promise_is_told(copy: Chain, changes: dict[str, object], said: str) -> None:
    pytest.importorskip("rfc3161_client")
    promise(copy, **changes)
    assert said in copy.dragon("certificate", FOUNDATION).fault


def test_weights_from_before_the_planned_end_have_another_root(
    copy: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = certificate_of(node(copy)).root
    promise(copy, root="0" * 64, documents=3)
    figures = Checkpoint.figures
    monkeypatch.setattr(Checkpoint, "figures", lambda self: {**figures(self), "steps_run": 5})
    told = copy.dragon("certificate", FOUNDATION).out
    assert "another root (000000000000) over 3: a validation chose weights" in told
    assert [model.key for model in models_of(copy.store, root)] == [FOUNDATION]


def test_a_proof_of_another_store_is_told(chain: Chain, fresh: Place, tmp_path: Path) -> None:
    proof = tmp_path / "proof.json"
    chain.dragon("prove", FOUNDATION, "0" * 64, str(proof))
    fresh.root.mkdir()
    assert "no training in" in fresh.dragon("check", str(proof)).fault
    fresh.root.rmdir()
    told = fresh.dragon("check", str(proof))
    assert (told.code, "no store is here" in told.out) == (0, True)


def test_a_changed_proof_is_refused_in_one_line(chain: Chain, tmp_path: Path) -> None:
    proof = tmp_path / "proof.json"
    chain.dragon("prove", FOUNDATION, "0" * 64, str(proof))
    content = proof.read_bytes()
    proof.write_bytes(content.replace(b'"absent"', b'"included"'))
    assert chain.dragon("check", str(proof)).fault == f"dragon: {proof}: refused: digest: the file was changed"  # fmt: skip # noqa: E501
    proof.write_bytes(b"[" * 10_000)
    assert "refused" in chain.dragon("check", str(proof)).fault
    proof.write_bytes(content)
    (tmp_path / "text").write_text("another")
    assert "is not the document of the proof" in chain.dragon(
        "check", str(proof), str(tmp_path / "text")
    ).fault  # fmt: skip
    assert chain.dragon("check", str(tmp_path)).fault
    assert chain.dragon("check", str(tmp_path / "nowhere")).fault


def test_one_name_of_several_examples_is_told(chain: Chain) -> None:
    certificate = certificate_of(node(chain, assistant(chain)))
    names = [draw.document_id for draw in certificate.draws]
    often = next(name for name in names if names.count(name) > 1)
    with pytest.raises(StoreError, match=r"the training read \d+ of this name; name one of"):
        find(certificate, often)


# --- licences -----------------------------------------------------------------------------------


def test_the_licences_are_those_of_what_was_read(chain: Chain, tmp_path: Path) -> None:
    draws = list(chain.store.current(FOUNDATION, Checkpoint).draws())
    file = tmp_path / "NOTICE"
    content = json.loads(chain.dragon("licences", FOUNDATION, str(file), "--json").out)
    assert content["expression"] == "CC0-1.0"
    (share,) = content["shares"]
    assert share["documents"] == len({draw.document_id for draw in draws})
    assert share["tokens"] == sum(draw.tokens for draw in draws)
    assert (share["licence"], share["asks"], content["assumed"]) == ("CC0-1.0", [], [])
    told = chain.dragon("licences", FOUNDATION).out
    assert "This is no legal advice." in told
    assert "all together: CC0-1.0" in told
    text = file.read_text()
    assert f"NOTICE for {FOUNDATION} " in text
    assert "This is no legal advice." in text
    assert f"{share['documents']:,} documents, {share['tokens']:,} tokens read, from" in text


def test_a_document_that_two_trainings_read_counts_once(chain: Chain) -> None:
    terms = terms_of(node(chain, assistant(chain)))
    texts = {document.id for document in documents(chain, "train")}
    assert sum(share.documents for share in terms.shares) <= len(texts)
    both = [one.artefact for one in trainings_of(node(chain, assistant(chain)))]
    tokens = sum(draw.tokens for model in both for draw in model.draws())  # type: ignore[attr-defined]
    assert sum(share.tokens for share in terms.shares) == tokens


def test_without_a_list_all_training_texts_count(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoint, "draws", lambda _: iter(()))
    told = chain.dragon("licences", FOUNDATION).out
    assert f"{len(documents(chain, 'train')):,}" in told
    assert f"{FOUNDATION} has no list of what was read: all its training texts" in told
    assert "No list of what was read" in notice(terms_of(node(chain)))


def test_an_unknown_licence_is_named(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.lineage import licences

    known = licences.training_texts

    def texts(training: Node):  # type: ignore[no-untyped-def]
        for number, (corpus, name, text) in enumerate(known(training)):
            stated = ("MIT", "ask \x1b me")[number % 2]
            yield corpus, name, text._replace(source="a\x1b[31m.txt", licence=stated)

    monkeypatch.setattr(licences, "training_texts", texts)
    told = chain.dragon("licences", FOUNDATION).out
    assert "LicenseRef-ask-me AND MIT" in told
    assert "not known: corpus toy_dialogues states 'ask \\x1b me'" in told
    assert "\x1b" not in told
    assert "\x1b" not in notice(terms_of(node(chain)))


def test_the_licence_of_weights_from_elsewhere_counts(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoint, "trained", lambda _: False)
    taken = node(chain)
    decides = {**taken.record.decides, "recipe": {"licence": "apache 2"}}
    weights = Node(
        Weights("other/weights", "0" * 64, "", Path(), {}),
        dataclasses.replace(taken.record, decides=decides),
        (),
    )
    terms = terms_of(dataclasses.replace(taken, parents=(weights,)))
    assert (terms.expression, terms.weights) == ("Apache-2.0", (("other/weights", "apache 2"),))
    assert "Weights other/weights: Apache-2.0 (asks for: credit)" in notice(terms)


def test_what_is_no_model_has_no_terms(chain: Chain) -> None:
    assert "is no model" in chain.dragon("licences", "tiny/tokenizer").fault


def test_digests_of_texts_are_those_of_the_tables(chain: Chain) -> None:
    document = documents(chain, "train")[0]
    assert sha256(document.text.encode()).hexdigest() == document.sha256
