"""Looking at the store: lists, comparisons, JSON for programs, and the doctor."""

from __future__ import annotations

import json
import re
import socket
import sqlite3

import pytest

from pipelines.cli import doctor as doctors
from pipelines.cli.compare import _better, _direction
from pipelines.training.artefacts import Checkpoint


def parsed(said) -> dict:
    assert said.code == 0, said.err
    assert said.err == ""
    return json.loads(said.out)


# ls


def test_ls_takes_a_part_a_pattern_and_a_recipe(chain):
    def keys(*arguments):
        return [row["key"] for row in parsed(chain.dragon("ls", *arguments, "--json"))["assets"]]

    assert set(keys()) == set(chain.store.keys())
    assert keys("spam_c") == ["tiny/toy_spam_classifier"]
    assert keys("*/documents") == ["toy_dialogues/documents", "toy_messages/documents"]
    assert keys("--recipe", "tiny")[-1] == "tiny/report"
    assert keys("--recipe", "chat") == []
    assert "tiny/foundation" in chain.dragon("ls", "foundatoin").out
    assert "dragon run chat makes it" in chain.dragon("ls", "--recipe", "chat").out


def test_ls_lists_corpora_before_recipes_in_the_order_of_the_journey(chain):
    rows = parsed(chain.dragon("ls", "--json"))["assets"]
    keys = [row["key"] for row in rows]
    assert keys[:2] == ["toy_dialogues/raw_text", "toy_dialogues/documents"]
    assert keys.index("tiny/tokenizer") < keys.index("tiny/foundation") < keys.index("tiny/report")
    foundation = next(row for row in rows if row["key"] == "tiny/foundation")
    assert foundation["state"] == "made"
    assert foundation["figures"]["parameters"] == 163_840
    assert set(foundation) == {
        *("key", "state", "version", "derivation", "kind", "made", "seconds", "bytes"),
        *("older", "figures"),
    }


def test_ls_fits_the_terminal(chain, monkeypatch):
    import io
    import sys

    from pipelines.cli.main import app

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for name, value in {**chain.environment, "NO_COLOR": "1", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    for width, versions in ((80, False), (200, True)):
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys, "stdout", terminal := Terminal())
        app.main(["ls"], "dragon", standalone_mode=False)
        lines = terminal.getvalue().split("\nNext:")[0].splitlines()
        assert max(map(len, lines)) < width
        assert ("VERSION" in lines[0]) == versions
        assert "163,840 parameters" in terminal.getvalue()


# JSON


def test_show_as_json_has_the_files_and_the_records(chain):
    told = parsed(chain.dragon("show", "tiny/foundation", "--json"))
    artefact = chain.store.current("tiny/foundation", Checkpoint)
    assert told["version"] == artefact.version
    assert [file["path"] for file in told["files"]] == list(artefact.files)
    assert told["records"][0]["derivation"] == artefact.derivation
    assert told["kind"] == "Checkpoint"
    version = told["version"][:9]
    assert parsed(chain.dragon("show", f"tiny/foundation@{version}", "--json")) == told


def test_trace_as_json_has_every_artefact_after_its_parents(chain):
    told = parsed(chain.dragon("trace", "tiny/foundation", "--json"))
    keys = [node["key"] for node in told["nodes"]]
    assert keys[-1] == told["key"] == "tiny/foundation"
    for place, node in enumerate(told["nodes"]):
        assert {parent["key"] for parent in node["parents"]} <= set(keys[:place])
    assert "163,840 parameters" in told["nodes"][-1]["facts"]


def test_documents_as_json(chain):
    card = parsed(chain.dragon("documents", "toy_messages", "--json"))
    assert {row["part"]: row["documents"] for row in card["splits"]}["kept"] == 1135
    assert card["tokens"] == {}
    dialogues = parsed(chain.dragon("documents", "toy_dialogues", "--json"))
    assert list(dialogues["tokens"]) == ["tiny/token_shards"]
    read = ("documents", "toy_messages", "--json", "--count", "2")
    split = parsed(chain.dragon(*read, "--split", "train"))
    assert (len(split["documents"]), split["total"]) == (2, 781)
    assert split["documents"][0]["label"] in ("ham", "spam")
    dropped = parsed(chain.dragon(*read, "--dropped", "duplicate"))
    assert {row["reason"] for row in dropped["documents"]} == {"duplicate"}


