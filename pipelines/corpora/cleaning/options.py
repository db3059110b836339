"""What happens to a document before it is kept: a list of steps, taken in the order written."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipelines.core.stanza import Fraction, Positive, Share, Strict, Whole

NGram = Annotated[int, Field(ge=1)]
LanguageCode = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]


class Step(Strict):
    """One step; the other fields are its options."""

    step: str

    def options(self) -> dict[str, object]:
        """Everything but the name of the step."""
        return self.model_dump(exclude={"step"})


class Repair(Step):
    """Undo mistaken encodings (mojibake), such as ``â€œ`` for a quotation mark."""

    step: Literal["repair"]


class Normalise(Step):
    """Line ends to LF, controls out, one Unicode form, no white space at line ends."""

    step: Literal["normalise"]
    form: Literal["NFC", "NFKC", "none"] = "NFC"


class Gutenberg(Step):
    """Take off Project Gutenberg's header and footer."""

    step: Literal["gutenberg"]


class Divide(Step):
    """Cut long documents into several, at blank lines where there are any."""

    step: Literal["divide"]
    max_characters: Positive = 8000


class Length(Step):
    """Leave out what is too short or too long."""

    step: Literal["length"]
    min_characters: Positive = 1
    max_characters: Positive | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Length:
        if self.max_characters is not None and self.max_characters < self.min_characters:
            raise ValueError(
                f"max_characters={self.max_characters} is below min_characters="
                f"{self.min_characters}: no document would stay"
            )
        return self


class Gopher(Step):
    """Leave out what does not read like prose: Gopher's quality rules (Rae et al. 2021, A.1.1)."""

    step: Literal["gopher"]
    min_words: Whole = 50
    max_words: Positive = 100_000
    min_mean_word_length: Annotated[float, Field(ge=0)] = 3.0
    max_mean_word_length: Annotated[float, Field(ge=0)] = 10.0
    max_symbols_per_word: Annotated[float, Field(ge=0)] = 0.1
    """Hash signs or ellipses."""
    max_bullet_lines: Share = 0.9
    max_ellipsis_lines: Share = 0.3
    min_alphabetic_words: Share = 0.8
    min_stop_words: Whole = 2


class Repetition(Step):
    """Leave out what repeats itself: Gopher's repetition rules (Rae et al. 2021, table A1)."""

    step: Literal["repetition"]
    max_duplicate_lines: Share = 0.3
    max_duplicate_paragraphs: Share = 0.3
    max_characters_in_duplicate_lines: Share = 0.2
    max_characters_in_duplicate_paragraphs: Share = 0.2
    max_top_ngrams: dict[NGram, Share] = Field(default={2: 0.2, 3: 0.18, 4: 0.16})
    """Share of characters in the most frequent n-gram, by n."""
    max_duplicate_ngrams: dict[NGram, Share] = Field(
        default={5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
    )
    """Share of characters in n-grams that came before in the text, by n."""


class C4(Step):
    """Lines that are sentences in documents that are text: C4's rules (Raffel et al. 2020).

    The defaults are the published data set's; the paper as printed first says 3 words, 5 sentences.
    """

    step: Literal["c4"]
    min_words_in_line: Whole = 5
    min_sentences: Whole = 3
    terminal_punctuation: bool = True
    """Only lines that end in a terminal punctuation mark stay."""
    refuse_curly_brackets: bool = True
    refuse_lorem_ipsum: bool = True
    drop_lines_with: tuple[str, ...] = (
        *("javascript", "terms of use", "privacy policy", "cookie policy"),
        *("uses cookies", "use of cookies", "use cookies"),
    )
    """Lines that hold one of these (in any case) go."""


class Language(Step):
    """Leave out what is in another language."""

    step: Literal["language"]
    keep: Annotated[tuple[LanguageCode, ...], Field(min_length=1)] = ("en",)
    """ISO 639-1 codes."""
    min_confidence: Share = 0.65


class PersonalData(Step):
    """Put a placeholder for e-mail addresses, telephone numbers and IP addresses."""

    step: Literal["personal_data"]
    mask: tuple[Literal["email", "phone", "ip"], ...] = ("email", "phone", "ip")


class RepeatedLines(Step):
    """Take out lines that other documents had before: menus, notices, signatures."""

    step: Literal["repeated_lines"]
    min_characters: Positive = 30
    """Shorter lines may repeat."""
    documents: Positive = 3
    """How many documents may have a line before it is taken out of the next."""


class Duplicates(Step):
    """Of documents with the same text the first stays."""

    step: Literal["duplicates"]


class NearDuplicates(Step):
    """Of documents with nearly the same words the first stays (MinHash; Broder 1997)."""

    step: Literal["near_duplicates"]
    similarity: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The Jaccard similarity of two documents' word n-grams from which they count as one."""
    ngram: Positive = 2
    permutations: Annotated[int, Field(ge=16, le=1024, strict=True)] = 128


CleaningStep = Annotated[
    Repair
    | Normalise
    | Gutenberg
    | Divide
    | Length
    | Gopher
    | Repetition
    | C4
    | Language
    | PersonalData
    | RepeatedLines
    | Duplicates
    | NearDuplicates,
    Field(discriminator="step"),
]

DEFAULT: tuple[CleaningStep, ...] = (
    Normalise(step="normalise"),
    Duplicates(step="duplicates"),
)


class Splitting(Strict):
    """The shares held out, by the hash of the document."""

    validation: Fraction = 0.05
    test: Fraction = 0.05


class Cleaning(Strict):
    """How documents become clean ones in three splits."""

    cleaning: Annotated[tuple[CleaningStep, ...], Field(min_length=1)] = DEFAULT
    """Steps in the order in which they are taken."""
    split: Splitting = Splitting()
