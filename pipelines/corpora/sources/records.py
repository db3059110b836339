"""Records and long texts to documents: which field is what, and how long one may be."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.corpora.sources.decoding import mended, pieces, utf8_length
from pipelines.corpora.turns import document_text, trimmed
from pipelines.text.errors import TextError
from pipelines.text.tables import Document, Unread

if TYPE_CHECKING:
    from pipelines.corpora.sources.options import Fields, Records

# A row, a page of HTML or a JSON file is parsed as a whole; up to this it is, even where documents
# must be shorter: its text may yet be cut into some.
HELD_BYTES = 64 << 20
_ABSENT = object()
MAX_NAME = 60
_INPUT = "input"  # what an instruction is about, in Alpaca's layout
MAX_TOLD = 300  # characters of what is kept of why a row was left out
# How a conversation comes that is a list of messages, by the names of its usual layouts.
_MESSAGES = ("messages", "conversations", "conversation")
AS_PAIRS = (
    "lists of messages are not read: write a row for each reply, with two fields of text such as"
    " `prompt` and `reply`, and set fields: {text: prompt, target: reply}"
)


class Origin(NamedTuple):
    """A file or data set: its place in errors, its name in a source, and what documents say."""

    where: str
    name: str
    source: str


class BadRow(Exception):  # noqa: N818 -- a value until somebody minds
    """Why a row is no document, the mend, and in a word the reason that it is counted by."""

    def __init__(
        self,
        told: str,
        mend: str = "mend the row, or leave such rows out with on_bad_row: drop",
        reason: str = "unreadable_row",
    ) -> None:
        super().__init__(told)
        self.mend, self.reason = mend, reason


Row = dict[str, Any] | BadRow
Rows = Iterable[tuple[int | str, Row]]


def held_bytes(records: Records) -> int:
    """How much of a file may be held to make one row or page of it."""
    return max(HELD_BYTES, records.max_document_bytes)


def documents_of_rows(
    rows: Rows,
    origin: Origin,
    records: Records,
    notes: Counter[str],
    fields: Fields | None = None,
) -> Iterator[Document | Unread]:
    """A document for each row (place, record), or several for a long one that may be split.

    Without a mapped ``id`` it is ``<name>:<place>``, the place being the line or row number. A row
    that is no document ends the reading with TextError, or is given as ``Unread`` and counted in
    ``notes["bad_rows_dropped"]``.
    """
    fields = fields or records.fields
    most, unmapped = records.max_document_bytes, looked_at(fields)
    for place, row in rows:
        try:
            document = _document(place, row, fields, origin, records.licence)
            long = 4 * len(document.text) > most and utf8_length(document.text) > most
            if long and records.on_long == "fail":
                raise _too_long(most)
        except BadRow as bad:
            if records.on_bad_row == "fail":
                raise TextError(f"{origin.where}:{place}: {bad}; {bad.mend}") from None
            notes["bad_rows_dropped"] += 1
            name, told = f"{origin.name}:{place}", str(bad)[:MAX_TOLD]
            yield Unread(name, origin.source, records.licence, bad.reason, told)
            continue
        if isinstance(row, dict) and any(row.get(name) for name in unmapped):
            notes["rows_whose_input_is_left_out"] += 1
        if long:
            yield from _cut(document, [document.text], records, origin, notes)
        else:
            yield document


def documents_of_text(
    chunks: Iterable[str], origin: Origin, records: Records, notes: Counter[str]
) -> Iterator[Document]:
    """A file's text as one document, named as the file, or as several, ``<name>#1`` and so on."""
    whole = Document(origin.name, "", origin.source, records.licence)
    yield from _cut(whole, chunks, records, origin, notes)