def test_a_fault_leaves_no_half_document(chain):
    for words in (("trace", "tiny/x"), ("show", "x/y"), ("documents", "x"), ("compare", "x", "y")):
        said = chain.dragon(*words, "--json")
        assert (said.code, said.out) == (1, ""), words


# Names


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("documents", "toy_mesages"), "did you mean 'toy_messages'?"),
        (("documents", "toy_messages", "--split", "tran"), "did you mean 'train'?"),
        (("documents", "toy_messages", "--dropped", "duplicat"), "did you mean 'duplicate'?"),
        (("show", "tiny/foundatoin"), "did you mean 'tiny/foundation'?"),
        (("trace", "foundation/tiny"), "did you mean 'tiny/foundation'?"),
        (("run", "tiny", "-s", "tiny/tokeniser"), "did you mean 'tiny/tokenizer'?"),
        (("classify", "toy_spma", "x"), "did you mean 'toy_spam'?"),
        (("chat", "tiny", "--task", "toy_replay"), "did you mean 'toy_reply'?"),
        (("write", "tiny/foundation", "x"), "is an asset of the recipe tiny"),
        (("run", "tiny/foundation@ab"), "dragon run tiny --select tiny/foundation"),
    ],
)
def test_a_wrong_name_is_told_the_near_one(chain, words, told):
    assert told in chain.dragon(*words).fault


def test_a_wrong_version_is_told_the_near_one(chain):
    version = chain.store.current("tiny/foundation", Checkpoint).version[:12]
    slip = version[:5] + ("0" if version[5] != "0" else "1") + version[6:]
    for verb in ("show", "trace"):
        fault = chain.dragon(verb, f"tiny/foundation@{slip}").fault
        assert f"did you mean tiny/foundation@{version}?" in fault
    assert "did you mean '--json'?" in chain.dragon("ls", "--jsn").err.lower()
    assert chain.dragon("write", "tiny", "x", "--top-p", "2").code == 2
    assert "0<x<=1" in chain.dragon("write", "tiny", "x", "--top-p", "2").err


def test_the_verbs_that_read_a_model_take_a_store(chain, tmp_path):
    from dataclasses import replace

    elsewhere = replace(chain, root=tmp_path / "none")
    store = ("--store", str(chain.root))
    said = elsewhere.dragon("write", "tiny", "-", "--max-tokens", "3", *store, stdin="A: a\nA: b\n")
    assert said.code == 0, said.err
    assert re.match(r"A: a.*\n---\nA: b", said.out, re.DOTALL)
    assert elsewhere.dragon("classify", "toy_spam", "hello", *store).code == 0
    assert elsewhere.dragon("chat", "tiny", *store, stdin="hello\n").code == 0
    assert "no store" in chain.dragon("write", "tiny", "x", "--store", str(tmp_path / "no")).fault


def test_the_version_is_told(chain):
    assert re.match(
        r"dragon \d+\.\d+\.\d+( \(commit [0-9a-f]{12}|\n)", chain.dragon("--version").out
    )


# compare


def test_the_better_figure_is_that_of_the_measures_direction():
    assert _direction("final_validation_loss") == "lower"
    assert _direction("test_bits_per_byte") == "lower"
    assert _direction("macro_f1") == "higher"
    assert _direction("bytes_per_token") == "higher"
    assert _direction("parameters") is None
    assert _better(1.0, 2.0, "lower") == "a"
    assert _better(1.0, 2.0, "higher") == "b"
    assert _better(1.0, 1.0, "lower") is None
    assert _better(None, 1.0, "lower") is None
    assert _better(float("nan"), 1.0, "lower") is None


