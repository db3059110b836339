"""An adapter goes out in PEFT's layout: peft puts it onto the exported base and gives our logits.

And what peft itself has made is read back by the inverse, and gives peft's logits.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save
from torch import Tensor

from model.architectures.gpt.config import PRESETS, GPTConfig
from model.architectures.gpt.network import Decoder
from model.interop import layout_for
from model.interop.adapters import adapter_to, is_transposed
from model.training.adapters import add_low_rank, fill_adapter, learned
from pipelines.core.identity import canonical
from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.core.work import seal
from pipelines.exports.huggingface import export_hf
from pipelines.exports.peft import BEFORE, export_adapter
from pipelines.lineage.trace import Node, trace
from pipelines.tokens.tokenizers import BytePairTokenizer
from pipelines.tokens.tokenizers.bpe_training import train_bpe
from pipelines.training.artefacts import Checkpoint
from tests.exports.test_huggingface import SIZES, TEXTS, network, published_model

peft = pytest.importorskip("peft", reason="peft is absent: install the extra dev")

# peft asks the models of transformers by a name that those deprecate.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")
TOKENS = torch.randint(290, (2, 12), generator=torch.Generator().manual_seed(0))
ALL = ("contract", "expand", "keys", "output", "queries", "values")
KINDS = {
    "llama": (PRESETS["llama"], (*ALL, "gate")),
    "llama, grouped": (PRESETS["llama"] | {"n_kv_heads": 2}, ("keys", "queries", "values")),
    "modern": (PRESETS["modern"] | {"n_kv_heads": 2}, ALL),
    "gpt2": (PRESETS["gpt2"] | {"dropout": 0.0}, ALL),
    "gpt2, some": (PRESETS["gpt2"] | {"dropout": 0.0}, ("queries", "values", "contract")),
    "modern, head": (PRESETS["modern"], ("head", "values")),
}
KIND = pytest.mark.parametrize(("options", "targets"), KINDS.values(), ids=KINDS)


@pytest.fixture(scope="module")
def words() -> BytePairTokenizer:
    return train_bpe(TEXTS, 290)


def adapted(config: GPTConfig, targets: tuple[str, ...], rank: int = 3) -> Decoder:
    """A network with thin matrices beside some layers, none of which is zero."""
    found = network(config)
    add_low_rank(found, rank, 7.0, torch.Generator().manual_seed(1), targets=targets)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in learned(found).values():
            parameter.normal_(0.0, 0.3, generator=generator)
    return found.eval()


def published_adapter(
    store: Store, base: Checkpoint, found: Decoder, targets: tuple[str, ...], draft: Path
) -> tuple[Checkpoint, Node]:
    draft.mkdir(exist_ok=True)
    told = base.config() | {
        "base": {"version": base.version},
        "adapter": {"rank": 3, "alpha": 7.0, "targets": sorted(targets)},
    }
    tensors = {name: tensor.detach() for name, tensor in learned(found).items()}
    (draft / "config.json").write_bytes(canonical(told))
    (draft / "adapter.safetensors").write_bytes(save(tensors))
    figures = {"parameters": 7, "trained_parameters": sum(t.numel() for t in tensors.values())}
    (draft / "figures.json").write_bytes(canonical(figures))
    parents = [{"input": "foundation", "version": base.version, "derivation": base.derivation}]
    inputs = {"foundation": base.version}
    decides = {"code": "adapter", "recipe": {}, "libraries": {}, "inputs": inputs}
    record = Record(seal(draft), "Checkpoint", decides, tuple(parents), {"key": "small/reply"})
    store.publish("small/reply", draft, record)
    checkpoint = store.current("small/reply", Checkpoint)
    return checkpoint, trace(store, checkpoint)


def logits(found: Any) -> Tensor:
    with torch.no_grad():
        out = found(TOKENS)
    return out if isinstance(out, Tensor) else out.logits


@KIND
def test_peft_loads_what_is_exported(
    options: dict[str, Any], targets: tuple[str, ...], words: BytePairTokenizer, tmp_path: Path
) -> None:
    config = GPTConfig(**options | SIZES, vocab_size=words.vocab_size)
    store = Store(tmp_path / "store")
    base, lineage = published_model(
        store, "small/foundation", network(config), words, tmp_path / "draft"
    )
    export_hf(base, words, lineage, tmp_path / "base")
    ours = adapted(config, targets)
    adapter, lineage = published_adapter(store, base, ours, targets, tmp_path / "draft")
    assert export_adapter(adapter, lineage, tmp_path / "adapter") == "small/foundation"
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {
        *("adapter_config.json", "adapter_model.safetensors", "README.md", "lineage.json"),
    }
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    torch.testing.assert_close(logits(theirs.eval()), logits(network(config)), atol=1e-4, rtol=0)
    put_on = peft.PeftModel.from_pretrained(theirs, tmp_path / "adapter").eval()
    torch.testing.assert_close(logits(put_on), logits(ours), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(logits(ours), logits(network(config)), atol=1e-2)
    # Merged into the weights it is today's folder, with the same logits.
    export_hf(adapter, words, lineage, tmp_path / "merged")
    merged = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    torch.testing.assert_close(logits(merged), logits(ours), atol=1e-4, rtol=1e-4)
    card = (tmp_path / "adapter" / "README.md").read_text()
    assert f"An adapter of {adapter.figures()['trained_parameters']:,} parameters" in card
    assert base.version in card


def read_back(folder: Path, config: GPTConfig) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Our thin matrices of a folder that peft wrote, where each of their layers holds one of ours;
    the inverse of ``adapter_to``."""
    options = json.loads((folder / "adapter_config.json").read_text())
    held_by = {}
    for held in layout_for(config).holds(config):
        held_by[held.theirs.removesuffix(".weight")] = held
    found = {}
    for name, tensor in load_file(folder / "adapter_model.safetensors").items():
        layer, _, letter = name.removeprefix(BEFORE).removesuffix(".weight").rpartition(".lora_")
        held = held_by[layer]
        (ours,) = held.ours
        moved = tensor if letter == "A" or is_transposed(held) else held.read(tensor)
        found[f"{ours.removesuffix('.weight')}.{'down' if letter == 'A' else 'up'}"] = moved
    return found, options


