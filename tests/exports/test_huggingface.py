"""A model exported is the same model in transformers, which runs no code of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import tokenizers
import torch
import torch.nn.functional as F
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from model.architectures.gpt.config import PRESETS, GPTConfig
from model.architectures.gpt.network import Decoder
from model.batches.batching import IGNORED
from pipelines.cli.export import export
from pipelines.core.artefact import CorruptArtefact
from pipelines.core.identity import canonical
from pipelines.core.project import CHECKOUT
from pipelines.core.record import Record, StoreError
from pipelines.core.store import Store
from pipelines.core.work import seal
from pipelines.examples.pairs import reply_chat
from pipelines.exports.huggingface import export_hf
from pipelines.inference.replies import reply
from pipelines.interop.network import take_network
from pipelines.interop.vocabulary import read_words
from pipelines.lineage.trace import Node, locate, trace
from pipelines.text.errors import TextError
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.tokens.tokenizers import BytePairTokenizer, HuggingFaceTokenizer, Tokenizer
from pipelines.tokens.tokenizers.bpe_training import train_bpe
from pipelines.tokens.tokenizers.conversion import to_tokenizer_json
from pipelines.tokens.tokenizers.openai import published
from pipelines.tokens.tokenizers.words import train_words
from pipelines.tokens.turns import alternating, encode_prompt
from pipelines.training.artefacts import Checkpoint
from pipelines.training.chats import chat_examples

SHARED = Path(__file__).parents[3] / "shared" / "data"
TEXTS = ["A: Hi, how are you?\nB: I'm fine, thank you; and you?\n"] * 3 + ["aaa abab ababa"] * 2
AWKWARD = [
    "It's 1234 o'clock;  two  spaces\n\n\tand\r\n lines ",
    "na\u00efve e\u0301 \u65e5\u672c\u8a9e \U0001f642\u200d\U0001f525 \u00a0\u3000|",
    "'LL 'll I'LL \u017f's \u00b2\u2460 \ufb01 aaaaaaa abababab",
    "<|user|> and <|endoftext|> are words here",
    "\x00\x7f\ufffe\U0010ffff",
    "",
]
SIZES = {"context_length": 48, "d_model": 32, "n_layers": 2, "n_heads": 4}


@pytest.fixture(scope="module")
def words() -> BytePairTokenizer:
    return train_bpe(TEXTS, 290)


def network(config: GPTConfig) -> Decoder:
    made = Decoder(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0.1, 0.3, generator=generator)
    return made


def published_model(
    store: Store, key: str, model: Decoder, tokenizer: Tokenizer, draft: Path
) -> tuple[Checkpoint, Node]:
    """A model and its tokenizer in a store, as two assets would have published them."""
    name = key.split("/")[0]

    def publish(made: str, view: str, parents: tuple[dict[str, str], ...], about: Any) -> Record:
        inputs = {parent["input"]: parent["version"] for parent in parents}
        decides = {"code": made, "recipe": about, "libraries": {}, "inputs": inputs}
        record = Record(seal(draft), view, decides, parents, {"key": made})
        store.publish(made, draft, record)
        return record

    def parent(name: str, record: Record) -> dict[str, str]:
        return {"input": name, "version": record.version, "derivation": record.derivation}

    draft.mkdir(parents=True)
    tokenizer.save(draft)
    told = publish(f"{name}/tokenizer", "TokenizerFiles", (), {"licence": "CC0-1.0"})
    parents = [parent("tokenizer", told)]
    if key.endswith("_assistant"):
        draft.mkdir()
        (draft / "pairs").write_text("")
        parents.append(parent("examples", publish("talk/reply_examples", "Examples", (), {})))
    draft.mkdir(exist_ok=True)
    about = {
        "architecture": "gpt",
        "network": asdict(model.config),
        "tokenizer": {"version": told.version},
    }
    (draft / "config.json").write_bytes(canonical(about))
    (draft / "model.safetensors").write_bytes(save(dict(model.state_dict())))
    count = sum(parameter.numel() for parameter in model.parameters())
    (draft / "figures.json").write_bytes(canonical({"parameters": count}))
    publish(key, "Checkpoint", tuple(parents), {})
    checkpoint = store.current(key, Checkpoint)
    return checkpoint, trace(store, checkpoint)


def exported(
    tmp_path: Path, model: Decoder, tokenizer: Tokenizer, key: str = "small/foundation"
) -> Path:
    checkpoint, lineage = published_model(
        Store(tmp_path / "store"), key, model, tokenizer, tmp_path / "draft"
    )
    export_hf(checkpoint, tokenizer, lineage, tmp_path / "export")
    return tmp_path / "export"


def require_same_model(folder: Path, ours: Decoder, tokenizer: Tokenizer) -> None:
    """Stock classes, from the folder alone: our ids and our logits."""
    theirs, loading = transformers.AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True
    )
    assert not any(loading.values())
    assert theirs.config.eos_token_id == tokenizer.end_of_text
    spoken = transformers.AutoTokenizer.from_pretrained(folder)
    ids = [i for text in AWKWARD for i in tokenizer.encode(text)][: ours.context_length]
    tokens = torch.tensor([ids])
    with torch.no_grad():
        torch.testing.assert_close(theirs.eval()(tokens).logits, ours(tokens), atol=1e-4, rtol=0)
    for text in AWKWARD:
        told = spoken.encode(text, add_special_tokens=False, split_special_tokens=True)
        assert told == tokenizer.encode(text)
        assert spoken.decode(told) == tokenizer.decode(told)
    control = [tokenizer.end_of_text, tokenizer.user, tokenizer.assistant]
    assert spoken.encode("<|endoftext|><|user|><|assistant|>") == control
    assert (spoken.eos_token_id, spoken.bos_token_id) == (tokenizer.end_of_text,) * 2
    assert {path.name for path in folder.iterdir()} == {
        *("config.json", "generation_config.json", "model.safetensors", "tokenizer.json"),
        *("tokenizer_config.json", "README.md", "lineage.json"),
    }


@pytest.mark.parametrize(
    ("options", "class_name"),
    [
        (PRESETS["modern"] | {"n_kv_heads": 2}, "NanoChatForCausalLM"),
        (PRESETS["gpt2"], "GPT2LMHeadModel"),
        (PRESETS["llama"], "LlamaForCausalLM"),
        (PRESETS["llama"] | {"qk_norm": True, "qk_gain": True}, "Qwen3ForCausalLM"),
    ],
    ids=["modern", "gpt2", "llama", "qwen3"],
)
def test_transformers_loads_what_is_exported(
    options: dict[str, Any], class_name: str, words: BytePairTokenizer, tmp_path: Path
) -> None:
    ours = network(GPTConfig(**options | SIZES, vocab_size=words.vocab_size))
    folder = exported(tmp_path, ours, words)
    assert json.loads((folder / "config.json").read_text())["architectures"] == [class_name]
    require_same_model(folder, ours, words)


def test_a_tokenizer_that_came_along_goes_out_again(tmp_path: Path) -> None:
    spoken = HuggingFaceTokenizer(library(["<|endoftext|>"]).to_str().encode())
    ours = network(GPTConfig(**SIZES, vocab_size=spoken.vocab_size))
    require_same_model(exported(tmp_path, ours, spoken), ours, spoken)


# Out, in again, and out once more


def library(ends: list[str], opens: str | None = None) -> tokenizers.Tokenizer:
    """A byte-level tokenizer with some special tokens, one of which may stand before a text."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=280,
        special_tokens=ends,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(TEXTS, trainer)
    if opens is not None:
        made.post_processor = tokenizers.processors.TemplateProcessing(
            single=f"{opens} $A", special_tokens=[(opens, made.token_to_id(opens))]
        )
    return made


