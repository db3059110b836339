"""The normalisation of characters: one form for text that looks the same."""

from __future__ import annotations

import unicodedata
from typing import Literal

from pipelines.corpora.cleaning.outcome import Clean, changed
from pipelines.corpora.cleaning.step import Step, StepOptions

# The characters that end a line: LF, CR, VT, FF, the separators FS, GS and RS, NEL, and the line
# and paragraph separators of Unicode (The Unicode Standard, 5.8; UAX 14).
LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
# Characters without width that do not separate words: the other C0 controls, DEL, and a byte order
# mark in any place. C1 controls stay: most are punctuation of Windows-1252, which separates words.
REMOVED = "".join(map(chr, [*range(0x09), *range(0x0E, 0x1C), 0x7F, 0xFEFF]))

_WIDE_ENDS = [end for end in LINE_ENDS if not end.isascii()]
_ASCII = bytes.maketrans(b"\v\f\x1c\x1d\x1e\x1f", b"\n\n\n\n\n ")
_REMOVED = REMOVED.removesuffix("\ufeff").encode()


class Normalise(StepOptions):
    """LF as line end, no controls, no white space at line ends, one Unicode form."""

    step: Literal["normalise"]
    form: Literal["NFC", "NFKC", "none"] = "NFC"


def normalise(options: Normalise) -> Clean:
    """``clean_text`` as a step."""
    return lambda text: changed(clean_text(text, options.form))


def clean_text(text: str, form: str) -> str:
    r"""The text in its normal form, so that equal texts have equal bytes. In this order:

    1. every line end becomes LF: CRLF, CR, VT, FF, FS, GS, RS, U+0085, U+2028, U+2029;
    2. US becomes a space. The other C0 controls (with NUL, but not TAB), DEL and U+FEFF are
       removed; they do not separate words, so no two words are joined. The other C1 controls
       stay: they are punctuation in a mistaken encoding, which ``repair`` corrects;
    3. Unicode normalisation: NFC, NFKC or none, as ``form`` says (equal over Python versions for
       every character that Unicode had assigned by 14.0);
    4. white space at the ends of lines and blank lines at the ends of the text are removed.

    A second application changes nothing.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():
        for end in _WIDE_ENDS:
            text = text.replace(end, "\n")
        text = text.replace("\ufeff", "")
    data = text.encode("utf-8", "surrogatepass")
    without_controls = data.translate(_ASCII, _REMOVED)  # ten times as fast as a pattern
    if without_controls != data:
        text = without_controls.decode("utf-8", "surrogatepass")
    if form in ("NFC", "NFKC"):
        text = unicodedata.normalize("NFC" if form == "NFC" else "NFKC", text)
    return "\n".join(map(str.rstrip, text.split("\n"))).strip("\n")


STEP = Step(Normalise, normalise)
