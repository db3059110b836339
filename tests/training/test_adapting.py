"""What of a trained network learns, and the adapter that is written of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load
from torch import Tensor

from model.architectures import build, find
from model.training.adapters import Classifier, learned
from model.training.state import weights
from pipelines.core.artefact import read_manifest
from pipelines.core.making import Making
from pipelines.core.project import Project
from pipelines.core.work import seal
from pipelines.training.adapting import begun_from, prepare
from pipelines.training.artefacts import Checkpoint
from pipelines.training.checkpoint import load_network, write_checkpoint
from pipelines.training.history import History
from pipelines.training.methods import ADAPTER_RATE, Full, LastBlock, Lora, Method
from pipelines.training.options import FineTuning

TINY = find("gpt").tiny
TOKENS = torch.randint(60, (3, 9), generator=torch.Generator().manual_seed(0))
LAST = torch.tensor([8, 3, 5])
LORA = Lora(kind="lora", rank=3, alpha=6)


def written(folder: Path, network: Any, key: str, **more: Any) -> Checkpoint:
    """The checkpoint of a network, as a training writes it."""
    draft = folder / key.replace("/", "-")
    draft.mkdir(parents=True)
    making = Making(key, draft, Project(folder, folder, folder))
    about = {"architecture": "gpt", "network": vars(TINY), "tokenizer": {"version": "1" * 64}}
    write_checkpoint(making, network, History(train=[(1, 2.0), (2, 1.0)]), {**about, **more})
    version = seal(draft)
    return Checkpoint(key, version, "", draft, read_manifest(draft, version))


def changed(network: Any, seed: int = 1) -> Any:
    """The network with every weight that learns moved a little."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in learned(network).values():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return network


def foundation(folder: Path, seed: int = 0) -> Checkpoint:
    return written(folder, build("gpt", TINY, seed), f"tiny/foundation{seed}")


def logits(network: Any) -> Tensor:
    with torch.no_grad():
        given = (TOKENS, LAST) if isinstance(network, Classifier) else (TOKENS,)
        found: Tensor = network.eval()(*given)
    return found


def tuned(base: Checkpoint, method: Lora = LORA, labels: int = 0) -> tuple[Any, dict[str, Any]]:
    """A network that was trained by a method, and the entries of its configuration."""
    network: Any = load_network(base)
    network = Classifier(network, labels) if labels else network
    told = prepare(network, method, base, seed=7)
    more = {"labels": [str(n) for n in range(labels)]} if labels else {}
    return changed(network), {**told, **more}


# Adapters as files


@pytest.mark.parametrize("labels", [0, 3])
def test_an_adapter_holds_what_learned_and_is_used_with_its_base(
    tmp_path: Path, labels: int
) -> None:
    base = foundation(tmp_path)
    network, told = tuned(base, labels=labels)
    adapter = written(tmp_path, network, "tiny/reply", **told)
    assert adapter.is_adapter
    assert not base.is_adapter
    assert sorted(adapter.files) == ["adapter.safetensors", "config.json", "figures.json"]
    kinds = {name.rpartition(".")[2] for name in adapter.tensors()}
    assert kinds == {"down", "up"} | ({"weight", "bias"} if labels else set())
    assert adapter.config()["base"] == {"version": base.version}
    assert adapter.config()["adapter"] == {
        "rank": 3,
        "alpha": 6,
        "targets": ["contract", "expand", "keys", "output", "queries", "values"],
    }
    whole = sum(tensor.numel() for tensor in base.tensors().values())
    head = labels * (TINY.d_model + 1)
    figures = adapter.figures()
    assert figures["parameters"] == whole + head
    assert figures["trained_parameters"] == sum(t.numel() for t in learned(network).values())
    merged, apart = load_network(adapter, base), load_network(adapter, base, merge=False)
    assert torch.equal(logits(apart), logits(network))
    torch.testing.assert_close(logits(merged), logits(network), atol=1e-5, rtol=1e-5)
    if not labels:
        assert not torch.allclose(logits(merged), logits(load_network(base)), atol=1e-3)
    assert len(weights(merged)) == len(weights(load_network(base))) + (2 if labels else 0)
    assert set(learned(apart)) == set(adapter.tensors())


