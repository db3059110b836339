"""Order, mixture and padding: nothing lost, nothing doubled, everything a function of the step."""

from collections import Counter

import pytest
import torch

from model.batching import IGNORED, Examples, TokenStream, Windows, in_order, permuted


def stream(length: int, start: int = 0) -> TokenStream:
    """A stream whose token at a place is the place: it shows where it was read."""
    return TokenStream([torch.arange(start, start + length).to(torch.uint32)])


def windows(sizes: dict[str, int], weights: dict[str, float], **settings: int) -> Windows:
    streams = {name: stream(size, 1000 * i) for i, (name, size) in enumerate(sizes.items())}
    chosen = {"context_length": 8, "batch_size": 4, "seed": 0, **settings}
    return Windows(streams, weights, **chosen)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 16, 17, 100, 1000, 4097])
@pytest.mark.parametrize("key", [0, 1, 2**64 - 1])
def test_permuted_is_a_permutation(size, key):
    assert sorted(permuted(i, size, key) for i in range(size)) == list(range(size))


def test_permutations_differ_by_key_and_leave_no_place_favoured():
    assert [permuted(i, 50, 1) for i in range(50)] != [permuted(i, 50, 2) for i in range(50)]
    landed = Counter(permuted(3, 10, key) for key in range(5000))
    assert set(landed) == set(range(10))
    assert max(landed.values()) < 1.25 * 500
    assert min(landed.values()) > 0.75 * 500
    # Neighbours do not stay neighbours.
    steps = Counter(permuted(i + 1, 1000, 9) - permuted(i, 1000, 9) for i in range(999))
    assert max(steps.values()) < 12


def test_permuted_reaches_sizes_no_list_would():
    size = 10**15
    landed = {permuted(i, size, 4) for i in range(1000)}
    assert len(landed) == 1000
    assert max(landed) > size // 2


def test_permuted_refuses_what_is_outside():
    with pytest.raises(ValueError, match=r"index=5"):
        permuted(5, 5, 0)


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
    assert torch.equal(tokens.read_ring(55, 10), torch.cat([whole[55:], whole[:5]]))
    for start, stop in [(-1, 2), (3, 2), (0, 61)]:
        with pytest.raises(ValueError, match="outside a stream of 60"):
            tokens.read(start, stop)


def test_a_stream_of_anything_but_ids_is_refused():
    with pytest.raises(ValueError, match=r"chunk 1 has shape=\(2, 2\)"):
        TokenStream([torch.arange(3), torch.zeros(2, 2, dtype=torch.int64)])
    with pytest.raises(ValueError, match=r"float32"):
        TokenStream([torch.zeros(3)])


def test_targets_are_the_tokens_one_on():
    batch = windows({"a": 100}, {"a": 1.0}).batch(3)
    assert batch.tokens.shape == batch.targets.shape == (4, 8)
    assert torch.equal(batch.targets, (batch.tokens + 1) % 100)
    assert batch.counted == 32
    assert batch.ids[0].startswith("a[")


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
    assert source.epochs(256) == {"a": 12.8, "b": 8.0, "c": 12.8}
    half = source.epochs(128)
    assert abs(half["a"] - 6.4) < 2


def test_quotas_that_do_not_divide_go_by_largest_remainder():
    quotas = windows({"a": 500, "b": 500, "c": 500}, dict.fromkeys("abc", 1.0)).quotas
    assert sorted(quotas.values()) == [341, 341, 342]


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
    with pytest.raises(ValueError, match="name the same"):
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
    assert first.ids == ("example 0", "example 1", "example 2", "example 3")
    assert sum(batch.counted for batch in batches) == sum(
        length - max(1, length // 2) for length in LENGTHS
    )


def test_an_epoch_takes_every_example_once_in_another_order():
    source = paired(seed=3)
    assert source.steps_per_epoch == 3
    epochs = []
    for epoch in range(3):
        ids = [i for step in range(3) for i in source.batch(3 * epoch + step).ids]
        assert sorted(ids) == sorted(f"example {i}" for i in range(11))
        epochs.append(tuple(ids))
    assert len(set(epochs)) == 3
    again = paired(seed=3)
    for step in (8, 0, 5):
        assert torch.equal(again.batch(step).tokens, source.batch(step).tokens)


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
        ([[1, 2]], [[True, False]], "example 0 is fully masked"),
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