def came_with(library: tokenizers.Tokenizer, **beside: Any) -> HuggingFaceTokenizer:
    """The tokenizer of a folder that holds these files, JSON by their names."""
    files = {name.replace("__", "."): json.dumps(told).encode() for name, told in beside.items()}
    files["tokenizer.json"] = library.to_str().encode()
    return read_words(files, files.__getitem__)


def taken(folder: Path) -> tuple[Decoder, HuggingFaceTokenizer]:
    """The network and the tokenizer of an exported folder, as a recipe takes them."""
    names = [path.name for path in folder.iterdir()]
    files = SimpleNamespace(names=lambda: names, content=lambda n: (folder / n).read_bytes())
    spoken = read_words(names, files.content)
    return take_network(cast(Any, files), spoken, None).eval(), spoken


def controls(tokenizer: Tokenizer) -> tuple[Any, ...]:
    ids = (tokenizer.end_of_text, tokenizer.user, tokenizer.assistant, tokenizer.beginning)
    return (*ids, tokenizer.pad, tokenizer.vocab_size)


LOADED = {
    "no roles": lambda: came_with(library(["<|endoftext|>"])),
    "no end": lambda: came_with(library(["[X]"])),
    "an end of its own": lambda: came_with(
        library(["<a>", "</s>", "<stop>", "<fill>"]),
        tokenizer_config__json={"eos_token": "<stop>", "pad_token": {"content": "<fill>"}},
    ),
    "a beginning": lambda: came_with(
        library(["<s>", "</s>"], "<s>"), config__json={"bos_token_id": 0, "eos_token_id": [1, 0]}
    ),
}
ROUND = {
    **{f"bpe, {preset}": (preset, None) for preset in ("modern", "gpt2", "llama")},
    **{f"loaded, {name}": ("llama", kind) for name, kind in LOADED.items()},
}


