"""From records and long texts to documents: the mapping of fields, and the limit of length."""

from __future__ import annotations

import difflib
import html
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.corpora.roles import ASSISTANT, LETTERS, SYSTEM, USER
from pipelines.corpora.sources.decoding import mended, pieces, utf8_length
from pipelines.corpora.sources.messages import (
    Malformed,
    Spoken,
    preference_turns,
    text_at,
    turns_of_messages,
)
from pipelines.corpora.sources.options import IN_BRACES, WHOLE
from pipelines.corpora.turns import document_text, trimmed
from pipelines.text.errors import TextError
from pipelines.text.tables import Document, Unread

if TYPE_CHECKING:
    from pipelines.corpora.sources.options import Fields, Records

# A row, a page of HTML or a JSON file is parsed as a whole, up to this size even if documents must
# be shorter, because its text may be cut into several documents.
HELD_BYTES = 64 << 20
_ABSENT = object()
MAX_NAME = 60
_INPUT = "input"  # the column for the input of an instruction in Alpaca's layout
MAX_TOLD = 300  # characters of the kept reason for which a row was left out
# The columns for lists of messages, by the names in the usual layouts of conversations.
_MESSAGES = ("messages", "conversations", "conversation")
AS_MESSAGES = "set fields: {messages: %s} to read a list of messages"


class Origin(NamedTuple):
    """A file or data set: its place for errors, its name in the source, and a document's source."""

    where: str
    name: str
    source: str


class BadRow(Exception):  # noqa: N818 -- a value, which only some callers raise
    """Why a row is no document, the mend, and the identifier of the reason for the counts."""

    def __init__(
        self,
        fault: str,
        mend: str = "mend the row, or leave such rows out with on_bad_row: drop",
        reason: str = "unreadable_row",
    ) -> None:
        super().__init__(fault)
        self.mend, self.reason = mend, reason


Row = dict[str, Any] | BadRow
Rows = Iterable[tuple[int | str, Row]]


def held_bytes(records: Records) -> int:
    """The most characters of a file that may be held in memory for one row or page."""
    return max(HELD_BYTES, records.max_document_bytes)


def documents_of_rows(
    rows: Rows,
    origin: Origin,
    records: Records,
    notes: Counter[str],
    fields: Fields | None = None,
) -> Iterator[Document | Unread]:
    """A document for each row (place, record), or several for a long one that may be split.

    Without a mapped ``id`` the id is ``<name>:<place>``, where the place is the line or row number.
    A row that is no document raises TextError, or is yielded as ``Unread`` and counted in
    ``notes["bad_rows_dropped"]``, as ``on_bad_row`` says.
    """
    fields = fields or records.fields
    most, unmapped = records.max_document_bytes, looked_at(fields)
    for place, row in rows:
        try:
            document = _document(place, row, fields, origin, records.licence)
            if records.unescape:
                document = document._replace(text=html.unescape(document.text))
            long = 4 * len(document.text) > most and utf8_length(document.text) > most
            if long and records.on_long == "fail":
                raise _too_long(most)
        except BadRow as bad:
            if records.on_bad_row == "fail":
                raise TextError(f"{origin.where}:{place}: {bad}; {bad.mend}") from None
            notes["bad_rows_dropped"] += 1
            name, detail = f"{origin.name}:{place}", str(bad)[:MAX_TOLD]
            yield Unread(name, origin.source, records.licence, bad.reason, detail)
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
    """The text of a file as one document with the file's name as id, or as several documents.

    The ids of several are ``<name>#1``, ``<name>#2`` and so on.
    """
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
        "raise max_document_bytes, or cut such texts with on_long: split",
        "long_row",
    )


def _document(place: int | str, row: Row, fields: Fields, origin: Origin, licence: str) -> Document:
    if isinstance(row, BadRow):
        raise row
    # The text is first, because most faults are in this field.
    spoken = fields.are_conversations()
    text = document_text(_turns(row, fields)) if spoken else text_of(row, fields.text)
    return Document(
        id=_name(row, fields.id) if fields.id else f"{origin.name}:{place}",
        text=text,
        source=_string(row, fields.source) if fields.source else origin.source,
        licence=_string(row, fields.licence) if fields.licence else licence,
        label=_label(row, fields.label) if fields.label else None,
    )


