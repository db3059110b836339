"""The decoding of byte streams, and the cutting of text into lines or pieces of bounded size."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain

from pipelines.text.errors import TextError

# Marks bytes that do not decode, until a document is made. Decoded text cannot hold half a
# surrogate pair, so the mark differs from a U+FFFD that the text itself contains.
_MARK = "\udfff"
_MARKING = "dragon-mark"


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _MARK, error.end


codecs.register_error(_MARKING, _mark)


def decoded(
    blocks: Iterable[bytes], encoding: str, on_bad_utf8: str, where: str, stated: str | None = None
) -> Iterator[str]:
    """The characters of a byte stream, block by block, without a byte order mark at its start.

    ``on_bad_utf8``: ``fail`` raises TextError with the offset of the first byte that does not
    decode; ``replace`` leaves marks, which ``mended`` turns into U+FFFD. ``stated`` is the encoding
    that the file itself states, for the message.
    """
    errors = "strict" if on_bad_utf8 == "fail" else _MARKING
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    taken, begun = 0, False
    # An empty block at the end makes the decoder report a character that is cut off.
    for block, last in chain(((block, False) for block in blocks), [(b"", True)]):
        taken += len(block)
        try:
            text = decoder.decode(block, last)
        except UnicodeDecodeError as error:
            # `object` is the rest of earlier blocks and this block, so it ends at `taken`.
            start = taken - len(error.object)
            raise _undecodable(error, start, encoding, where, stated) from None
        except UnicodeError as error:
            raise TextError(
                f"{where}: not {encoding} ({error}); correct the recipe's `encoding`"
            ) from None
        if text and not begun:
            begun, text = True, text.removeprefix("\ufeff")
        if text:
            yield text


def _undecodable(
    error: UnicodeDecodeError, start: int, encoding: str, where: str, stated: str | None
) -> TextError:
    offset, bad_bytes = start + error.start, error.object[error.start : error.end].hex(" ")
    name = "UTF-8" if codecs.lookup(encoding).name == "utf-8" else encoding
    charset = f" (it says charset={stated})" if stated else ""
    return TextError(
        f"{where}: not {name} at byte offset {offset} of the content (found {bad_bytes}); "
        f"declare its `encoding`{charset}, convert the file, or set on_bad_utf8: replace"
    )


def mended(text: str, notes: Counter[str]) -> str:
    """``text`` with U+FFFD for each mark; ``notes`` counts a text that has any."""
    if _MARK not in text:
        return text
    notes["bad_utf8_replaced"] += 1
    return text.replace(_MARK, "\ufffd")


def lines(chunks: Iterable[str], most: int) -> Iterator[str | None]:
    """Lines without their line feeds; None for a line of more than ``most`` characters.

    Memory holds at most ``most`` characters of a line. Only U+000A ends a line.
    """
    parts: list[str] = []
    length = 0
    for chunk in chunks:
        first, *others = chunk.split("\n")
        length += len(first)
        if length <= most:
            parts.append(first)
        else:
            parts.clear()
        if others:
            yield "".join(parts) if length <= most else None
            last = others.pop()
            for line in others:
                yield line if len(line) <= most else None
            parts, length = [last], len(last)
    if length:
        yield "".join(parts) if length <= most else None


def pieces(chunks: Iterable[str], most: int) -> Iterator[tuple[str, bool]]:
    """(piece, whether another follows): the text cut into pieces of at most ``most`` bytes.

    A piece ends at its last line end, or if it has none, at its last whole character. Joined, the
    pieces are the text. Bytes are those of UTF-8; ``most`` counts as at least 4. The cuts do not
    depend on the sizes of ``chunks``.
    """
    most = max(most, 4)
    parts: list[str] = []
    size = 0
    for chunk in chunks:
        parts.append(chunk)
        size += utf8_length(chunk)
        if size > most:
            data, start = "".join(parts).encode("utf-8", "surrogatepass"), 0
            parts.clear()
            view = memoryview(data)
            while len(data) - start > most:
                end = _cut(data, start, start + most)
                yield str(view[start:end], "utf-8", "surrogatepass"), True
                start = end
            parts.append(str(view[start:], "utf-8", "surrogatepass"))
            size = len(data) - start
            del data, view  # to free the memory before the next piece is collected
    yield "".join(parts), False


def _cut(data: bytes, start: int, end: int) -> int:
    line_end = data.rfind(b"\n", start, end) + 1
    if line_end:
        return line_end
    while data[end] & 0xC0 == 0x80:
        end -= 1
    return end


def utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
