"""Order, mixture and padding: nothing lost, nothing doubled, everything a function of the step."""

import itertools
import weakref
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.batches.batching import (
    IGNORED,
    Batch,
    Piece,
    TokenStream,
    Windows,
    in_order,
    spread,
)
from model.batches.examples import Examples
from model.batches.shuffling import key_of, permuted


def stream(length: int, start: int = 0) -> TokenStream:
    """A stream whose token at a place is the place: it shows where it was read."""
    return TokenStream([torch.arange(start, start + length).to(torch.uint32)])


def windows(sizes: dict[str, int], weights: dict[str, float], **settings: object) -> Windows:
    streams = {name: stream(size, 1000 * i) for i, (name, size) in enumerate(sizes.items())}
    chosen = {"context_length": 8, "batch_size": 4, "seed": 0, **settings}
    return Windows(streams, weights, **chosen)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.uint32, torch.int64])
def test_a_stream_reads_across_its_pieces(dtype):
    whole = torch.arange(60)
    pieces = [whole[:7], whole[7:7], whole[7:8], whole[8:40], whole[40:]]
    tokens = TokenStream([piece.to(dtype) for piece in pieces])
    assert len(tokens) == 60
    for start, stop in [(0, 60), (6, 9), (7, 8), (0, 0), (39, 41), (60, 60)]:
        read = tokens.read(start, stop)
        assert read.dtype == torch.int64
        assert torch.equal(read, whole[start:stop])
    for start, size in [(55, 10), (59, 2), (0, 130), (8, 60)]:
        row = torch.empty(size, dtype=torch.int64)
        tokens.copy(start, row.numpy())
        assert torch.equal(row, (torch.arange(size) + start) % 60)
    crumbs = TokenStream(list(whole.repeat(50)[:, None]))
    assert torch.equal(crumbs.read(5, 2999), whole.repeat(50)[5:2999])
    for start, stop in [(-1, 2), (3, 2), (0, 61)]:
        with pytest.raises(ValueError, match="outside a stream of 60"):
            tokens.read(start, stop)


@dataclass
class Loads:
    """Pieces of a stream over range(n) that tell when they are loaded and whether they live."""

    sizes: list[int]
    loaded: list[int] = field(default_factory=list)
    alive: int = 0
    most: int = 0

    def pieces(self) -> list[Piece]:
        return [Piece(size, lambda i=i: self._load(i)) for i, size in enumerate(self.sizes)]

    def _load(self, number: int) -> torch.Tensor:
        begin = sum(self.sizes[:number])
        memory = np.arange(begin, begin + self.sizes[number]).astype(np.uint16)
        self.loaded.append(number)
        self.alive += 1
        self.most = max(self.most, self.alive)
        weakref.finalize(memory, self._gone)  # every view of it keeps it
        return torch.from_numpy(memory)

    def _gone(self) -> None:
        self.alive -= 1


def test_pieces_are_loaded_when_first_read_and_kept():
    loads = Loads([10, 20, 30])
    tokens = TokenStream(loads.pieces())
    assert len(tokens) == 60
    assert loads.loaded == []
    tokens.read(12, 14)
    assert loads.loaded == [1]
    assert tokens.read(5, 31).tolist() == list(range(5, 31))
    assert loads.loaded == [1, 0, 2]
    tokens.read(0, 60)
    assert loads.loaded == [1, 0, 2]


