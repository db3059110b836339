"""The stanzas of docs/tasks.md do what the page says, as they stand there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.project import CHECKOUT
from pipelines.examples.artefacts import Examples
from pipelines.recipe.loading import load_recipe

PAGE = (CHECKOUT / "docs" / "tasks.md").read_text(encoding="utf-8")
BASE = """\
description: a stanza of the page
seed: 3
retrain: never
tokenizer: {kind: bpe, vocab_size: 300}
model: {architecture: gpt, preset: modern, d_model: 16, n_layers: 1, n_heads: 1, context_length: 64}
training: {steps: 4, batch_size: 4, precision: fp32, validate_every: 4}
"""
THINGS = ["river", "ladder", "kettle", "meadow", "violin", "candle", "harbour", "pigeon"]
COUNT = 60


def request(number: int) -> str:
    return f"Say it with number {number}:\n- the {THINGS[number % 8]}"


def reply(number: int) -> str:
    return f"The {THINGS[number % 8]} is number {number}.\n  Indented."


def alpaca(number: int) -> dict[str, Any]:
    instruction, _, given = request(number).partition("\n")
    more = {"input": given} if number % 3 else {}
    return {"instruction": instruction, **more, "output": reply(number)}


def sharegpt(number: int) -> dict[str, Any]:
    said = [("system", "Be brief."), ("human", request(number)), ("gpt", reply(number))]
    said += [("human", "Again?"), ("gpt", f"Again: {reply(number)}")]
    return {"conversations": [{"from": role, "value": words} for role, words in said]}


def openai(number: int) -> dict[str, Any]:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": request(number)}]},
        {"role": "assistant", "content": "I look.", "weight": 0},
        {"role": "tool", "content": "42"},
        {"role": "assistant", "content": reply(number)},
    ]
    return {"messages": messages}


def preference(number: int) -> dict[str, Any]:
    return {"prompt": request(number), "chosen": reply(number), "rejected": "No."}


FILES: dict[str, tuple[Callable[[int], dict[str, Any]], list[str], list[str]]] = {
    "alpaca.json": (alpaca, ["user", "assistant"], ["no", "yes"]),
    "sharegpt.json": (
        sharegpt,
        ["system", "user", "assistant", "user", "assistant"],
        ["no", "no", "yes", "no", "yes"],
    ),
    "messages.jsonl": (
        openai,
        ["user", "assistant", "tool", "assistant"],
        ["no", "no", "no", "yes"],
    ),
    "preferences.json": (preference, ["user", "assistant"], ["no", "yes"]),
}


def stanzas() -> dict[str, str]:
    """The stanzas of the page about conversations, by the name of their file."""
    found = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    by_file = {re.search(r"path: my/([\w.]+)", stanza): stanza for stanza in found}
    return {match[1]: stanza for match, stanza in by_file.items() if match}


def test_each_file_has_one_short_stanza() -> None:
    known = stanzas()
    assert known.keys() >= FILES.keys()
    assert all(stanza.count("\n") <= 8 for stanza in known.values())


def recipe(folder: Path, name: str) -> Path:
    """A recipe with a stanza of the page, and the file that it reads, in a folder."""
    rows = [FILES[name][0](number) for number in range(COUNT)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / name).write_text(lines if name.endswith("l") else json.dumps(rows, indent=2))
    here = stanzas()[name].replace(f"my/{name}", f"{folder / name}, outside: true")
    short = re.sub(r"steps: \d+", "steps: 4, precision: fp32, validate_every: 4", here)
    assert short != here
    path = folder / "page.yaml"
    path.write_text(BASE + short)
    return path


@pytest.mark.parametrize("name", FILES)
def test_a_stanza_is_a_recipe_that_learns_the_assistants_replies(tmp_path: Path, name: str) -> None:
    (task,) = load_recipe(recipe(tmp_path, name)).tasks.values()
    assert task.model_dump()["replies"] == "assistant"


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_stanza_runs_as_it_stands(place: Any, tmp_path: Path, name: str) -> None:
    said = place.dragon("run", str(recipe(tmp_path, name)))
    assert said.code == 0, said.out + said.err
    keys = place.store.keys()
    (key,) = (key for key in keys if key.endswith("_examples"))
    examples = place.store.current(key, Examples)
    chats = [chat for split in ("train", "validation", "test") for chat in examples.chats(split)]
    _, roles, learned = FILES[name]
    assert len(chats) == COUNT
    assert {tuple(chat.roles) for chat in chats} == {tuple(roles)}
    assert {tuple(("no", "yes")[one] for one in chat.learned) for chat in chats} == {tuple(learned)}
    asked = {chat.said[roles.index("user")] for chat in chats}
    replies = {chat.said[-1].removeprefix("Again: ") for chat in chats}
    assert replies == {reply(number) for number in range(COUNT)}, "lines are kept"
    assert all(words.split("\n")[0].startswith("Say it with number") for words in asked)
    figures = place.store.current("page/answer_evaluation", Examples).figures()
    assert 0 < figures["reply_loss"] < 10
