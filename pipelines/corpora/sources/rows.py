"""From lines to rows: JSON lines, CSV, labelled lines, pairs. Only one row is in memory."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from pipelines.corpora.sources.decoding import lines, mended
from pipelines.corpora.sources.records import BadRow, Row, no_field
from pipelines.text.errors import TextError

if TYPE_CHECKING:
    from pipelines.corpora.sources.file_options import Reading
    from pipelines.corpora.sources.options import Fields

_DELIMITERS = ",;\t"
MARK = "\ufeff"  # the byte order mark, which is at the start of some files


def json_rows(chunks: Iterable[str], most: int, notes: Counter[str]) -> Iterator[tuple[int, Row]]:
    """(line number, object) of JSON lines; blank lines are skipped.

    A byte order mark at a line's start is removed: files that begin with one were concatenated.
    """
    decode = json.JSONDecoder().decode
    for number, line in enumerate(lines(chunks, most), 1):
        if line is None:
            yield number, _too_wide(most)
            continue
        line = line.removeprefix(MARK)
        if line and not line.isspace():
            try:
                record = decode(mended(line, notes))
            except json.JSONDecodeError as error:
                at = _unseen(line[error.pos : error.pos + 1])
                yield (
                    number,
                    BadRow(f"not one JSON object a line (column {error.colno}: {error.msg}{at})"),
                )
            except (ValueError, RecursionError) as error:
                yield number, BadRow(f"JSON that Python cannot read ({error})")
            else:
                yield number, record if isinstance(record, dict) else BadRow("not a JSON object")


def labelled_rows(
    chunks: Iterable[str], most: int, notes: Counter[str]
) -> Iterator[tuple[int, Row]]:
    """(line number, label and text) of lines ``label TAB text``. Quotation marks are literal."""
    for number, line in enumerate(lines(chunks, most), 1):
        if line is None:
            yield number, _too_wide(most)
            continue
        label, tab, text = _whole(line, notes).partition("\t")
        if tab and label.strip():
            yield number, {"label": label.strip(), "text": text}
        else:
            yield number, BadRow("not `label TAB text`", "mend the line or correct `format`")


def pair_rows(chunks: Iterable[str], most: int, notes: Counter[str]) -> Iterator[tuple[int, Row]]:
    """(line number, text and target) of lines ``source TAB target``; further columns are ignored.

    This reads Tatoeba's exports, whose third column names the authors of the sentences.
    """
    for number, line in enumerate(lines(chunks, most), 1):
        if line is None:
            yield number, _too_wide(most)
            continue
        text, *columns = _whole(line, notes).split("\t")
        if columns:
            yield number, {"text": text, "target": columns[0]}
        else:
            yield number, BadRow("not `source TAB target`", "mend the line or correct `format`")


def _whole(line: str, notes: Counter[str]) -> str:
    """A line without the byte order mark of a concatenated file and the CR of a line end."""
    return mended(line, notes).removeprefix(MARK).removesuffix("\r")


def _unseen(character: str) -> str:
    """The words for a message that name a character which is not visible."""
    return "" if character.isprintable() else f", there is U+{ord(character):04X}"


def _too_wide(most: int) -> BadRow:
    return BadRow(f"a line of more than {most} characters", "check the recipe's `format`")


def csv_rows(
    chunks: Iterable[str],
    most: int,
    notes: Counter[str],
    source: Reading,
    where: str,
    *,
    tabs: bool,
) -> Iterator[tuple[int, Row]]:
    """(line number, record) of a CSV file (RFC 4180), by the names of its columns.

    The names are those of the recipe (``header``), or else in the first line that is not empty.
    ``tabs``: the delimiter is a tab; else it is the one of ``,``, ``;`` and tab that gives as many
    columns as the recipe names, or the most frequent in the first line. A row must have as many
    fields as there are columns, or one empty field more, because some tables end each row with a
    delimiter. Broken quotation raises TextError for any ``on_bad_row``, because the start of the
    next row is then unknown.
    """
    # The csv module has one limit for the whole process, so it is only raised, never lowered.
    csv.field_size_limit(max(csv.field_size_limit(), most))
    line_reader, before, line_number = _Lines(chunks, most), 0, 1
    try:
        first = next(line_reader, "")
        while first.isspace():
            first, before = next(line_reader, ""), before + 1
        rest = chain([first] if first else [], line_reader)
        reader = csv.reader(rest, strict=True, **_dialect(first, source, tabs=tabs))
        header = list(source.header or next(reader, []))
        _check_header(header, source.fields, f"{where}:{before + 1}", named=bool(source.header))
        line_number, line_reader.held = before + reader.line_num + 1, 0
        for row in reader:
            if len(row) == len(header) + 1 and not row[-1]:
                row.pop()
            if row and row[0].startswith(MARK) and [row[0][1:], *row[1:]] == header:
                yield line_number, BadRow("the header again, after U+FEFF: files were concatenated")
            elif len(row) == len(header):
                yield line_number, dict(zip(header, _mended_row(row, notes), strict=True))
            elif row:
                yield line_number, BadRow(f"{len(row)} fields under a header of {len(header)}")
            line_number, line_reader.held = before + reader.line_num + 1, 0
    except csv.Error as error:
        plain = "" if source.quotes == "literal" else ", set quotes: literal for plain signs,"
        raise TextError(
            f"{where}:{line_number}: broken CSV ({error}); mend its quotes{plain} or correct"
            " `format`"
        ) from None


def _dialect(first: str, source: Reading, *, tabs: bool) -> dict[str, Any]:
    """The arguments of ``csv.reader`` for a file with this first line."""
    plain = source.quotes == "literal"
    form: dict[str, Any] = {"quoting": csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL}
    delimiter = "\t" if tabs else max(_DELIMITERS, key=first.count)
    if source.header and not tabs:
        wanted = len(source.header)
        columns = {one: next(csv.reader([first], delimiter=one, **form), []) for one in _DELIMITERS}
        delimiter = next((one for one in columns if len(columns[one]) == wanted), delimiter)
    return {"delimiter": delimiter, **form}


class _Lines:
    """The lines of a file for ``csv.reader``, with a limit for the length of a record.

    Without it the reader would hold a record of any number of lines. ``held`` is the number of
    characters of the record so far; the caller sets it to 0 after each record.
    """

    def __init__(self, chunks: Iterable[str], most: int) -> None:
        self.held = 0
        self._lines, self._most = lines(chunks, most), most

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.held += 0 if line is None else len(line) + 1
        if line is None or self.held > self._most:
            raise csv.Error(f"a record of more than {self._most} characters")
        return line + "\n"


def _check_header(header: list[str], fields: Fields, where: str, *, named: bool) -> None:
    """Raise TextError unless each field is one column; ``named``: the recipe names the columns."""
    for path in fields.columns():
        if header.count(path) != 1:
            reason = f"two columns {path!r}" if path in header else no_field(path, header)
            mend = "`header`" if named else "the header; a file without one needs `header`"
            raise TextError(f"{where}: {reason}; correct the recipe's `fields` or {mend}")


def _mended_row(row: list[str], notes: Counter[str]) -> list[str]:
    repairs: Counter[str] = Counter()
    fields = [mended(field, repairs) for field in row]
    notes.update(dict.fromkeys(repairs, 1))  # one document, for any number of its fields
    return fields
