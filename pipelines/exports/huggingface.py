"""Writes a model as a folder that stock ``transformers`` loads without our code.

config.json, model.safetensors               the network, with the names of a stock class
tokenizer.json, tokenizer_config.json        the tokenizer; for an assistant with a chat template
generation_config.json                       the tokens that end a text
README.md, lineage.json                      the lineage, and every file's sha256
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.core.identity import canonical, file_digest
from pipelines.exports.model_card import model_card
from pipelines.lineage.trace import LINEAGE
from pipelines.text.errors import TextError
from pipelines.tokens.tokenizers import TOKENIZER_JSON, HuggingFaceTokenizer
from pipelines.tokens.tokenizers.conversion import to_tokenizer_json
from pipelines.tokens.tokenizers.interface import ASSISTANT, USER

if TYPE_CHECKING:
    from torch import Tensor

    from model.architectures.gpt.config import GPTConfig
    from model.interop import Layout
    from pipelines.lineage.trace import Node
    from pipelines.tokens.tokenizers import Tokenizer
    from pipelines.training.artefacts import Checkpoint

# Texts that must have the same ids in both libraries, each alone and all of them joined.
PROBES = (
    "It's a test: 1234 5, né?",
    " two  spaces\n\n\tand\r\nlines ",
    "日本語 🙂 \u00a0|<x>",
    "'LL",
)


def export_hf(checkpoint: Checkpoint, tokenizer: Tokenizer, lineage: Node, folder: Path) -> str:
    """Write a model into ``folder`` and return the name of the class that loads it.

    An adapter is merged into the weights that it adapts. Raises ValueError for a folder with
    content. Raises ValueError naming the option that no stock class supports.
    """
    with drafted(folder) as draft:
        return _write(checkpoint, tokenizer, lineage, draft)


@contextlib.contextmanager
def drafted(folder: Path) -> Iterator[Path]:
    """A folder to fill, which becomes ``folder`` at the end of the block.

    ``folder`` must be empty or not exist; it is not changed if the block fails. Raises ValueError
    for a folder with content.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder}: not an empty folder; remove it or choose another with --to")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as aside:
        draft = Path(aside, "draft")
        draft.mkdir()
        yield draft
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)


def _write(checkpoint: Checkpoint, tokenizer: Tokenizer, lineage: Node, folder: Path) -> str:
    words = to_tokenizer_json(tokenizer)
    _require_same_ids(tokenizer, words)
    (folder / TOKENIZER_JSON).write_bytes(words)
    layout, context_length = _write_network(checkpoint, tokenizer, lineage, folder)
    # Examples are conversations: a classifier was refused above.
    chats = "examples" in lineage.record.reads or tokenizer.template.brought
    names = _names(words, tokenizer)
    options = _tokenizer_config(names, tokenizer, context_length, chats)
    write_json(folder / "tokenizer_config.json", options)
    write_json(folder / "generation_config.json", _ends(tokenizer, chats=chats))
    begins = None if tokenizer.beginning is None else names["bos"]
    form = {"chats": chats, "brought": tokenizer.template.brought}
    card = model_card(lineage, layout.class_name, layout.since, begins, names["eos"], **form)
    (folder / "README.md").write_text(card, "utf-8")
    write_lineage(lineage, folder)
    return layout.class_name


def write_lineage(lineage: Node, folder: Path) -> None:
    """Write lineage.json, with the sha256 of all other files of the folder."""
    exported = {path.name: file_digest(path) for path in sorted(folder.iterdir())}
    write_json(folder / LINEAGE, {**_traced(lineage), "exported": exported})


def _write_network(
    checkpoint: Checkpoint, tokenizer: Tokenizer, lineage: Node, folder: Path
) -> tuple[Layout, int]:
    """Write config.json and model.safetensors; return the layout and the context length."""
    from safetensors.torch import save

    layout, config = layout_of(checkpoint)
    options = layout.config_to(config) | _ends(tokenizer)
    write_json(folder / "config.json", options)
    tensors = layout.tensors_to(_whole(checkpoint, lineage), config)
    # transformers requires this entry: it names the library whose tensors these are.
    (folder / "model.safetensors").write_bytes(save(tensors, metadata={"format": "pt"}))
    return layout, config.context_length


