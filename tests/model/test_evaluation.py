import math

import pytest
import torch

from model.architectures import build, find
from model.batches.batching import IGNORED, Batch, TokenStream, in_order
from model.batches.examples import Examples
from model.evaluation import (
    accuracy,
    bits_per_byte,
    confusion_matrix,
    f1,
    mean_loss,
    perplexity,
    precision,
    recall,
)
from model.training.adapters import Classifier, freeze_all_but_last
from model.training.objectives import classify, next_token

CONFIG = find("gpt").configure("gpt2", vocab_size=64, context_length=16, d_model=32, dropout=0.5)
TOKENS = torch.randint(64, (150,), generator=torch.Generator().manual_seed(0))
STREAM = TokenStream([TOKENS])


@pytest.fixture
def network() -> torch.nn.Module:
    network = build("gpt", CONFIG, 0)
    with torch.no_grad():
        network.embedding.weight.mul_(20)  # far from uniform, so that every token counts
    return network


def test_the_loss_is_the_same_twice_and_at_any_batch_size(network):
    losses = [mean_loss(network, next_token, in_order(STREAM, 16, size)) for size in (1, 8, 8)]
    assert losses[1] == losses[2]
    assert losses[0].nats == pytest.approx(losses[1].nats, abs=1e-6)
    assert {loss.count for loss in losses} == {149}
    assert losses[0].total == pytest.approx(149 * losses[0].nats)


def test_the_loss_is_the_mean_over_tokens_not_over_batches(network):
    network.eval()
    nats = []
    for start in range(0, 149, 16):
        piece = TOKENS[start : start + 17]
        with torch.no_grad():
            logits = network(piece[None, :-1])[0].log_softmax(-1)
        nats += (-logits[range(len(piece) - 1), piece[1:]]).tolist()
    assert mean_loss(network, next_token, in_order(STREAM, 16, 3)).nats == pytest.approx(
        sum(nats) / 149, abs=1e-5
    )


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_and_the_mode_is_given_back(network, training):
    network.train(training)
    seen = []
    network.dropout.register_forward_hook(lambda module, _, __: seen.append(module.training))
    mean_loss(network, next_token, in_order(STREAM, 16, 8))
    assert not any(seen)
    assert network.training is training
    with pytest.raises(ValueError, match="token=64"):
        mean_loss(network, next_token, [Batch(torch.tensor([[64]]), torch.tensor([[0]]), ("row",))])
    assert network.training is training


def test_a_loss_over_nothing_is_refused(network):
    with pytest.raises(ValueError, match="counted targets=0"):
        mean_loss(network, next_token, [])
    nothing = Batch(torch.tensor([[1]]), torch.tensor([[IGNORED]]), ("row",))
    with pytest.raises(ValueError, match="counted targets=0"):
        mean_loss(network, next_token, [nothing])


def test_the_loss_of_a_padded_batch_equals_that_of_its_rows(network):
    """Book 7.3."""
    network.eval()
    rows = [TOKENS[:12].tolist(), TOKENS[20:25].tolist(), TOKENS[40:48].tolist()]
    counted = [[j > 1 for j in range(len(row))] for row in rows]
    for pad in (0, 63):
        together = Examples(rows, counted=counted, pad=pad, context_length=16, batch_size=3)
        alone = Examples(rows, counted=counted, pad=pad, context_length=16, batch_size=1)
        (batch,) = together.in_order()
        total = sum(next_token(network, one) for one in alone.in_order())
        torch.testing.assert_close(next_token(network, batch), total)


def test_a_classifier_reads_the_last_real_token(network):
    classifier = Classifier(network, 2).eval()
    torch.nn.init.normal_(classifier.head.weight, generator=torch.Generator().manual_seed(0))
    rows = [TOKENS[:12].tolist(), TOKENS[20:25].tolist()]
    source = Examples(rows, labels=[0, 1], pad=9, context_length=16, batch_size=2)
    (batch,) = source.in_order()
    together = classifier(batch.tokens, batch.last)
    for index, row in enumerate(rows):
        alone = classifier(torch.tensor([row]), torch.tensor([len(row) - 1]))
        torch.testing.assert_close(together[index], alone[0])
    assert mean_loss(classifier, classify, source.in_order()).count == 2


def test_labels_that_do_not_fit_the_head_are_refused(network):
    source = Examples([[1, 2]] * 3, labels=[0, 1, 2], pad=0, context_length=16, batch_size=3)
    with pytest.raises(ValueError, match=r"label=2 does not fit n_classes=2"):
        mean_loss(Classifier(network, 2), classify, source.in_order())
    with pytest.raises(ValueError, match="n_classes=1"):
        Classifier(network, 1)


def test_freezing_more_blocks_than_there_are_is_refused(network):
    with pytest.raises(ValueError, match=r"n_blocks=5 must be from 0 to n_layers=4"):
        freeze_all_but_last(network, 5)


def test_perplexity_and_bits():
    assert perplexity(math.log(50257)) == pytest.approx(50257)
    assert bits_per_byte(8 * math.log(2), 4) == pytest.approx(2)
    with pytest.raises(ValueError, match="n_bytes=0"):
        bits_per_byte(1.0, 0)


def test_scores_of_a_table_done_by_hand():
    labels = [1, 1, 1, 0, 0, 0, 0, 0]
    guesses = [1, 1, 0, 1, 0, 0, 0, 0]
    assert confusion_matrix(labels, guesses, 2) == [[4, 1], [1, 2]]
    assert accuracy(labels, guesses) == 6 / 8
    assert precision(labels, guesses) == recall(labels, guesses) == f1(labels, guesses)
    assert f1(labels, guesses) == pytest.approx(2 / 3)
    assert f1(labels, guesses, positive=0) == pytest.approx(4 / 5)
    assert precision(labels, [0] * 8) == f1(labels, [0] * 8) == 0


def test_scores_over_nothing_are_refused():
    for score in (accuracy, precision, recall, f1):
        with pytest.raises(ValueError, match="labels=0"):
            score([], [])
        with pytest.raises(ValueError, match="labels=1 predictions=2"):
            score([1], [1, 0])
    for score in (recall, f1):
        with pytest.raises(ValueError, match="positive=1: 0"):
            score([0, 0], [1, 0])
    with pytest.raises(ValueError, match="label=2"):
        confusion_matrix([2], [0], 2)
