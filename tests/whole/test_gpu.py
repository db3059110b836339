"""What holds on an accelerator alone: bf16, packed documents, resuming, a classifier."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from model.architectures import build, find
from model.architectures.network import Network
from model.batches.batching import IGNORED, Batch
from model.training.adapters import Classifier
from model.training.loop import Saved, Step, Validated, train
from model.training.objectives import Objective, classify, next_token
from model.training.optim import Optimizer
from model.training.precision import Precision

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
SIZES = {"vocab_size": 200, "context_length": 64, "d_model": 64, "n_layers": 2, "n_heads": 4}


def network_of(preset: str = "modern") -> Network:
    return build("gpt", find("gpt").configure(preset, **SIZES), seed=0)


def rows(step: int, *, packed: bool = False) -> Batch:
    """Four rows in which a token foretells the next; packed, each holds two documents."""
    generator = torch.Generator().manual_seed(step % 4)
    first = torch.randint(200, (4, 1), generator=generator)
    tokens = (first + 7 * torch.arange(65)) % 200
    targets = tokens[:, 1:].clone()
    documents = None
    if packed:
        documents = (torch.arange(64) >= 40).long().expand(4, -1)
        targets[:, 39] = IGNORED
    return Batch(tokens[:, :-1], targets, ("",) * 4, documents=documents)


def labelled(step: int) -> Batch:
    batch = rows(step)
    last = torch.full((4,), 63)
    return Batch(batch.tokens, batch.tokens[:, 0] % 3, batch.ids, last=last)


def losses(
    network: Network,
    batches: Callable[[int], Batch],
    precision: Precision,
    objective: Objective = next_token,
    steps: int = 40,
) -> list[float]:
    optimizer = Optimizer(
        network,
        "muon",
        learning_rate=0.01,
        products=torch.bfloat16 if precision == "bf16" else torch.float32,
    )
    events = train(network, objective, batches, optimizer, steps=steps, precision=precision)
    return [event.loss for event in events if isinstance(event, Step)]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("preset", ["modern", "gpt2", "llama"])
def test_bf16_learns_as_fp32_on_the_processor(preset: str, packed: bool) -> None:
    def batches(step: int) -> Batch:
        return rows(step, packed=packed)

    reduced = losses(network_of(preset).cuda(), batches, "bf16")
    exact = losses(network_of(preset), batches, "fp32")
    assert reduced[0] == pytest.approx(exact[0], rel=0.01)
    assert exact[-1] < 0.7 * exact[0]
    assert reduced[-1] == pytest.approx(exact[-1], abs=0.1 * exact[0])


def test_a_document_never_reads_another() -> None:
    network = network_of().cuda()
    batch = rows(0, packed=True).to("cuda")
    changed = batch.tokens.clone()
    changed[:, :40] = (changed[:, :40] + 1) % 200
    with torch.no_grad():
        for block in network.blocks:  # the outputs of a new network's blocks are zero
            block.attention.output.weight.normal_()
        before = network(batch.tokens, documents=batch.documents)
        after = network(changed, documents=batch.documents)
    torch.testing.assert_close(after[:, 40:], before[:, 40:])
    assert not torch.allclose(after[:, :40], before[:, :40], atol=1e-2)


def test_a_resumed_run_ends_near_the_uninterrupted_one() -> None:
    """Near and not equal: some gradients are added in an order that differs from run to run."""

    def run(state: object = None, every: int | None = None) -> tuple[list[float], list[Saved]]:
        network = network_of().cuda()
        optimizer = Optimizer(network, "muon", learning_rate=0.01)
        found, saved = [], []
        for event in train(
            network,
            next_token,
            rows,
            optimizer,
            steps=20,
            precision="bf16",
            checkpoint_every=every,
            validation=lambda: [rows(9)],
            state=state,  # type: ignore[arg-type]
        ):
            if isinstance(event, Validated):
                found.append(event.loss)
            if isinstance(event, Saved):
                saved.append(event)
        return found, saved

    whole, saved = run(every=7)
    for event in saved:
        assert run(event.state)[0] == pytest.approx(whole, rel=0.02)


def test_a_classifier_learns_in_bf16() -> None:
    network = Classifier(network_of(), 3).cuda()
    found = losses(network, labelled, "bf16", classify)
    assert found[0] == pytest.approx(torch.tensor(3.0).log().item(), abs=0.01)
    assert found[-1] < 0.3


def test_a_compiled_loss_is_the_loss() -> None:
    network = network_of("gpt2").cuda()
    batch = rows(0).to("cuda")
    compiled = torch.compile(network, fullgraph=True)
    with torch.autocast("cuda", torch.bfloat16):
        found, expected = (form(batch.tokens, batch.targets) for form in (compiled, network))
    torch.testing.assert_close(found, expected, rtol=0.01, atol=0.01)


def test_the_logits_are_never_whole() -> None:
    network = network_of().cuda()
    weight = torch.randn(50_257, 64, device="cuda", requires_grad=True)
    features = torch.randn(1 << 15, 64, device="cuda", requires_grad=True)
    targets = torch.randint(50_257, (1 << 15,), device="cuda")
    from model.blocks.kernels import BLOCK, head_nats

    del network
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with torch.autocast("cuda", torch.bfloat16):
        head_nats(features, weight, targets, None).backward()
    assert torch.cuda.max_memory_allocated() - before < 6 * BLOCK < 4 * 50_257 * (1 << 15)