def layout_of(checkpoint: Checkpoint) -> tuple[Layout, GPTConfig]:
    """The layout of the stock class that holds a network, and the network's configuration.

    Raises ValueError for a classifier and for another architecture than gpt.
    """
    from model.architectures import find
    from model.interop import layout_for

    about = checkpoint.config()
    if about["architecture"] != "gpt" or "labels" in about:
        form = "a classifier" if "labels" in about else f"architecture={about['architecture']}"
        raise ValueError(
            f"{checkpoint.key}: {form} cannot be exported; name a foundation or an assistant of"
            " architecture gpt"
        )
    config: GPTConfig = find("gpt").config(**about["network"])
    return layout_for(config), config


def base_of(checkpoint: Checkpoint, lineage: Node) -> Node:
    """Where the weights that an adapter adapts stand in its lineage."""
    version = checkpoint.config()["base"]["version"]
    return next(node for node in lineage.walk() if node.artefact.version == version)


def _whole(checkpoint: Checkpoint, lineage: Node) -> Mapping[str, Tensor]:
    """The weights; those of an adapter are merged."""
    if not checkpoint.is_adapter:
        return checkpoint.tensors()
    from model.training.state import weights
    from pipelines.training.checkpoint import load_network

    base: Any = base_of(checkpoint, lineage).artefact
    return weights(load_network(checkpoint, base).cpu())


def _ends(tokenizer: Tokenizer, *, chats: bool = False) -> dict[str, Any]:
    """The ids of special tokens for the configurations; a role's token also ends a reply."""
    ids = _around(tokenizer)
    controls = (ids["eos"], tokenizer.template.end, tokenizer.user, tokenizer.assistant)
    ends = list(dict.fromkeys(controls)) if chats else ids["eos"]
    return {f"{role}_token_id": i for role, i in ids.items()} | {"eos_token_id": ends}


def _around(tokenizer: Tokenizer) -> dict[str, int]:
    """The ids that begin, end and pad a text, by their names in ``transformers``."""
    named = tokenizer.named.beginning if isinstance(tokenizer, HuggingFaceTokenizer) else None
    begins = tokenizer.end_of_text if named is None else named
    return {"bos": begins, "eos": tokenizer.end_of_text, "pad": tokenizer.pad}


def _names(words: bytes, tokenizer: Tokenizer) -> dict[str, str]:
    """The tokens that begin, end and pad a text, as the file spells them."""
    import tokenizers

    library = tokenizers.Tokenizer.from_str(words.decode())
    return {role: str(library.id_to_token(i)) for role, i in _around(tokenizer).items()}


def _tokenizer_config(
    names: Mapping[str, str], tokenizer: Tokenizer, context_length: int, chats: bool
) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **{f"{role}_token": name for role, name in names.items()},
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        **({"chat_template": tokenizer.template.jinja} if chats else {}),
    }


def _require_same_ids(tokenizer: Tokenizer, words: bytes) -> None:
    """Raise TextError if the library encodes a text or a turn differently from our tokenizer."""
    import tokenizers

    library = tokenizers.Tokenizer.from_str(words.decode())
    texts = (*PROBES, "".join(PROBES))
    turns = [f"{USER} {text}{ASSISTANT}" for text in texts]
    turn = [library.encode(text, add_special_tokens=False).ids for text in turns]
    library.encode_special_tokens = True
    for text, ids in zip(texts, turn, strict=True):
        expected = [tokenizer.user, *tokenizer.encode(f" {text}"), tokenizer.assistant]
        opened = [*tokenizer.opening, *tokenizer.encode(text)]
        if [library.encode(text).ids, ids] != [opened, expected]:
            raise TextError(
                f"tokenizer kind={tokenizer.kind}: {text!r} gets other ids from its tokenizer.json;"
                " train with a tokenizer of kind: bpe"
            )


def _traced(lineage: Node) -> dict[str, Any]:
    """The lineage as data: each artefact's identity, its recipe part, its parents and its files."""
    return {
        "key": lineage.artefact.key,
        "version": lineage.artefact.version,
        "artefacts": [
            {
                "key": node.artefact.key,
                "version": node.artefact.version,
                "derivation": node.artefact.derivation,
                "recipe": node.record.decides["recipe"],
                "parents": [
                    {"key": parent.artefact.key, **link}
                    for parent, link in zip(node.parents, node.record.parents, strict=True)
                ],
                "files": {name: entry.sha256 for name, entry in node.artefact.files.items()},
            }
            for node in lineage.walk()
        ],
    }


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON for people."""
    pretty = json.dumps(json.loads(canonical(value)), indent=2, ensure_ascii=False)
    path.write_text(f"{pretty}\n", encoding="utf-8")
