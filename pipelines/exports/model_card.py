"""The README of an exported model: its use and its lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.lineage.licences import NO_ADVICE
from pipelines.lineage.tree import tree
from pipelines.text.spdx import asks, licence_of

if TYPE_CHECKING:
    from pipelines.lineage.trace import Node

_HEAD = """\
---
library_name: transformers
pipeline_tag: text-generation
tags: [dragon]
---

# {key}

{parameters:,} parameters, loaded by `{class_name}` without code of its own:

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(".")
tokenizer = AutoTokenizer.from_pretrained(".")
```

It needs `transformers` {since} or later, `tokenizers` 0.20 or later (merges are written as pairs)
and `safetensors`. {framing}
"""
_ADAPTER_HEAD = """\
---
library_name: peft
base_model: {base}
pipeline_tag: text-generation
tags: [dragon, lora]
---

# {key}

An adapter of {parameters:,} parameters for {base}, a `{class_name}` of {whole:,}. It is used
together with an export of that:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained("THE EXPORT OF {base}")
model = PeftModel.from_pretrained(base, ".")
```

The weights of the base must be those of version {version}; `dragon export` writes them, and the
adapter merged into them too.
"""
_CHAT = """
It was fine-tuned to reply: `tokenizer.apply_chat_template(messages, add_generation_prompt=True)`
writes turns of `user` and `assistant` in the form that it was trained on. A system message at the
start of a conversation is put before the text of the next turn, and a turn of a `tool` is written
as a user's.
"""
_BROUGHT_CHAT = """
`tokenizer.apply_chat_template(messages, add_generation_prompt=True)` writes a conversation by the
template that came with the weights that it was made from; it was trained and evaluated in that
form.
"""
_CONTROLS = """
In training no text could become a control token. `transformers` reads `{end}`, `<|user|>` and
`<|assistant|>` in a text as control tokens: give `split_special_tokens=True` with text that you do
not trust.
"""
_TEXT = """
## What it was made of

Each artefact has its key and the first digits of its version. `lineage.json` has the full versions,
the settings that decided each artefact, and the sha256 of its files.

```
{tree}
```

| source | licence | asks for |
| --- | --- | --- |
{licences}

{note} `dragon licences {key}` counts the documents that were read under each.
"""


def model_card(
    lineage: Node,
    class_name: str,
    since: str,
    begins: str | None,
    end: str,
    *,
    chats: bool,
    brought: bool = False,
) -> str:
    """A README in Markdown with the header that the Hugging Face hub reads.

    ``since`` is the first version of transformers that loads the model. ``begins`` is the token
    before a text, or None; ``end`` is the token after it. ``chats``: it has a template of
    conversations; ``brought``: that came with the weights it was made from.
    """
    artefact = lineage.artefact
    head = _HEAD.format(
        key=artefact.key,
        parameters=int(artefact.figures()["parameters"]),
        class_name=class_name,
        since=since,
        framing=_framing(begins, end),
    )
    chat = (_BROUGHT_CHAT if brought else _CHAT) if chats else ""
    return head + chat + _CONTROLS.format(end=end) + _made_of(lineage)


def adapter_card(lineage: Node, class_name: str, base: str) -> str:
    """A README of an adapter, which is used with the weights of the key ``base``."""
    artefact = lineage.artefact
    figures, config = artefact.figures(), artefact.json("config.json")
    head = _ADAPTER_HEAD.format(
        key=artefact.key,
        base=base,
        class_name=class_name,
        parameters=int(figures["trained_parameters"]),
        whole=int(figures["parameters"]),
        version=config["base"]["version"],
    )
    return head + _made_of(lineage)


def _made_of(lineage: Node) -> str:
    """The lineage as a tree, and the licences of its sources."""
    licences = [
        _row(node.artefact.key, node.record.decides["recipe"]["licence"])
        for node in lineage.walk()
        if "licence" in node.record.decides["recipe"]
    ]
    return _TEXT.format(
        key=lineage.artefact.key,
        tree="\n".join(tree(lineage)),
        licences="\n".join(licences),
        note=NO_ADVICE,
    )


def _row(key: str, stated: str) -> str:
    """A source, its licence as an SPDX expression, and what that asks for."""
    licence = licence_of(stated)
    return f"| {key} | {licence.expression} | {', '.join(asks(licence)) or 'nothing'} |"


def _framing(begins: str | None, end: str) -> str:
    """The sentence that says which tokens stand before and after a text."""
    before = (
        f"The tokenizer puts nothing before a text; Dragon's own samples begin with `{end}`"
        if begins is None
        else f"`{begins}` stands before every text (the tokenizer puts it there)"
    )
    return f"{before}; `{end}` ends it."
