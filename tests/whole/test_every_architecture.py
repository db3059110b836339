"""What holds of every declared architecture, whatever it is: nothing here names one.

A new folder in model/architectures/ gets all of this; ``test_a_sixth_architecture_is_one_folder``
adds one to a copy of the project and runs this very module on it.
"""

from __future__ import annotations

import functools
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from model.architectures import Architecture, build, catalogue, find
from model.architectures.encoder_decoder.search import translate
from model.batches.batching import IGNORED, Batch
from model.evaluation import mean_loss
from model.inference.generation import generate
from model.training.loop import Saved, State, Step, train
from model.training.objectives import OBJECTIVES
from model.training.optim import Optimizer
from model.training.state import load_weights, weights

ROOT = Path(__file__).resolve().parents[2]
ROWS, LENGTH, STEPS = 4, 8, 150
SHAPE = {"d_model", "n_layers"}  # a preset that sets these is not tiny


def of(name: str) -> Architecture:
    """An architecture, or ``architecture:preset``, which is tiny with the parts of the preset."""
    architecture = find(name.partition(":")[0])
    parts = architecture.presets.get(name.partition(":")[2], {})
    return replace(architecture, tiny=replace(architecture.tiny, **parts))


EVERY = sorted(catalogue()) + [
    f"{name}:{preset}"
    for name, architecture in sorted(catalogue().items())
    for preset, parts in architecture.presets.items()
    if not SHAPE & parts.keys() and of(f"{name}:{preset}").tiny != architecture.tiny
]
# Of these a row of a batch may hold several documents.
OF_DOCUMENTS = [n for n in EVERY if of(n).objective in ("next_token", "masked_token")]


def objective_of(name: str) -> Any:
    return OBJECTIVES[of(name).objective]


def batch_of(name: str, seed: int = 0) -> Batch:
    """A batch such as the architecture's objective is given."""
    architecture = of(name)
    size = architecture.tiny.vocab_size
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randint(size, shape, generator=generator)

    tokens, ids = drawn(ROWS, LENGTH), tuple(f"row {i}" for i in range(ROWS))
    match architecture.objective:
        case "next_token":
            return Batch(tokens, torch.roll(tokens, -1, 1), ids)
        case "masked_token":
            asked = torch.zeros(ROWS, LENGTH, dtype=torch.bool)
            asked[:, ::3] = True
            masked = tokens.masked_fill(asked, size)
            return Batch(masked, tokens.masked_fill(~asked, IGNORED), ids)
        case "sequence_to_sequence":
            sources = drawn(ROWS, LENGTH + 2)
            sources[1::2, LENGTH - 2 :] = IGNORED
            return Batch(tokens, torch.roll(tokens, -1, 1), ids, sources=sources)
        case "negative_sampling":
            given = torch.arange(ROWS)[:, None].repeat(1, 2)
            given[1::2, 1:] = IGNORED
            # A word is told from others; that both stood there and were drawn cannot be learned.
            words = torch.randperm(size, generator=generator)[: ROWS * 3].view(ROWS, 3)
            return Batch(given, words, ids)
    raise AssertionError(f"no batch is known for objective={architecture.objective}: add it here")


def optimizer_of(network: Any) -> Optimizer:
    return Optimizer(network, "adamw", learning_rate=0.01)


def loss_of(name: str, network: Any, batch: Batch) -> float:
    return mean_loss(network, objective_of(name), [batch]).nats


@functools.cache
def overfitted(name: str) -> tuple[Any, list[float]]:
    """The tiny network after ``STEPS`` steps on one batch, and its losses on the way."""
    network = build(of(name), of(name).tiny, seed=0)
    batch = batch_of(name)
    events = train(
        network, objective_of(name), lambda _: batch, optimizer_of(network), steps=STEPS, clip=None
    )
    return network, [event.loss for event in events if isinstance(event, Step)]


@pytest.mark.parametrize("name", EVERY)
def test_overfits_a_batch(name: str) -> None:
    network, losses = overfitted(name)
    assert losses[0] > 0.5
    assert loss_of(name, network, batch_of(name)) < 0.1 * losses[0]
    assert loss_of(name, network, batch_of(name, seed=1)) > 0.5, "it knows what it never saw"


@pytest.mark.parametrize("name", EVERY)
def test_resumes_bit_for_bit(name: str) -> None:
    batches = [batch_of(name, seed) for seed in range(6)]

    def run(state: State | None, network: Any) -> tuple[list[State], dict[str, Tensor]]:
        events = train(
            network,
            objective_of(name),
            batches.__getitem__,
            optimizer_of(network),
            steps=6,
            seed=3,
            checkpoint_every=3,
            state=state,
        )
        saved = [event.state for event in events if isinstance(event, Saved)]
        return saved, weights(network)

    def fresh(seed: int) -> Any:
        tiny = of(name).tiny
        dropping = replace(tiny, dropout=0.1) if hasattr(tiny, "dropout") else tiny
        return build(of(name), dropping, seed)

    saved, whole = run(None, fresh(0))
    _, resumed = run(saved[0], fresh(1))
    assert saved[0].step == 3
    assert all(torch.equal(whole[tensor], resumed[tensor]) for tensor in whole)


