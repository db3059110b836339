"""What translations of held-out sentences are worth.

The one place that imports sacrebleu (Post 2018, "A call for clarity in reporting BLEU scores").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from model.architectures.encoder_decoder.search import pad, translate
from model.evaluation import evaluating
from pipelines.core.making import Making
from pipelines.corpora.artefacts import Contamination, Documents, left_out_of
from pipelines.evaluation.baselines import nearest_baseline
from pipelines.evaluation.findings import Comparison, Findings, Heatmap
from pipelines.examples.artefacts import Examples, Pair
from pipelines.inference.translations import encode_source, replies, translations
from pipelines.tasks.translation.options import JudgedTranslations
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.training.artefacts import Checkpoint
from pipelines.training.checkpoint import load_network, require_tokenizer

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

    from pipelines.tokens.tokenizers import Tokenizer

ALL = "all"


class Sentence(NamedTuple):
    """A held-out source, all the translations that its test pairs know, and its kind."""

    source: str
    references: list[str]
    kind: str | None


def baselines(train: Sequence[Pair], texts: Sequence[str]) -> dict[str, list[str]]:
    """What takes no network: the translation of the training source most like a text, or itself."""
    nearest = nearest_baseline([pair.prompt[-1] for pair in train], texts)
    return {
        "nearest training pair": [train[index].reply for index in nearest],
        "the source as it is": list(texts),
    }


# --- what they are worth ------------------------------------------------------------------------


def held_out(
    pairs: Iterable[Pair], trained: Iterable[Pair], kinds: Mapping[str, str | None]
) -> list[Sentence]:
    """The sources of test pairs, each once; ``kinds`` by document.

    A source that some training pair translates is left out: its answer may be remembered.
    ValueError if none is left.
    """
    known = {pair.prompt[-1] for pair in trained}
    found: dict[str, Sentence] = {}
    for pair in pairs:
        source = pair.prompt[-1]
        if source not in known:
            kind = kinds.get(pair.document_id)
            found.setdefault(source, Sentence(source, [], kind)).references.append(pair.reply)
    if not found:
        raise ValueError(
            "test sources that no training pair translates: 0; add pairs or raise the test share"
        )
    return list(found.values())


def by_kind(sentences: Sequence[Sentence]) -> dict[str, list[int]]:
    """Places of the sentences: of all, then of each kind, the most frequent first."""
    found: dict[str, list[int]] = {}
    for place, sentence in enumerate(sentences):
        if sentence.kind is not None:
            found.setdefault(sentence.kind, []).append(place)
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return {ALL: list(range(len(sentences))), **dict(ordered)}


def scores(told: Sequence[str], sentences: Sequence[Sentence]) -> dict[str, float]:
    """BLEU and chrF from 0 to 100, and the share that is one of the references exactly.

    BLEU (Papineni et al. 2002) counts up to four words in a row: where no reference has so many
    it is left out. chrF (Popović 2015) counts letters.
    """
    right = sum(text in s.references for text, s in zip(told, sentences, strict=True))
    found = {"exactly right": right / len(sentences)}
    for name, metric in _metrics().items():
        if name == "chrF" or any(len(r.split()) >= 4 for s in sentences for r in s.references):
            found[name] = metric.corpus_score(list(told), _streams(sentences)).score
    return found


def signatures(sentences: Sequence[Sentence]) -> dict[str, str]:
    """How BLEU and chrF are computed over these references, as sacrebleu says it."""
    found = {}
    for name, metric in _metrics().items():
        metric.corpus_score([s.references[0] for s in sentences], _streams(sentences))
        found[name] = str(metric.get_signature())
    return found


def _streams(sentences: Sequence[Sentence]) -> Any:
    """The first reference of each sentence, then the second or None, and so on."""
    return list(zip_longest(*(sentence.references for sentence in sentences)))


def _metrics() -> dict[str, Metric]:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    return {"BLEU": BLEU(), "chrF": CHRF()}


def scores_by_kind(
    told: Mapping[str, Sequence[str]], sentences: Sequence[Sentence]
) -> dict[str, dict[str, dict[str, float]]]:
    """``scores`` of each translator's texts by kind, ``all`` first."""
    return {
        kind: {
            name: scores([texts[i] for i in places], [sentences[i] for i in places])
            for name, texts in told.items()
        }
        for kind, places in by_kind(sentences).items()
    }


def figures(
    judged: Mapping[str, Mapping[str, Mapping[str, float]]], ours: str, sentences: int
) -> dict[str, float]:
    """``scores_by_kind`` flat: of ``ours`` over all and what is exactly right by kind, of the
    others over all."""
    kinds = {f"exactly_right_{kind}": rows[ours]["exactly right"] for kind, rows in judged.items()}
    kinds.pop(f"exactly_right_{ALL}")
    others = {
        f"{name} {measure}": value
        for name, row in judged[ALL].items()
        for measure, value in row.items()
        if name != ours
    }
    flat = {**judged[ALL][ours], **kinds, **others, "test_sentences": sentences}
    return {re.sub(r"\W+", "_", name).lower(): value for name, value in flat.items()}


