"""The page that goes with an exported model: how it is used and what it was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.lineage import tree

if TYPE_CHECKING:
    from pipelines.lineage import Node

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
"""
_CHAT = """
It was fine-tuned to reply: `tokenizer.apply_chat_template(messages, add_generation_prompt=True)`
writes turns of `user` and `assistant` as it learned them.
"""
_TEXT = """
Where the model was trained, no text could spell a control token. `transformers` takes
`<|endoftext|>`, `<|user|>` and `<|assistant|>` in a text for the tokens: give
`split_special_tokens=True` with text from strangers.

## What it was made of

Every artefact by its key and the first digits of its version; `lineage.json` has them whole, with
what decided each and the sha256 of its files.

```
{tree}
```

| source | licence |
| --- | --- |
{licences}
"""


def model_card(lineage: Node, class_name: str, *, chats: bool) -> str:
    """A README in Markdown with the header that the Hugging Face hub reads."""
    artefact = lineage.artefact
    licences = [
        f"| {node.artefact.key} | {node.record.decides['recipe']['licence']} |"
        for node in lineage.walk()
        if "licence" in node.record.decides["recipe"]
    ]
    head = _HEAD.format(
        key=artefact.key,
        parameters=int(artefact.figures()["parameters"]),
        class_name=class_name,
    )
    text = _TEXT.format(tree="\n".join(tree(lineage)), licences="\n".join(licences))
    return head + (_CHAT if chats else "") + text