@pytest.mark.parametrize("preset", ["llama", "modern"])
def test_what_peft_wrote_is_read_back(
    preset: str, words: BytePairTokenizer, tmp_path: Path
) -> None:
    config = GPTConfig(**PRESETS[preset] | SIZES, vocab_size=words.vocab_size)
    base, lineage = published_model(
        Store(tmp_path / "store"), "small/foundation", network(config), words, tmp_path / "draft"
    )
    export_hf(base, words, lineage, tmp_path / "base")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    layers = ["q_proj", "o_proj"]
    settings = peft.LoraConfig(r=4, lora_alpha=6, target_modules=layers, task_type="CAUSAL_LM")
    made = peft.get_peft_model(theirs, settings)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_" in name:
                parameter.normal_(0.0, 0.3, generator=generator)
    made.save_pretrained(tmp_path / "peft")
    tensors, options = read_back(tmp_path / "peft", config)
    ours = network(config)
    targets = ("queries", "output")
    add_low_rank(ours, options["r"], options["lora_alpha"], torch.Generator(), targets=targets)
    fill_adapter(ours, tensors)
    torch.testing.assert_close(logits(ours.eval()), logits(made.eval()), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(logits(ours), logits(network(config)), atol=1e-2)
    # And out again, the same matrices.
    again = adapter_to(layout_for(config), learned(ours), config)
    written = load_file(tmp_path / "peft" / "adapter_model.safetensors")
    for layer, thin in again.items():
        for letter, matrix in zip("AB", thin, strict=True):
            assert torch.equal(matrix, written[f"{BEFORE}{layer}.lora_{letter}.weight"])
    assert len(written) == 2 * len(again)


def test_whole_weights_are_no_adapter(words: BytePairTokenizer, tmp_path: Path) -> None:
    config = GPTConfig(**PRESETS["llama"] | SIZES, vocab_size=words.vocab_size)
    base, lineage = published_model(
        Store(tmp_path / "store"), "small/foundation", network(config), words, tmp_path / "draft"
    )
    with pytest.raises(ValueError, match="small/foundation: has whole weights and is no adapter"):
        export_adapter(base, lineage, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()


def test_a_layer_that_the_class_does_not_have_is_named() -> None:
    config = GPTConfig(**PRESETS["llama"] | SIZES, vocab_size=290)
    tensors = {"blocks.0.attention.bend.down": torch.ones(3, 32),
               "blocks.0.attention.bend.up": torch.ones(32, 3)}  # fmt: skip
    with pytest.raises(ValueError, match=r"has no place for an adapter of blocks\.0\.attention\.b"):
        adapter_to(layout_for(config), tensors, config)


def test_the_configuration_says_what_each_joined_layer_needs(
    words: BytePairTokenizer, tmp_path: Path
) -> None:
    options, targets = KINDS["gpt2, some"]
    config = GPTConfig(**options | SIZES, vocab_size=words.vocab_size)
    store = Store(tmp_path / "store")
    base, _ = published_model(store, "small/foundation", network(config), words, tmp_path / "d")
    adapter, lineage = published_adapter(
        store, base, adapted(config, targets), targets, tmp_path / "d"
    )
    export_adapter(adapter, lineage, tmp_path / "adapter")
    told = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert told["rank_pattern"] == {"attn.c_attn": 6}
    assert told["alpha_pattern"] == {"attn.c_attn": 14}
    assert (told["r"], told["lora_alpha"], told["fan_in_fan_out"]) == (3, 7, True)
    assert told["target_modules"] == ["attn.c_attn", "mlp.c_proj"]
    assert asdict(config)["n_layers"] == 2