@pytest.mark.parametrize("name", EVERY)
def test_weights_go_through_safetensors_and_back(name: str) -> None:
    network, _ = overfitted(name)
    content = save({key: t.contiguous() for key, t in weights(network).items()})
    again = build(of(name), of(name).tiny, seed=9)
    before = loss_of(name, again, batch_of(name))
    load_weights(again, load(content))
    assert loss_of(name, again, batch_of(name)) == loss_of(name, network, batch_of(name)) != before


@pytest.mark.parametrize("name", EVERY)
def test_the_seed_alone_draws_every_weight(name: str) -> None:
    torch.manual_seed(1)
    one = weights(build(of(name), of(name).tiny, seed=5))
    state = torch.random.get_rng_state()
    torch.manual_seed(2)
    two = weights(build(of(name), of(name).tiny, seed=5))
    other = weights(build(of(name), of(name).tiny, seed=6))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)
    torch.manual_seed(1)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(tensor.isfinite().all() for tensor in one.values())


@pytest.mark.parametrize("name", EVERY)
def test_reads_what_it_may_and_nothing_else(name: str) -> None:
    """Asked at one place, the loss moves with what may be read there, and with nothing else."""
    network, _ = overfitted(name)
    batch, place, size = batch_of(name), 3, of(name).tiny.vocab_size
    if of(name).objective == "negative_sampling":
        wider = torch.nn.functional.pad(batch.tokens, (0, 3), value=IGNORED)
        assert_same(name, network, batch, replace(batch, tokens=wider))
        assert_other(name, network, batch, replace(batch, tokens=(batch.tokens + 1).clamp_min(0)))
        return
    only = torch.full_like(batch.targets, IGNORED)
    only[:, place] = batch_of(name).targets[:, place]
    batch = replace(batch, targets=only)

    def changed(where: slice) -> Batch:
        tokens = batch.tokens.clone()
        tokens[:, where] = (tokens[:, where] + 1) % size
        return replace(batch, tokens=tokens)

    before, after = slice(0, place), slice(place + 1, None)
    assert_other(name, network, batch, changed(before))
    if of(name).objective == "masked_token":
        assert_other(name, network, batch, changed(after))
        return
    assert_same(name, network, batch, changed(after))
    if batch.sources is not None:
        wider = torch.nn.functional.pad(batch.sources, (0, 3), value=IGNORED)
        assert_same(name, network, batch, replace(batch, sources=wider))
        other = torch.where(batch.sources >= 0, (batch.sources + 1) % size, IGNORED)
        assert_other(name, network, batch, replace(batch, sources=other))


@pytest.mark.parametrize("name", OF_DOCUMENTS)
def test_reads_its_own_document_alone(name: str) -> None:
    """Asked within the second of three documents, the loss moves with nothing in the others."""
    network, _ = overfitted(name)
    batch, place, size = batch_of(name), 3, of(name).tiny.vocab_size
    only = torch.full_like(batch.targets, IGNORED)
    only[:, place] = batch.targets[:, place]
    mixed = replace(batch, targets=only)
    apart = replace(mixed, documents=torch.tensor([0, 0, 1, 1, 1, 2, 2, 2]).repeat(ROWS, 1))

    def changed(batch: Batch, *places: int) -> Batch:
        tokens = batch.tokens.clone()
        tokens[:, places] = (tokens[:, places] + 1) % size
        return replace(batch, tokens=tokens)

    assert_other(name, network, mixed, changed(mixed, 0, 1))  # one document, unless it is told
    assert_same(name, network, apart, changed(apart, 0, 1, 5, 6, 7))
    assert_other(name, network, apart, changed(apart, 2))


def assert_same(name: str, network: Any, one: Batch, two: Batch) -> None:
    assert math.isclose(
        loss_of(name, network, one), loss_of(name, network, two), rel_tol=1e-3, abs_tol=1e-7
    )


def assert_other(name: str, network: Any, one: Batch, two: Batch) -> None:
    assert not math.isclose(loss_of(name, network, one), loss_of(name, network, two), rel_tol=1e-2)


@pytest.mark.parametrize("name", EVERY)
def test_a_foreign_token_is_named(name: str) -> None:
    network, _ = overfitted(name)
    batch = batch_of(name)
    foreign = batch.tokens.clone()
    foreign[1, 0] = of(name).tiny.vocab_size + 1
    with pytest.raises(ValueError, match=r"token=\d+ in row 1 is outside vocab_size="):
        loss_of(name, network, replace(batch, tokens=foreign))


def worked(name: str, network: Any, batch: Batch) -> tuple[list[float], list[int]]:
    """The losses of a short training and one without, and what the network writes then."""
    events = train(
        network, objective_of(name), lambda _: batch, optimizer_of(network), steps=4, clip=1.0
    )
    losses = [event.loss for event in events if isinstance(event, Step)]
    return [*losses, loss_of(name, network, batch)], written(name, network)


