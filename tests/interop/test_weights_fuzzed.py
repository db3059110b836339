"""Files of weights and tokenizers, broken at random: read, or refused in one line, and soon."""

from __future__ import annotations

import copy
import io
import json
import random
import resource
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gguf
import numpy as np
import pytest
import tokenizers
import torch
from safetensors.torch import save

from pipelines.interop.network import take_network
from pipelines.interop.reading import read_weights
from pipelines.interop.vocabulary import read_words
from pipelines.text.errors import TextError

SECONDS = 10  # of processor time; the slowest takes a fraction of one
MEMORY = 2 << 30  # more than the process had before
QUICK, LONG = 25, 4_000  # broken files of each kind

ODD_NUMBERS = (0, 1, 2, 255, 1 << 15, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 62, (1 << 64) - 1)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3, 1 << 31, 1 << 40, 1 << 64, 10**400, 0.0, -1.5, 1e300),
    *(float("nan"), float("inf"), "", "x", "\x00", "<s>", "\ud800", "é" * 1000, [], {}, [[]]),
    *([1, 2], [None], {"x": 1}, {"type": "BPE"}, {"content": 1}, ["a", "b"], [["a", "b"]]),
)


# Files of a network with one layer


def shape() -> dict[str, Any]:
    return {
        "model_type": "llama",
        "vocab_size": 260,
        "hidden_size": 4,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 2,
        "intermediate_size": 4,
        "max_position_embeddings": 8,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 4,
        },
        "tie_word_embeddings": True,
        "hidden_act": "silu",
        "attention_bias": False,
        "eos_token_id": [1],
        "bos_token_id": 0,
    }


def tensors(names: dict[str, str]) -> dict[str, torch.Tensor]:
    """The tensors under the names that a layout has for ours."""
    sizes = {"embedding": (260, 4), "keys": (2, 4), "values": (2, 4), "norm": (4,)}
    made = {}
    for name, part in names.items():
        made[name] = torch.ones(next((s for p, s in sizes.items() if p in part), (4, 4)))
    return made


LLAMA = {
    "model.embed_tokens.weight": "embedding",
    "model.norm.weight": "norm",
    **{
        f"model.layers.0.{name}.weight": part
        for name, part in {
            "input_layernorm": "norm",
            "post_attention_layernorm": "norm",
            "self_attn.q_proj": "queries",
            "self_attn.k_proj": "keys",
            "self_attn.v_proj": "values",
            "self_attn.o_proj": "output",
            "mlp.gate_proj": "gate",
            "mlp.up_proj": "expand",
            "mlp.down_proj": "contract",
        }.items()
    },
}
GGUF = {
    "token_embd.weight": "embedding",
    "output_norm.weight": "norm",
    **{
        f"blk.0.{name}.weight": part
        for name, part in {
            "attn_norm": "norm",
            "ffn_norm": "norm",
            "attn_q": "queries",
            "attn_k": "keys",
            "attn_v": "values",
            "attn_output": "output",
            "ffn_gate": "gate",
            "ffn_up": "expand",
            "ffn_down": "contract",
        }.items()
    },
}


def library(model: Any) -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    made.add_special_tokens(["<s>", "</s>", "<|user|>"])
    return made


def words() -> bytes:
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    ids = {token: i for i, token in enumerate(["<s>", "</s>", *alphabet, "ab"])}
    return library(tokenizers.models.BPE(ids, [("a", "b")])).to_str().encode()


def unigram() -> bytes:
    pieces = [("<unk>", 0.0), ("</s>", 0.0), ("▁", -1.0), *((c, -2.0) for c in "abc")]
    made = library(tokenizers.models.Unigram(pieces, 0, byte_fallback=False))
    made.normalizer = tokenizers.normalizers.NFKC()
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    return made.to_str().encode()