def _cut(
    whole: Document, chunks: Iterable[str], records: Records, origin: Origin, notes: Counter[str]
) -> Iterator[Document]:
    cut = pieces(chunks, records.max_document_bytes)
    for number, (piece, more) in enumerate(cut, 1):
        if more and records.on_long == "fail":
            bad = _too_long(records.max_document_bytes)
            raise TextError(f"{origin.where}: {bad}; {bad.mend}")
        identity = f"{whole.id}#{number}" if more or number > 1 else whole.id
        yield whole._replace(id=identity, text=mended(piece, notes))


def _too_long(most: int) -> BadRow:
    return BadRow(
        f"a text of more than max_document_bytes={most}",
        "raise it, or cut such texts with on_long: split",
        "long_row",
    )


def _document(place: int | str, row: Row, fields: Fields, origin: Origin, licence: str) -> Document:
    if isinstance(row, BadRow):
        raise row
    text = _string(row, fields.text)  # what is most often amiss is told first
    if fields.target:
        pair = ("A", _turn(row, fields.text)), ("B", _turn(row, fields.target))
        text = document_text(pair)
    return Document(
        id=_name(row, fields.id) if fields.id else f"{origin.name}:{place}",
        text=text,
        source=_string(row, fields.source) if fields.source else origin.source,
        licence=_string(row, fields.licence) if fields.licence else licence,
        label=_label(row, fields.label) if fields.label else None,
    )


def columns_of(fields: Fields) -> list[str]:
    """The columns that ``fields`` maps, each once."""
    return list(dict.fromkeys(fields.model_dump(exclude_none=True).values()))


def mend_of(columns: Iterable[str]) -> str:
    """How to mend a name that is none of the columns."""
    messages = any(name.partition(".")[0] in _MESSAGES for name in columns)
    return AS_PAIRS if messages else "correct the recipe's `fields`"


def looked_at(fields: Fields) -> list[str]:
    """Columns that no field names, though an instruction with such an input is half a pair."""
    return [name for name in ([_INPUT] if fields.target else []) if name not in columns_of(fields)]


def _value(row: dict[str, Any], path: str) -> Any:
    value = row.get(path, _ABSENT)
    if value is _ABSENT and "." in path:
        value = row
        for part in path.split("."):
            value = value.get(part, _ABSENT) if isinstance(value, dict) else _ABSENT
    if value is _ABSENT and any(_of_messages(row.get(name)) for name in _MESSAGES):
        raise BadRow(no_field(path, row), AS_PAIRS, "no_field")
    if value is _ABSENT:
        mend = f"correct the recipe's `fields`, or {BadRow('').mend}"
        raise BadRow(no_field(path, row), mend, "no_field")
    return value


def _of_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def no_field(path: str, names: Iterable[str]) -> str:
    """What to say of a field that is not there: the nearest name, else some that are."""
    known = [str(name)[:MAX_NAME] for name in names]
    near = difflib.get_close_matches(path, known, 1)
    there = f"the nearest is {near[0]!r}" if near else f"there are {', '.join(known[:8]) or 'none'}"
    return f"no field {path!r} ({there})"


def _string(row: dict[str, Any], path: str) -> str:
    value = _value(row, path)
    if not isinstance(value, str):
        kind, reason = type(value).__name__, "not_a_string"
        if value is None:
            kind, reason = "null", "null_field"
        mend = {"mend": AS_PAIRS} if _of_messages(value) else {}
        raise BadRow(f"field {path!r} is {kind}, not a string", reason=reason, **mend)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise BadRow(f"field {path!r} holds half a surrogate pair, which is no text") from None
    return value


def _turn(row: dict[str, Any], path: str) -> str:
    """What a field says, its lines as they are."""
    said = trimmed(_string(row, path))
    if not said:
        raise BadRow(f"field {path!r} is empty, and half a pair is none", reason="half_a_pair")
    return said


def _name(row: dict[str, Any], path: str) -> str:
    value = _value(row, path)
    return str(value) if type(value) is int else _string(row, path)


def _label(row: dict[str, Any], path: str) -> str | None:
    value = _value(row, path)
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return _name(row, path)
