"""The loss of every architecture is one graph for torch's compiler, with the same numbers.

A graph that breaks would make an accelerator wait for Python in the middle of a step. The compiler
runs here without code generation (``aot_eager``), so the test needs no C++ compiler.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from model.architectures import build, catalogue
from model.batches.batching import IGNORED
from model.training.adapters import Classifier

ROWS, LENGTH = 2, 12
# torch's own: its compiler makes an object of each autograd.Function.
pytestmark = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


@pytest.fixture(autouse=True)
def _forget_graphs() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def arguments(objective: str, vocab_size: int) -> tuple[Tensor, ...]:
    """What the objective hands over; some targets do not count."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(vocab_size, (ROWS, LENGTH), generator=generator)
    targets = tokens.roll(-1, 1)
    targets[:, ::3] = IGNORED
    if objective == "sequence_to_sequence":
        sources = torch.randint(vocab_size, (ROWS, LENGTH), generator=generator)
        sources[0, 7:] = IGNORED
        return sources, tokens, targets
    if objective == "negative_sampling":
        return tokens[:, :4], tokens[:, 4:9]
    return tokens, targets


def losses_and_gradients(network: nn.Module, given: tuple[Tensor, ...]) -> list[list[Tensor]]:
    """The loss and the gradients, as they are and compiled to one graph."""
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    found = []
    for form in (network, compiled):
        network.zero_grad()
        loss = form(*given)
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in network.parameters() if p.grad is not None)])
    return found


@pytest.mark.parametrize("name", list(catalogue()))
def test_the_loss_is_one_graph(name: str) -> None:
    architecture = catalogue()[name]
    network = build(name, architecture.tiny, seed=0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    given = arguments(architecture.objective, architecture.tiny.vocab_size)
    plain, compiled = losses_and_gradients(network, given)
    torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("preset", ["gpt2", "llama"])
def test_the_loss_of_documents_is_one_graph(preset: str) -> None:
    sizes = {"vocab_size": 64, "context_length": 16, "d_model": 32, "n_layers": 2, "n_heads": 4}
    network = build("gpt", catalogue()["gpt"].configure(preset, **sizes), seed=0)
    tokens, targets = arguments("next_token", 64)
    documents = torch.tensor([[0] * 5 + [1] * 7, [0] * 12])
    plain, compiled = losses_and_gradients(network, (tokens, targets, documents))
    torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-5)


def test_the_loss_of_a_classifier_is_one_graph() -> None:
    network = Classifier(build("gpt", catalogue()["gpt"].tiny, seed=0), 3)
    tokens, _ = arguments("next_token", 64)
    given = (tokens, torch.tensor([4, 11]), torch.tensor([2, 0]))
    plain, compiled = losses_and_gradients(network, given)
    torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-5)
