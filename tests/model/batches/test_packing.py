"""Packed rows: every token of every document asked for once an epoch, from its document alone.

The token at a place of a stream is the place itself, so that a batch shows where it was read; the
end of text is no exception here, only the last token of its document.
"""

import itertools
import random
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.batches import packing
from model.batches.batching import IGNORED, Batch, DocumentPiece, TokenStream
from model.batches.packing import Packed, best_fit

T = 16


def stream(pieces: list[list[int]]) -> TokenStream:
    """A piece for each list of document lengths."""
    made, begin = [], 0
    for lengths in pieces:
        bounds = torch.tensor([0, *itertools.accumulate(lengths)]).to(torch.int32)
        tokens = torch.arange(begin, begin + sum(lengths)).to(torch.uint32)
        made.append(DocumentPiece(len(tokens), lambda t=tokens: t, lambda b=bounds: b))
        begin += len(tokens)
    return TokenStream(made)


def drawn_lengths(count: int, mean: float, seed: int = 0) -> list[int]:
    """Lengths as texts have them: many short ones, a long tail."""
    source = random.Random(seed)
    return [max(1, round(source.lognormvariate(0, 1) * mean)) for _ in range(count)]


def in_pieces(lengths: list[int], size: int) -> list[list[int]]:
    return [lengths[i : i + size] for i in range(0, len(lengths), size)]


def packed(pieces: list[list[int]], **chosen: object) -> Packed:
    options = {"context_length": T, "batch_size": 4, "seed": 0, **chosen}
    return Packed({"a": stream(pieces)}, {"a": 1.0}, **options)


def asked_by(batch: Batch) -> list[list[tuple[int, int]]]:
    """Each row's documents as lists of (token, target)."""
    found = []
    for row in zip(batch.documents, batch.tokens, batch.targets, strict=True):
        for _, span in itertools.groupby(
            zip(*(t.tolist() for t in row), strict=True), lambda c: c[0]
        ):
            found.append([(token, target) for _, token, target in span])
    return found


def a_row(source: Packed, count: int) -> tuple[packing.Span, ...]:
    return tuple(source._corpora["a"].row(count))


@pytest.fixture(autouse=True)
def small_pools(monkeypatch):
    """Pools of 4 rows, 3 pools shuffled together: tiny corpora have several of each."""
    monkeypatch.setattr(packing, "_POOL_ROWS", 4)
    monkeypatch.setattr(packing, "_SHUFFLED", 3)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 50), max_size=200), st.integers(50, 120))
def test_bins_hold_everything_once_and_are_few(lengths, capacity):
    bins = best_fit(lengths, capacity)
    assert Counter(index for held in bins for index in held) == Counter(range(len(lengths)))
    loads = [sum(lengths[index] for index in held) for held in bins]
    assert all(load <= capacity for load in loads)
    # Any two bins together overflow one, or the later one's would have gone into the earlier.
    assert all(one + other > capacity for one, other in itertools.combinations(loads, 2))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=200))
def test_short_documents_fill_their_bins(lengths):
    """With documents of at most a quarter, every bin but the last is filled to three quarters."""
    assert len(best_fit(lengths, 48)) <= sum(lengths) / 36 + 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 20), max_size=60))
def test_each_goes_where_the_least_room_is_left(lengths):
    """The rule by the letter, at a cost that grows with the square."""
    rooms: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [room for room in rooms if room >= length]
        if fitting:
            rooms.remove(min(fitting))
        rooms.append((min(fitting) if fitting else 20) - length)
    bins = best_fit(lengths, 20)
    assert sorted(20 - sum(lengths[i] for i in held) for held in bins) == sorted(rooms)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 70), max_size=12), min_size=1, max_size=12).filter(
        lambda pieces: sum(map(sum, pieces)) > 5 * T
    ),
    st.integers(0, 3),
)
def test_an_epoch_asks_for_every_token_once_and_never_across_documents(pieces, seed):
    source = packed(pieces, seed=seed, batch_size=1)
    lengths = [length for piece in pieces for length in piece]
    ends = list(itertools.accumulate(lengths))
    start_of = {end - length: end - 1 for end, length in zip(ends, lengths, strict=True)}
    rows = source.windows("a")
    for epoch in range(2):
        asked: Counter[int] = Counter()
        for step in range(epoch * rows, (epoch + 1) * rows):
            batch = source.batch(step)
            assert batch.tokens.shape == batch.targets.shape == batch.documents.shape == (1, T)
            for pairs in asked_by(batch):
                for token, target in pairs:
                    if target == IGNORED:
                        assert token == 0
                        continue
                    # The first token is asked from the document's own end of text.
                    assert token == start_of.get(target, target - 1)
                    asked[target] += 1
                targets = [target for _, target in pairs]
                assert targets == list(range(targets[0], targets[0] + len(targets))) or set(
                    targets
                ) == {IGNORED}
        assert asked == Counter(range(sum(lengths)))


