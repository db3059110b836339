"""Time stamps (RFC 3161): an authority signs that a root existed at a time.

The library ``rfc3161-client`` is wanted only here: ``pip install 'dragon[timestamps]'``.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipelines.text.regular import read_regular

if TYPE_CHECKING:
    from types import ModuleType

SECONDS = 20  # the longest wait for an authority
MOST_BYTES = 1 << 16  # of an answer; the usual have 3 to 7 KB
KIND = "application/timestamp-query"


def request_stamp(root: bytes, authority: str) -> dict[str, str]:
    """``authority`` (its host) and ``token``, the answer of an authority in base64.

    The token is of the sha256 of the root's 32 bytes. Raises ValueError with the reason if the
    authority, which is an http or https address, gives none.
    """
    try:
        where = urlsplit(authority)
    except ValueError:  # an address with half a bracket
        raise ValueError("it is no http or https address") from None
    if where.scheme not in ("http", "https") or not where.hostname:
        raise ValueError("it is no http or https address")
    library = _library()
    asked = library.TimestampRequestBuilder(root, library.HashAlgorithm.SHA256).build()
    answer = _post(authority, asked.as_bytes())
    try:
        told = library.decode_timestamp_response(answer)
    except ValueError:
        raise ValueError("what it answered is no answer to a request for a time stamp") from None
    if told.status != library.PKIStatus.GRANTED:
        raise ValueError(f"it refused the request with status {told.status}")
    if (told.tst_info.nonce, _imprint(told)) != (asked.nonce, asked.message_imprint.message):
        raise ValueError("it answered another request")
    return {"authority": where.hostname, "token": base64.b64encode(answer).decode()}


def _post(authority: str, content: bytes) -> bytes:
    """The body of the answer. Raises ValueError; no redirect is followed."""
    import urllib3

    try:
        answer = urllib3.request(
            "POST",
            authority,
            body=content,
            headers={"Content-Type": KIND},
            timeout=SECONDS,
            retries=False,
            preload_content=False,
        )
        body: bytes = answer.read(MOST_BYTES)
        answer.release_conn()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise ValueError(f"it cannot be reached ({type(error).__name__})") from None
    if answer.status != 200:
        raise ValueError(f"it answered with status {answer.status}")
    return body


def read_stamp(stamp: Any, root: bytes, trusted: Path | None) -> str:
    """What a stamp says of a root, in words.

    ``trusted`` is a file with the certificates (PEM) of the authority's root; without it the
    signature is not checked. Raises ValueError if the stamp is of another root, if it cannot be
    read, or if its signature is not by an authority under these certificates.
    """
    library = _library()
    try:
        token = base64.b64decode(stamp["token"], validate=True)
        told = library.decode_timestamp_response(token)
        when = told.tst_info.gen_time.isoformat()
        builder = library.VerifierBuilder()
        wanted = library.TimestampRequestBuilder(root, library.HashAlgorithm.SHA256).build()
        same = _imprint(told) == wanted.message_imprint.message
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise ValueError(f"time stamp: cannot be read ({error}); do not trust it") from None
    if not same:
        raise ValueError("time stamp: is of another root; do not trust it")
    who = f"{when} by {stamp.get('authority')}"
    if trusted is None:
        return f"{who}; its signature is not checked: give --authority FILE"
    try:
        from cryptography.x509 import load_pem_x509_certificates

        for certificate in load_pem_x509_certificates(read_regular(trusted)):
            builder = builder.add_root_certificate(certificate)
        builder.build().verify_message(told, root)
    except (ValueError, library.VerificationError) as error:
        raise ValueError(
            f"time stamp: {trusted} does not vouch for it ({error}); give the certificates of"
            f" {stamp.get('authority')}, or do not trust the stamp"
        ) from None
    return f"{who}, signature verified"


def _imprint(told: Any) -> bytes:
    """What was stamped: the sha256 of a message."""
    imprint: bytes = told.tst_info.message_imprint.message
    return imprint


def _library() -> ModuleType:
    """rfc3161-client. Raises ValueError if it is not installed."""
    try:
        import rfc3161_client
    except ImportError:
        raise ValueError(
            "rfc3161-client is missing; install it with pip install 'dragon[timestamps]'"
        ) from None
    return rfc3161_client
