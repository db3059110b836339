"""The packing and the format of a file, by the declaration, its name and its first bytes."""

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
# Text in an encoding of one byte a letter has no NULs; Latin letters in UTF-16 are half NULs.
_MOST_NULS = 0.3
_HTML = re.compile(
    r"\s*+(?:<\?xml[^>]*+>\s*+)?(?:<!--(?:(?!-->).)*+-->\s*+)*+"
    r"<(?:!doctype\s+html|html|head|body)\b",
    re.I | re.S,
)
_JSON = re.compile(r'\s*(\[\s*)?\{\s*["}]')


def packing_and_name(name: str, head: bytes, where: str) -> tuple[str | None, str]:
    """The packing of a file, and its name without the suffix of the packing.

    Raises TextError if the suffix and the content do not agree.
    """
    stem, suffix = _split(name)
    packing_of_suffix, packing = PACKED.get(suffix), packing_of(head)
    if (packing_of_suffix or suffix in SUFFIXES) and packing != packing_of_suffix:
        content = f"packed with {packing}" if packing else f"not {packing_of_suffix}"
        raise TextError(
            f"{where}: named {suffix}, but its content is {content}; "
            "give it the name that fits its content, or fetch it again"
        )
    return packing, stem if packing_of_suffix else name


def _split(name: str) -> tuple[str, str]:
    stem, dot, last = name.rpartition(".")
    return stem, (dot + last).lower()


def format_of(name: str, head: bytes, declared: str, encoding: str, where: str) -> str:
    """The format of a file: the declared one, or else by its name, or else by its first bytes.

    Raises TextError if the first bytes do not fit the format.
    """
    suffix = _split(name)[1]
    expected = SUFFIXES.get(suffix) if declared == "auto" else declared
    signature = _signature(head)
    if suffix in ARCHIVES:
        signature = signature or f"a {suffix} archive"
    if signature == "Parquet" and expected in (None, "parquet"):
        return "parquet"
    if signature or expected == "parquet":
        raise TextError(
            f"{where}: {f'read as {expected}, but ' if expected else ''}its content is "
            f"{signature or 'no Parquet'}; {_mend(signature)}"
        )
    wide_encoding = codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
    if not wide_encoding and head.count(0) > _MOST_NULS * len(head):
        raise TextError(
            f"{where}: many NUL bytes, so it is not text in encoding={encoding}; declare utf-16, "
            "or exclude the file by `glob`"
        )
    start = head.decode(encoding, "ignore")
    if declared == "auto" and expected in ("plain", "markdown") and _HTML.match(start):
        raise TextError(
            f"{where}: named {suffix}, but its content is HTML; rename it to .html, or"
            f" set format: {expected}"
        )
    return expected or _sniffed(start)


def _signature(head: bytes) -> str | None:
    if head[_TAR] == b"ustar":
        return "a tar archive"
    if not head.startswith(_MAGIC):
        return None
    return next(kind for magic, kind in SIGNATURES.items() if head.startswith(magic))


def _mend(kind: str | None) -> str:
    if kind and kind.startswith(("an old", "a program", "a PDF", "a PNG", "a JPEG", "a GIF")):
        return "convert it to text, or exclude it by `glob`"
    if kind and kind.endswith(("archive", "data")):
        return "unpack it (only one layer of gzip or zstandard is read, named .gz or .zst)"
    return "correct `format` or the file's name, or fetch it again"


def _sniffed(head: str) -> str:
    if _HTML.match(head.removeprefix("\ufeff")):
        return "html"
    return "jsonl" if _JSON.match(head.removeprefix("\ufeff")) else "plain"