def test_windows_touch_only_what_they_read():
    loads = Loads([500] * 20)
    source = Windows({"a": TokenStream(loads.pieces())}, {"a": 1.0}, 8, 4, seed=0, epochs={"a": 2})
    source.drawn(100)
    assert loads.loaded == []
    batch = source.batch(0)
    needed = {int(token) // 500 for token in [*batch.tokens.flatten(), *batch.targets.flatten()]}
    assert set(loads.loaded) == needed


def test_in_order_loads_each_piece_once_and_lets_go_of_it():
    loads = Loads([50, 7, 0, 64, 3, 100, 9])
    asked = [t for batch in in_order(TokenStream(loads.pieces()), 8, 3) for t in batch.targets]
    assert sum((row != IGNORED).sum() for row in asked) == 232
    assert [number for number in loads.loaded if number != 2] == [0, 1, 3, 4, 5, 6]
    assert loads.most <= 3  # kept, being read, coming


def test_a_piece_that_is_not_as_told_is_named_when_it_is_read():
    wrong = [Piece(4, lambda: torch.arange(3)), Piece(2, lambda: torch.zeros(2))]
    tokens = TokenStream([torch.arange(3), *wrong])
    with pytest.raises(ValueError, match="piece 1 has tokens=3 but length=4"):
        tokens.read(2, 4)
    with pytest.raises(ValueError, match=r"piece 2 has .*float32"):
        tokens.read(7, 8)


def test_a_stream_of_anything_but_ids_is_refused():
    with pytest.raises(ValueError, match=r"piece 1 has shape=\(2, 2\)"):
        TokenStream([torch.arange(3), torch.zeros(2, 2, dtype=torch.int64)])
    with pytest.raises(ValueError, match=r"float32"):
        TokenStream([torch.zeros(3)])


def test_targets_are_the_tokens_one_on():
    batch = windows({"a": 100}, {"a": 1.0}).batch(3)
    assert batch.tokens.shape == batch.targets.shape == (4, 8)
    assert torch.equal(batch.targets, (batch.tokens + 1) % 100)
    assert batch.counted == 32
    assert str(batch.ids[0]).startswith("a[")


def test_an_epoch_asks_for_each_token_once_and_the_next_cuts_elsewhere():
    source = windows({"a": 96}, {"a": 1.0})  # 12 windows: 3 batches
    epochs = []
    for epoch in range(6):
        asked = torch.cat([source.batch(3 * epoch + i).targets for i in range(3)])
        assert Counter(asked.flatten().tolist()) == Counter(range(96))
        epochs.append(asked)
    starts = {int(asked[0, 0]) % 8 for asked in epochs}
    assert len(starts) > 1
    # Strides between neighbours do not depend on where the grid starts, only on the order.
    orders = {tuple(((asked[1:, 0] - asked[:-1, 0]) % 96).tolist()) for asked in epochs}
    assert len(orders) == 6


def test_the_remainder_below_a_window_is_another_one_each_epoch():
    source = windows({"a": 103}, {"a": 1.0})  # 12 windows of 8, 7 tokens left
    skipped = set()
    for epoch in range(5):
        asked = torch.cat([source.batch(3 * epoch + i).targets for i in range(3)]).flatten()
        assert len(set(asked.tolist())) == 96
        skipped.add(frozenset(range(103)) - set(asked.tolist()))
    assert len(skipped) > 1


def test_a_batch_is_a_pure_function_of_seed_and_step():
    sizes, weights = {"a": 200, "b": 300}, {"a": 1.0, "b": 2.0}
    one, other = windows(sizes, weights), windows(sizes, weights)
    forwards = [one.batch(step) for step in range(30)]
    backwards = [other.batch(step) for step in reversed(range(30))][::-1]
    for a, b in zip(forwards, backwards, strict=True):
        assert torch.equal(a.tokens, b.tokens)
        assert a.ids == b.ids
    assert not torch.equal(one.batch(0).tokens, windows(sizes, weights, seed=1).batch(0).tokens)


def test_known_windows_stand():
    """What earlier versions read under this seed: their runs are continued in the same order."""
    source = windows({"a": 1000, "b": 400}, {"a": 2.0, "b": 1.0}, seed=1337)
    known = {
        0: ("a[83:92]", "b[88:97]", "a[707:716]", "b[344:353]"),
        7: ("b[56:65]", "a[939:948]", "a[147:156]", "a[395:404]"),
        100_000: ("a[110:119]", "a[118:127]", "b[27:36]", "a[990:999]"),
    }
    assert {step: tuple(map(str, source.batch(step).ids)) for step in known} == known


def test_places_computed_together_are_those_computed_one_by_one():
    sizes, counts = {"a": 203, "b": 1000, "c": 90}, dict.fromkeys("abc", 0)
    source = windows(sizes, {"a": 1.0, "b": 2.0, "c": 0.1}, seed=5, epochs={"b": 5, "c": 3})
    source._steps_together = 7
    for step in range(500):
        for name, text in zip(
            source.mixture.corpora(step, step + 1), source.batch(step).ids, strict=True
        ):
            tokens, size = sizes[name], sizes[name] // 8
            epoch, index = divmod(counts[name], size)
            origin = key_of("origin", 5, name, epoch) % tokens
            window = permuted(index, size, key_of("order", 5, name, epoch))
            place = (origin + window * 8) % tokens
            assert str(text) == f"{name}[{place}:{place + 9}]"
            counts[name] += 1
    assert counts["c"] == 33  # every phase was seen
    assert counts["b"] == 625


def test_a_mixture_is_exact_and_each_corpus_goes_through_its_own_epochs():
    source = windows({"a": 160, "b": 640, "c": 80}, {"a": 0.25, "b": 0.625, "c": 0.125})
    asked: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for step in range(256):  # one block of 1,024 draws
        for row in source.batch(step).targets:
            asked[int(row[0]) // 1000].extend(row.tolist())
    assert [len(rows) for rows in asked.values()] == [256 * 8, 640 * 8, 128 * 8]
    # 256 draws of a corpus of 20 windows: 12 epochs and 16 windows more.
    counts = Counter(asked[0])
    assert set(counts.values()) <= {12, 13}
    assert source.drawn(256) == {
        "a": {"windows": 256, "tokens": 2048, "epochs": 12.8},
        "b": {"windows": 640, "tokens": 5120, "epochs": 8.0},
        "c": {"windows": 128, "tokens": 1024, "epochs": 12.8},
    }
    assert abs(source.drawn(128)["a"]["epochs"] - 6.4) < 2


def test_a_limited_corpus_is_read_so_often_and_no_more():
    limits = {"a": 1.5, "b": 2}
    source = windows({"a": 160, "b": 320}, {"a": 3.0, "b": 1.0}, epochs=limits)
    assert source.steps == (30 + 80) // 4
    asked: dict[int, Counter[int]] = {0: Counter(), 1: Counter()}
    for step in range(source.steps):
        for row in source.batch(step).targets.tolist():
            asked[row[0] // 1000].update(row)
    assert Counter(asked[0].values()) == {1: 80, 2: 80}  # an epoch and half of another
    assert sum(asked[1].values()) == (27 * 4 - 30) * 8  # half a batch of it stays over
    drawn = source.drawn(27)
    assert drawn["a"] == {"windows": 30, "tokens": 240, "epochs": 1.5}
    assert drawn["b"]["windows"] == 78
    for ask in (lambda: source.batch(27), lambda: source.drawn(28)):
        with pytest.raises(ValueError, match=r"step=27 .* a=1\.5 b=2 .* steps=27; raise a limit"):
            ask()


def test_a_corpus_shorter_than_its_share_of_a_batch_is_refused():
    windows({"a": 33}, {"a": 1.0})
    with pytest.raises(ValueError, match=r"corpus=a tokens=32 is shorter .* 33: add text"):
        windows({"a": 32}, {"a": 1.0})
    windows({"a": 33, "b": 9}, {"a": 3.0, "b": 1.0})
    with pytest.raises(ValueError, match=r"corpus=b tokens=8"):
        windows({"a": 33, "b": 8}, {"a": 3.0, "b": 1.0})


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf"), 1e-9])
def test_a_weight_that_draws_nothing_is_refused(weight):
    with pytest.raises(ValueError, match="of corpus=b"):
        windows({"a": 100, "b": 100}, {"a": 1.0, "b": weight})


def test_weights_for_other_corpora_are_refused():
    with pytest.raises(ValueError, match="name the same corpora"):
        windows({"a": 100}, {"b": 1.0})


@pytest.mark.parametrize("length", [2, 8, 9, 10, 33, 100])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_in_order_asks_for_each_token_but_the_first_once(length, batch_size):
    asked: list[int] = []
    for batch in in_order(stream(length), 8, batch_size):
        assert batch.tokens.shape == batch.targets.shape
        assert len(batch.tokens) == len(batch.ids) <= batch_size
        real = batch.targets != IGNORED
        assert torch.equal(batch.targets[real], batch.tokens[real] + 1)
        asked.extend(batch.targets[real].tolist())
    assert asked == list(range(1, length))


def test_each_window_begins_as_a_text_does():
    tokens = TokenStream([torch.tensor([9, 7, 1, 2, 3, 9, 7, 4, 5])])
    (batch,) = in_order(tokens, 2, 8, beginning=7)
    # The beginning itself is no target; what follows it is asked from it, not from a second one.
    assert batch.tokens.tolist() == [[9, 7], [7, 2], [7, 9], [7, 4]]
    assert batch.targets.tolist() == [[IGNORED, 1], [2, 3], [9, IGNORED], [4, 5]]


def test_in_order_over_nothing_is_refused():
    with pytest.raises(ValueError, match="tokens=1"):
        next(in_order(stream(1), 8, 2))


def test_a_token_outside_the_vocabulary_is_named_with_its_row():
    batch = windows({"a": 100}, {"a": 1.0}).batch(0)
    batch.check(100)
    with pytest.raises(ValueError, match=r"token=\d+ in a\[\d+:\d+\] is outside vocab_size=50"):
        batch.check(50)


LENGTHS = [3, 9, 2, 5, 7, 4, 6, 8, 2, 3, 5]
ROWS = [[100 * i + j for j in range(length)] for i, length in enumerate(LENGTHS)]


def paired(**settings: int) -> Examples:
    """Examples whose second half is to be learned."""
    counted = [[j >= max(1, len(row) // 2) for j in range(len(row))] for row in ROWS]
    chosen = {"pad": 7, "context_length": 8, "batch_size": 4, **settings}
    return Examples(ROWS, counted=counted, **chosen)


def test_examples_ask_for_counted_tokens_from_those_before():
    batches = list(paired().in_order())
    assert [len(batch.tokens) for batch in batches] == [4, 4, 3]
    first = batches[0]
    assert first.tokens[0].tolist() == [0, 1] + [7] * 6
    assert first.targets[0].tolist() == [1, 2] + [IGNORED] * 6
    assert first.tokens[1].tolist() == list(range(100, 108))
    assert first.targets[1].tolist() == [IGNORED] * 3 + list(range(104, 109))
    assert [str(name) for name in first.ids] == [f"example {i}" for i in range(4)]
    assert sum(batch.counted for batch in batches) == sum(
        length - max(1, length // 2) for length in LENGTHS
    )


def drawn(source: Examples, steps: int) -> list[list[int]]:
    """The examples of each batch."""
    return [[i.number for i in source.batch(step).ids] for step in range(steps)]


def test_every_example_is_drawn_as_often_as_every_other_in_another_order():
    source = paired(seed=3)  # 11 examples in pools of two batches of 4
    assert all(len(batch) == 4 for batch in drawn(source, 22))
    assert set(Counter(itertools.chain(*drawn(source, 22))).values()) == {8}
    for pools in range(1, 11):
        counts = Counter(itertools.chain(*drawn(source, 2 * pools)))
        assert max(counts.values()) - min(counts[i] for i in range(11)) <= 1
    epochs = {tuple(map(tuple, drawn(source, 22)[first : first + 2])) for first in range(0, 22, 2)}
    assert len(epochs) == 11
    again = paired(seed=3)
    for step in (8, 0, 5):
        assert torch.equal(again.batch(step).tokens, source.batch(step).tokens)


def test_the_longest_example_never_has_a_step_of_its_own():
    """What is left over of an epoch is no short batch of the longest."""
    rows = [[1] * length for length in range(2, 35)]
    source = Examples(rows, labels=[0] * 33, pad=0, context_length=64, batch_size=32)
    batches = drawn(source, 33)
    assert {len(batch) for batch in batches} == {32}
    assert set(Counter(itertools.chain(*batches)).values()) == {32}


@given(st.integers(1, 300), st.integers(1, 300))
def test_places_are_spread_evenly(size, count):
    places = list(spread(size, count))
    assert len(places) == len(set(places)) == min(size, count)
    assert places == sorted(places)
    gaps = {b - a for a, b in itertools.pairwise([*places, size])}
    assert max(gaps) - min(gaps) <= 1
    assert spread(size, None) == range(size)


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 8])
def test_the_parts_of_a_batch_are_its_rows_in_order(parts):
    tokens = torch.arange(30).view(5, 6)
    ids = tuple("abcde")
    batch = Batch(tokens, tokens + 1, ids, tokens[:, 0], tokens + 2, tokens + 3)
    cut = batch.split(parts)
    sizes = [len(part.ids) for part in cut]
    assert len(cut) == min(parts, 5)
    assert max(sizes) - min(sizes) <= 1
    assert sum((part.ids for part in cut), ()) == ids
    for name in ("tokens", "targets", "last", "documents", "sources"):
        joined = torch.cat([getattr(part, name) for part in cut])
        assert torch.equal(joined, getattr(batch, name))


def test_a_cut_look_reads_every_corpus_in_proportion():
    """Corpora lie end to end; of a hundred windows each gives as many as it is long."""
    sizes = {1: 6000, 2: 3000, 3: 1000}
    joined = TokenStream([torch.full((size,), name) for name, size in sizes.items()])
    batches = list(in_order(joined, 10, 32, windows=100))
    asked = torch.cat([batch.targets for batch in batches])
    assert asked.shape == (100, 10)
    counts = {name: int((asked == name).sum()) // 10 for name in sizes}
    assert counts == {1: 60, 2: 30, 3: 10}
    assert [batch.ids for batch in in_order(joined, 10, 32, windows=10**6)] == [
        batch.ids for batch in in_order(joined, 10, 32)
    ]


def test_a_cut_look_at_examples_is_spread_over_them():
    batches = list(paired().in_order(5))
    assert [len(batch.tokens) for batch in batches] == [4, 1]
    shown = [i.number for batch in batches for i in batch.ids]
    assert sorted(shown) == [0, 2, 4, 6, 8]
    assert [LENGTHS[i] for i in shown] == sorted(LENGTHS[i] for i in shown)


def test_batches_of_like_lengths_hold_little_padding():
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(2, 60, (400,), generator=generator).tolist()
    rows = [[1] * length for length in lengths]
    source = Examples(rows, labels=[0] * 400, pad=0, context_length=64, batch_size=8)
    cells = sum(source.batch(step).tokens.numel() for step in range(50))
    assert cells < 1.1 * sum(lengths)


def test_labelled_examples_say_where_they_end():
    source = Examples(ROWS, labels=range(11), pad=0, context_length=9, batch_size=4)
    for batch in [*source.in_order(), source.batch(0)]:
        assert batch.last is not None
        for row, label, last in zip(batch.tokens, batch.targets, batch.last, strict=True):
            assert row[last] == ROWS[label][-1]
            assert not row[last + 1 :].any()


@pytest.mark.parametrize(
    ("tokens", "counted", "message"),
    [
        ([[1, 2], []], [[True, True], []], "example 1 has tokens=0"),
        ([[1, 2], [1] * 10], [[True] * 2, [True] * 10], "example 1 has tokens=10"),
        ([[1, 2]], [[True, False]], "example 0 has no counted token after its first"),
        ([[1, 2]], [[True]], "example 0 has tokens=2 counted=1"),
        ([[1, 2]], [], "examples=1 answers=0"),
        ([], [], "examples=0"),
    ],
)
def test_examples_with_nothing_to_learn_are_named(tokens, counted, message):
    with pytest.raises(ValueError, match=message):
        Examples(tokens, counted=counted, pad=0, context_length=8, batch_size=2)


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="batch_size=0"):
        windows({"a": 100}, {"a": 1.0}, batch_size=0)
