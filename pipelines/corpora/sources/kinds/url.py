"""A file on the web, checked by its digest."""

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
    """The address, unchanged. Raises ValueError, without secrets, if it cannot be fetched."""
    if names_user(url):
        raise ValueError(f"user and password in the address {shown(url)}; remove them")
    try:
        parts = urlsplit(url)
        valid = url.startswith("https://") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or any(c.isspace() for c in url):
        raise ValueError(f"{shown(url)!r} is not an address that begins with https://; correct it")
    return url


Address = Annotated[
    str, AfterValidator(_address), Field(json_schema_extra={"pattern": "^https://"})
]


class UrlSource(Reading):
    """A file on the web, checked by its digest."""

    kind: Literal["url"]
    url: Address
    """A query, such as a signature, is sent, but it decides nothing and is never shown."""
    sha256: Sha256
    max_bytes: Positive = 16 << 30

    def decides(self) -> dict[str, Any]:
        """Everything but ``max_bytes``, which changes no result, and the query of the address.

        A query may be secret, and the digest proves the bytes for any query.
        """
        return self.model_dump(mode="json", exclude={"max_bytes"}) | {"url": shown(self.url)}


def read(source: UrlSource, places: Places, notes: Counter[str]) -> Iterator[Document | Unread]:
    """The documents of the file, which is fetched if it is not in the cache yet."""
    from pipelines.corpora.sources.web import fetch

    address = urlsplit(source.url)
    name = unquote(PurePosixPath(address.path).name) or str(address.hostname)
    kept = fetch(source.url, source.sha256, places.cache, max_bytes=source.max_bytes)
    with at_rest(kept) as file:
        yield from documents_of_file(file, Origin(shown(source.url), name, name), source, notes)


KIND = Kind(options=UrlSource, read=read, origin="{url}", libraries=libraries)
