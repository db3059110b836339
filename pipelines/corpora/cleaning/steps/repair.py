"""The repair of text that was decoded with a wrong encoding."""

from __future__ import annotations

from typing import Literal

from pipelines.corpora.cleaning.outcome import Clean, Cleaned, Dropped, changed
from pipelines.corpora.cleaning.step import Step, StepOptions


class Repair(StepOptions):
    """Repair text from a wrong encoding (mojibake), such as ``â€œ`` for a quotation mark."""

    step: Literal["repair"]


def repair(_: Repair) -> Clean:
    """Repair mojibake, line by line, with ftfy (Speer 2019): ``â€œ`` becomes a quotation mark.

    Only encodings are repaired: quotation marks, ligatures, entities and the Unicode form do not
    change. A second application changes nothing.
    """

    def step(text: str) -> Cleaned | Dropped:
        if text.isascii():  # most of English; ASCII is the same in all these encodings
            return changed(text)
        import ftfy

        repaired = ftfy.fix_text(
            text,
            unescape_html=False,
            remove_terminal_escapes=False,
            fix_latin_ligatures=False,
            fix_character_width=False,
            uncurl_quotes=False,
            fix_line_breaks=False,
            fix_surrogates=False,
            remove_control_chars=False,
            normalization=None,
        )
        return changed(repaired, "" if repaired == text else "encoding repaired")

    return step


STEP = Step(Repair, repair, libraries=("ftfy",))