def written(name: str, network: Any) -> list[int]:
    """Tokens out of a network, if it is one that gives any."""
    match of(name).objective:
        case "next_token":
            asked: dict[str, Any] = {"repetition_penalty": 1.1, "top_p": 0.9, "forbid": {0}}
            return generate(network, [1, 2, 3], max_new_tokens=20, **asked)
        case "sequence_to_sequence":
            asked = {"begin": 0, "end": 1, "max_new_tokens": 5, "beams": 3}
            return [t for row in translate(network, [[1, 2, 3], [4, 5]], **asked) for t in row]
    return []


@pytest.mark.parametrize("name", EVERY)
def test_every_tensor_is_made_where_the_network_is(name: str) -> None:
    """One that is made for no device in particular would lie beside a network on an accelerator;
    here it lies beside one on the processor."""
    networks, batch = [build(of(name), of(name).tiny, seed=0) for _ in range(2)], batch_of(name)
    expected = worked(name, networks[0], batch)
    with torch.device("meta"):
        assert worked(name, networks[1], batch) == expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", EVERY)
def test_works_on_an_accelerator(name: str) -> None:
    networks, batch = [build(of(name), of(name).tiny, seed=0) for _ in range(2)], batch_of(name)
    losses, tokens = worked(name, networks[0].cuda(), batch)
    assert losses == pytest.approx(worked(name, networks[1], batch)[0], rel=1e-2)
    assert set(tokens) <= set(range(of(name).tiny.vocab_size))


SIXTH = '''"""A token is foretold from the one before it and the mean of all of its document."""

from __future__ import annotations

from dataclasses import dataclass

from model.architectures import Architecture


@dataclass(frozen=True, kw_only=True)
class MeanConfig:
    vocab_size: int
    context_length: int = 32
    d_model: int = 32


def _build(config):
    import torch
    from torch import nn

    from model.blocks.masks import causal, same_document
    from model.architectures.network import Network
    from model.blocks.kernels import head_nats

    class Mean(Network):
        def __init__(self):
            super().__init__(config)
            self.embedding = nn.Embedding(config.vocab_size, config.d_model)
            self.mix = nn.Linear(2 * config.d_model, 4 * config.d_model)
            self.head = nn.Linear(4 * config.d_model, config.vocab_size, bias=False)

        def initialise(self, generator):
            with torch.no_grad():
                for parameter in self.parameters():
                    parameter.normal_(0, 0.2, generator=generator)

        def features(self, tokens, documents=None):
            x = self.embedding(tokens)
            read = causal(x.shape[1], x.device)
            if documents is not None:
                read = read & same_document(documents)[:, 0]
            shares = read / read.sum(-1, keepdim=True)
            return torch.tanh(self.mix(torch.cat([x, shares @ x], -1)))

        def logits(self, features):
            return self.head(features)

        def forward(self, tokens, targets=None, documents=None):
            features = self.features(tokens, documents)
            if targets is None:
                return self.logits(features)
            return head_nats(features.flatten(0, 1), self.head.weight, targets.flatten(), None)

    return Mean()


ARCHITECTURE = Architecture(
    name="mean",
    config=MeanConfig,
    build=_build,
    objective="next_token",
    presets={},
    tiny=MeanConfig(vocab_size=64, context_length=16),
)
'''


@pytest.fixture
def with_a_sixth(tmp_path: Path) -> Path:
    """A copy of the project with one more folder in it, and a recipe that names it."""
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("model", "pipelines"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    (tmp_path / "model/architectures/mean").mkdir()
    (tmp_path / "model/architectures/mean/__init__.py").write_text(SIXTH)
    (tmp_path / "tests").mkdir()
    shutil.copy(__file__, tmp_path / "tests")
    for name in ("pyproject.toml", "dagster.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    recipe = (ROOT / "recipes/tiny.yaml").read_text()
    recipe = recipe[: recipe.index("\nmodel:")] + (
        "\nmodel: {architecture: mean, context_length: 64}\n"
        "training: {steps: 20, batch_size: 8, validate_every: 20, optimizer: {kind: adamw}}\n"
        'samples: ["A: hello"]\n'
    )
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/mean.yaml").write_text(recipe)
    return tmp_path


def done_in(folder: Path, *command: str) -> str:
    """What a Python process says that runs the code of ``folder``."""
    environment = {name: text for name, text in os.environ.items() if name != "DRAGON_STORE"}
    made = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout + made.stderr


def test_a_sixth_architecture_is_one_folder(with_a_sixth: Path) -> None:
    chosen = ("-k", "[mean]", "-m", "not gpu")
    asked = done_in(with_a_sixth, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", *chosen)
    assert "8 passed" in asked


@pytest.mark.slow
def test_a_sixth_architecture_is_in_the_graph(with_a_sixth: Path) -> None:
    told = done_in(with_a_sixth, "-c", "from pipelines.cli.main import run; run()", "run", "mean")
    assert "mean/foundation_evaluation" in told
