"""What a checkpoint is worth: figures against baselines on the same split, and samples to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from model.batches.batching import Batch, Examples, in_order
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
from model.inference.generation import generate_batch, stream
from model.inference.sampling import Sampling
from model.training.objectives import OBJECTIVES
from pipelines.fitting import HELD_OUT_BATCH
from pipelines.text.baselines import (
    compressor_bits_per_byte,
    interpolated_ngram_bits_per_byte,
    majority_baseline,
    tfidf_baseline,
    unigram_bits_per_byte,
)
from pipelines.text.examples import (
    Labelled,
    Pair,
    decode_reply,
    encode_labelled,
    encode_pair,
    encode_prompt,
)
from pipelines.text.stopping import require, spoken
from pipelines.text.turns import document_text

if TYPE_CHECKING:
    from torch import nn

    from pipelines.artifacts import Documents, TokenShards
    from pipelines.text.tokenizers import Tokenizer

SAMPLING: dict[str, Any] = {"temperature": 0.7, "top_k": 40, "top_p": 0.95}
REPLY_TOKENS = 60


def language_figures(
    network: Any, shards: TokenShards, tokenizer: Tokenizer
) -> dict[str, dict[str, float]]:
    """Loss (nats a token), perplexity and bits per byte of the validation and test splits.

    Every token is asked once, ends of text included and beginnings not, each from the tokens of its
    window alone, which opens with the beginning of a text where the tokenizer has one; bits are
    over the bytes of the text.
    """
    figures = {}
    for split in ("validation", "test"):
        stream = shards.stream(split, tokenizer.end_of_text)
        batches = in_order(
            stream, network.context_length, HELD_OUT_BATCH, beginning=tokenizer.beginning
        )
        loss = mean_loss(network, OBJECTIVES["next_token"], batches)
        figures[split] = {
            "loss": loss.nats,
            "perplexity": perplexity(loss.nats),
            "bits_per_byte": bits_per_byte(loss.total, shards.text_bytes(split)),
        }
    return figures


def language_baselines(
    shards: TokenShards,
    documents: Mapping[str, Documents],
    vocab_size: int,
    end_of_text: int,
    left_out: Mapping[str, frozenset[str]],
) -> dict[str, float]:
    """Bits per byte of the test split by counting and by compressing what the shards hold.

    ``left_out`` are the ids of training documents that the shards were made without, by corpus.
    """
    train, test = shards.tokens("train"), shards.tokens("test")
    n_bytes = shards.text_bytes("test")
    ngram = {"vocab_size": vocab_size, "end_of_text": end_of_text, "test_bytes": n_bytes}

    def trained() -> Iterable[str]:
        return (
            text
            for corpus, kept in documents.items()
            for text in kept.training_texts(left_out.get(corpus, frozenset()))
        )

    def tested() -> Iterable[str]:
        return (d.text for corpus in documents.values() for d in corpus.split("test"))

    return {
        "trigram (Kneser-Ney)": interpolated_ngram_bits_per_byte(train, test, **ngram),
        "lzma": compressor_bits_per_byte(trained(), tested(), "lzma"),
        "zlib": compressor_bits_per_byte(trained(), tested(), "zlib"),
        "unigram": unigram_bits_per_byte(train, test, vocab_size=vocab_size, test_bytes=n_bytes),
    }


def unnamed(network: Any, tokenizer: Tokenizer) -> range:
    """Tokens that the network has and the tokenizer does not, as in a vocabulary that was padded.

    Nothing can be read from them, so they are not to be chosen.
    """
    return range(tokenizer.vocab_size, network.vocab_size)


def continuations(
    network: nn.Module, tokenizer: Tokenizer, prompts: Sequence[str], length: int = 120
) -> list[dict[str, str]]:
    """How the model goes on with each prompt, by seeded sampling."""
    made = generate_batch(
        network,
        [[tokenizer.start, *tokenizer.encode(prompt)] for prompt in prompts],
        max_new_tokens=length,
        stop=tokenizer.controls - {tokenizer.user, tokenizer.assistant},
        forbid={tokenizer.user, tokenizer.assistant, *unnamed(network, tokenizer)},
        **SAMPLING,
    )
    return [
        {"prompt": prompt, "continuation": tokenizer.decode(tokens)}
        for prompt, tokens in zip(prompts, made, strict=True)
    ]


def pair_examples(
    tokenizer: Tokenizer,
    pairs: Iterable[Pair],
    *,
    context_length: int,
    batch_size: int,
    seed: int = 0,
    by_length: bool = False,
) -> Examples:
    """Pairs as batches whose loss is on the reply alone.

    ``by_length`` is for a mean over all of them: it does not mind the order, and little is padding.
    """
    encoded = [encode_pair(tokenizer, p.prompt, p.reply, context_length + 1) for p in pairs]
    if by_length:
        encoded.sort(key=lambda pair: len(pair[0]))
    return Examples(
        [ids for ids, _ in encoded],
        counted=[counted for _, counted in encoded],
        pad=tokenizer.pad,
        context_length=context_length,
        batch_size=batch_size,
        seed=seed,
    )


def labelled_examples(
    tokenizer: Tokenizer,
    rows: Sequence[Labelled],
    labels: Sequence[str],
    *,
    context_length: int,
    batch_size: int,
    seed: int = 0,
) -> Examples:
    """Labelled texts as batches."""
    return Examples(
        [encode_labelled(tokenizer, row.text, context_length) for row in rows],
        labels=[labels.index(row.label) for row in rows],
        pad=tokenizer.pad,
        context_length=context_length,
        batch_size=batch_size,
        seed=seed,
    )


def reply(
    network: Any,
    tokenizer: Tokenizer,
    turns: Sequence[str],
    seed: int,
    length: int = REPLY_TOKENS,
    stops: Sequence[str] = (),
    **sampling: Any,
) -> Iterator[str]:
    """The assistant's answer to a conversation whose last turn is the user's, as it comes.

    It ends before the first of ``stops``; ``sampling`` is as for ``Sampling``, by default the one
    that evaluations use. ValueError for settings out of range or an empty stop.
    """
    settings = {**SAMPLING, "forbid": unnamed(network, tokenizer), **sampling}
    Sampling(**settings)  # here, so that what is wrong is told before anything is shown
    require(stops)
    tokens = stream(
        network,
        encode_prompt(tokenizer, turns, _prompt_tokens(network, length)),
        max_new_tokens=length,
        stop=tokenizer.controls,
        seed=seed,
        **settings,
    )
    return spoken(tokenizer, tokens, stops)


def dialogues(
    network: nn.Module, tokenizer: Tokenizer, pairs: Iterable[Pair], count: int = 10
) -> list[dict[str, str]]:
    """The assistant's replies to held-out prompts, beside what the person really said."""
    asked = list(islice(pairs, count))
    room = _prompt_tokens(network, REPLY_TOKENS)
    made = generate_batch(
        network,
        [encode_prompt(tokenizer, pair.prompt, room) for pair in asked],
        max_new_tokens=REPLY_TOKENS,
        stop=tokenizer.controls,
        forbid=unnamed(network, tokenizer),
        **SAMPLING,
    )
    return [
        {
            "prompt": pair.prompt[0] if len(pair.prompt) == 1 else _conversation(pair.prompt),
            "reply": decode_reply(tokenizer, tokens),
            "person": pair.reply,
        }
        for pair, tokens in zip(asked, made, strict=True)
    ]