@pytest.mark.parametrize(("preset", "kind"), ROUND.values(), ids=ROUND)
def test_what_was_exported_and_loaded_is_exported_alike(
    preset: str, kind: Any, words: BytePairTokenizer, tmp_path: Path
) -> None:
    spoken: Tokenizer = words if kind is None else kind()
    ours = network(GPTConfig(**PRESETS[preset] | SIZES, vocab_size=spoken.vocab_size))
    first = exported(tmp_path / "first", ours, spoken, key="small/reply_assistant")
    again, loaded = taken(first)
    assert controls(loaded) == controls(spoken)
    ids = [i for text in AWKWARD for i in spoken.encode(text)]
    assert [i for text in AWKWARD for i in loaded.encode(text)] == ids
    tokens = torch.tensor([ids[: ours.context_length]])
    with torch.no_grad():
        assert torch.equal(again(tokens), ours(tokens))
    second = exported(tmp_path / "second", again, loaded, key="small/reply_assistant")
    same = ("model.safetensors", "config.json", "generation_config.json", "tokenizer_config.json")
    for name in same:
        assert (second / name).read_bytes() == (first / name).read_bytes(), name
    assert controls(taken(second)[1]) == controls(spoken)


def test_an_assistant_that_was_loaded_answers_and_learns(
    words: BytePairTokenizer, tmp_path: Path
) -> None:
    def learn(network: Decoder, tokenizer: Tokenizer, answer: str) -> None:
        chats = [reply_chat("1", "1", ["Hi, how are you?"], answer)]
        (batch,) = chat_examples(tokenizer, chats, context_length=48, batch_size=1).in_order()
        optimiser = torch.optim.Adam(network.parameters(), 0.01)
        for _ in range(60):
            loss = F.cross_entropy(network(batch.tokens)[0], batch.targets[0], ignore_index=IGNORED)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    def answer(network: Decoder, tokenizer: Tokenizer) -> str:
        return "".join(
            reply(network, tokenizer, alternating(["Hi, how are you?"]), 0, 20, temperature=0.0)
        )

    torch.manual_seed(0)
    ours = Decoder(GPTConfig(**SIZES, vocab_size=words.vocab_size))
    learn(ours, words, "I'm fine, thank you")
    assert answer(ours, words) == "I'm fine, thank you"
    folder = exported(tmp_path, ours, words, key="small/reply_assistant")
    again, loaded = taken(folder)
    assert answer(again, loaded) == "I'm fine, thank you"
    learn(again, loaded, "and you?")
    assert answer(again, loaded) == "and you?"


def test_the_ends_that_came_along_go_out_again(tmp_path: Path) -> None:
    spoken = LOADED["an end of its own"]()
    ours = network(GPTConfig(**PRESETS["llama"] | SIZES, vocab_size=spoken.vocab_size))
    folder = exported(tmp_path, ours, spoken)
    config = json.loads((folder / "config.json").read_text())
    told = {name: config[f"{name}_token_id"] for name in ("bos", "eos", "pad")}
    assert told == {"bos": 2, "eos": 2, "pad": 3}
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    assert (theirs.eos_token, theirs.pad_token) == ("<stop>", "<fill>")
    generation = transformers.GenerationConfig.from_pretrained(folder)
    assert generation.eos_token_id == 2


