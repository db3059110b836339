"""What a network that fills in hidden words is worth, and its fillings to read.

Letters: N words asked for, V vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from model.batches.batching import IGNORED, Batch
from model.batches.shuffling import key_of
from model.evaluation import evaluating, perplexity
from pipelines.inference.blanks import WORD, fill, told
from pipelines.training.batches import held_out_batches

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipelines.text.tables import Document
    from pipelines.tokens.artefacts import TokenShards
    from pipelines.tokens.tokenizers import Tokenizer

    Ints = npt.NDArray[np.int64]


def held_out(network: Any, shards: TokenShards, split: str, end_of_text: int) -> Iterator[Batch]:
    """A split in the network's windows, always with the same words hidden."""
    stream = shards.stream(split, end_of_text)
    return held_out_batches("masked_token", stream, config=network.config, end_of_text=end_of_text)


def masked_figures(
    network: Any, shards: TokenShards, end_of_text: int
) -> dict[str, dict[str, float]]:
    """Of the validation and test splits' hidden words: accuracy, loss in nats and perplexity."""
    figures = {}
    for split in ("validation", "test"):
        hits, nats, count = 0, 0.0, 0
        with evaluating(network), torch.inference_mode():
            for batch in held_out(network, shards, split, end_of_text):
                given = batch.to(next(network.parameters()).device)
                asked = given.targets != IGNORED
                truth = given.targets[asked]  # (N,)
                logits = network.logits(network.features(given.tokens)[asked])  # (N, V)
                hits += int((logits.argmax(-1) == truth).sum())
                nats += float(torch.nn.functional.cross_entropy(logits, truth, reduction="sum"))
                count += len(truth)
        if not count:
            raise ValueError(f"{split}: no word to hide; widen its share")
        figures[split] = {
            "masked_accuracy": hits / count,
            "masked_loss": nats / count,
            "masked_perplexity": perplexity(nats / count),
        }
    return figures


def masked_baselines(network: Any, shards: TokenShards, end_of_text: int) -> dict[str, float]:
    """Accuracy on the test split's hidden words of two guesses by counting the training split.

    The guesses see what the network sees: a neighbour that is hidden too tells nothing.
    """
    guess = Neighbours(shards.tokens("train").astype(np.int64), network.vocab_size, end_of_text)
    hits, frequent, count = 0, 0, 0
    for batch in held_out(network, shards, "test", end_of_text):
        tokens, targets = batch.tokens.numpy(), batch.targets.numpy()
        asked = targets != IGNORED
        walled = np.pad(tokens, ((0, 0), (1, 1)), constant_values=network.vocab_size)
        guessed = guess(walled[:, :-2][asked], walled[:, 2:][asked])
        hits += int((guessed == targets[asked]).sum())
        frequent += int((guess.most_frequent == targets[asked]).sum())
        count += int(asked.sum())
    return {"most frequent between its neighbours": hits / count, "unigram": frequent / count}


class Neighbours:
    """The word that stood most often between two neighbours in a stream of tokens.

    Where the two never stood around a word: the most frequent after the left one or before the
    right one, whichever is the more certain; at last the most frequent of all. Of equals the lowest
    id. A neighbour may be V: unknown.
    """

    def __init__(self, tokens: Ints, vocab_size: int, end_of_text: int) -> None:
        self.side = vocab_size + 1
        left, word, right = tokens[:-2], tokens[1:-1], tokens[2:]
        words = word != end_of_text
        left, word, right = left[words], word[words], right[words]
        if not len(word):
            raise ValueError("train has no three tokens in a row: nothing to count")
        self.most_frequent = int(np.bincount(word).argmax())
        self._tables = [
            _most_frequent(context, word, self.side)
            for context in (left * self.side + right, left, right)
        ]

    def __call__(self, left: Ints, right: Ints) -> Ints:
        """left and right (N,) -> the guessed words (N,)"""
        both, after, before = (
            _looked_up(table, context)
            for table, context in zip(
                self._tables, (left * self.side + right, left, right), strict=True
            )
        )
        word, share = np.where(after[1] >= before[1], after, before)
        word, share = np.where(both[1] > 0, both, (word, share))
        return np.where(share > 0, word, self.most_frequent).astype(np.int64)


def _most_frequent(contexts: Ints, words: Ints, side: int) -> tuple[Ints, Ints, Any]:
    """Each context in order, the word that is most frequent in it, and its share there."""
    keys, counts = np.unique(contexts * side + words, return_counts=True)
    context, starts = np.unique(keys // side, return_index=True)
    order = np.lexsort((keys, -counts, keys // side))
    best = order[starts]
    return context, keys[best] % side, counts[best] / np.add.reduceat(counts, starts)


def _looked_up(table: tuple[Ints, Ints, Any], wanted: Ints) -> Any:
    """(2, N): the word of each wanted context and its share, 0 where the context is unknown."""
    contexts, words, shares = table
    places = np.minimum(np.searchsorted(contexts, wanted), len(contexts) - 1)
    return np.stack([words[places], np.where(contexts[places] == wanted, shares[places], 0.0)])


def fillings(
    network: Any, tokenizer: Tokenizer, prompts: Iterable[str], documents: Iterable[Document]
) -> list[dict[str, str]]:
    """How the network fills in the prompts, and held-out sentences beside the true word."""
    asked = partial(fill, network, tokenizer)
    samples = [{"prompt": text, "reply": told(asked(text)), "person": ""} for text in prompts]
    for sentence, word in islice(_with_a_word_hidden(tokenizer, documents, network), 12):
        samples.append({"prompt": sentence, "reply": told(asked(sentence)), "person": word})
    return samples


def _with_a_word_hidden(
    tokenizer: Tokenizer, documents: Iterable[Document], network: Any
) -> Iterator[tuple[str, str]]:
    """A line of each document with a word hidden that is one token, and that word; none twice."""
    seen: set[str] = set()
    for number, document in enumerate(documents):
        for line in document.text.splitlines():
            words = [
                found
                for found in re.finditer(rf"(?<= ){WORD.pattern}(?!\S)", line)
                if len(tokenizer.encode(f" {found[0]}")) == 1
            ]
            fits = len(tokenizer.encode(line)) + 2 <= network.context_length
            if line in seen or not words or len(line.split()) < 5 or not fits:
                continue
            seen.add(line)
            hidden = words[key_of("sample", number) % len(words)]
            yield f"{line[: hidden.start()]}___{line[hidden.end() :]}", hidden[0]
            break