def test_two_versions_are_compared_with_what_differs(made, recipe_file):
    ends = ("-s", "smaller/foundation_evaluation")
    first = made.dragon("run", str(recipe_file()), *ends)
    assert first.code == 0, first.err
    before = made.store.current("smaller/foundation", Checkpoint)
    second = made.dragon("run", str(recipe_file(("steps: 12", "steps: 16"))), *ends)
    assert second.code == 0, second.err
    names = (f"smaller/foundation@{before.version[:10]}", "smaller/foundation")
    told = parsed(made.dragon("compare", *names, "--json"))
    model, evaluation = told["pairs"]
    assert model["a"]["version"] == before.version
    assert "training.steps: 12 -> 16" in model["differences"]
    steps = next(row for row in model["figures"] if row["name"] == "steps")
    assert (steps["a"], steps["b"], steps["better"]) == (12, 16, None)
    assert evaluation["b"]["key"] == "smaller/foundation_evaluation"
    measure = evaluation["figures"][0]
    assert measure["better"] == ("a" if measure["a"] < measure["b"] else "b")
    said = made.dragon("compare", *names)
    assert said.out.count(" *\n") + len(re.findall(r" \*  ", said.out)) > 0
    assert "B differs from A in:\n    training.steps: 12 -> 16" in said.out
    folder = made.dragon("compare", str(before.folder), "smaller/foundation", "--json")
    assert parsed(folder)["pairs"][0]["differences"] == model["differences"]


def test_recipes_are_compared_by_their_evaluations(chain):
    told = parsed(chain.dragon("compare", "tiny", "tiny", "--json"))
    keys = [pair["a"]["key"] for pair in told["pairs"]]
    assert keys == [
        *("tiny/foundation_evaluation", "tiny/toy_reply_evaluation", "tiny/toy_spam_evaluation")
    ]
    assert all(pair["differences"] == [] for pair in told["pairs"])
    assert "made from the same" in chain.dragon("compare", "tiny", "tiny").out
    assert "the store has no evaluation" in chain.dragon("compare", "tiny", "chat").fault
    assert "is a recipe and" in chain.dragon("compare", "tiny", "tiny/foundation").fault


# doctor


def findings(said) -> dict[str, dict]:
    return {row["what"]: row for row in json.loads(said.out)["findings"]}


def test_the_doctor_finds_a_sound_place_sound(chain):
    said = chain.dragon("doctor", "--json")
    found = findings(said)
    assert {row["state"] for row in found.values()} <= {"ok", "warn"}, said.out
    assert (said.code, json.loads(said.out)["state"]) == (0, "ok")
    assert {"Python", "libraries", "store", "home", "port 3000", "MLflow's database", "cores",
            "memory", "processor", "recipes", "versions", "code"} <= set(found)  # fmt: skip
    assert all(row["mend"] for row in found.values() if row["state"] != "ok")
    lines = chain.dragon("doctor").out.splitlines()
    assert all(re.match(r"(ok|warn|fail) +\S.*: ", line) for line in lines[:-2])


def test_the_doctor_names_what_is_wrong_and_its_mend(copy, tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "dagster" / "history").mkdir(parents=True)
    (home / "dagster" / "history" / "runs.db").write_bytes(b"no database at all" * 100)
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    from dataclasses import replace

    sick = replace(copy, home=home)
    monkeypatch.setattr(doctors, "FEW_BYTES", 1e18)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(doctors, "PORTS", {taken.getsockname()[1]: "--port"})
        said = sick.dragon("doctor", "--json")
    found = findings(said)
    assert said.code == 1
    assert found["Dagster's runs"]["state"] == "fail"
    assert "move " in found["Dagster's runs"]["mend"]
    assert found["store"]["state"] == "fail"
    assert "DRAGON_STORE" in found["store"]["mend"]
    assert next(row for what, row in found.items() if what.startswith("port"))["state"] == "warn"


def test_a_check_that_breaks_is_a_finding(chain, monkeypatch):
    def broken(_):
        raise sqlite3.OperationalError("boom")
        yield

    monkeypatch.setattr(doctors, "CHECKS", (broken,))
    said = chain.dragon("doctor", "--json")
    assert said.code == 1
    assert findings(said)["broken"]["fact"] == "OperationalError: boom"
