"""What a file is, by what is declared, its name and its first bytes."""

from __future__ import annotations

import codecs
import re

from pipelines.corpora.sources.compression import packing_of
from pipelines.corpora.sources.formats import FORMATS
from pipelines.text.errors import TextError

PACKED = {".gz": "gzip", ".zst": "zstd"}
SUFFIXES = {suffix: name for name, form in FORMATS.items() for suffix in form.suffixes}
ARCHIVES = (".zip", ".tar", ".tgz", ".7z", ".rar", ".bz2", ".xz")
SIGNATURES = {
    b"PAR1": "Parquet",
    b"\x1f\x8b": "gzip data",
    b"\x28\xb5\x2f\xfd": "zstandard data",
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "a zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a rar archive",
    b"BZh91AY&SY": "bzip2 data",
    b"\xfd7zXZ\x00": "xz data",
    b"ARROW1\x00\x00": "an Arrow file",
    b"%PDF-": "a PDF",
    b"\x89PNG\r\n": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF87a": "a GIF image",
    b"GIF89a": "a GIF image",
    b"SQLite format 3\x00": "an SQLite database",
    b"\x7fELF": "a program",
    b"\xd0\xcf\x11\xe0": "an old Office file",
}
_MAGIC = tuple(SIGNATURES)
_TAR = slice(257, 262)
# A third of NULs is no text of one byte a letter; UTF-16 of Latin letters is half NULs.
_MOST_NULS = 0.3
_HTML = re.compile(
    r"\s*+(?:<\?xml[^>]*+>\s*+)?(?:<!--(?:(?!-->).)*+-->\s*+)*+"
    r"<(?:!doctype\s+html|html|head|body)\b",
    re.I | re.S,
)
_JSON_LINE = re.compile(r'\s*\{\s*["}]')


def packing_and_name(name: str, head: bytes, where: str) -> tuple[str | None, str]:
    """How a file is packed, and its name without that suffix."""
    stem, suffix = _split(name)
    named, found = PACKED.get(suffix), packing_of(head)
    if (named or suffix in SUFFIXES) and found != named:
        content = f"packed with {found}" if found else f"not {named}"
        raise TextError(
            f"{where}: named {suffix}, but its content is {content}; "
            "rename it by what it is, or fetch it again"
        )
    return found, stem if named else name


def _split(name: str) -> tuple[str, str]:
    stem, dot, last = name.rpartition(".")
    return stem, (dot + last).lower()


def format_of(name: str, head: bytes, declared: str, encoding: str, where: str) -> str:
    """The format of a file by what is declared, else its name, else its first bytes.

    TextError if the first bytes say that it cannot be that.
    """
    suffix = _split(name)[1]
    named = SUFFIXES.get(suffix) if declared == "auto" else declared
    kind = _signature(head)
    if suffix in ARCHIVES:
        kind = kind or f"a {suffix} archive"
    if kind == "Parquet" and named in (None, "parquet"):
        return "parquet"
    if kind or named == "parquet":
        raise TextError(
            f"{where}: {f'read as {named}, but ' if named else ''}its content is "
            f"{kind or 'no Parquet'}; {_mend(kind)}"
        )
    wide = codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
    if not wide and head.count(0) > _MOST_NULS * len(head):
        raise TextError(
            f"{where}: full of NUL bytes, so no text in encoding={encoding}; declare utf-16, "
            "or leave the file out by `glob`"
        )
    start = head.decode(encoding, "ignore")
    if declared == "auto":
        if named in ("plain", "markdown") and _HTML.match(start):
            raise TextError(
                f"{where}: named {suffix}, but its content is HTML; rename it by what it is, or"
                f" set format: {named}"
            )
        if named == "jsonl" and start.lstrip("\ufeff \t\r\n").startswith("["):
            raise TextError(
                f"{where}: a JSON list, where one object a line is read; write each of its objects"
                " on a line of its own"
            )
    return named or _sniffed(start)


def _signature(head: bytes) -> str | None:
    if head[_TAR] == b"ustar":
        return "a tar archive"
    if not head.startswith(_MAGIC):
        return None
    return next(kind for magic, kind in SIGNATURES.items() if head.startswith(magic))


def _mend(kind: str | None) -> str:
    if kind and kind.startswith(("an old", "a program", "a PDF", "a PNG", "a JPEG", "a GIF")):
        return "convert it to text, or leave it out by `glob`"
    if kind and kind.endswith(("archive", "data")):
        return "unpack it (gzip and zstandard are read, once, by the names .gz and .zst)"
    return "correct `format` or the file's name, or fetch it again"


def _sniffed(head: str) -> str:
    if _HTML.match(head.removeprefix("\ufeff")):
        return "html"
    return "jsonl" if _JSON_LINE.match(head.removeprefix("\ufeff")) else "plain"