def packed(folder: Path) -> bytes:
    path = folder / "a.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for add, number in (
        (writer.add_block_count, 1), (writer.add_context_length, 8), (writer.add_head_count, 2),
        (writer.add_head_count_kv, 1), (writer.add_embedding_length, 4),
        (writer.add_feed_forward_length, 4), (writer.add_eos_token_id, 1),
    ):  # fmt: skip
        add(number)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    tokens = list(json.loads(words())["model"]["vocab"])
    writer.add_token_list([*tokens, "<x>"])
    writer.add_token_types([3, 3, *[1] * (len(tokens) - 2), 4])
    writer.add_token_merges(["a b"])
    for name, tensor in tensors(GGUF).items():
        writer.add_tensor(name, tensor.numpy())
    writer.add_tensor("rope_freqs.weight", np.ones(1, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def archive() -> bytes:
    about = {"vocab_size": 260, "max_len": 8, "d_model": 4, "n_layers": 1, "n_heads": 2}
    about |= {"n_kv_heads": 1, "rope_base": 10000.0, "eps": 1e-5}
    buffer = io.BytesIO()
    arrays = {f"blocks.0.{name}": np.ones((4, 4), np.float32) for name in ("attn.W_Q", "attn.W_O")}
    np.savez(buffer, __config__=np.array(json.dumps(about)), E=np.ones((260, 4)), **arrays)
    return buffer.getvalue()


def folder_of(made: Path) -> dict[str, dict[str, bytes]]:
    """Whole files by the kind of the one, the first, that is to be broken."""
    config, weights = json.dumps(shape()).encode(), save(tensors(LLAMA))
    told = json.dumps({"eos_token": "</s>", "bos_token": {"content": "<s>"}, "add_bos_token": True})
    index = json.dumps({"weight_map": dict.fromkeys(LLAMA, "a.safetensors")}).encode()
    rest, merges = {"tokenizer.json": words()}, {"merges.txt": b"#version: 0.2\na b\n"}
    return {
        "config": {"config.json": config, "model.safetensors": weights, **rest},
        "safetensors": {"model.safetensors": weights, "config.json": config, **rest},
        "index": {
            "model.safetensors.index.json": index,
            **{"a.safetensors": weights, "config.json": config, **rest},
        },
        "gguf": {"a.gguf": packed(made)},
        "npz": {"a.npz": archive(), **rest},
        "tokenizer": rest,
        "unigram": {"tokenizer.json": unigram()},
        "tokenizer_config": {"tokenizer_config.json": told.encode(), **rest},
        "tokenizer, two files": {"vocab.json": b'{"a": 0, "b": 1, "ab": 2, "<s>": 3}', **merges},
        "tokenizer, merges": {**merges, "vocab.json": b'{"a": 0, "b": 1, "ab": 2, "<s>": 3}'},
        "tokenizer, glassllm": {"a.tokenizer.json": b'{"alphabet": ["a"], "merges": [["a", "a"]]}'},
    }


KINDS = (
    "config",
    "safetensors",
    "index",
    "gguf",
    "npz",
    "tokenizer",
    "unigram",
    "tokenizer_config",
    "tokenizer, two files",
    "tokenizer, merges",
    "tokenizer, glassllm",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    return folder_of(tmp_path_factory.mktemp("whole"))


# Broken


def broken(data: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, cut, doubled, or a number in them an odd one."""
    made = bytearray(data)
    # The head decides the most.
    for _ in range(chance.choice((1, 1, 2, 4))):
        end = max(len(made), 1) if chance.random() < 0.5 else min(len(made), 400) or 1
        at = chance.randrange(end)
        match chance.randrange(6):
            case 0:
                made[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del made[at : at + chance.choice((1, 8, 100, len(made)))]
            case 2:
                made[at:at] = bytes(chance.randrange(256) for _ in range(chance.choice((1, 8, 50))))
            case 3:
                number = chance.choice(ODD_NUMBERS).to_bytes(8, "little")
                size = chance.choice((1, 2, 4, 8))
                made[at : at + size] = number[:size]
            case 4:
                made[at:at] = made[at : at + chance.choice((8, 100))] * chance.choice((1, 20))
            case _:
                made[at:at] = chance.choice((b"[", b'{"a":', b"$", b"\xff")) * 50_000
    return bytes(made)


def bent(data: bytes, chance: random.Random) -> bytes:
    """JSON with some of its values odd ones, gone, or under another name."""
    made = json.loads(data)
    for _ in range(chance.choice((1, 1, 2, 3))):
        place: Any = made
        while True:
            keys: list[Any] = list(place) if isinstance(place, dict) else [*range(len(place))]
            if not keys:
                break
            key = chance.choice(keys)
            if isinstance(place[key], dict | list) and chance.random() < 0.8:
                place = place[key]
                continue
            match chance.randrange(5):
                case 0:
                    del place[key]
                case 1 if isinstance(place, dict):
                    place[chance.choice(("x", "type", "<s>"))] = place.pop(key)
                case _:
                    place[key] = copy.deepcopy(chance.choice(ODD_VALUES))
            break
    return json.dumps(made).encode()


@contextmanager
def bounded() -> Iterator[None]:
    """No more memory than is there and ``MEMORY``, no more time than ``SECONDS``."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, before[1]))
    began = time.process_time()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert time.process_time() - began < SECONDS


def require_read_or_refused(kind: str, seed: int, files: dict[str, bytes]) -> None:
    chance = random.Random(seed)
    name = next(iter(files))
    change = bent if name.endswith(".json") and chance.random() < 0.7 else broken
    given = {**files, name: change(files[name], chance)}
    source = SimpleNamespace(names=lambda: list(given), content=given.__getitem__)

    def speak() -> None:
        spoken = read_words(given, given.__getitem__)
        ids = spoken.encode("ab <s> c\n é")
        spoken.decode([*ids, *spoken.controls])
        spoken.encode_stream(["a", ""], "uint32")

    def take() -> None:
        if not kind.startswith(("tokenizer", "unigram")):
            read_weights(given, given.__getitem__)
            take_network(cast(Any, source), read_words(given, given.__getitem__), None)

    with warnings.catch_warnings(action="ignore"), bounded():
        for use in (speak, take):
            try:
                use()
            except ValueError as error:
                refused = error
            else:
                continue
            assert isinstance(refused, TextError) or type(refused) is ValueError, refused
            assert "\n" not in str(refused)


def require_all(kind: str, files: dict[str, bytes], seeds: range) -> None:
    """Every broken file of some seeds is read or refused; the seed of one that is not is named."""
    for seed in seeds:
        try:
            require_read_or_refused(kind, seed, files)
        except BaseException as error:
            raise AssertionError(f"kind={kind} seed={seed}") from error


def test_the_whole_files_are_read(whole: dict[str, dict[str, bytes]]) -> None:
    for kind, files in whole.items():
        assert read_words(files, files.__getitem__).end_of_text >= 0, kind
        if kind in ("config", "safetensors", "index", "gguf"):
            assert read_weights(files, files.__getitem__).config.n_layers == 1, kind
    assert whole.keys() == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_file_is_read_or_refused(kind: str, whole: dict[str, dict[str, bytes]]) -> None:
    require_all(kind, whole[kind], range(QUICK))


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", KINDS)
def test_many_broken_files_are_read_or_refused(
    kind: str, whole: dict[str, dict[str, bytes]]
) -> None:
    require_all(kind, whole[kind], range(QUICK, LONG))