def test_untrained_it_is_its_base(tmp_path: Path) -> None:
    base = foundation(tmp_path)
    network: Any = load_network(base)
    told = prepare(network, LORA, base, seed=7)
    adapter = written(tmp_path, network, "tiny/reply", **told)
    for merge in (True, False):
        assert torch.equal(logits(load_network(adapter, base, merge=merge)),
                           logits(load_network(base)))  # fmt: skip


def test_the_seed_decides_the_thin_matrices(tmp_path: Path) -> None:
    base = foundation(tmp_path)

    def drawn(seed: int) -> dict[str, Tensor]:
        network = load_network(base)
        prepare(network, LORA, base, seed)
        return {name: tensor for name, tensor in learned(network).items() if "down" in name}

    one, same, other = drawn(1), drawn(1), drawn(2)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_another_base_is_refused_by_its_version(tmp_path: Path) -> None:
    base, other = foundation(tmp_path), foundation(tmp_path, 1)
    network, told = tuned(base)
    adapter = written(tmp_path, network, "tiny/reply", **told)
    named = f"tiny/reply: adapts the weights {base.version[:12]}, given tiny/foundation1"
    with pytest.raises(ValueError, match=f"^{named} {other.version[:12]}; give those, or"):
        load_network(adapter, other)
    alone = f"^tiny/reply: is an adapter; give the weights {base.version[:12]} too"
    with pytest.raises(ValueError, match=alone):
        load_network(adapter)
    assert adapter.base_among(other, base) is base
    assert adapter.base_among(other) is None
    # Whole weights need none, and pass one over.
    assert torch.equal(logits(load_network(base, other)), logits(load_network(base)))


def test_an_adapter_of_other_layers_than_its_configuration_names_is_refused(tmp_path: Path) -> None:
    base = foundation(tmp_path)
    network, told = tuned(base)
    told["adapter"]["targets"] = ["queries"]
    adapter = written(tmp_path, network, "tiny/reply", **told)
    with pytest.raises(ValueError, match=r"adapter state has faults=\d+: extra "):
        load_network(adapter, base)


def test_a_head_that_does_not_fit_the_labels_is_refused(tmp_path: Path) -> None:
    """FAULTS 55: three labels, and two outputs."""
    base = foundation(tmp_path)
    network, told = tuned(base, labels=2)
    adapter = written(tmp_path, network, "tiny/spam", **told | {"labels": ["a", "b", "c"]})
    with pytest.raises(ValueError, match=r"adapter state has faults=2: head\.weight is \(2, "):
        load_network(adapter, base)


def test_the_header_names_the_base(tmp_path: Path) -> None:
    base = foundation(tmp_path)
    network, told = tuned(base)
    adapter = written(tmp_path, network, "tiny/reply", **told)
    head = adapter.read("adapter.safetensors")
    assert base.version.encode() in head[: 8 + int.from_bytes(head[:8], "little")]
    assert load(head).keys() == adapter.tensors().keys()


# Methods


def test_the_last_blocks_learn_and_a_new_head(tmp_path: Path) -> None:
    base = foundation(tmp_path)
    network = Classifier(load_network(base), 2)
    assert prepare(network, LastBlock(kind="last_block"), base, 0) == {}
    last = TINY.n_layers - 1
    assert all(n.startswith((f"network.blocks.{last}.", "head.")) for n in learned(network))
    assert {"head.weight", "head.bias"} <= learned(network).keys()
    prepare(network, LastBlock(kind="last_block", blocks=0), base, 0)
    assert learned(network).keys() == {"head.weight", "head.bias"}
    told = rf"training.method.blocks: 9 is more than the network has, {TINY.n_layers}"
    with pytest.raises(ValueError, match=told):
        prepare(network, LastBlock(kind="last_block", blocks=9), base, 0)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("attention", {"keys", "output", "queries", "values"}),
        (("values", "queries"), {"queries", "values"}),
        (("head", "keys"), {"head", "keys"}),
    ],
)
def test_layers_are_chosen_by_name(tmp_path: Path, targets: Any, expected: set[str]) -> None:
    base = foundation(tmp_path)
    network = Classifier(load_network(base), 2)
    prepare(network, LORA.model_copy(update={"targets": targets}), base, 0)
    thin = {name.split(".")[-2] for name in learned(network) if name.endswith(".up")}
    assert thin == expected
    assert ("head.weight" in learned(network)) == ("head" not in expected)
    assert not any(name.startswith("network.head") for name in learned(network))


