"""The evaluation of translations of held-out sentences.

Only this file imports sacrebleu (Post 2018, "A call for clarity in reporting BLEU scores").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from model.architectures.encoder_decoder.search import pad, translate
from model.evaluation import evaluating
from pipelines.core.making import Making
from pipelines.corpora.artefacts import Contamination, Documents, left_out_of
from pipelines.corpora.cleaning.masking import without_personal_data
from pipelines.evaluation.baselines import nearest_baseline
from pipelines.evaluation.findings import Comparison, Findings, Heatmap
from pipelines.evaluation.intervals import Interval, bounds, of_mean, of_statistic
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
    """A held-out source, all its translations in the test pairs, and its kind."""

    source: str
    references: list[str]
    kind: str | None


def baselines(train: Sequence[Pair], texts: Sequence[str]) -> dict[str, list[str]]:
    """Baselines without a network: the translation of the most similar training source, and the
    text itself.
    """
    nearest = nearest_baseline([pair.prompt[-1] for pair in train], texts)
    return {
        "nearest training pair": [train[index].reply for index in nearest],
        "the source as it is": list(texts),
    }


# --- scores -------------------------------------------------------------------------------------


def held_out(
    pairs: Iterable[Pair], trained: Iterable[Pair], kinds: Mapping[str, str | None]
) -> list[Sentence]:
    """The sources of the test pairs, each once. ``kinds`` has the kind of each document by id.

    A source that also occurs in a training pair is left out, because the model may remember its
    translation. Raises ValueError if no source is left.
    """
    known = {pair.prompt[-1] for pair in trained}
    sentences: dict[str, Sentence] = {}
    for pair in pairs:
        source = pair.prompt[-1]
        if source not in known:
            kind = kinds.get(pair.document_id)
            sentences.setdefault(source, Sentence(source, [], kind)).references.append(pair.reply)
    if not sentences:
        raise ValueError(
            "test sources that no training pair translates: 0; add pairs or raise the test share"
        )
    return list(sentences.values())


def by_kind(sentences: Sequence[Sentence]) -> dict[str, list[int]]:
    """Indices of all sentences, then of those of each kind, the most frequent kind first."""
    indices: dict[str, list[int]] = {}
    for index, sentence in enumerate(sentences):
        if sentence.kind is not None:
            indices.setdefault(sentence.kind, []).append(index)
    ordered = sorted(indices.items(), key=lambda item: (-len(item[1]), item[0]))
    return {ALL: list(range(len(sentences))), **dict(ordered)}


def scores(told: Sequence[str], sentences: Sequence[Sentence]) -> dict[str, float]:
    """BLEU and chrF from 0 to 100, and the share of texts that equal one of the references.

    ``told`` are the translations (S,) of the S sentences. BLEU (Papineni et al. 2002) compares up
    to four consecutive words; it is left out if no reference has four words. chrF (Popović 2015)
    compares letters.
    """
    right = sum(text in s.references for text, s in zip(told, sentences, strict=True))
    row = {"exactly right": right / len(sentences)}
    for name, metric in _metrics().items():
        if name == "chrF" or any(len(r.split()) >= 4 for s in sentences for r in s.references):
            row[name] = metric.corpus_score(list(told), _streams(sentences)).score
    return row


def intervals_of(told: Sequence[str], sentences: Sequence[Sentence]) -> dict[str, Interval]:
    """The intervals of the ``scores``, by the names of their figures.

    Sentences are drawn, and their statistics are added up as those of a corpus are (Koehn 2004).
    """
    right = [float(text in s.references) for text, s in zip(told, sentences, strict=True)]
    found, named = {"exactly_right": of_mean(right)}, scores(told, sentences)
    for name, metric in _metrics().items():
        if name in named:
            rows = np.array(metric._extract_corpus_statistics(told, _streams(sentences)))
            found[name.lower()] = of_statistic(len(rows), partial(_drawn, metric, rows))
    return found


def _drawn(metric: Metric, rows: NDArray[Any], drawn: NDArray[Any]) -> float:
    return float(metric._compute_score_from_stats(rows[drawn].sum(0).tolist()).score)


def signatures(sentences: Sequence[Sentence]) -> dict[str, str]:
    """The signatures of sacrebleu: how it computes BLEU and chrF over these references."""
    by_metric = {}
    for name, metric in _metrics().items():
        metric.corpus_score([s.references[0] for s in sentences], _streams(sentences))
        by_metric[name] = str(metric.get_signature())
    return by_metric


def _streams(sentences: Sequence[Sentence]) -> Any:
    """The first references of all sentences, then the second ones (None if absent), and so on."""
    return list(zip_longest(*(sentence.references for sentence in sentences)))


def _metrics() -> dict[str, Metric]:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    return {"BLEU": BLEU(), "chrF": CHRF()}


def scores_by_kind(
    told: Mapping[str, Sequence[str]], sentences: Sequence[Sentence]
) -> dict[str, dict[str, dict[str, float]]]:
    """The ``scores`` by kind of sentence and translator, the kind ``all`` first.

    ``told`` has the translations of each translator by its name.
    """
    return {
        kind: {
            name: scores([texts[i] for i in indices], [sentences[i] for i in indices])
            for name, texts in told.items()
        }
        for kind, indices in by_kind(sentences).items()
    }


def figures(
    judged: Mapping[str, Mapping[str, Mapping[str, float]]], ours: str, sentences: int
) -> dict[str, float]:
    """Figures by one name from ``scores_by_kind``.

    Of the translator ``ours``, all scores over all sentences and the exact share by kind. Of the
    others, the scores over all sentences.
    """
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
    """``scores_by_kind`` as tables: one for all sentences, then one for each measure by kind."""
    by_title = {
        "Held-out translations": [{"translator": n, **row} for n, row in judged[ALL].items()]
    }
    if len(judged) > 1:
        counts = {kind: len(indices) for kind, indices in by_kind(sentences).items()}
        for measure in ("exactly right", "BLEU", "chrF"):
            by_title[f"{measure}, by kind"] = [
                {"kind": kind, "sentences": counts[kind]}
                | {name: row[measure] for name, row in rows.items()}
                for kind, rows in judged.items()
                if all(measure in row for row in rows.values())
            ]
    by_title["How it is counted"] = [
        {"measure": name, "signature": signature}
        for name, signature in signatures(sentences).items()
    ]
    return by_title


def samples(
    told: Sequence[str], sentences: Sequence[Sentence], count: int = 6
) -> list[dict[str, str]]:
    """Translations to read: the first ``count`` wrong ones, then a right one of each kind.

    All texts of a sample are without personal data, so that they stay alike.
    """
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
    return [
        {name: without_personal_data(text) for name, text in row.items()}
        for row in (*wrong[:count], *right.values())
    ]


def attention_maps(
    network: Any, tokenizer: Tokenizer, sentences: Sequence[Sentence]
) -> dict[str, Heatmap]:
    """The attention of the decoder's last block over the source, as one heatmap for each source.

    A row is a token of the translation, a column a token of the source. The values are means over
    the heads.
    """
    maps: dict[str, Heatmap] = {}
    for sentence in sentences:
        source = encode_source(tokenizer, sentence.source, network.context_length)
        ends = {"begin": tokenizer.assistant, "end": tokenizer.end_of_text}
        (target,) = translate(network, [source], **ends)
        device = next(network.parameters()).device
        with evaluating(network), torch.inference_mode():
            # A translation without an end fills the context. Its last token then has no successor
            # to predict, so the tokens are cut to the context.
            tokens = torch.tensor([[tokenizer.assistant, *target]], device=device)
            weights = network.cross_weights(
                pad([source], device), tokens[:, : network.context_length]
            )
        written = [*target, tokenizer.end_of_text][: network.context_length]
        maps[sentence.source] = {
            "rows": [_legible(tokenizer, token) for token in written],
            "columns": [_legible(tokenizer, token) for token in source],
            "values": [[round(x, 4) for x in row] for row in weights[-1, 0].mean(0).tolist()],
        }
    return maps


def _legible(tokenizer: Tokenizer, token: int) -> str:
    return "end" if token in tokenizer.controls else tokenizer.decode([token]).strip()


BASE = "of the decoder-only GPT"


def evaluate(
    making: Making,
    settings: JudgedTranslations,
    tokenizer: TokenizerFiles,
    examples: Examples,
    contamination: dict[str, Contamination],
    documents: Documents,
    translator: Checkpoint,
    decoder_only: dict[str, Checkpoint],
    foundation: dict[str, Checkpoint],
) -> None:
    """BLEU, chrF and the exact share on held-out sentences, of the translator and of the GPT."""
    for checkpoint in (translator, *decoder_only.values()):
        require_tokenizer(checkpoint, tokenizer)
    encoder, network = tokenizer.load(), load_network(translator)
    train = list(examples.pairs("train", left_out_of(settings.corpus, contamination)))
    kinds = {document.id: document.label for document in documents.split("test")}
    sentences = held_out(examples.pairs("test"), train, kinds)
    texts = [sentence.source for sentence in sentences]
    ours = f"encoder-decoder, {settings.beams} beams"
    by_translator = {
        ours: translations(network, encoder, texts, settings.beams),
        "encoder-decoder, greedy": translations(network, encoder, texts),
    }
    for name, checkpoint in decoder_only.items():
        by_translator[name] = replies(load_network(checkpoint, foundation[BASE]), encoder, texts)
    baseline_texts = baselines(train, texts)
    by_translator |= baseline_texts
    judged = scores_by_kind(by_translator, sentences)
    around = intervals_of(by_translator[ours], sentences)
    Findings(
        figures=figures(judged, ours, len(sentences))
        | {key: value for name, one in around.items() for key, value in bounds(name, one).items()},
        comparison=Comparison(
            measure=f"chrF of held-out sentences ({signatures(sentences)['chrF']})",
            better="higher",
            ours=judged[ALL][ours]["chrF"],
            baselines={name: judged[ALL][name]["chrF"] for name in baseline_texts},
            interval=around["chrf"],
        ),
        samples=samples(by_translator[ours], sentences),
        tables=tables(judged, sentences),
        heatmaps=attention_maps(network, encoder, sentences[:2]),
    ).write(making)