def _conversation(turns: Sequence[str]) -> str:
    """Turns as they stand in a document; the last one, the user's, is A's."""
    speakers = ("AB"[(len(turns) - 1 - place) % 2] for place in range(len(turns)))
    return document_text(zip(speakers, turns, strict=True))


def _prompt_tokens(network: Any, length: int) -> int:
    """How many tokens of a conversation are read, so that the reply fits the context."""
    return max(int(network.context_length) - length, 8)


def predict(network: Any, batches: Iterable[Batch]) -> list[int]:
    """A classifier's most likely label for every example, in order."""
    network.eval()
    where = next(network.parameters()).device
    found: list[int] = []
    with torch.inference_mode():
        for batch in batches:
            moved = batch.to(where)
            found += network(moved.tokens, moved.last).argmax(dim=-1).tolist()
    return found


def scores(truth: Sequence[int], predicted: Sequence[int], n_labels: int) -> dict[str, float]:
    """Accuracy, and precision, recall and F1: of the last of two labels, of more the macro means.

    A mean is over the labels that ``truth`` has: what is not there cannot be found.
    """
    measures = {"precision": precision, "recall": recall, "f1": f1}
    found = {"accuracy": accuracy(truth, predicted)}
    if n_labels == 2:
        return found | {name: of(truth, predicted, 1) for name, of in measures.items()}
    there = sorted(set(truth))
    return found | {
        f"macro_{name}": sum(of(truth, predicted, label) for label in there) / len(there)
        for name, of in measures.items()
    }


def headline(labels: Sequence[str]) -> tuple[str, str]:
    """Which of the ``scores`` a classifier is compared by, and how a person calls it."""
    if len(labels) == 2:
        return "f1", f"F1 of {labels[-1]}"
    return "macro_f1", f"macro F1 of {len(labels)} labels"


def require_labels(rows: Sequence[Labelled], split: str) -> None:
    """ValueError where all of a split's examples bear one label, or there are none."""
    found = {row.label for row in rows}
    if len(found) < 2:
        told = f"only label={min(found)}" if found else "no example"
        raise ValueError(
            f"the {split} split has {told}: nothing can be told apart; add documents of other"
            " labels, or raise the split's share"
        )


def label_baselines(
    train: Sequence[Labelled], test: Sequence[Labelled], labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Scores of the majority label and of TF-IDF with logistic regression on the test split."""
    truth = [labels.index(row.label) for row in test]
    texts, given = [row.text for row in train], [row.label for row in train]
    guesses = {
        "TF-IDF + logistic regression": tfidf_baseline(texts, given, [row.text for row in test]),
        "majority": majority_baseline(given, len(test)),
    }
    return {
        name: scores(truth, [labels.index(label) for label in guess], len(labels))
        for name, guess in guesses.items()
    }


def confusion(truth: Sequence[int], predicted: Sequence[int], labels: Sequence[str]) -> Any:
    """The confusion matrix with its labels: rows true, columns predicted."""
    return {"matrix": confusion_matrix(truth, predicted, len(labels)), "labels": list(labels)}