def test_what_stands_before_a_text_goes_out_again(tmp_path: Path) -> None:
    spoken = LOADED["a beginning"]()
    assert (spoken.beginning, spoken.start, spoken.end_of_text) == (0, 0, 1)
    ours = network(GPTConfig(**PRESETS["llama"] | SIZES, vocab_size=spoken.vocab_size))
    folder = exported(tmp_path, ours, spoken, key="small/reply_assistant")
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    assert theirs.encode("Hi, you") == [0, *spoken.encode("Hi, you")]
    assert (theirs.bos_token_id, theirs.eos_token_id) == (0, 1)
    told = theirs.apply_chat_template(
        [{"role": "user", "content": "Hi"}], add_generation_prompt=True
    )["input_ids"]
    assert told == encode_prompt(spoken, alternating(["Hi"]), 500)
    assert told[0] == 0
    assert "`<s>` stands before every text" in (folder / "README.md").read_text()


def test_an_assistants_chat_template_writes_what_it_learned(
    words: BytePairTokenizer, tmp_path: Path
) -> None:
    ours = network(GPTConfig(**SIZES, vocab_size=words.vocab_size))
    folder = exported(tmp_path, ours, words, key="small/reply_assistant")
    spoken = transformers.AutoTokenizer.from_pretrained(folder)
    turns = ["Hi, how are you?", "I'm  fine\nthanks", " and you?"]
    for count in (1, 3):
        roles = ["user", "assistant", "user"]
        said = zip(roles[:count], turns[:count], strict=True)
        messages = [{"role": role, "content": text} for role, text in said]
        told = spoken.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
        assert told == encode_prompt(words, alternating(turns[:count]), 500)
    folded = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    told = spoken.apply_chat_template(folded, add_generation_prompt=True)["input_ids"]
    assert told == encode_prompt(words, alternating(["Be kind.\n\nHi"]), 500)
    parts = [{"type": "text", "text": "Hi, "}, {"type": "text", "text": "you"}]
    told = spoken.apply_chat_template([{"role": "user", "content": parts}], tokenize=False)
    assert told == "<|user|> Hi, you"
    for role, content, fault in (
        ("critic", "x", "roles are user, assistant and tool"),
        ("system", "x", "roles are user, assistant and tool"),
        ("user", [{"type": "image", "url": "x"}], "content is text, or a list of parts of type"),
    ):
        with pytest.raises(Exception, match=fault):
            spoken.apply_chat_template([{"role": role, "content": content}])
    generation = transformers.GenerationConfig.from_pretrained(folder)
    assert generation.eos_token_id == [words.end_of_text, words.user, words.assistant]


def test_a_template_that_came_along_goes_out_again(tmp_path: Path) -> None:
    """Also of weights that nobody has taught anything yet."""
    jinja = (
        "{% for m in messages %}{{ '<s>' + m['role'] + '\n' + m['content'] + '</s>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<s>assistant\n' }}{% endif %}"
    )
    options = {"bos_token": "<s>", "eos_token": "</s>", "chat_template": jinja}
    spoken = came_with(library(["<s>", "</s>"]), tokenizer_config__json=options)
    assert spoken.template.brought
    ours = network(GPTConfig(**PRESETS["llama"] | SIZES, vocab_size=spoken.vocab_size))
    folder = exported(tmp_path, ours, spoken)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    assert theirs.chat_template == jinja
    messages = [{"role": "user", "content": "Hi, how are you?"}]
    told = theirs.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    assert told == encode_prompt(spoken, alternating(["Hi, how are you?"]), 99)
    assert spoken.template.end in transformers.GenerationConfig.from_pretrained(folder).eos_token_id
    assert "template that came with the weights" in (folder / "README.md").read_text()
    assert taken(folder)[1].template == spoken.template