def tables(
    judged: Mapping[str, Mapping[str, Mapping[str, float]]], sentences: Sequence[Sentence]
) -> dict[str, list[dict[str, Any]]]:
    """``scores_by_kind`` to read: a table of all sentences, then each measure by kind."""
    found = {"Held-out translations": [{"translator": n, **row} for n, row in judged[ALL].items()]}
    if len(judged) > 1:
        counts = {kind: len(places) for kind, places in by_kind(sentences).items()}
        for measure in ("exactly right", "BLEU", "chrF"):
            found[f"{measure}, by kind"] = [
                {"kind": kind, "sentences": counts[kind]}
                | {name: row[measure] for name, row in rows.items()}
                for kind, rows in judged.items()
                if all(measure in row for row in rows.values())
            ]
    found["How it is counted"] = [
        {"measure": name, "signature": how} for name, how in signatures(sentences).items()
    ]
    return found


def samples(
    told: Sequence[str], sentences: Sequence[Sentence], count: int = 6
) -> list[dict[str, str]]:
    """Translations to read: the first wrong ones, then the first right ones of each kind."""
    rows = [
        {"source": s.source, "translation": text, "reference": " / ".join(s.references)}
        for text, s in zip(told, sentences, strict=True)
    ]
    wrong: list[dict[str, str]] = []
    right: dict[str | None, dict[str, str]] = {}
    for row, sentence in zip(rows, sentences, strict=True):
        if row["translation"] not in sentence.references:
            wrong.append(row)
        else:
            right.setdefault(sentence.kind, row)
    return [*wrong[:count], *right.values()]


def attention_maps(
    network: Any, tokenizer: Tokenizer, sentences: Sequence[Sentence]
) -> dict[str, Heatmap]:
    """Where the last block of the decoder looks in the source for each token of its translation.

    By source: a row each token that is written, a column each that is read, the mean of the heads.
    """
    found: dict[str, Heatmap] = {}
    for sentence in sentences:
        source = encode_source(tokenizer, sentence.source, network.context_length)
        ends = {"begin": tokenizer.assistant, "end": tokenizer.end_of_text}
        (target,) = translate(network, [source], **ends)
        where = next(network.parameters()).device
        with evaluating(network), torch.inference_mode():
            # Without an end it fills the context, and nothing is read for what would come next.
            tokens = torch.tensor([[tokenizer.assistant, *target]], device=where)
            weights = network.cross_weights(
                pad([source], where), tokens[:, : network.context_length]
            )
        written = [*target, tokenizer.end_of_text][: network.context_length]
        found[sentence.source] = {
            "rows": [_legible(tokenizer, token) for token in written],
            "columns": [_legible(tokenizer, token) for token in source],
            "values": [[round(x, 4) for x in row] for row in weights[-1, 0].mean(0).tolist()],
        }
    return found


def _legible(tokenizer: Tokenizer, token: int) -> str:
    return "end" if token in tokenizer.controls else tokenizer.decode([token]).strip()


def evaluate(
    making: Making,
    settings: JudgedTranslations,
    tokenizer: TokenizerFiles,
    examples: Examples,
    contamination: dict[str, Contamination],
    documents: Documents,
    translator: Checkpoint,
    decoder_only: dict[str, Checkpoint],
) -> None:
    """BLEU, chrF and what is exactly right of held-out sentences, beside the GPT's."""
    for checkpoint in (translator, *decoder_only.values()):
        require_tokenizer(checkpoint, tokenizer)
    encoder, network = tokenizer.load(), load_network(translator)
    train = list(examples.pairs("train", left_out_of(settings.corpus, contamination)))
    kinds = {document.id: document.label for document in documents.split("test")}
    sentences = held_out(examples.pairs("test"), train, kinds)
    texts = [sentence.source for sentence in sentences]
    ours = f"encoder-decoder, {settings.beams} beams"
    told = {
        ours: translations(network, encoder, texts, settings.beams),
        "encoder-decoder, greedy": translations(network, encoder, texts),
    }
    for name, checkpoint in decoder_only.items():
        told[name] = replies(load_network(checkpoint), encoder, texts)
    simple = baselines(train, texts)
    told |= simple
    judged = scores_by_kind(told, sentences)
    Findings(
        figures=figures(judged, ours, len(sentences)),
        comparison=Comparison(
            measure=f"chrF of held-out sentences ({signatures(sentences)['chrF']})",
            better="higher",
            ours=judged[ALL][ours]["chrF"],
            baselines={name: judged[ALL][name]["chrF"] for name in simple},
        ),
        samples=samples(told[ours], sentences),
        tables=tables(judged, sentences),
        heatmaps=attention_maps(network, encoder, sentences[:2]),
    ).write(making)
