"""C4's rules for web pages (Raffel et al. 2020, arXiv 1910.10683, 2.2), without the word list.

The defaults are those of the published data set and of the paper's last edition on arXiv: lines of
five words, pages of three sentences. The first printed edition (JMLR 21, 140) says three and five.
The code that made the data set counts sentences with a trained model, drops lines that end in an
ellipsis or contain a word of 1,000 characters, and does not count a curly quotation mark as an
end. This step follows only the text of the paper.

The paper also drops pages with a word from a list of obscene words. The list is not part of this
step, because it drops medical texts and dialects too (Dodge et al. 2021). Other steps handle
languages and repeated spans.
"""

from __future__ import annotations

import re
from typing import Literal

from pipelines.core.stanza import Whole
from pipelines.corpora.cleaning.outcome import Clean, Cleaned, Dropped, changed
from pipelines.corpora.cleaning.step import Step, StepOptions

_TERMINAL = (".", "!", "?", '"', "”", "’", "»")
_SENTENCE_END = re.compile(r"(?<![.!?])[.!?]++[\"'”’»)\]]*+(?!\S)")
_MARKER = r"\[(?:\d{0,4}|edit|citation needed)\]"
_ANY_MARKER = re.compile(_MARKER, re.I)
_LAST_MARKER = re.compile(rf"{_MARKER}\Z", re.I)
_LONGEST_MARKER = len("[citation needed]")
_UP_TO_BRACKET = re.compile(r"[^\]]*\]|[^\]]+")


class C4(StepOptions):
    """Keep lines that are sentences, in documents that are text: C4's rules (Raffel et al. 2020).

    The defaults are those of the published data set; the first printed paper says 3 words, 5
    sentences.
    """

    step: Literal["c4"]
    min_words_in_line: Whole = 5
    min_sentences: Whole = 3
    terminal_punctuation: bool = True
    """Keep only lines that end in a terminal punctuation mark."""
    refuse_curly_brackets: bool = True
    refuse_lorem_ipsum: bool = True
    drop_lines_with: tuple[str, ...] = (
        *("javascript", "terms of use", "privacy policy", "cookie policy"),
        *("uses cookies", "use of cookies", "use cookies"),
    )
    """Drop lines that contain one of these phrases, in upper or lower case."""


def c4(options: C4) -> Clean:
    """Keep the lines that are sentences, in pages that are text.

    First, a page with a curly bracket or "lorem ipsum" in any line is dropped: code has its
    brackets on lines that the next rules remove. Then citation markers (``[1]``, ``[edit]``,
    ``[citation needed]``) are removed, and then lines that are too short, do not end in terminal
    punctuation (``.!?`` or a closing quotation mark) or contain a phrase. Last, a page with too
    few sentences is dropped. A sentence ends in ``.!?``, with closing quotes or brackets, before
    white space or the end. Reasons: ``c4_curly_bracket``, ``c4_lorem_ipsum``, ``c4_sentences``. A
    second application changes nothing.
    """
    phrases = tuple(phrase.lower() for phrase in options.drop_lines_with)

    def stays(line: str) -> bool:
        return (
            len(line.split()) >= options.min_words_in_line
            and (not options.terminal_punctuation or line.endswith(_TERMINAL))
            and not any(map(line.lower().__contains__, phrases))
        )

    def step(text: str) -> Cleaned | Dropped:
        if options.refuse_curly_brackets and "{" in text:
            return Dropped("c4_curly_bracket")
        if options.refuse_lorem_ipsum and "lorem ipsum" in text.lower():
            return Dropped("c4_lorem_ipsum")
        lines = [_without_markers(line).strip() for line in text.split("\n")]
        kept = [line for line in lines if stays(line)]
        sentences = sum(len(_SENTENCE_END.findall(line)) for line in kept)
        if kept and sentences < options.min_sentences:
            least = options.min_sentences
            return Dropped("c4_sentences", f"min_sentences={least}, has {sentences}")
        removed = sum(map(bool, lines)) - len(kept)
        return changed("\n".join(kept), f"{removed} lines removed" if removed else "")

    return step


def _without_markers(line: str) -> str:
    """The line without markers, also those that appear when an inner one is removed: ``[[1]1]``."""
    if not _ANY_MARKER.search(line):
        return line
    kept: list[str] = []
    for piece in _UP_TO_BRACKET.findall(line):
        kept += piece
        if marker := _LAST_MARKER.search("".join(kept[-_LONGEST_MARKER:])):
            del kept[-len(marker[0]) :]
    return "".join(kept)


STEP = Step(C4, c4)
