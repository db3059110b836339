"""The request of one file from the public internet, and from no other network.

An address in a recipe must not give access to the local network of the machine (server-side
request forgery, OWASP A10:2021). So a host is resolved once, all its addresses are checked, and
the connection goes to a checked address. A name that resolves to another address a moment later
(DNS rebinding) changes nothing. Each redirect is checked in the same way. Proxies of the
environment are not used, because they would resolve the name themselves.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import responses
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from pipelines.text.addresses import hidden, shown

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse
    from urllib3.util import Url

REDIRECTS = (301, 302, 303, 307, 308)
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Status codes for which a later try may succeed: time-out, too early, too many, server error."""
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""Excludes addresses that map or translate an IPv4 one (``::ffff:0:0/96``, ``64:ff9b::/96``)."""


class RefusedError(Exception):
    """A failure that another try does not change; the message has the reason and the mend."""


class PassingError(Exception):
    """A failure of the network or server that may pass; the server asks to wait ``wait`` s."""

    def __init__(self, reason: str, wait: float = 0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Network:
    """The limits of time and rate, and the addresses that are allowed beside the public ones."""

    connect_seconds: float = 10
    stall_seconds: float = 30
    """The longest silence of a server."""
    least_rate: float = 10_000
    """The bytes a second that a server must send, measured over ``rate_seconds`` of waiting."""
    rate_seconds: float = 60
    tries: int = 3
    backoff_seconds: float = 1
    """The wait before the second try; it doubles after each try. A server's ``Retry-After`` makes
    it longer, up to ``patience_seconds``."""
    patience_seconds: float = 60
    redirects: int = 5
    private: frozenset[str] = frozenset()
    """Addresses that are allowed although they are not public, such as that of a local mirror."""


@contextmanager
def get(url: str, network: Network, max_bytes: int) -> Iterator[BaseHTTPResponse]:
    """The response with the file, after at most ``network.redirects`` redirects.

    The wait for a server is at most the time that ``max_bytes`` take at the least rate.
    """
    where = _parsed(url)
    for _ in range(network.redirects + 1):
        with _request(where, network, max_bytes) as answer:
            if answer.status not in REDIRECTS:
                _require_file(answer, where)
                yield answer
                return
            where = _parsed(answer.headers.get("Location", ""), where.url)
    raise RefusedError(f"more than {network.redirects} redirects; correct `url`")


def _parsed(url: str, base: str = "") -> Url:
    """The parsed address, absolute or relative to ``base``; RefusedError if it is not allowed."""
    from urllib3.util import parse_url

    try:
        where = parse_url(urljoin(base, url))
    except ValueError:
        raise RefusedError(f"{shown(url)!r} is not an address; correct `url`") from None
    if where.scheme != "https" or not where.host:
        via = f"redirected to {shown(where.url)}, " if base else ""
        raise RefusedError(f"{via}scheme={where.scheme}, only https is allowed; correct `url`")
    if where.auth is not None:
        raise RefusedError(f"user and password in the address of {where.host}; remove them")
    return where


def _require_file(answer: BaseHTTPResponse, where: Url) -> None:
    """Raise an error unless the response is the file in its unchanged bytes."""
    status = f"{where.host} answered {answer.status} {responses.get(answer.status, '')}".rstrip()
    if answer.status in PASSING:
        wait = re.fullmatch(r"[0-9]{1,6}", answer.headers.get("Retry-After", ""))
        raise PassingError(status, int(wait[0]) if wait else 0)
    if answer.status != 200:
        raise RefusedError(f"{status}; correct `url`")
    encoding = answer.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise RefusedError(f"{status} with Content-Encoding={encoding!r}; correct `url`")


@contextmanager
def _request(where: Url, network: Network, max_bytes: int) -> Iterator[BaseHTTPResponse]:
    """The response of one server, with its body unread.

    An error of urllib3 while the block reads the body is raised as PassingError.
    """
    from urllib3.exceptions import ConnectTimeoutError, HTTPError

    # urllib3 logs the query of a request at the level DEBUG, and a query may be secret.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
    host = (where.host or "").strip("[]")
    trust = _authorities()
    trust.sslsocket_class = _measured(host, network, max_bytes)
    *others, last = _addresses(host, where.port or 443, network)
    with ExitStack() as opened:
        try:
            answer = None
            for address in others:
                with suppress(
                    ConnectTimeoutError
                ):  # includes a refusal; the next address may answer
                    answer = _ask(address, where, host, network, trust, opened)
                    break
            yield answer or _ask(last, where, host, network, trust, opened)
        except HTTPError as error:
            # Some messages of urllib3 begin with the name of its pool.
            reason = re.sub(r"^HTTPS\w+\(.*?\): ", "", str(error.args[0]))
            raise PassingError(f"{host}: {hidden(reason)}") from error


def _measured(host: str, network: Network, max_bytes: int) -> type[ssl.SSLSocket]:
    """A class of sockets that end the connection to a server which sends too slowly.

    The time limit for silence is not enough, because a server could send one byte at a time. Every
    byte of a server passes through the socket, so headers are measured as the body is.
    """

    class Measured(ssl.SSLSocket):
        came = waited = waited_in_all = 0.0

        def recv_into(self, *arguments: Any, **options: Any) -> int:
            began = time.monotonic()
            size = super().recv_into(*arguments, **options)
            seconds = time.monotonic() - began
            self.came, self.waited = self.came + size, self.waited + seconds
            self.waited_in_all += seconds
            if self.waited >= network.rate_seconds:
                if self.came < network.least_rate * self.waited:
                    raise PassingError(
                        f"{host}: {self.came:.0f} bytes in {self.waited:.1f} s,"
                        f" least_rate={network.least_rate:.0f} bytes a second"
                    )
                self.came = self.waited = 0.0
            if self.waited_in_all > network.rate_seconds + max_bytes / network.least_rate:
                raise PassingError(f"{host}: no end after {self.waited_in_all:.0f} s")
            return size

    return Measured


def _ask(
    address: str,
    where: Url,
    host: str,
    network: Network,
    trust: ssl.SSLContext,
    opened: ExitStack,
) -> BaseHTTPResponse:
    """Send the request to ``address``, whose certificate must be that of ``host``.

    The pool receives an address, so it resolves no name.
    """
    from urllib3 import HTTPSConnectionPool, Timeout

    pool = HTTPSConnectionPool(
        address,
        where.port or 443,
        timeout=Timeout(connect=network.connect_seconds, read=network.stall_seconds),
        ssl_context=trust,
        server_hostname=host,
    )
    opened.enter_context(pool)
    answer = pool.urlopen(
        "GET",
        where.request_uri,
        headers={
            "Host": where.netloc or host,
            "Accept-Encoding": "identity",
            "User-Agent": "dragon",
        },
        retries=False,
        redirect=False,
        preload_content=False,
        decode_content=False,
    )
    return opened.enter_context(closing(answer))


def _authorities() -> ssl.SSLContext:
    """The authorities of the system, and certifi's for a Python that has no list of its own."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _addresses(host: str, port: int, network: Network) -> list[str]:
    """All addresses of a host, in the system's order. Raises RefusedError if one is not allowed."""
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise PassingError(f"host {host} cannot be resolved ({error})") from error
    addresses = list(dict.fromkeys(str(socket_address[0]) for *_, socket_address in entries))
    for address in addresses:
        if not _is_public(address) and address not in network.private:
            raise RefusedError(
                f"host {host} has {address}, which is not a public address; correct `url`"
            )
    return addresses


def _is_public(address: str) -> bool:
    """Whether an address belongs to one machine on the public internet (IANA's registries)."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return parsed.is_global and parsed in GLOBAL_UNICAST and parsed.sixtofour is None
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved
