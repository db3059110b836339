"""Addresses without their secret parts, and the address of the hub.

A user, a password, a query (above all that of a signed address) and a fragment may be secret. None
of them may appear in an error, a log or a derivation.
"""

from __future__ import annotations

import os
import re

from pipelines.text.errors import TextError

HUB_ADDRESS = "https://huggingface.co"

# A password may contain a slash without escape: it is the part after a colon that is not a port.
_USER = r"(?:[^\s/?#]*|[^\s/?#:\[]*:(?!\d*(?:[/?#]|$))\S{0,499})@"
_SECRET_USER = re.compile(rf"https?://{_USER}|://[^\s/?#@:]*:[^\s/?#]*@", re.I)
_BARE = re.compile(rf"(?<=://){_USER}")
_ADDRESS = re.compile(r"(?<=://)[^\s'\"<>]+")


def shown(address: str) -> str:
    """The address without the parts that may be secret: user, password, query, fragment."""
    return _BARE.sub("", address).partition("?")[0].partition("#")[0]


def hidden(words: str) -> str:
    """The words, with ``shown`` applied to each address in them."""
    return _ADDRESS.sub(lambda match: shown(f"://{match[0]}")[3:], words)


def names_user(words: str) -> bool:
    """Whether an address in the words has a password, or a web address has a user."""
    return _SECRET_USER.search(words) is not None


def hub_endpoint() -> str:
    """The address of the hub: ``HF_ENDPOINT``, or else Hugging Face's own.

    Raises TextError if it has a part that may be secret, because derivations contain the address.
    """
    address = (os.environ.get("HF_ENDPOINT") or HUB_ADDRESS).rstrip("/")
    if shown(address) != address:
        raise TextError(
            f"HF_ENDPOINT={shown(address)}: an address with a user, a query or a fragment;"
            " remove it, and use HF_TOKEN for private data"
        )
    return address
