"""One file asked of the open internet, and of nothing else.

An address in a recipe must not become a way into the network that the machine stands in
(server-side request forgery, OWASP A10:2021). So a host is resolved once, every address that it
has is checked, and the connection goes to the very address that was checked: a name that resolves
differently a moment later (DNS rebinding) changes nothing. Each redirect goes the same way.
Proxies of the environment are not used: they would resolve the name themselves.
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
"""Answers that may be better in a moment: request time-out, too early, too many, server's fault."""
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""Addresses that map or translate an IPv4 one (``::ffff:0:0/96``, ``64:ff9b::/96``) lie outside."""


class RefusedError(Exception):
    """Trying again changes nothing; says the reason and the mend."""


class PassingError(Exception):
    """Trouble of network or server that a later try may not meet; ``wait`` seconds are asked."""

    def __init__(self, reason: str, wait: float = 0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Network:
    """How patient we are, and which addresses may be reached beside the public ones."""

    connect_seconds: float = 10
    stall_seconds: float = 30
    """The longest silence of a server."""
    least_rate: float = 10_000
    """Bytes a second that a server must give, over each ``rate_seconds`` that we wait for it."""
    rate_seconds: float = 60
    tries: int = 3
    backoff_seconds: float = 1
    """The wait before the second try, doubled after each; a server's ``Retry-After`` lengthens it
    up to ``patience_seconds``."""
    patience_seconds: float = 60
    redirects: int = 5
    private: frozenset[str] = frozenset()
    """Addresses that are not public and allowed all the same, such as that of a mirror at home."""


@contextmanager
def get(url: str, network: Network, max_bytes: int) -> Iterator[BaseHTTPResponse]:
    """The answer that holds the file, after at most ``network.redirects`` redirects.

    No server is waited for longer than ``max_bytes`` take at the least rate, whatever it sends.
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
    """An address that may be asked, absolute or relative to ``base``."""
    from urllib3.util import parse_url

    try:
        where = parse_url(urljoin(base, url))
    except ValueError:
        raise RefusedError(f"{shown(url)!r} is no address; correct `url`") from None
    if where.scheme != "https" or not where.host:
        via = f"redirected to {shown(where.url)}, " if base else ""
        raise RefusedError(f"{via}scheme={where.scheme}, only https is read; correct `url`")
    if where.auth is not None:
        raise RefusedError(f"user and password in the address of {where.host}; take them out")
    return where


def _require_file(answer: BaseHTTPResponse, where: Url) -> None:
    """Raise unless the answer is the file in its own bytes."""
    said = f"{where.host} answered {answer.status} {responses.get(answer.status, '')}".rstrip()
    if answer.status in PASSING:
        wait = re.fullmatch(r"[0-9]{1,6}", answer.headers.get("Retry-After", ""))
        raise PassingError(said, int(wait[0]) if wait else 0)
    if answer.status != 200:
        raise RefusedError(f"{said}; correct `url`")
    encoding = answer.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise RefusedError(f"{said} with Content-Encoding={encoding!r}; correct `url`")


@contextmanager
def _request(where: Url, network: Network, max_bytes: int) -> Iterator[BaseHTTPResponse]:
    """One server's answer, its body unread; trouble while the block reads it is told as ours."""
    from urllib3.exceptions import ConnectTimeoutError, HTTPError

    # What it says of a request holds the query.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
    host = (where.host or "").strip("[]")
    trust = _authorities()
    trust.sslsocket_class = _measured(host, network, max_bytes)
    *others, last = _addresses(host, where.port or 443, network)
    with ExitStack() as opened:
        try:
            answer = None
            for address in others:
                with suppress(ConnectTimeoutError):  # or refused: the next one may take it
                    answer = _ask(address, where, host, network, trust, opened)
                    break
            yield answer or _ask(last, where, host, network, trust, opened)
        except HTTPError as error:
            # urllib3 begins some with its pool and ends others with their cause.
            reason = re.sub(r"^HTTPS\w+\(.*?\): ", "", str(error.args[0]))
            raise PassingError(f"{host}: {hidden(reason)}") from error


def _measured(host: str, network: Network, max_bytes: int) -> type[ssl.SSLSocket]:
    """Sockets that end a server which drips: each single byte of it ends a silence in time.

    All that a server sends comes this way, so headers are measured as the body is.
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
    """Ask the machine at ``address``, which has to prove that it is ``host``.

    Given an address, the pool resolves nothing.
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
    """Whom the system trusts, and certifi's list for a Python that came without one."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _addresses(host: str, port: int, network: Network) -> list[str]:
    """All addresses of a host, in the system's order; one that may not be reached refuses it."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise PassingError(f"host {host} cannot be resolved ({error})") from error
    addresses = list(dict.fromkeys(str(socket_address[0]) for *_, socket_address in found))
    for address in addresses:
        if not _is_public(address) and address not in network.private:
            raise RefusedError(f"host {host} is at {address}, no public address; correct `url`")
    return addresses


def _is_public(address: str) -> bool:
    """Whether an address is a single machine's on the open internet (IANA's registries)."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return parsed.is_global and parsed in GLOBAL_UNICAST and parsed.sixtofour is None
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved
