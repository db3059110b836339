"""A file on the web, proved by its digest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field

from pipelines.core.stanza import Positive, Sha256
from pipelines.corpora.sources.file_options import Reading
from pipelines.corpora.sources.files import at_rest
from pipelines.corpora.sources.kind import Kind, Places
from pipelines.corpora.sources.reading import documents_of_file, libraries
from pipelines.corpora.sources.records import Origin
from pipelines.text.addresses import names_user, shown
from pipelines.text.tables import Document, Unread


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


def read(source: UrlSource, places: Places, notes: Counter[str]) -> Iterator[Document | Unread]:
    """The documents of the file, which is fetched where it is not kept yet."""
    from pipelines.corpora.sources.web import fetch

    address = urlsplit(source.url)
    name = unquote(PurePosixPath(address.path).name) or str(address.hostname)
    kept = fetch(source.url, source.sha256, places.cache, max_bytes=source.max_bytes)
    with at_rest(kept) as file:
        yield from documents_of_file(file, Origin(shown(source.url), name, name), source, notes)


KIND = Kind(options=UrlSource, read=read, origin="{url}", libraries=libraries)
