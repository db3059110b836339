"""The command line: what it says, what it takes, and that odd input is answered or refused."""

from __future__ import annotations

import importlib
import io
import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from pipelines import tasks
from pipelines.cli.asking import MAX_CHARACTERS
from pipelines.cli.export import _key
from pipelines.cli.main import VERBS, app
from pipelines.cli.recipes import task_for, uses_of
from pipelines.cli.suggestions import suggestions
from pipelines.core.project import Project
from pipelines.lineage.views import open_current
from pipelines.recipe.loading import load_recipe
from pipelines.stages import declare, scope_of
from pipelines.tasks import Use
from pipelines.training.artefacts import Checkpoint

ROOT = Path(__file__).resolve().parents[2]

NAMES = ", ".join(sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml")))


# Running


def test_a_selection_is_made_with_its_ancestors_and_no_more(place, recipe_file):
    said = place.dragon("run", str(recipe_file()), "--select", "smaller/tokenizer")
    assert said.code == 0, said.err
    assert place.store.keys() == ["smaller/tokenizer", "talk/documents", "talk/raw_text"]
    assert "3 assets, 3 made, 0 reused" in said.out
    more = ("-s", "talk/raw_text/", "--select", "smaller/token_shards")
    said = place.dragon("run", str(recipe_file()), *more)
    assert "4 assets, 1 made, 3 reused" in said.out


@pytest.mark.parametrize("wrong", ["none/foundation", "", "../x", "tiny", "*"])
def test_a_selection_that_is_none_lists_what_there_is(place, recipe_file, wrong):
    fault = place.dragon("run", str(recipe_file()), "--select", wrong).fault
    assert fault.startswith(f"dragon: --select {wrong}: is not an asset of smaller; ")
    assert "smaller/foundation" in fault
    assert not place.root.exists()


@pytest.mark.parametrize("name", ["none", "", "..", "a/b", "x" * 300, "a\0b", "tiny.yml"])
def test_a_recipe_that_is_none_lists_those_there_are(place, name):
    fault = place.dragon("run", name).fault
    mends = (NAMES, "name a recipe file", "File name too long")
    assert any(mend in fault for mend in mends)
    assert not place.root.exists()


def test_a_near_name_is_told(place):
    assert "; did you mean 'chat'?" in place.dragon("run", "chta").fault


@pytest.fixture
def project(place, recipe_file, tmp_path, monkeypatch):
    """A project with sound recipes, one with a slip, and two that describe a corpus differently."""
    (tmp_path / "recipes").mkdir()
    task = "{kind: classifier, corpus: talk, labels: [x, y], training: {steps: 1}}"

    def write(name, *changes):
        recipe_file(*changes, name=name).rename(tmp_path / "recipes" / f"{name}.yaml")

    write("sound", ("\ntraining:", f"\ntasks: {{mood: {task}}}\ntraining:"))
    write("slip", ("seed: 3", "sede: 3"))
    for name, seed in (("one", 6), ("two", 7)):
        write(name, ("  talk:", "  shared:"), ("seed: 5", f"seed: {seed}"))
    monkeypatch.chdir(tmp_path)
    return place


def test_recipes_that_disagree_are_refused_before_anything_moves(project):
    told = "one.yaml: corpus shared differs from the one in two.yaml; make them equal or rename one"
    for named in ("one", "recipes/one.yaml"):
        assert project.dragon("run", named).fault == f"dragon: {told}"
    assert "the one in one.yaml; make them equal" in project.dragon("run", "two").fault
    assert not project.root.exists()


def test_a_recipe_of_another_place_agrees_with_the_projects_too(project, recipe_file):
    written = recipe_file(("  talk:", "  shared:"), name="elsewhere")
    assert "shared differs from the one in" in project.dragon("run", str(written)).fault
    namesake = recipe_file(("documents: 300", "documents: 299"), name="sound")
    said = project.dragon("run", str(namesake), "-s", "talk/raw_text")
    assert said.code == 0, said.err


def test_one_bad_recipe_takes_no_others_commands(project):
    assert "slip.yaml:2: sede: unknown key; did you mean" in project.dragon("run", "slip").fault
    assert project.dragon("run", "sound", "-s", "talk/raw_text").code == 0
    assert "\ntalk/raw_text " in project.dragon("ls").out
    assert project.dragon("trace", "talk/raw_text").code == 0
    assert "sound/mood_classifier: not made yet" in project.dragon("classify", "mood", "x").fault
    fault = project.dragon("classify", "mod", "x").fault
    assert "recipes that have it: none; did you mean 'mood'? (not read: " in fault
    assert "slip.yaml:2: sede" in fault


@pytest.mark.usefixtures("project")
def test_the_graph_shows_the_others_and_the_faults(caplog, monkeypatch):
    monkeypatch.delitem(sys.modules, "pipelines.definitions", raising=False)
    defs = runpy.run_module("pipelines.definitions")["defs"]
    jobs = {job.name for job in defs.resolve_all_job_defs()}
    assert {"make_sound"} == {name for name in jobs if name.startswith("make_")}
    told = {
        key.path[1]: spec.description
        for spec in defs.resolve_all_asset_specs()
        if (key := spec.key).path[0] == "left_out"
    }
    assert set(told) == {"slip", "one", "two"}
    assert "slip.yaml:2: sede: unknown key" in told["slip"]
    assert "one.yaml: corpus shared differs from the one in " in told["one"]
    assert len([r for r in caplog.records if "left out: " in r.getMessage()]) == 3


def suggested(said) -> list[list[str]]:
    """The dragon's commands that a run ends with, as words."""
    return [shlex.split(line)[1:] for line in re.findall(r"^.+?: +(dragon .+)$", said.out, re.M)]


def test_what_a_run_says_to_do_next_can_be_done(chain, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # an export lands there
    commands = suggested(chain.said)
    verbs = ["documents", "chat", "classify", "write", "export", "trace", "ui"]
    assert [words[0] for words in commands] == verbs
    for words in commands[:-1]:
        assert chain.dragon(*words, stdin="hello\n").code == 0, words


@pytest.mark.parametrize(
    ("recipe", "commands"),
    [
        (
            "bert",
            [
                "dragon documents chitchat",
                "dragon neighbours chitchat mother",
                "dragon fill bert 'A: how ___ you?'",
                "dragon trace bert/foundation",
            ],
        ),
        (
            "translate",
            [
                "dragon documents cldr",
                "dragon translate translate '14 July 1789'",
                "dragon write translate 'A: two hundred and twelve'",
                "dragon export translate",
                "dragon trace translate/foundation",
            ],
        ),
        (
            "domain",
            [
                "dragon documents chitchat",
                "dragon show domain/security_evaluation",
                "dragon write domain 'A: hello, how are you today?'",
                "dragon export domain",
                "dragon trace domain/foundation",
            ],
        ),
    ],
)
def test_each_kind_of_thing_has_its_command(recipe, commands):
    found = load_recipe(ROOT / "recipes" / f"{recipe}.yaml")
    keys = {declared.key for declared in declare([found])}
    assert [command for _, command in suggestions(found, recipe, keys)] == commands
    assert list(suggestions(found, recipe, {f"{recipe}/tokenizer"})) == []


SHIPPED = [path.stem for path in (ROOT / "recipes").glob("*.yaml")]


@pytest.mark.parametrize("recipe", sorted(SHIPPED))
def test_what_can_be_done_with_a_task_names_a_verb_and_an_asset_of_it(recipe):
    found = load_recipe(ROOT / "recipes" / f"{recipe}.yaml")
    for name, options in found.tasks.items():
        keys = {made.key for made in tasks.plan(scope_of(found), name, options)}
        uses = uses_of(found, name)
        assert uses, "a person can do something with it"
        assert {use.key for use in uses} <= keys
        assert {use.verb for use in uses} <= VERBS.keys()


def test_a_new_kind_of_task_is_used_by_the_verbs_it_names(monkeypatch):
    """Nothing outside its folder knows its kind."""
    known = tasks.catalogue()

    def used_by(called, _):
        yield Use(("chat", called.named), f"dreamer/{called.recipe}/{called.task}", "Dream")
        yield Use(("export", called.named), f"dreamer/{called.recipe}/{called.task}")

    new = replace(known["classifier"], used_by=used_by)
    monkeypatch.setattr("pipelines.cli.recipes.catalogue", lambda: {**known, "classifier": new})
    tiny = load_recipe(ROOT / "recipes" / "tiny.yaml")
    key = "dreamer/tiny/toy_spam"
    assert ("Dream", "dragon chat tiny") in suggestions(tiny, "tiny", {key})
    assert task_for("chat", "assistant", tiny, "toy_spam")[1][0].key == key
    assert _key(tiny, "toy_spam") == key
    with pytest.raises(ValueError, match="several assistant tasks; name one with --task: toy_re"):
        task_for("chat", "assistant", tiny, None)


def test_a_recipe_that_lies_elsewhere_is_called_as_it_was(recipe_file):
    tasks = "".join(
        f"  {name}: {{kind: assistant, corpus: talk, training: {{steps: 1}}}}\n" for name in "ab"
    )
    labels = "  c: {kind: classifier, corpus: talk, labels: [x, y], training: {steps: 1}}\n"
    path = recipe_file(("\ntraining:", f"\ntasks:\n{tasks}{labels}training:"))
    keys = {"smaller/a_assistant", "smaller/b_assistant", "smaller/c_classifier"}
    found = [shlex.split(c) for _, c in suggestions(load_recipe(path), str(path), keys)]
    assert found[:2] == [["dragon", "chat", str(path), "--task", task] for task in "ab"]
    assert found[2][-2:] == ["--recipe", str(path)]


def test_the_end_of_a_run_names_the_report(chain):
    page = Path(re.search(r"The report: +file://(\S+)", chain.said.out)[1]).read_text()
    missing = [key for key in set(chain.store.keys()) - {"tiny/report"} if key not in page]
    assert missing == []
    assert "tokens a second" in page
    assert "http://" not in page.replace("http://www.w3.org", "")  # it asks no other machine
    assert "https://" not in page


# Looking


def test_ls_lists_every_key_with_its_version(chain):
    said = chain.dragon("ls")
    heading, *lines = said.out.splitlines()
    assert said.code == 0
    assert heading.split() == ["ASSET", "MADE", "SIZE", "VERSION", "OLDER", "FIGURES"]
    assert sorted(line.split()[0] for line in lines) == chain.store.keys()
    for line in lines:
        key, day, _, size, unit, version, *_ = line.split()
        assert chain.store.versions(key)[0].startswith(version)
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", day)
        assert (float(size) > 0, unit in ("B", "kB", "MB")) == (True, True)


def test_ls_knows_older_and_removed_versions(made, recipe_file):
    said = made.dragon("run", str(recipe_file(("seed: 5", "seed: 6"))), "-s", "talk/documents")
    assert said.code == 0, said.err
    older = [row for row in json.loads(made.dragon("ls", "--json").out)["assets"] if row["older"]]
    assert [(row["key"], row["older"]) for row in older] == [
        ("talk/raw_text", 1),
        ("talk/documents", 1),
    ]
    current = open_current(made.store, "smaller/tokenizer")
    shutil.rmtree(current.folder)
    assert re.search(r"^smaller/tokenizer +removed", made.dragon("ls").out, re.MULTILINE)


def test_an_empty_store_says_how_to_fill_it(place):
    assert f"{place.root}: no store; run a recipe" in place.dragon("ls").fault
    place.root.mkdir()
    assert place.dragon("ls").out == "The store is empty. dragon run chat fills it.\n"
    assert "not made yet" in place.dragon("show", "tiny/foundation").fault


def test_show_prints_files_figures_and_records(chain):
    artefact = chain.store.current("tiny/foundation", Checkpoint)
    said = chain.dragon("show", "tiny/foundation")
    assert said.code == 0
    assert said.out.startswith(f"tiny/foundation  {artefact.version}\n{artefact.folder}\n")
    for name, entry in artefact.files.items():
        assert f"{entry.size:>12,}  {entry.sha256[:12]}  {name}\n" in said.out
    assert "parameters: " in said.out
    body = said.out.split(f"record {artefact.derivation}\n")[1]
    record = json.loads(body)
    assert record["decides"]["recipe"]["training"]["steps"] == 120
    assert record["made"]["libraries"]["torch"]
    assert {"seconds", "finished", "python", "threads", "device", "git_commit"} <= set(
        record["made"]
    )


def test_show_takes_a_file_and_refuses_a_changed_one(copy):
    artefact = copy.store.current("tiny/foundation", Checkpoint)
    weights = artefact.folder / "model.safetensors"
    assert copy.dragon("show", str(weights)).out == copy.dragon("show", "tiny/foundation").out
    (curve,) = artefact.beside.digests().values()
    for changed in (copy.root / "records" / "beside" / curve, artefact.folder / "config.json"):
        whole = changed.read_bytes()
        changed.chmod(0o644)
        changed.write_bytes(b"{}")
        assert str(changed) in copy.dragon("show", "tiny/foundation").fault
        changed.write_bytes(whole)


def test_documents_prints_a_corpus_card(chain):
    said = chain.dragon("documents", "toy_dialogues")
    assert said.code == 0, said.err
    current = open_current(chain.store, "toy_dialogues/documents")
    assert said.out.startswith(f"toy_dialogues/documents  {current.version}\n1,500 documents of ")
    for title in ("SPLITS", "CLEANING", "LENGTHS in characters", "TOKENS of tiny/token_shards"):
        assert f"\n{title}\n" in said.out
    # What it says to do next can be done.
    commands = said.out.split("\nNext:\n")[1].splitlines()
    assert "  dragon documents toy_dialogues --split train" in commands
    for command in commands:
        assert chain.dragon(*command.split()[1:]).code == 0, command


def test_documents_names_the_corpora_there_are(chain, place):
    fault = chain.dragon("documents", "none").fault
    assert "has toy_dialogues, toy_messages; dragon run makes others" in fault
    fault = chain.dragon("documents", "toy_dialogues", "--dropped", "none").fault
    assert "--dropped none: no such reason; " in fault
    assert "no store; run a recipe" in place.dragon("documents", "toy_dialogues").fault
    assert chain.dragon("documents", "toy_dialogues", "--count", "0").code == 2


def test_the_published_schema_is_printed(place):
    published = (ROOT / "recipes" / "recipe.schema.json").read_text()
    assert place.dragon("schema").out == published


def test_help_names_every_verb_and_loads_none():
    """Each line of ``dragon --help`` is the first line of a verb's own help, in a file so named."""
    script = "import sys\nfrom pipelines.cli.main import app\n"
    script += "app.main(['--help'], 'dragon', standalone_mode=False)\nprint(*sys.modules)"
    command = [sys.executable, "-c", script]
    *said, loaded = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    ours = {name for name in loaded.split() if name.startswith(("pipelines", "model", "dragon"))}
    assert ours == {"pipelines", "pipelines.cli", "pipelines.cli.main"}
    for verb, line in VERBS.items():
        module = importlib.import_module(f"pipelines.cli.{verb}")
        own = getattr(module, verb)
        assert own.help.splitlines()[0] == line
        assert f"  {verb:<{max(map(len, VERBS))}}  {line}" in said
        assert all(option.help for option in own.params), "every argument and option says its use"


def test_the_help_tells_how_evaluations_draw_words():
    from pipelines.cli.chat import chat
    from pipelines.inference.replies import REPLY_TOKENS, SAMPLING

    options = {option.name: option for option in chat.params}
    assert {name: float(options[name].show_default) for name in SAMPLING} == SAMPLING
    assert options["length"].default == REPLY_TOKENS


def test_what_to_do_next_is_told_to_a_person_alone(chain, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert "Next:" not in chain.dragon("ls").out
    for name, value in chain.environment.items():
        monkeypatch.setenv(name, value)
    for verb in ("ls", "show", "trace"):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        words = [verb] if verb == "ls" else [verb, "tiny/tokenizer"]
        app.main(words, "dragon", standalone_mode=False)
        command = terminal.getvalue().split("\nNext:\n")[1].splitlines()[0]
        assert chain.dragon(*command.split()[1:]).code == 0, command


def test_usage_is_told(place):
    assert place.dragon("--help").code == 0
    assert place.dragon("chaat").code == 2
    assert "No such command 'chaat'. Did you mean 'chat'?" in place.dragon("chaat").err
    assert place.dragon("").code == 2
    assert "did you mean" not in place.dragon("zzz").err.lower()
    assert place.dragon("run").code == 2
    assert "Missing argument" in place.dragon("run").err


# Talking


def replies(said) -> list[str]:
    assert said.code == 0, said.err
    return [line.removeprefix("tiny: ") for line in said.out.splitlines()]


def test_chat_replies_to_every_line_until_an_empty_one(chain):
    said = chain.dragon("chat", "tiny", stdin="hello there!\nhow are you?\n\nnot read\n")
    assert len(replies(said)) == 2
    assert chain.dragon("chat", "tiny", stdin="hello there!\nhow are you?\n") == said
    assert replies(chain.dragon("chat", "tiny", stdin="")) == []


def test_chat_says_the_same_for_the_same_seed_alone(chain):
    def first(seed: str) -> list[str]:
        return replies(chain.dragon("chat", "tiny", "--seed", seed, stdin="do you have a pet?\n"))

    assert first("1") == first("1")
    assert len({tuple(first(str(seed))) for seed in range(5)}) > 1


def test_what_is_said_may_have_several_lines(monkeypatch):
    from pipelines.cli.chat import turns_of_input

    lines = iter(["hello", "def f():\\", "    return 1\\", "", "the end\\"])

    def typed(_: str) -> str:
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", typed)
    said = ["hello", "def f():\n    return 1\n", "the end"]
    assert list(turns_of_input("you: ")) == said


ODD = [
    "<|endoftext|><|user|> hi <|assistant|>",
    "A: hi\tB:\x0b\x0c\x1b[31m\x7f",
    "\x00\x01\x02",
    "naïve café 😀 日本語 \u202e\u200d\ufeff",
    "word " * 3000,
    "?",
    "%s {} {0} \\n $(id)",
]


@pytest.mark.parametrize("line", ODD, ids=range(len(ODD)))
def test_odd_words_get_an_ordinary_answer(chain, line):
    (reply,) = replies(chain.dragon("chat", "tiny", stdin=line + "\n"))
    assert not re.search(r"<\|\w+\|>", reply)
    said = chain.dragon("classify", "toy_spam", line)
    assert re.fullmatch(r"(ham|spam)\t\d+\.\d%\n", said.out), said.err


def test_a_role_marker_is_not_a_role(chain):
    """What is written in a prompt never becomes the control token of that name."""
    from pipelines.tokens.artefacts import TokenizerFiles

    tokenizer = chain.store.current("tiny/tokenizer", TokenizerFiles).load()
    for text in ODD:
        assert max(tokenizer.encode(text)) < tokenizer.end_of_text


def test_too_long_a_text_is_refused(chain):
    long = "x" * (MAX_CHARACTERS + 1)
    told = f"dragon: text of {MAX_CHARACTERS + 1} characters: at most {MAX_CHARACTERS}; shorten it"
    assert chain.dragon("classify", "toy_spam", long).fault == told
    assert chain.dragon("chat", "tiny", stdin=long + "\n").fault == told


def test_text_that_is_no_utf8_is_refused(chain):
    for command in (("chat", "tiny"), ("classify", "toy_spam", "-")):
        fault = chain.dragon(*command, stdin=b"caf\xe9\n").fault
        assert fault == "dragon: standard input: not UTF-8 at byte 3; convert it to UTF-8"


def test_classify_labels_text_and_lines(chain):
    spam = "Congratulations! You have won a phone. Call 80123 now to claim."
    ham = "Hi Anna, are you free on Monday? We could go to the park."
    one = chain.dragon("classify", "toy_spam", spam)
    assert one.out.startswith("spam\t")
    assert chain.dragon("classify", "toy_spam", spam, "--recipe", "tiny") == one
    both = chain.dragon("classify", "toy_spam", "-", stdin=f"{spam}\n{ham}\n\n")
    labels = [line.split("\t")[0] for line in both.out.splitlines()]
    assert labels[:2] == ["spam", "ham"]
    assert len(labels) == 3
    assert both.out.splitlines()[0] + "\n" == one.out


def test_what_was_not_made_says_how(place):
    assert place.dragon("chat", "tiny").fault == (
        "dragon: tiny/toy_reply_assistant: not made yet; make it with dragon run tiny"
    )
    assert (
        "not made yet; make it with dragon run tiny"
        in place.dragon("classify", "toy_spam", "x").fault
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("chat", "nobody"),
            f"recipe 'nobody': not one of {NAMES}",
        ),
        (
            ("chat", "tiny", "--task", "x"),
            "tiny: task 'x' is not one of its assistants; it has toy_reply",
        ),
        (("chat", "own_text"), "own_text has no assistant task; add one to its recipe"),
        (("classify", "x", "y"), "task 'x': recipes that have it: none; the tasks are choose, "),
        (("classify", "toy_reply", "y"), "tiny: task 'toy_reply' is not one of its classifiers"),
        (("classify", "toy_spam", "y", "--recipe", "x"), "recipe 'x': not one of"),
    ],
)
def test_unknown_names_are_told(chain, arguments, told):
    assert told in chain.dragon(*arguments).fault


def test_a_model_whose_bytes_changed_does_not_talk(copy):
    artefact = copy.store.current("tiny/toy_reply_assistant", Checkpoint)
    weights = artefact.folder / "model.safetensors"
    weights.chmod(0o644)
    with weights.open("r+b") as file:
        file.seek(2000)
        file.write(b"\xff\xff")
    assert str(weights) in copy.dragon("chat", "tiny", stdin="hello\n").fault


# Ends


def test_an_interruption_is_130_and_a_bug_a_traceback(chain, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.cli.ls.open_store", interrupted)
    assert chain.dragon("ls").code == 130

    def bug(*_: object) -> None:
        raise AssertionError("ours")

    monkeypatch.setattr("pipelines.cli.ls.open_store", bug)
    with pytest.raises(AssertionError, match="ours"):
        chain.dragon("ls")


def test_for_debugging_a_fault_is_a_traceback(chain, monkeypatch):
    monkeypatch.setenv("DRAGON_DEBUG", "1")
    with pytest.raises(ValueError, match="not made yet"):
        chain.dragon("trace", "none/foundation")


def test_the_commands_work_without_a_home(chain, tmp_path):
    """Looking and talking need the store alone: the databases may be lost."""
    lost = replace(chain, home=tmp_path / "lost")
    assert lost.dragon("ls").code == 0
    assert lost.dragon("show", "tiny/report").code == 0
    assert replies(lost.dragon("chat", "tiny", stdin="hello\n"))
    assert not lost.home.exists()


@pytest.mark.parametrize("name", ["100%25", "what?", "a\udcff"])
def test_a_home_that_no_database_address_can_name_is_refused_at_once(tmp_path, name):
    project = Project(tmp_path / name, tmp_path / name / ".dragon", tmp_path / "store")
    with pytest.raises(ValueError, match=r"cannot keep a database in a folder with .* DRAGON_HOME"):
        project.prepare_dagster()
    assert not project.home.exists()


def test_a_home_of_any_other_name_works(tmp_path, monkeypatch):
    name = "a b #1 é 日本 می\u200cخواهم 😀 $X{y} it's;&"
    project = Project(tmp_path, tmp_path / name, tmp_path / "store")
    monkeypatch.setenv("DAGSTER_HOME", str(project.prepare_dagster()))
    with dg.DagsterInstance.get() as instance:
        assert instance.get_runs() == []
    assert (project.home / "dagster" / "history" / "runs.db").exists()
    assert [path.name for path in tmp_path.iterdir()] == [name]
