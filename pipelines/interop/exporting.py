"""A model as a folder that stock ``transformers`` loads, without any code of ours.

config.json, model.safetensors               the network, under a stock class's names
tokenizer.json, tokenizer_config.json        the tokenizer; for an assistant with a chat template
generation_config.json                       where a text ends
README.md, lineage.json                      what it was made of, and every file's sha256
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.identity import canonical, file_digest
from pipelines.interop.modelcard import model_card
from pipelines.lineage import LINEAGE
from pipelines.text.errors import TextError
from pipelines.text.tokenizers import TOKENIZER_JSON
from pipelines.text.tokenizers.conversion import to_tokenizer_json
from pipelines.text.tokenizers.interface import ASSISTANT, USER

if TYPE_CHECKING:
    from pipelines.artifacts import Checkpoint
    from pipelines.lineage import Node
    from pipelines.text.tokenizers import Tokenizer

# ``encode_prompt`` (pipelines/text/examples.py) as a template: a role's token, a space, the words.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}{{ '<|user|>' }}"
    "{%- elif message['role'] == 'assistant' -%}{{ '<|assistant|>' }}"
    "{%- else -%}{{ raise_exception('roles are user and assistant') }}{%- endif -%}"
    "{{ ' ' + message['content'] }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"
)
# Texts that must come out alike in both libraries, each alone and one behind the other.
PROBES = (
    "It's a test: 1234 5, né?",
    " two  spaces\n\n\tand\r\nlines ",
    "日本語 🙂 \u00a0|<x>",
    "'LL",
)


def export_hf(checkpoint: Checkpoint, tokenizer: Tokenizer, lineage: Node, folder: Path) -> str:
    """Write a model into ``folder``, which must not exist or be empty; the class that loads it.

    Nothing is left where it fails. Raises ValueError for a folder that holds something, and for
    what no stock class can hold, naming the option.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder}: not an empty folder; remove it or choose another with --to")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as aside:
        draft = Path(aside, "draft")
        draft.mkdir()
        class_name = _write(checkpoint, tokenizer, lineage, draft)
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    return class_name


def _write(checkpoint: Checkpoint, tokenizer: Tokenizer, lineage: Node, folder: Path) -> str:
    words = to_tokenizer_json(tokenizer)
    _require_same_ids(tokenizer, words)
    (folder / TOKENIZER_JSON).write_bytes(words)
    class_name, context_length = _write_network(checkpoint, tokenizer, folder)
    chats = checkpoint.key.startswith("assistant/")
    told = _tokenizer_config(words, tokenizer, context_length, chats)
    _write_json(folder / "tokenizer_config.json", told)
    _write_json(folder / "generation_config.json", _ends(tokenizer, chats=chats))
    (folder / "README.md").write_text(model_card(lineage, class_name, chats=chats), "utf-8")
    exported = {path.name: file_digest(path) for path in sorted(folder.iterdir())}
    _write_json(folder / LINEAGE, {**_traced(lineage), "exported": exported})
    return class_name


def _write_network(checkpoint: Checkpoint, tokenizer: Tokenizer, folder: Path) -> tuple[str, int]:
    """config.json and model.safetensors; the class, and the longest text it reads."""
    from safetensors.torch import save

    from model.architectures import find
    from model.interop import layout_for

    about = checkpoint.config()
    if about["architecture"] != "gpt" or "labels" in about:
        what = "a classifier" if "labels" in about else f"architecture={about['architecture']}"
        raise ValueError(
            f"{checkpoint.key}: {what} has no stock class here; a foundation or an assistant of"
            " architecture gpt has"
        )
    config = find("gpt").config(**about["network"])
    layout = layout_for(config)
    options = layout.config_to(config) | _ends(tokenizer)
    _write_json(folder / "config.json", options)
    tensors = layout.tensors_to(checkpoint.tensors(), config)
    # transformers wants to be told whose tensors these are.
    (folder / "model.safetensors").write_bytes(save(tensors, metadata={"format": "pt"}))
    return layout.class_name, config.context_length


def _ends(tokenizer: Tokenizer, *, chats: bool = False) -> dict[str, Any]:
    """Where a text ends; a reply ends as well where a turn would begin."""
    end = tokenizer.end_of_text
    ends = [end, tokenizer.user, tokenizer.assistant] if chats else end
    return {"bos_token_id": end, "eos_token_id": ends, "pad_token_id": end}


def _tokenizer_config(
    words: bytes, tokenizer: Tokenizer, context_length: int, chats: bool
) -> dict[str, Any]:
    added = {token["id"]: token["content"] for token in json.loads(words)["added_tokens"]}
    end = added[tokenizer.end_of_text]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": end,
        "eos_token": end,
        "pad_token": end,
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        **({"chat_template": CHAT_TEMPLATE} if chats else {}),
    }


def _require_same_ids(tokenizer: Tokenizer, words: bytes) -> None:
    """TextError where the library would read a text, or a turn, otherwise than we do."""
    import tokenizers

    library = tokenizers.Tokenizer.from_str(words.decode())
    texts = (*PROBES, "".join(PROBES))
    turn = [library.encode(f"{USER} {text}{ASSISTANT}").ids for text in texts]
    library.encode_special_tokens = True
    for text, found in zip(texts, turn, strict=True):
        told = [library.encode(text, add_special_tokens=False).ids, found]
        said = [tokenizer.user, *tokenizer.encode(f" {text}"), tokenizer.assistant]
        if told != [tokenizer.encode(text), said]:
            raise TextError(
                f"tokenizer kind={tokenizer.kind}: {text!r} has other ids in its tokenizer.json; "
                "train with kind: bpe"
            )


def _traced(lineage: Node) -> dict[str, Any]:
    """The lineage as data: of each artefact its identity, what decided it, and its parents."""
    return {
        "key": lineage.artefact.key,
        "version": lineage.artefact.version,
        "artefacts": [
            {
                "key": node.artefact.key,
                "version": node.artefact.version,
                "derivation": node.artefact.derivation,
                "recipe": node.record.decides["recipe"],
                "parents": [dict(parent) for parent in node.record.parents],
                "files": {name: entry.sha256 for name, entry in node.artefact.files.items()},
            }
            for node in lineage.walk()
        ],
    }


def _write_json(path: Path, value: Any) -> None:
    pretty = json.dumps(json.loads(canonical(value)), indent=2, ensure_ascii=False)
    path.write_text(f"{pretty}\n", encoding="utf-8")