def test_the_lineage_goes_along(words: BytePairTokenizer, tmp_path: Path) -> None:
    ours = network(GPTConfig(**SIZES, vocab_size=words.vocab_size))
    folder = exported(tmp_path, ours, words)
    told = json.loads((folder / "lineage.json").read_text())
    store = Store(tmp_path / "store")
    checkpoint = store.current("small/foundation", Checkpoint)
    assert (told["key"], told["version"]) == (checkpoint.key, checkpoint.version)
    found = {entry["key"]: entry for entry in told["artefacts"]}
    assert found.keys() == {"small/foundation", "small/tokenizer"}
    tokenizer = store.current("small/tokenizer", TokenizerFiles)
    assert found["small/foundation"]["parents"] == [
        {
            "key": tokenizer.key,
            "input": "tokenizer",
            "version": tokenizer.version,
            "derivation": tokenizer.derivation,
        }
    ]
    assert found["small/tokenizer"]["files"]["ranks.tiktoken"] == (
        tokenizer.files["ranks.tiktoken"].sha256
    )
    card = (folder / "README.md").read_text()
    assert "NanoChatForCausalLM" in card
    assert "`transformers` 5.0 or later, `tokenizers` 0.20 or later" in card
    assert "Dragon's own samples begin with `<|endoftext|>`; `<|endoftext|>` ends it." in card
    assert f"small/foundation  {checkpoint.version[:12]}" in card
    assert "| small/tokenizer | CC0-1.0 |" in card


def test_an_export_is_traced_to_what_it_was_made_from(
    words: BytePairTokenizer, tmp_path: Path
) -> None:
    folder = exported(tmp_path, network(GPTConfig(**SIZES, vocab_size=words.vocab_size)), words)
    store = Store(tmp_path / "store")
    made = store.current("small/foundation", Checkpoint)
    listing, weights = folder / "lineage.json", folder / "model.safetensors"
    for target in (folder, listing, weights, folder / "README.md"):
        found = locate(store, str(target))
        assert (found.key, found.version) == (made.key, made.version)
    with pytest.raises(StoreError, match=f"from small/foundation {made.version[:12]}, which"):
        locate(Store(tmp_path / "another"), str(folder))
    whole = json.loads(listing.read_text())
    assert set(whole["exported"]) == {path.name for path in folder.iterdir()} - {listing.name}
    # Alone it has no lineage, only advice; the same numbers under another header have neither.
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes(weights.read_bytes())
    with pytest.raises(StoreError, match=r"no manifest in .* exported \(put it beside its lineage"):
        locate(store, str(alone))
    resaved = save(load(weights.read_bytes()), metadata={"format": "pt", "note": "mine"})
    weights.write_bytes(resaved)
    told = "its bytes are not the exported ones .* saved again has no lineage: trace the file that"
    for target in (folder, weights):
        with pytest.raises(StoreError, match=told):
            locate(store, str(target))
    (folder / "added.bin").write_bytes(b"x")
    with pytest.raises(StoreError, match=r"added\.bin: is not a file of that export"):
        locate(store, str(folder / "added.bin"))
    weights.unlink()
    with pytest.raises(StoreError, match=r"model\.safetensors: is missing"):
        locate(store, str(folder))


@pytest.mark.parametrize(
    "change",
    [
        {"exported": None},
        {"exported": [1]},
        {"key": None, "exported": {}},
        {"key": "../../etc", "exported": {}},
        {"key": "small/foundation", "version": "..", "exported": {}},
        {"exported": {"../outside": "0" * 64}},
        {"exported": {"none": "0" * 64}},
    ],
)
def test_a_forged_list_of_an_export_is_one_line(change: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"")
    folder = tmp_path / "export"
    folder.mkdir()
    told = {"key": "small/foundation", "version": "0" * 64, "exported": {}}
    for content in (json.dumps({**told, **change}), "[" * 100_000, "[]", "\xff"):
        (folder / "lineage.json").write_bytes(content.encode("latin-1"))
        with pytest.raises((StoreError, CorruptArtefact)):
            locate(Store(tmp_path / "store"), str(folder))


# What is refused leaves nothing behind


def test_an_option_without_a_stock_class_is_named(words: BytePairTokenizer, tmp_path: Path) -> None:
    odd = network(GPTConfig(**SIZES, vocab_size=words.vocab_size, feed_forward="gelu"))
    with pytest.raises(ValueError, match="feed_forward='gelu': NanoChatForCausalLM has") as told:
        exported(tmp_path, odd, words)
    assert "\n" not in str(told.value)
    assert {path.name for path in tmp_path.iterdir()} == {"store"}


