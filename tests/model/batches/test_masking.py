"""What is hidden from a network that fills in words: its shares, and that (seed, step) decides."""

import pytest
import torch

from model.architectures import build, find
from model.batches.batching import IGNORED, Batch, TokenStream, Windows, in_order
from model.batches.masking import Masked, hide, masked_in_order
from model.batches.packing import Packed
from model.batches.streams import DocumentPiece
from model.training.loop import Saved, train
from model.training.objectives import OBJECTIVES
from model.training.optim import Optimizer

V, END = 1000, 7  # the mask is token V
HOW = {"vocab_size": V, "end_of_text": END}


def rows(count: int, length: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(V, (count, length), generator=generator)
    return Batch(tokens, torch.roll(tokens, -1, 1), tuple(f"row {i}" for i in range(count)))


def masked(seed: int = 0, **choices) -> Masked:
    stream = TokenStream([torch.arange(5000) % V])
    return Masked(Windows({"a": stream}, {"a": 1}, 16, 4, seed, **choices), **HOW, seed=seed)


def test_fifteen_of_a_hundred_are_asked_for_eight_in_ten_of_them_hidden():
    batch = rows(400, 500)  # 200,000 tokens: a share's deviation is below 0.3 %
    given = hide(batch, 3, **HOW)
    asked = given.targets != IGNORED
    assert asked.float().mean() == pytest.approx(0.15, abs=0.005)
    assert torch.equal(given.targets[asked], batch.tokens[asked])
    assert torch.equal(given.tokens[~asked], batch.tokens[~asked])
    shown, truth = given.tokens[asked], batch.tokens[asked]
    hidden, same = shown == V, shown == truth
    assert hidden.float().mean() == pytest.approx(0.8, abs=0.01)
    assert same.float().mean() == pytest.approx(0.1, abs=0.01)
    other = shown[~hidden & ~same]
    assert len(other) / len(shown) == pytest.approx(0.1, abs=0.01)
    assert other.min() >= 0
    assert other.unique().numel() > 0.9 * V, "any token may stand there"


def test_the_end_of_text_and_what_fills_up_are_never_asked_for():
    batch = rows(50, 100)
    batch.tokens[:, ::3] = END
    batch.targets[:, 60:] = IGNORED
    given = hide(batch, 1, **HOW)
    assert (given.targets[:, 60:] == IGNORED).all()
    assert (given.targets[:, ::3] == IGNORED).all()
    assert torch.equal(given.tokens[:, 60:], batch.tokens[:, 60:])
    assert torch.equal(given.tokens[:, ::3], batch.tokens[:, ::3])
    assert given.counted > 100


@pytest.mark.parametrize("key", range(20))
def test_at_least_one_word_is_asked_for(key):
    batch = Batch(torch.tensor([[END, 5, END]]), torch.tensor([[5, END, 1]]), ("row",))
    assert hide(batch, key, **HOW).targets.tolist() == [[IGNORED, 5, IGNORED]]


def test_a_batch_is_a_function_of_seed_and_step():
    one, again, other = masked(1), masked(1), masked(2)
    for step in (0, 5, 1):
        first, second = one.batch(step), again.batch(step)
        assert torch.equal(first.tokens, second.tokens)
        assert torch.equal(first.targets, second.targets)
    assert not torch.equal(one.batch(0).targets, other.batch(0).targets)
    # The next epoch hides other words of the same text.
    asked = {step: one.batch(step).targets != IGNORED for step in range(6)}
    assert len({tuple(a.flatten().tolist()) for a in asked.values()}) == 6


def test_it_counts_as_the_windows_within_do():
    limited = masked(epochs={"a": 1.0})
    assert limited.steps == limited.batches.steps == 78
    assert limited.drawn(10) == limited.batches.drawn(10)
    assert limited.mixture is limited.batches.mixture


def test_packed_documents_stay_apart():
    documents = [[*range(10, 20), END], *([*range(i, i + 5), END] for i in (30, 50, 70))]
    tokens = torch.tensor([token for document in documents for token in document])
    piece = DocumentPiece(len(tokens), lambda: tokens, lambda: torch.tensor([0, 11, 17, 23, 29]))
    packed = Packed({"a": TokenStream([piece])}, {"a": 1}, 12, 2, 0)
    given, plain = Masked(packed, **HOW, seed=0).batch(0), packed.batch(0)
    assert torch.equal(given.documents, plain.documents)
    assert (plain.targets == IGNORED).any()
    assert (given.targets[plain.targets == IGNORED] == IGNORED).all()


def test_held_out_text_is_shown_once_and_always_hidden_alike():
    tokens = torch.arange(8, 8 + 75)
    stream = TokenStream([tokens])

    def made() -> list[Batch]:
        return list(masked_in_order(stream, 16, 3, **HOW))

    given = made()
    assert [tuple(batch.tokens.shape) for batch in given] == [(3, 16), (1, 16), (1, 10)]
    seen = torch.cat([batch.tokens.flatten() for batch in given])
    asked = torch.cat([batch.targets.flatten() for batch in given])
    assert torch.equal(torch.where(asked == IGNORED, seen, asked), tokens[:-1])
    assert (seen[asked != IGNORED] == V).all()
    for one, two in zip(given, made(), strict=True):
        assert torch.equal(one.targets, two.targets)
        assert one.counted


@pytest.mark.parametrize("how", [{"batch_size": 1}, {"batch_size": 2}, {"batch_size": 9}])
def test_the_batch_size_hides_no_other_words(how):
    stream = TokenStream([torch.arange(8, 8 + 150)])

    def asked(**chosen: int) -> dict[str, list[int]]:
        batches = masked_in_order(stream, 16, **HOW, **{"batch_size": 3, **chosen})
        pairs = (pair for batch in batches for pair in zip(batch.ids, batch.targets, strict=True))
        return {name: targets.tolist() for name, targets in pairs}

    everything = asked()
    assert asked(**how) == everything
    some = asked(**how, windows=4)
    assert len(some) == 4
    assert some.items() <= everything.items()


def test_held_out_text_that_fills_its_rows_is_not_cut():
    stream = TokenStream([torch.arange(8, 8 + 49)])
    (plain,) = in_order(stream, 16, 3)
    (given,) = masked_in_order(stream, 16, 3, **HOW)
    assert given.ids == plain.ids
    assert given.tokens.shape == (3, 16)


def test_stopped_and_resumed_it_ends_with_the_same_weights():
    tiny = find("bert").tiny
    stream = TokenStream([torch.arange(3000) % tiny.vocab_size])

    def run(state=None):
        network = build("bert", tiny, seed=0 if state is None else 1)
        windows = Windows({"a": stream}, {"a": 1}, tiny.context_length, 4, 5)
        batches = Masked(windows, vocab_size=tiny.vocab_size, end_of_text=0, seed=5)
        events = train(
            network,
            OBJECTIVES["masked_token"],
            batches.batch,
            Optimizer(network, "muon", learning_rate=0.01),
            steps=6,
            checkpoint_every=3,
            state=state,
        )
        return network, [event.state for event in events if isinstance(event, Saved)]

    whole, saved = run()
    resumed, _ = run(saved[0])
    assert saved[0].step == 3
    pairs = zip(whole.parameters(), resumed.parameters(), strict=True)
    assert all(torch.equal(one, two) for one, two in pairs)
