"""The evaluation of a network that fills in hidden words: figures, baselines and samples.

Letters: N hidden words, V vocabulary.
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
from pipelines.corpora.cleaning.masking import without_personal_data
from pipelines.evaluation.intervals import Floats, Interval, bounds, of_ratio
from pipelines.inference.blanks import WORD, fill, told
from pipelines.training.batches import held_out_batches

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipelines.text.tables import Document
    from pipelines.tokens.artefacts import TokenShards
    from pipelines.tokens.tokenizers import Tokenizer

    Ints = npt.NDArray[np.int64]


def held_out(network: Any, shards: TokenShards, split: str, end_of_text: int) -> Iterator[Batch]:
    """The windows of a split; the same words are hidden at every call."""
    stream = shards.stream(split, end_of_text)
    return held_out_batches("masked_token", stream, config=network.config, end_of_text=end_of_text)


def masked_figures(
    network: Any, shards: TokenShards, end_of_text: int
) -> dict[str, dict[str, float]]:
    """Accuracy, loss (nats) and perplexity at the hidden words of the validation and test splits.

    Raises ValueError if a split has no word to hide.
    """
    figures = {}
    for split in ("validation", "test"):
        rows: list[Floats] = []  # (3, windows): hits, nats, hidden words
        with evaluating(network), torch.inference_mode():
            for batch in held_out(network, shards, split, end_of_text):
                moved = batch.to(next(network.parameters()).device)
                hidden = moved.targets != IGNORED
                truth = moved.targets[hidden]  # (N,)
                logits = network.logits(network.features(moved.tokens)[hidden])  # (N, V)
                each = torch.nn.functional.cross_entropy(logits, truth, reduction="none")
                right = (logits.argmax(-1) == truth).double()
                told = torch.stack([right, each.double(), torch.ones_like(right)])  # (3, N)
                window = hidden.nonzero()[:, 0]
                rows.append(told.new_zeros(3, len(hidden)).index_add(1, window, told).cpu().numpy())
        found = np.concatenate(rows, axis=1)
        found = found[:, found[2] > 0]
        if not found.size:
            raise ValueError(f"{split}: no word to hide; raise its share")
        figures[split] = _masked_figures(*found)
    return figures


def _masked_figures(hits: Floats, nats: Floats, hidden: Floats) -> dict[str, float]:
    """The figures with their bounds, from the sums of each window; windows are drawn."""
    right, loss = of_ratio(hits, hidden), of_ratio(nats, hidden)
    mean = float(nats.sum() / hidden.sum())
    return {
        "masked_accuracy": float(hits.sum() / hidden.sum()),
        **bounds("masked_accuracy", right),
        "masked_loss": mean,
        **bounds("masked_loss", loss),
        "masked_perplexity": perplexity(mean),
        **bounds("masked_perplexity", Interval(*map(perplexity, loss))),
    }


def masked_baselines(network: Any, shards: TokenShards, end_of_text: int) -> dict[str, float]:
    """Accuracy of two baselines at the hidden words of the test split.

    The baselines count the training split: the most frequent word between two neighbours, and the
    most frequent word of all. They see the same tokens as the network, so a hidden neighbour is
    unknown.
    """
    guess = Neighbours(shards.tokens("train").astype(np.int64), network.vocab_size, end_of_text)
    hits, frequent, count = 0, 0, 0
    for batch in held_out(network, shards, "test", end_of_text):
        tokens, targets = batch.tokens.numpy(), batch.targets.numpy()
        hidden = targets != IGNORED
        padded = np.pad(tokens, ((0, 0), (1, 1)), constant_values=network.vocab_size)
        guessed = guess(padded[:, :-2][hidden], padded[:, 2:][hidden])
        hits += int((guessed == targets[hidden]).sum())
        frequent += int((guess.most_frequent == targets[hidden]).sum())
        count += int(hidden.sum())
    return {"most frequent between its neighbours": hits / count, "unigram": frequent / count}


class Neighbours:
    """The most frequent word between two neighbours in a stream of tokens.

    If the two neighbours never occur around one word, it is the most frequent word after the left
    neighbour or before the right one, whichever has the larger share. If both neighbours are
    unknown, it is the most frequent word of the stream. Of equally frequent words the lowest id is
    chosen. The id V stands for an unknown neighbour. Raises ValueError without three tokens in a
    row.
    """

    def __init__(self, tokens: Ints, vocab_size: int, end_of_text: int) -> None:
        self.side = vocab_size + 1
        left, word, right = tokens[:-2], tokens[1:-1], tokens[2:]
        in_text = word != end_of_text
        left, word, right = left[in_text], word[in_text], right[in_text]
        if not len(word):
            raise ValueError("train has no three tokens in a row: nothing to count; add text")
        self.most_frequent = int(np.bincount(word).argmax())
        self._tables = [
            _most_frequent(context, word, self.side)
            for context in (left * self.side + right, left, right)
        ]

    def __call__(self, left: Ints, right: Ints) -> Ints:
        """left and right (N,) -> the guessed words (N,)"""
        both, after, before = (
            _look_up(table, context)
            for table, context in zip(
                self._tables, (left * self.side + right, left, right), strict=True
            )
        )
        word, share = np.where(after[1] >= before[1], after, before)
        word, share = np.where(both[1] > 0, both, (word, share))
        return np.where(share > 0, word, self.most_frequent).astype(np.int64)


def _most_frequent(contexts: Ints, words: Ints, side: int) -> tuple[Ints, Ints, Any]:
    """The sorted contexts, the most frequent word in each, and its share of the words there."""
    keys, counts = np.unique(contexts * side + words, return_counts=True)
    context, starts = np.unique(keys // side, return_index=True)
    order = np.lexsort((keys, -counts, keys // side))
    best = order[starts]
    return context, keys[best] % side, counts[best] / np.add.reduceat(counts, starts)


def _look_up(table: tuple[Ints, Ints, Any], queries: Ints) -> Any:
    """(2, N): the word of each queried context and its share; share 0 if the context is unknown."""
    contexts, words, shares = table
    places = np.minimum(np.searchsorted(contexts, queries), len(contexts) - 1)
    return np.stack([words[places], np.where(contexts[places] == queries, shares[places], 0.0)])


def fillings(
    network: Any, tokenizer: Tokenizer, prompts: Iterable[str], documents: Iterable[Document]
) -> list[dict[str, str]]:
    """The network's words for the blanks of the prompts and of up to 12 held-out sentences.

    A held-out sentence has the true word beside them; a prompt has none.
    """
    fill_blanks = partial(fill, network, tokenizer)
    samples = [
        {"prompt": text, "words": told(fill_blanks(text)), "hidden word": ""} for text in prompts
    ]
    for sentence, word in islice(_with_a_word_hidden(tokenizer, documents, network), 12):
        filled = told(fill_blanks(sentence))
        shown = without_personal_data(sentence)
        samples.append({"prompt": shown, "words": filled, "hidden word": word})
    return samples


def _with_a_word_hidden(
    tokenizer: Tokenizer, documents: Iterable[Document], network: Any
) -> Iterator[tuple[str, str]]:
    """One line of each document with one word hidden, and that word.

    The word is a single token, the line fits the context, and no line comes twice.
    """
    seen: set[str] = set()
    for number, document in enumerate(documents):
        for line in document.text.splitlines():
            words = [
                match
                for match in re.finditer(rf"(?<= ){WORD.pattern}(?!\S)", line)
                if len(tokenizer.encode(f" {match[0]}")) == 1
            ]
            fits = len(tokenizer.encode(line)) + 2 <= network.context_length
            if line in seen or not words or len(line.split()) < 5 or not fits:
                continue
            seen.add(line)
            hidden = words[key_of("sample", number) % len(words)]
            yield f"{line[: hidden.start()]}___{line[hidden.end() :]}", hidden[0]
            break
