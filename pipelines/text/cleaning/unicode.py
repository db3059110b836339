"""The characters of a text: mistaken encodings undone, one form for what looks the same."""

from __future__ import annotations

import unicodedata

from pipelines.text.cleaning.outcome import Cleaned, Dropped, Step, changed

_CONTROLS = bytes([*range(0x09), *range(0x0B, 0x20), 0x7F])  # all but TAB and LF


def repair() -> Step:
    """Undo mojibake, line by line, with ftfy (Speer 2019): ``â€œ`` is a quotation mark again.

    Encodings alone: quotation marks, ligatures, entities and the Unicode form stay as they are.
    Repairing the repaired changes nothing.
    """

    def step(text: str) -> Cleaned | Dropped:
        if text.isascii():  # most of English, and no encoding mistakes it
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


def normalise(*, form: str = "NFC") -> Step:
    """``clean_text`` as a step. ``form`` is NFC, NFKC or none."""
    return lambda text: changed(clean_text(text, form))


def clean_text(text: str, form: str) -> str:
    r"""One way to write a text, so that equal texts have equal bytes. In this order:

    1. line ends CRLF and CR become LF;
    2. C0 controls (NUL included) and DEL are removed, except TAB and LF;
    3. Unicode normalisation, NFC or NFKC, as ``form`` says, or none (equal over Python versions
       for every character that Unicode had assigned by 14.0);
    4. white space at the ends of lines and blank lines at the ends of the text are removed.

    Cleaning a cleaned text changes nothing.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    data = text.encode("utf-8", "surrogatepass")
    kept = data.translate(None, _CONTROLS)  # ten times as fast as a pattern
    if len(kept) < len(data):
        text = kept.decode("utf-8", "surrogatepass")
    if form in ("NFC", "NFKC"):
        text = unicodedata.normalize("NFC" if form == "NFC" else "NFKC", text)
    return "\n".join(map(str.rstrip, text.split("\n"))).strip("\n")
