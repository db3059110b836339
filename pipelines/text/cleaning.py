r"""Cleaning: one document in, the cleaned document or the reason it is dropped out.

What is done, in this order, each step a pure function of the text:

1. line ends CRLF and CR become LF;
2. C0 controls (NUL included) and DEL are removed, except TAB and LF;
3. Unicode normalisation, NFC or NFKC, as the recipe says (equal over Python versions for every
   character that Unicode had assigned by 14.0);
4. white space at the ends of lines and blank lines at the ends of the text are removed.

Cleaning a cleaned text changes nothing.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from pipelines.text.tables import Document

if TYPE_CHECKING:
    from pipelines.recipe import Cleaning

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_LINE_END = re.compile("\r\n?")


class Dropped(NamedTuple):
    """A document that is left out, for ``reason``: ``empty``, ``short`` or ``duplicate``."""

    reason: str


def clean(document: Document, cleaning: Cleaning) -> Document | Dropped:
    """The document with its text cleaned, or why it is left out."""
    text = clean_text(document.text, cleaning.unicode)
    if not text:
        return Dropped("empty")
    if len(text) < cleaning.min_characters:
        return Dropped("short")
    return document._replace(text=text)


def clean_text(text: str, form: str) -> str:
    """Steps 1 to 4; ``form`` is NFC, NFKC or none."""
    text = _CONTROLS.sub("", _LINE_END.sub("\n", text))
    if form == "NFC":
        text = unicodedata.normalize("NFC", text)
    elif form == "NFKC":
        text = unicodedata.normalize("NFKC", text)
    return "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")
