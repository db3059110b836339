"""Where the documents of a corpus come from."""

from __future__ import annotations

import codecs
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from pipelines.core.stanza import Outside, Positive, Sha256, Strict
from pipelines.corpora.generators import LICENCES
from pipelines.text.addresses import names_user, shown
from pipelines.text.places import require_inside

FORMATS = (
    *("auto", "plain", "markdown", "html", "jsonl", "csv", "parquet"),
    *("labelled_lines", "conversations", "pairs"),
)


def _text_encoding(name: str) -> str:
    try:
        found = codecs.lookup(name).name
        b"".decode(name)
    except LookupError:
        raise ValueError(f"encoding={name!r} is unknown; utf-8 and latin-1 are two") from None
    # These decode to what no file of text means: escapes, host names, halves of surrogate pairs.
    if found in ("utf-7", "unicode-escape", "raw-unicode-escape", "punycode", "idna", "undefined"):
        raise ValueError(f"encoding={name!r} is none of text files; utf-8 and latin-1 are two")
    return name


Encoding = Annotated[str, AfterValidator(_text_encoding)]


def _address(url: str) -> str:
    """An address that may be asked for a file, unchanged; no fault that is told holds a secret."""
    if names_user(url):
        raise ValueError(f"user and password in the address {shown(url)}; take them out")
    try:
        parts = urlsplit(url)
        right = url.startswith("https://") and parts.hostname and parts.port != 0
    except ValueError:
        right = False
    if not right or any(c.isspace() for c in url):
        raise ValueError(f"{shown(url)!r} is no address that begins with https://; correct it")
    return url


Address = Annotated[
    str, AfterValidator(_address), Field(json_schema_extra={"pattern": "^https://"})
]


class Fields(Strict):
    """Which field of a record is what; a dot goes into a nested record (``meta.id``)."""

    text: str = "text"
    id: str | None = None
    """null: the record's place in its file."""
    source: str | None = None
    """null: the name of the file, package or data set."""
    licence: str | None = None
    """null: the source's licence."""
    label: str | None = None
    target: str | None = None
    """What ``text`` is translated to, or answered with: the document is then a conversation of two
    turns, ``A: <text>`` and ``B: <target>``, each of as many lines as it has."""


class Records(Strict):
    """How records (JSON lines, CSV, Parquet, rows of a data set) become documents."""

    fields: Fields = Fields()
    on_bad_row: Literal["fail", "drop"] = "fail"
    """drop: a row that cannot be read is left out, and counted. Broken quotation marks in a CSV
    file fail either way, for nobody can tell where the next row starts."""
    max_document_bytes: Annotated[int, Field(gt=0, le=1 << 30, strict=True)] = 60_000_000
    """A longer document is refused, or split."""
    on_long: Literal["fail", "split"] = "fail"
    """split: a document that is too long becomes several, cut at line ends."""
    licence: str


class Reading(Records):
    """How the bytes of a file become documents."""

    format: Literal[FORMATS] = "auto"  # type: ignore[valid-type]
    """auto: by the file's name and its first bytes. A plain, Markdown or HTML file is one document;
    each may be packed with gzip or zstandard. pairs: lines ``source TAB target``, whatever stands
    behind another tab."""
    encoding: Encoding | dict[str, Encoding] = "utf-8"
    """Of text files: one for all, or by glob (``{"old/*.txt": latin-1, "*": utf-8}``, where a star
    stands for slashes too), the first that fits."""
    on_bad_utf8: Literal["fail", "replace"] = "fail"
    """replace: bytes that do not decode become U+FFFD, and the document is counted."""


class PackageSource(Reading):
    """A data file inside a released Python package; the package is never imported."""

    kind: Literal["package"]
    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9.!+_-]+$")]
    file: str
    """The file's path inside the package."""
    sha256: Sha256


class FolderSource(Reading):
    """Local files: a folder and a glob, or one file."""

    kind: Literal["folder"]
    path: str
    """The folder or file, relative to the project."""
    outside: Outside = False
    """true: the path may lead out of the project, or into hidden folders."""
    glob: str = "**/*"
    """Hidden files are never read."""

    @model_validator(mode="after")
    def _lies_where_it_may(self) -> FolderSource:
        if not self.outside:
            require_inside(self.path)
        return self

    def decides(self) -> dict[str, Any]:
        """Everything but the path: where a text lies is not what it says."""
        return self.model_dump(mode="json", exclude={"path", "outside"})


class UrlSource(Reading):
    """A file on the web, proved by its digest."""

    kind: Literal["url"]
    url: Address
    """A query, such as a signature, is asked with but decides nothing, and is shown nowhere."""
    sha256: Sha256
    max_bytes: Positive = 16 << 30

    def decides(self) -> dict[str, Any]:
        """Everything but the cap, which refuses and changes nothing, and the address' query.

        A query may be secret; the digest proves the bytes, whatever was asked.
        """
        return self.model_dump(mode="json", exclude={"max_bytes"}) | {"url": shown(self.url)}


class HubSource(Records):
    """A data set of the Hugging Face hub, streamed at a pinned revision.

    Another hub than Hugging Face's own (``HF_ENDPOINT``) decides the rows too: the asset observes
    which one answers.
    """

    kind: Literal["hub"]
    dataset: Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    """A commit, so that it names one content."""
    config: str | None = None
    split: str = "train"
    max_documents: Positive | None = None
    """The first so many rows; null for all."""


class GeneratedSource(Strict):
    """Text from a seeded generator: the same bytes on every machine."""

    kind: Literal["generated"]
    generator: Literal["dialogues", "messages", "translations"]
    documents: Positive
    seed: Annotated[int, Field(strict=True)] = 0
    licence: str = Field(default_factory=lambda given: LICENCES.get(given["generator"], "CC0-1.0"))
    """Left out, that of what the generator writes from; CC0-1.0 if it is our own."""


Source = Annotated[
    PackageSource | FolderSource | UrlSource | HubSource | GeneratedSource,
    Field(discriminator="kind"),
]