def test_a_folder_that_holds_something_is_left_alone(
    words: BytePairTokenizer, tmp_path: Path
) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "precious").write_text("mine")
    ours = network(GPTConfig(**SIZES, vocab_size=words.vocab_size))
    with pytest.raises(ValueError, match="export: not an empty folder; remove it or choose anoth"):
        exported(tmp_path, ours, words)
    assert [path.name for path in (tmp_path / "export").iterdir()] == ["precious"]


def test_a_tokenizer_without_a_counterpart_is_named(tmp_path: Path) -> None:
    spoken = train_words(TEXTS)
    ours = network(GPTConfig(**SIZES, vocab_size=spoken.vocab_size))
    with pytest.raises(TextError, match="tokenizer kind=words: transformers has no counterpart"):
        exported(tmp_path, ours, spoken)


# A tokenizer.json of ranks


@pytest.fixture(scope="module")
def ranked(words: BytePairTokenizer) -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer.from_str(to_tokenizer_json(words).decode())
    made.encode_special_tokens = True
    return made


# Letters that were learned together, and what parts words.
ALPHABET = st.sampled_from(
    ["a", "b", "ab", " ", "\n", "'", "s", "H", "i", "1", "\u00e9", "\U0001f642"]
)


@given(text=st.lists(ALPHABET).map("".join) | st.text())
@settings(max_examples=300)
def test_ranks_as_merges_give_equal_ids(
    words: BytePairTokenizer, ranked: tokenizers.Tokenizer, text: str
) -> None:
    assert ranked.encode(text, add_special_tokens=False).ids == words.encode(text)


@given(
    merged=st.lists(st.text("ab", min_size=2, max_size=5), max_size=12, unique=True),
    text=st.text("ab", max_size=24),
)
@settings(max_examples=60)
def test_ranks_of_any_order_give_equal_ids(merged: list[str], text: str) -> None:
    """Also those that no training gives: a token whose parts are none, or come later."""
    ranks = [bytes([byte]) for byte in range(256)] + [token.encode() for token in merged]
    words = BytePairTokenizer(ranks)
    library = tokenizers.Tokenizer.from_str(to_tokenizer_json(words).decode())
    assert library.encode(text, add_special_tokens=False).ids == words.encode(text)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gpt2", "cl100k"])
def test_published_vocabularies_on_every_character(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not SHARED.is_dir():
        pytest.skip(f"absent: {SHARED}")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(SHARED / "tiktoken_cache"))
    words = published(kind, SHARED / "none")
    library = tokenizers.Tokenizer.from_str(to_tokenizer_json(words).decode())
    library.encode_special_tokens = True
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    texts = [f"a{c}1 {c}'{c}" for c in characters]
    for text, found in zip(texts, library.encode_batch_fast(texts), strict=True):
        assert found.ids == words.encode(text), ascii(text)


# The command, and what others make of an export


def test_the_chains_models_are_exported(chain: Any, tmp_path: Path) -> None:
    for key, arguments in (
        ("tiny/foundation", ()),
        ("tiny/toy_reply_assistant", ("--task", "toy_reply")),
    ):
        folder = tmp_path / key.replace("/", "-")
        said = chain.dragon("export", "tiny", *arguments, "--to", str(folder))
        assert said.code == 0, said.err
        assert said.out.startswith(key)
        checkpoint = chain.store.current(key, Checkpoint)
        tokenizer = chain.store.current("tiny/tokenizer", TokenizerFiles).load()
        from pipelines.training.checkpoint import load_network

        if key.startswith("foundation"):
            require_same_model(folder, load_network(checkpoint).cpu().eval(), tokenizer)
        told = json.loads((folder / "lineage.json").read_text())
        assert "toy_dialogues/raw_text" in {entry["key"] for entry in told["artefacts"]}
    again = chain.dragon("export", "tiny", "--to", str(folder))
    assert "not an empty folder" in again.fault
    fault = chain.dragon("export", "tiny", "--task", "toy_spam").fault
    assert "the model of a task of kind classifier cannot be exported" in fault
    assert "--format onnx: only hf" in chain.dragon("export", "tiny", "--format", "onnx").fault