def test_a_row_by_hand():
    source = packed([[5, 40, 3, 6, 30]], batch_size=1)
    assert source.windows("a") == 6  # 84 tokens: 16 16 | 16 | 8 6 | 14 | 5 3 would be 6 of 16
    rows = {a_row(source, count) for count in range(6)}
    spans = {span[:2]: span[2] for row in rows for span in row}
    assert spans == {
        (0, 5): 4,
        (5, 21): 44,
        (21, 37): 20,
        (37, 45): 36,
        (45, 48): 47,
        (48, 54): 53,
        (54, 70): 83,
        (70, 84): 69,
    }
    row = next(row for row in rows if (37, 45, 36) in row)
    count = next(count for count in range(6) if a_row(source, count) == row)
    assert row == ((37, 45, 36), (48, 54, 53))
    batch = source.batch(count)
    assert batch.tokens[0].tolist() == [*range(36, 44), 53, *range(48, 53), 0, 0]
    assert batch.targets[0].tolist() == [*range(37, 45), *range(48, 54), IGNORED, IGNORED]
    assert batch.documents[0].tolist() == [0] * 8 + [1] * 6 + [2] * 2
    assert list(map(str, batch.ids)) == ["a[37:45][48:54]"]
    assert batch.counted == 14


def test_a_batch_is_a_pure_function_of_seed_and_step():
    pieces = in_pieces(drawn_lengths(300, 8), 20)
    one, other, third = packed(pieces), packed(pieces), packed(pieces, seed=1)
    steps = range(3 * one.windows("a") // 4)
    forwards = [one.batch(step) for step in steps]
    backwards = [other.batch(step) for step in reversed(steps)][::-1]
    for a, b in zip(forwards, backwards, strict=True):
        assert a.ids == b.ids
        assert all(torch.equal(getattr(a, k), getattr(b, k)) for k in ("tokens", "documents"))
    assert [a.ids for a in forwards] != [third.batch(step).ids for step in steps]


def test_epochs_differ_in_the_order_of_pools_and_of_rows():
    pieces = in_pieces([T, 4, 4, 4, T, T, T] * 20, 7)  # 20 pools of 5 rows
    source, other = packed(pieces), packed(pieces, seed=1)
    rows = source.windows("a")
    assert rows == 100
    epochs = [[a_row(source, e * rows + i) for i in range(rows)] for e in range(3)]
    epochs.append([a_row(other, i) for i in range(rows)])
    assert len({frozenset(epoch) for epoch in epochs}) == 1
    pools = [[row[0].start // (4 * T + 12) for row in epoch] for epoch in epochs]
    groups = [[frozenset(order[i : i + 15]) for i in range(0, rows, 15)] for order in pools]
    assert all(len(group) == 3 for order in groups for group in order[:-1])
    assert len({tuple(order) for order in groups}) == 4
    # Within a group neighbours are seldom of one pool.
    runs = sum(1 for _ in itertools.groupby(pools[0]))
    assert runs > 60
    one_pool = packed([[T] * 20])
    orders = {tuple(a_row(one_pool, e * 20 + i) for i in range(20)) for e in range(3)}
    assert len(orders) == 3


def test_only_the_pools_before_a_row_are_touched():
    touched: list[int] = []
    bounds, tokens = torch.tensor([0, 10, 30, 64]), torch.arange(64)

    def piece(number: int) -> DocumentPiece:
        def loaded(answer: torch.Tensor) -> torch.Tensor:
            touched.append(number)
            return answer

        return DocumentPiece(64, lambda: loaded(tokens), lambda: loaded(bounds))

    source = Packed({"a": TokenStream(list(map(piece, range(30))))}, {"a": 1.0}, T, 4, 0)
    assert touched == []
    source.batch(0)
    source.batch(1)
    source.batch(2)
    assert len(set(touched)) == 3  # one group of three pools of a piece each
    assert len(touched) == 6  # its documents and its tokens
    source.batch(7)
    assert len(set(touched)) == 9
    assert source.windows("a") == 120
    assert len(set(touched)) == 30


def test_drawn_counts_what_was_asked():
    lengths = drawn_lengths(200, 9)
    streams = {"a": stream(in_pieces(lengths, 9)), "b": stream([[30] * 20])}
    source = Packed(streams, {"a": 2.0, "b": 1.0}, T, 4, 1)
    tokens: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    for step in range(120):
        for name in "ab":
            told = source.drawn(step)[name]
            assert told["tokens"] == tokens[name]
            assert told["windows"] == rows[name]
            assert told["epochs"] == tokens[name] / len(streams[name])
        batch = source.batch(step)
        for name, targets in zip(batch.ids, batch.targets, strict=True):
            tokens[name[0]] += int((targets != IGNORED).sum())
            rows[name[0]] += 1


def test_limits_are_in_epochs_of_rows():
    streams = {"a": stream(in_pieces(drawn_lengths(50, 9), 9)), "b": stream([[30] * 20])}
    source = Packed(streams, {"a": 1.0, "b": 1.0}, T, 1, 0, {"a": 1, "b": 2})
    assert source.steps == source.windows("a") + 2 * source.windows("b")
    drawn = source.drawn(source.steps)
    assert drawn["a"] == {"windows": source.windows("a"), "tokens": len(streams["a"]), "epochs": 1}
    assert drawn["b"] == {"windows": 2 * source.windows("b"), "tokens": 1200, "epochs": 2}
    with pytest.raises(ValueError, match=rf"step={source.steps} is past the end"):
        source.batch(source.steps)


@pytest.mark.parametrize("context_length", [256, 1024])
def test_rows_are_nearly_full(monkeypatch, context_length):
    """Lengths as of web pages, about 500 tokens; next-fit in their order leaves a fifth empty."""
    monkeypatch.setattr(packing, "_POOL_ROWS", 256)
    lengths = drawn_lengths(8000, 300)
    pieces = in_pieces(lengths, 530)  # 2^18 tokens
    source = packed(pieces, context_length=context_length)
    cells = source.windows("a") * context_length
    assert sum(lengths) / cells > 0.99
    parts = [
        min(context_length, length - cut)
        for length in lengths
        for cut in range(0, length, context_length)
    ]
    rows, room = 0, 0
    for part in parts:
        if part > room:
            rows, room = rows + 1, context_length
        room -= part
    assert sum(lengths) / (rows * context_length) < 0.88


@pytest.mark.parametrize(
    "bounds", [[0, 10], [1, 100], [0, 60, 50, 100], [], [0, 101]], ids=lambda b: str(b)
)
def test_bounds_that_are_not_of_the_piece_are_named(bounds):
    piece = DocumentPiece(100, lambda: torch.arange(100), lambda: torch.tensor(bounds))
    source = Packed({"a": TokenStream([piece])}, {"a": 1.0}, T, 2, 0)
    with pytest.raises(ValueError, match=r"piece 0 of corpus=a has bounds .* to length=100"):
        source.batch(0)


def test_streams_without_documents_are_refused():
    tokens = TokenStream([torch.arange(100)])
    with pytest.raises(ValueError, match="piece 0 of corpus=a has no document bounds"):
        Packed({"a": tokens}, {"a": 1.0}, T, 2, 0)


def test_a_corpus_shorter_than_its_share_of_a_batch_is_refused():
    with pytest.raises(ValueError, match="corpus=a tokens=60 is shorter than its share"):
        packed([[20, 40]])
