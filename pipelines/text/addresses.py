"""Addresses: what of one may be seen and decides a result, and which hub is asked.

A user, a password, a query (that of a signed address above all) and a fragment may be secrets.
None of them goes into an error, a log or a derivation.
"""

from __future__ import annotations

import os
import re

from pipelines.text.errors import TextError

HUB_ADDRESS = "https://huggingface.co"

# A password may hold a slash that ought to be escaped: what follows a colon and is no port.
_USER = r"(?:[^\s/?#]*|[^\s/?#:\[]*:(?!\d*(?:[/?#]|$))\S{0,499})@"
_SECRET_USER = re.compile(rf"https?://{_USER}|://[^\s/?#@:]*:[^\s/?#]*@", re.I)
_BARE = re.compile(rf"(?<=://){_USER}")
_ADDRESS = re.compile(r"(?<=://)[^\s'\"<>]+")


def shown(address: str) -> str:
    """The address without what may be secret in it: user, password, query, fragment."""
    return _BARE.sub("", address).partition("?")[0].partition("#")[0]


def hidden(words: str) -> str:
    """Words whose addresses are as ``shown``."""
    return _ADDRESS.sub(lambda found: shown(f"://{found[0]}")[3:], words)


def names_user(words: str) -> bool:
    """Whether an address among the words carries a password, or one of the web a user."""
    return _SECRET_USER.search(words) is not None


def hub_endpoint() -> str:
    """The hub that is asked: ``HF_ENDPOINT``, else Hugging Face's own.

    TextError if it carries what may be secret, for the endpoint stands in derivations.
    """
    address = (os.environ.get("HF_ENDPOINT") or HUB_ADDRESS).rstrip("/")
    if shown(address) != address:
        raise TextError(
            f"HF_ENDPOINT={shown(address)}: an address with a user, a query or a fragment;"
            " take it out, HF_TOKEN opens what is private"
        )
    return address