def exports_nothing(folder: Path, recipe: str, told: str, task: str | None = None) -> None:
    """The command says why, in one line, with ``folder`` as its store."""
    words = [recipe, "--to", str(folder / "export"), "--store", str(folder)]
    words += [] if task is None else ["--task", task]
    with pytest.raises(ValueError, match=told) as caught:
        export.main(words, standalone_mode=False)
    assert "\n" not in str(caught.value)
    assert not (folder / "export").exists()


def test_before_anything_was_run(tmp_path: Path) -> None:
    exports_nothing(tmp_path / "none", "chat", "none: no store; run a recipe, or choose one with")
    exports_nothing(
        tmp_path, "chat", r"^chat/foundation: not made yet; make it with dragon run chat$"
    )
    told = r"^tiny/toy_reply_assistant: not made yet; make it with dragon run tiny$"
    exports_nothing(tmp_path, "tiny", told, "toy_reply")


def test_models_that_no_stock_class_holds(tmp_path: Path) -> None:
    """They are told before any work is asked for."""
    exports_nothing(tmp_path, "bert", "^bert: a foundation of architecture=bert cannot be exported")
    rest = r"; leave out --task to export the foundation, or name one of these tasks: "
    told = r"^tiny: task 'toy_spam': the model of a task of kind classifier cannot be exported"
    exports_nothing(tmp_path, "tiny", f"{told}{rest}toy_reply$", "toy_spam")
    exports_nothing(tmp_path, "domain", f"task 'other': no such task{rest}security$", "other")
    text = (CHECKOUT / "recipes" / "translate.yaml").read_text("utf-8")
    alone = tmp_path / "alone.yaml"
    alone.write_text(text[: text.index("    decoder_only:")], "utf-8")
    told = r"^alone: task 'en_fr': the model of a task of kind translation cannot be exported"
    exports_nothing(tmp_path, str(alone), f"{told}{rest}none$", "en_fr")


def test_the_gpt_of_a_translation_task_is_exported(
    words: BytePairTokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = network(GPTConfig(**SIZES, vocab_size=words.vocab_size))
    store = Store(tmp_path / "store")
    published_model(store, "translate/en_fr_assistant", ours, words, tmp_path / "draft")
    command = ["translate", "--task", "en_fr", "--to", str(tmp_path / "export")]
    export.main([*command, "--store", str(store.root)], standalone_mode=False)
    assert capsys.readouterr().out.startswith("translate/en_fr_assistant ")
    require_same_model(tmp_path / "export", ours, words)
    template = transformers.AutoTokenizer.from_pretrained(tmp_path / "export").chat_template
    assert "<|assistant|>" in template


TASK = """\
task: next_word
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{query}}"
doc_to_choice: "{{choices}}"
doc_to_target: gold
target_delimiter: ""
metric_list: [{metric: acc}]
"""


@pytest.mark.slow
def test_lm_eval_runs_on_an_export(words: BytePairTokenizer, tmp_path: Path) -> None:
    """Its own hf model, a task from a file, no network."""
    pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install lm-eval")
    ours = network(GPTConfig(**SIZES, vocab_size=words.vocab_size))
    folder = exported(tmp_path, ours, words)
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    rows = [
        {"query": f"A: Hi, how are {who}", "choices": ["?", " fine", "ab"], "gold": i % 3}
        for i, who in enumerate(["you", "thank", "aaa", "I"])
    ]
    data = tasks / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tasks / "next_word.yaml").write_text(TASK.replace("DATA", str(data)))
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--device", "cpu"]
    command += ["--model_args", f"pretrained={folder},dtype=float32", "--tasks", "next_word"]
    command += ["--include_path", str(tasks), "--output_path", str(tmp_path / "out")]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run(
        command, env={**os.environ, **offline}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (found,) = (tmp_path / "out").rglob("results*.json")
    accuracy = json.loads(found.read_text())["results"]["next_word"]["acc,none"]

    def score(row: dict[str, Any]) -> int:
        sums = []
        for choice in row["choices"]:
            asked, said = words.encode(row["query"]), words.encode(row["query"] + choice)
            with torch.no_grad():
                likely = ours(torch.tensor([said]))[0].log_softmax(-1)
            places = range(len(asked), len(said))
            sums.append(sum(float(likely[i - 1, said[i]]) for i in places))
        return max(range(len(sums)), key=sums.__getitem__)

    assert accuracy == sum(score(row) == row["gold"] for row in rows) / len(rows)