def _turns(row: dict[str, Any], fields: Fields) -> list[Spoken]:
    """The turns of a conversation with an assistant, by the layout that ``fields`` maps."""
    try:
        turns = _optional(row, fields.system, LETTERS[SYSTEM])
        if fields.messages:
            turns += turns_of_messages(value_of(row, fields.messages), fields.messages)
        elif "text" in fields.model_fields_set or not fields.chosen:
            more = [words for _, words in _optional(row, fields.input, LETTERS[USER])]
            turns.append((LETTERS[USER], "\n\n".join([_turn(row, fields.text), *more])))
        if fields.target:
            turns.append((LETTERS[ASSISTANT], _turn(row, fields.target)))
        if fields.chosen and fields.rejected:
            sides = [(value_of(row, path), path) for path in (fields.chosen, fields.rejected)]
            turns = preference_turns(turns, *sides)
    except Malformed as fault:
        raise BadRow(str(fault), reason="malformed_conversation") from None
    return turns


def _optional(row: dict[str, Any], path: str | None, letter: str) -> list[Spoken]:
    """One turn of a field that a record may lack, or that may be null or empty; none then."""
    value = _found(row, path) if path else None
    words = trimmed(text_at(value, str(path))) if value not in (None, _ABSENT) else ""
    return [(letter, words)] if words else []


def mend_of(columns: Iterable[str]) -> str:
    """The mend, for a message, if a field names none of the columns."""
    names = (name.partition(".")[0] for name in columns)
    messages = next((name for name in names if name in _MESSAGES), None)
    return AS_MESSAGES % messages if messages else "correct the recipe's `fields`"


def looked_at(fields: Fields) -> list[str]:
    """Columns to check although no field maps them: an instruction's input is part of a pair."""
    pair = fields.target or fields.chosen
    return [name for name in ([_INPUT] if pair else []) if name not in fields.columns()]


def text_of(row: Mapping[str, Any], path: str) -> str:
    """The text of a field; of several in braces the template with their texts; or the record.

    Raises BadRow if there is no such field, or if it is no text.
    """
    if path == WHOLE:
        return json.dumps(row, ensure_ascii=False, default=str)
    if path not in row and IN_BRACES.search(path):
        return IN_BRACES.sub(lambda found: _string(row, found[1]), path)
    return _string(row, path)


def _found(row: Mapping[str, Any], path: str) -> Any:
    """The value of a field, or ``_ABSENT``."""
    value = row.get(path, _ABSENT)
    if value is _ABSENT and "." in path:
        value = row
        for part in path.split("."):
            value = value.get(part, _ABSENT) if isinstance(value, dict) else _ABSENT
    return value


def value_of(row: Mapping[str, Any], path: str) -> Any:
    """The value of a field; ``meta.id`` is a nested one. Raises BadRow if there is none."""
    value = _found(row, path)
    lists = [name for name in _MESSAGES if _of_messages(row.get(name))]
    if value is _ABSENT and lists:
        raise BadRow(no_field(path, row), AS_MESSAGES % lists[0], "no_field")
    if value is _ABSENT:
        mend = f"correct the recipe's `fields`, or {BadRow('').mend}"
        raise BadRow(no_field(path, row), mend, "no_field")
    return value


def _of_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def no_field(path: str, names: Iterable[str]) -> str:
    """The message for a missing field, with the nearest name, or else some names that exist."""
    known = [str(name)[:MAX_NAME] for name in names]
    near = difflib.get_close_matches(path, known, 1)
    hint = f"the nearest is {near[0]!r}" if near else f"there are {', '.join(known[:8]) or 'none'}"
    return f"no field {path!r} ({hint})"


def _string(row: Mapping[str, Any], path: str) -> str:
    value = value_of(row, path)
    if not isinstance(value, str):
        type_name, reason = type(value).__name__, "not_a_string"
        if value is None:
            type_name, reason = "null", "null_field"
        mend = {"mend": AS_MESSAGES % path} if _of_messages(value) else {}
        raise BadRow(f"field {path!r} is {type_name}, not a string", reason=reason, **mend)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise BadRow(f"field {path!r} has half a surrogate pair, which is not text") from None
    return value


def _turn(row: Mapping[str, Any], path: str) -> str:
    """The trimmed text of a field for one turn, with its lines unchanged."""
    words = trimmed(text_of(row, path))
    if not words:
        raise BadRow(f"field {path!r} is empty, but a pair needs both", reason="half_a_pair")
    return words


def _name(row: Mapping[str, Any], path: str) -> str:
    value = value_of(row, path)
    return str(value) if type(value) is int else _string(row, path)


def _label(row: Mapping[str, Any], path: str) -> str | None:
    value = value_of(row, path)
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return _name(row, path)