def test_the_head_of_the_vocabulary_is_adapted_only_by_name(tmp_path: Path) -> None:
    base = foundation(tmp_path)
    assert not TINY.tied_head
    for targets, adapted in (("all", False), (("head",), True)):
        network = load_network(base)
        prepare(network, LORA.model_copy(update={"targets": targets}), base, 0)
        assert ("head.up" in learned(network)) == adapted


def test_a_name_that_no_layer_has_is_named(tmp_path: Path) -> None:
    base = foundation(tmp_path)
    lora = LORA.model_copy(update={"targets": ("querys",)})
    told = "training.method.targets: 'querys' is no linear layer of this network; did you mean 'que"
    with pytest.raises(ValueError, match=told):
        prepare(load_network(base), lora, base, 0)


# A training that begins from a fine-tuned network


def test_an_adapter_is_trained_on(tmp_path: Path) -> None:
    base = foundation(tmp_path)
    network, told = tuned(base)
    before = written(tmp_path, network, "tiny/reply", **told)
    again, config = begun_from(before, base, LORA.model_copy(update={"dropout": 0.5}), 0)
    assert config == before.config()
    assert torch.equal(logits(again), logits(network))
    assert set(learned(again)) == set(before.tensors())
    assert {m.dropout for m in again.modules() if hasattr(m, "up")} == {0.5}
    for change, said in (
        ({"rank": 4}, r"rank: 4 does not fit the adapter that it trains on, tiny/reply; give 3"),
        ({"targets": "attention"}, r"targets: \['keys', .*give \['contract',"),
    ):
        with pytest.raises(ValueError, match=f"^training.method.{said}"):
            begun_from(before, base, LORA.model_copy(update=change), 0)


def test_whole_weights_get_an_adapter_and_an_adapter_is_merged(tmp_path: Path) -> None:
    base = foundation(tmp_path)
    network, told = tuned(base)
    adapter = written(tmp_path, network, "tiny/reply", **told)
    _, config = begun_from(base, base, LORA, 0)
    assert config["base"] == {"version": base.version}
    merged, config = begun_from(adapter, base, Full(), 0)
    assert not config.keys() & {"base", "adapter"}
    assert len(learned(merged)) == len(list(merged.parameters()))
    torch.testing.assert_close(logits(merged), logits(network), atol=1e-5, rtol=1e-5)


# The section of a recipe


def test_rates_and_defaults_of_the_section() -> None:
    method = TypeAdapter(Method)
    assert FineTuning(steps=3).method == Full()
    read = FineTuning.model_validate({"steps": 3, "method": {"kind": "lora"}})
    whole = read.resolved(tied=True, trained=True)
    assert (whole.method.rank, whole.method.alpha, whole.method.targets) == (16, 32, "all")
    assert whole.method.learning_rate == ADAPTER_RATE
    tenth = read.resolved(tied=True, trained=True, share=0.1)
    assert tenth.method.learning_rate == pytest.approx(ADAPTER_RATE / 10)
    rate, own = whole.optimizer.head_learning_rate, tenth.optimizer.head_learning_rate
    assert own == pytest.approx(rate / 10)
    said = method.validate_python({"kind": "lora", "targets": ["queries"], "learning_rate": 0.5})
    assert said.resolved(0.1) == said
    for wrong in (
        {"kind": "lora", "rank": 0},
        {"kind": "lora", "targets": []},
        {"kind": "lora", "targets": "some"},
        {"kind": "lora", "dropout": 1.0},
        {"kind": "last_block", "blocks": -1},
        {"kind": "full", "rank": 3},
        {"kind": "loha"},
    ):
        with pytest.raises(ValidationError):
            method.validate_python(wrong)
