"""Files on the web: refused before a connection where they must be, proved, kept whole or not."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
import trustme

from pipelines.core.project import Project
from pipelines.core.store import Store
from pipelines.core.tracking import TrackedRun, Tracker
from pipelines.corpora.artefacts import Documents
from pipelines.corpora.declare import corpus
from pipelines.corpora.options import Corpus
from pipelines.corpora.sources import web
from pipelines.corpora.sources.https import Network
from pipelines.corpora.sources.web import fetch
from pipelines.lineage.views import open_current
from pipelines.orchestration.assets import ATTENDED, assets_of
from pipelines.orchestration.resources import NoValues, StoreResource
from pipelines.report import card
from pipelines.report.describe import describe
from pipelines.text.errors import SourceUnavailable, TextError

DATA = bytes(range(256)) * 4096  # several chunks
SHA = hashlib.sha256(DATA).hexdigest()
HERE = "127.0.0.1"
NETWORK = Network(
    connect_seconds=5, stall_seconds=5, backoff_seconds=0, private=frozenset({HERE, "::1"})
)
resolve = socket.getaddrinfo


class Answering(BaseHTTPRequestHandler):
    """Answers as the test told the server to."""

    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        self.server.answer(self)

    def say(self, status: int, body: bytes = b"", /, **headers: Any) -> None:
        """An answer; ``content_length`` and other headers as the test wants them."""
        self.send_response(status)
        for name, value in {"content_length": len(body), **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-").title(), str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """A web server with a certificate for some names; counts connections and requests."""

    block_on_close = False  # some answers hang on purpose

    def __init__(self, authority: trustme.CA) -> None:
        super().__init__((HERE, 0), Answering)
        trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("dragon.test", "mirror.test", "localhost").configure_cert(trust)
        # The handshake is left to the request's thread: a silent client blocks nobody.
        self.socket = trust.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )
        self.connections = 0
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answer: Callable[[Answering], None] = lambda on: on.say(200, DATA)
        self.over = threading.Event()

    def address(self, path: str = "/text.txt", host: str = "dragon.test") -> str:
        return f"https://{host}:{self.server_port}{path}"

    def verify_request(self, *_: Any) -> bool:
        self.connections += 1
        return True

    def handle_error(self, *_: Any) -> None:
        """The client may go away."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    trusted = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with Server(authority) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


class Names(dict[str, Any]):
    """A name service: by name the addresses, or an iterator of them, one for each question."""

    def __init__(self) -> None:
        super().__init__({"dragon.test": [HERE], "mirror.test": [HERE]})
        self.asked: list[str] = []

    def getaddrinfo(self, host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        if host not in self:
            options = (
                {**options, "flags": socket.AI_NUMERICHOST} if host != "localhost" else options
            )
            return resolve(host, port, *args, **options)
        self.asked.append(host)
        known = self[host]
        addresses = known if isinstance(known, list) else next(known)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses]


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    return names


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "cache"


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a connection was tried to; all refuse it."""
    tried: list[str] = []

    def connect(_: socket.socket, address: tuple[str, int]) -> None:
        tried.append(address[0])
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(socket.socket, "connect", connect)
    return tried


def left_in(cache: Path) -> list[str]:
    return [path.name for path in cache.iterdir()] if cache.exists() else []


def test_a_file_is_fetched_proved_and_kept(server: Server, cache: Path) -> None:
    kept = fetch(server.address(), SHA, cache, network=NETWORK)
    assert kept == cache / SHA
    assert kept.read_bytes() == DATA
    assert left_in(cache) == [SHA]
    ((path, headers),) = server.asked
    assert path == "/text.txt"
    assert headers["Host"] == f"dragon.test:{server.server_port}"
    assert headers["Accept-Encoding"] == "identity"


def test_a_kept_copy_needs_no_network(cache: Path, connected: list[str]) -> None:
    cache.mkdir(parents=True)
    (cache / SHA).write_bytes(DATA)
    assert fetch("https://gone.test/text.txt", SHA, cache).read_bytes() == DATA
    assert connected == []


def test_a_changed_copy_is_named(cache: Path, connected: list[str]) -> None:
    cache.mkdir(parents=True)
    (cache / SHA).write_bytes(DATA[:-1])
    with pytest.raises(TextError, match=rf"^{cache / SHA}: the kept copy of .* changed, sha256="):
        fetch("https://gone.test/text.txt", SHA, cache)
    assert connected == []


def test_a_wrong_digest_is_final_and_leaves_nothing(server: Server, cache: Path) -> None:
    other = "0" * 64
    with pytest.raises(TextError, match=f"sha256={SHA} but the recipe says {other}") as caught:
        fetch(server.address(), other, cache, network=NETWORK)
    assert not isinstance(caught.value, SourceUnavailable)
    assert len(server.asked) == 1
    assert left_in(cache) == []


# --- what may be asked --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://dragon.test/x", "scheme=http, only https"),
        ("ftp://dragon.test/x", "scheme=ftp, only https"),
        ("file:///etc/passwd", "scheme=file, only https"),
        ("dragon.test/x", "scheme=None, only https"),
        ("https:///x", "only https"),
        ("https://me:secret@dragon.test/x", "user and password in the address of dragon.test"),
        ("https://[::1/x", "is not an address"),
        ("https://dragon.test:port/x", "is not an address"),
    ],
)
def test_other_addresses_are_refused_before_anything(
    url: str, reason: str, names: Names, cache: Path, connected: list[str]
) -> None:
    with pytest.raises(TextError, match=reason) as caught:
        fetch(url, SHA, cache)
    assert names.asked == connected == []
    assert "secret" not in str(caught.value)
    assert not isinstance(caught.value, SourceUnavailable)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
        *("100.64.0.1", "169.254.169.254", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1"),
        *("240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::7f00:1"),
        *("64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::"),
        *("fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%lo", "fec0::1", "ff02::1"),
    ],
)
def test_a_host_with_one_address_that_is_not_public_is_refused(
    address: str, names: Names, cache: Path, connected: list[str]
) -> None:
    names["dragon.test"] = ["93.184.216.34", address]
    with pytest.raises(TextError, match=rf"dragon\.test has {address}, which is not a public"):
        fetch("https://dragon.test/x", SHA, cache)
    assert connected == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "127.1", "0x7f000001", "2130706433", "[::ffff:7f00:1]"]
)
def test_an_address_in_disguise_is_seen_through(
    host: str, cache: Path, connected: list[str]
) -> None:
    with pytest.raises(TextError, match="not a public address"):
        fetch(f"https://{host}/x", SHA, cache)
    assert connected == []


def test_public_addresses_are_tried_in_turn(
    names: Names, cache: Path, connected: list[str]
) -> None:
    names["dragon.test"] = public = ["93.184.216.34", "2606:4700::1111", "8.8.8.8"]
    with pytest.raises(SourceUnavailable, match=r"dragon\.test: .*nobody there, tries=2"):
        fetch("https://dragon.test/x", SHA, cache, network=Network(tries=2, backoff_seconds=0))
    assert connected == public * 2


def test_a_local_server_is_refused_before_any_connection(server: Server, cache: Path) -> None:
    with pytest.raises(TextError, match=r"dragon\.test has 127\.0\.0\.1, which is not a public"):
        fetch(server.address(), SHA, cache)
    assert server.connections == 0


def test_the_address_that_was_checked_is_the_one_asked(
    server: Server, names: Names, cache: Path
) -> None:
    """DNS rebinding: the second answer would lead elsewhere, and is never asked for."""
    names["dragon.test"] = iter([[HERE], ["127.0.0.2"]])
    assert fetch(server.address(), SHA, cache, network=NETWORK).read_bytes() == DATA
    assert names.asked == ["dragon.test"]


def test_a_later_answer_of_the_name_service_is_checked_again(
    server: Server, names: Names, cache: Path
) -> None:
    names["dragon.test"] = iter([[HERE], ["127.0.0.2"]])
    server.answer = lambda on: on.say(503)
    with pytest.raises(TextError, match=r"has 127\.0\.0\.2, which is not a public address"):
        fetch(server.address(), SHA, cache, network=NETWORK)
    assert server.connections == 1


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://dragon.test/x?token=hidden", "redirected to http://dragon.test/x, scheme=http"),
        ("file:///etc/passwd", "scheme=file"),
        ("https://169.254.169.254/latest", r"host 169.* has 169\.254\.169\.254, which is not"),
        ("//inner.test/x?token=hidden", r"inner\.test has 10\.0\.0\.1, which is not a public"),
        ("https://me:hidden@dragon.test/x", "user and password"),
        ("https://[", "not an address"),
        ("", "more than 5 redirects"),
        ("/again", "more than 5 redirects"),
    ],
)
def test_a_redirect_goes_through_the_same_checks(
    location: str, reason: str, server: Server, names: Names, cache: Path
) -> None:
    names["inner.test"] = ["10.0.0.1"]
    server.answer = lambda on: on.say(302, location=location)
    with pytest.raises(TextError, match=reason) as caught:
        fetch(server.address(), SHA, cache, network=NETWORK)
    assert server.connections == (6 if "redirects" in reason else 1)
    assert "hidden" not in str(caught.value)
    assert left_in(cache) == []


def test_a_redirect_to_a_good_place_is_followed(server: Server, names: Names, cache: Path) -> None:
    there = server.address("/there", host="mirror.test")
    places = {"/text.txt": "/moved", "/moved": there}
    server.answer = lambda on: (
        on.say(301, location=places[on.path]) if on.path in places else on.say(200, DATA)
    )
    assert fetch(server.address(), SHA, cache, network=NETWORK).read_bytes() == DATA
    assert [path for path, _ in server.asked] == ["/text.txt", "/moved", "/there"]
    assert names.asked == ["dragon.test", "dragon.test", "mirror.test"]


def test_the_certificate_must_be_the_hosts(
    server: Server, names: Names, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names["other.test"] = [HERE]
    with pytest.raises(SourceUnavailable, match=r"not valid for 'other\.test'"):
        fetch(server.address(host="other.test"), SHA, cache, network=NETWORK)
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(SourceUnavailable, match="certificate verify failed"):
        fetch(server.address(), SHA, cache, network=NETWORK)
    assert server.asked == []


# --- what may come ------------------------------------------------------------------------------


def test_a_short_body_is_tried_again_then_told(server: Server, cache: Path) -> None:
    server.answer = lambda on: on.say(200, DATA[:-1], content_length=len(DATA))
    with pytest.raises(SourceUnavailable, match=r"dragon\.test: .*1 more expected.*tries=3"):
        fetch(server.address(), SHA, cache, network=NETWORK)
    assert len(server.asked) == 3
    assert left_in(cache) == []


@pytest.mark.parametrize("sent", [None, DATA[:1000]], ids=["before the answer", "in the body"])
def test_a_stall_is_ended(sent: bytes | None, server: Server, cache: Path) -> None:
    def stall(on: Answering) -> None:
        if sent:
            on.say(200, sent, content_length=len(DATA))
        server.over.wait(20)

    server.answer = stall
    began = time.monotonic()
    patience = Network(stall_seconds=0.2, tries=2, backoff_seconds=0, private=NETWORK.private)
    with pytest.raises(SourceUnavailable, match=r"[Tt]imed out.*tries=2"):
        fetch(server.address(), SHA, cache, network=patience)
    assert time.monotonic() - began < 5
    assert len(server.asked) == 2
    assert left_in(cache) == []


@pytest.mark.parametrize(
    "sent",
    [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n"],
    ids=["in the headers", "in the body"],
)
def test_a_drip_is_ended(sent: bytes, server: Server, cache: Path) -> None:
    """Each byte comes in time, and the whole never would."""

    def drip(on: Answering) -> None:
        on.wfile.write(sent)
        while not server.over.wait(0.02):
            on.wfile.write(b"x")

    server.answer = drip
    began = time.monotonic()
    impatient = replace(NETWORK, rate_seconds=0.2, tries=2)
    with pytest.raises(
        SourceUnavailable, match=r"dragon\.test: \d+ bytes in .* s, least_rate=10000"
    ):
        fetch(server.address(), SHA, cache, network=impatient)
    assert time.monotonic() - began < 4
    assert len(server.asked) == 2
    assert left_in(cache) == []


def test_no_server_is_waited_for_longer_than_the_largest_file_takes(
    server: Server, cache: Path
) -> None:
    """It sends fast enough for ever, and none of it is the answer."""

    def go_on(on: Answering) -> None:
        while not server.over.wait(0.01):
            on.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 40)

    server.answer = go_on
    patience = replace(NETWORK, rate_seconds=0.1, least_rate=10_000, tries=1)
    with pytest.raises(SourceUnavailable, match=r"dragon\.test: no end after 0 s"):
        fetch(server.address(), SHA, cache, max_bytes=2_000, network=patience)


@pytest.mark.parametrize(
    ("headers", "waits"),
    [({}, [1, 2]), ({"retry_after": 7}, [7, 7]), ({"retry_after": 999}, [60, 60])],
)
def test_a_server_in_trouble_is_asked_again_after_a_while(
    headers: dict[str, int],
    waits: list[float],
    server: Server,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(web, "time", SimpleNamespace(**{**vars(time), "sleep": slept.append}))
    troubles = iter([503, 429])

    def answer(on: Answering) -> None:
        trouble = next(troubles, None)
        on.say(trouble, **headers) if trouble else on.say(200, DATA)

    server.answer = answer
    kept = fetch(server.address(), SHA, cache, network=Network(private=NETWORK.private))
    assert kept.read_bytes() == DATA
    assert slept == waits
    assert len(server.asked) == 3


def test_trouble_that_lasts_is_one_line(server: Server, cache: Path) -> None:
    server.answer = lambda on: on.say(500)
    with pytest.raises(SourceUnavailable) as caught:
        fetch(server.address("/text.txt?token=hidden#part"), SHA, cache, network=NETWORK)
    assert str(caught.value) == (
        f"{server.address()}: dragon.test answered 500 Internal Server Error, tries=3; "
        f"try again later, or put the file as {cache / SHA}"
    )


@pytest.mark.parametrize("status", [404, 403, 410, 204, 206, 304])
def test_another_answer_is_final(status: int, server: Server, cache: Path) -> None:
    server.answer = lambda on: on.say(status)
    with pytest.raises(TextError, match=f"answered {status} ") as caught:
        fetch(server.address(), SHA, cache, network=NETWORK)
    assert not isinstance(caught.value, SourceUnavailable)
    assert len(server.asked) == 1


def test_a_packed_answer_is_refused(server: Server, cache: Path) -> None:
    server.answer = lambda on: on.say(200, DATA, content_encoding="gzip")
    with pytest.raises(TextError, match="Content-Encoding='gzip'"):
        fetch(server.address(), SHA, cache, network=NETWORK)


@pytest.mark.parametrize(
    ("body", "announced"), [(DATA, len(DATA)), (b"little", 10**12), (DATA, None)]
)
def test_more_than_the_cap_is_refused(
    body: bytes, announced: int | None, server: Server, cache: Path
) -> None:
    server.answer = lambda on: on.say(200, body, content_length=announced)
    with pytest.raises(TextError, match=f"more than max_bytes={len(DATA) - 1}; raise"):
        fetch(server.address(), SHA, cache, max_bytes=len(DATA) - 1, network=NETWORK)
    assert len(server.asked) == 1
    assert left_in(cache) == []


def test_the_cap_itself_is_allowed_with_no_length_told(server: Server, cache: Path) -> None:
    server.answer = lambda on: on.say(200, DATA, content_length=None)
    assert fetch(server.address(), SHA, cache, max_bytes=len(DATA), network=NETWORK).exists()


def test_a_resolver_in_trouble_is_not_the_recipes_fault(cache: Path) -> None:
    with pytest.raises(SourceUnavailable, match=r"host unknown\.test cannot be resolved"):
        fetch("https://unknown.test/x", SHA, cache, network=NETWORK)


# --- what is shown ------------------------------------------------------------------------------

ROWS = b'{"text": "fine"}\n{"text": null}\n{"text": "one@example.org wrote"}\n'
SECRET = "HUNTER2"
SIGNED = f"/rows.jsonl?X-Amz-Signature={SECRET}&token={SECRET}#{SECRET}"


class Untracked(Tracker):
    """Keeps what it would log."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.told: list[Any] = []

    @contextmanager
    def run(self, *told: Any) -> Iterator[TrackedRun]:
        self.told.append(told)
        yield TrackedRun(None)


def made_from(
    url: str, sha256: str, project: Project, tracker: Tracker
) -> dg.ExecuteInProcessResult:
    """The assets of a corpus on the web, by Dagster in this process."""
    source = {"kind": "url", "url": url, "sha256": sha256, "licence": "MIT", "on_bad_row": "drop"}
    declared = Corpus.model_validate({"source": source, "split": {"validation": 0, "test": 0}})
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            assets_of(corpus("web", declared)),
            instance=instance,
            raise_on_error=False,
            tags={ATTENDED: "yes"},  # no waits before another try
            resources={
                "store": StoreResource.of(project),
                "tracker": tracker,
                "io_manager": NoValues(),
            },
        )


def test_no_secret_of_an_address_is_seen_anywhere(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """In no log, event, metadata, record or file; and a new signature is no new derivation."""
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setattr(web, "fetch", partial(fetch, network=replace(NETWORK, tries=1)))
    caplog.set_level(logging.DEBUG)
    project = Project(tmp_path, tmp_path / "home", tmp_path / "store")
    tracker, sha256 = Untracked(project.mlflow), hashlib.sha256(ROWS).hexdigest()
    answers: list[Callable[[Answering], None]] = [
        lambda on: on.say(500),
        lambda on: on.say(404),
        lambda on: on.say(302, location=f"http://dragon.test/x?token={SECRET}"),
        lambda on: on.say(302, location=f"https://{SECRET}:x@dragon.test/x"),
        lambda on: on.say(200, b"x", content_length=5),
        lambda on: on.say(200, b"other"),
        lambda on: on.say(200, ROWS),
    ]
    events: list[Any] = []
    for number, answer in enumerate(answers, 1):
        server.answer = answer
        done = made_from(server.address(SIGNED), sha256, project, tracker)
        assert done.success == (number == len(answers))
        events += done.all_events
        assert len(server.asked) == number
        assert server.asked[-1][0].endswith(f"token={SECRET}"), "it is asked with, of course"
    told = [tracker.told, events, caplog.text, *capfd.readouterr()]
    assert "dragon.test" in str(told)
    assert SECRET not in str(told)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]

    store = Store(project.store)
    (record,) = store.records("web/raw_text")
    assert record.decides["recipe"]["url"] == server.address("/rows.jsonl")
    again = made_from(server.address("/rows.jsonl?X-Amz-Signature=new"), sha256, project, tracker)
    assert again.success
    assert len(store.records("web/raw_text")) == 1
    assert len(server.asked) == len(answers), "it was reused"


def test_rows_that_are_left_out_are_told_from_the_run_to_the_card(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setattr(web, "fetch", partial(fetch, network=NETWORK))
    caplog.set_level(logging.INFO, "dragon")
    server.answer = lambda on: on.say(200, ROWS)
    project = Project(tmp_path, tmp_path / "home", tmp_path / "store")
    url, sha256 = server.address("/rows.jsonl"), hashlib.sha256(ROWS).hexdigest()
    for done in ("made in", "reused"):
        caplog.clear()
        assert made_from(url, sha256, project, Untracked(project.mlflow)).success
        (line,) = [r.getMessage() for r in caplog.records if "web/raw_text  " in r.getMessage()]
        assert done in line
        assert line.endswith("; 1 bad row left out: 1 null_field")
    store = Store(project.store)
    raw, kept = (open_current(store, f"web/{name}") for name in ("raw_text", "documents"))
    assert isinstance(kept, Documents)
    assert raw.figures()["dropped_null_field"] == kept.figures()["dropped_null_field"] == 1
    assert (kept.ledger().documents_in, kept.ledger().kept.total()) == (3, 2)
    (example,) = card.examples(kept)
    assert (example["id"], example["reason"]) == ("rows.jsonl:2", "null_field")
    shown = describe(raw)
    assert [row["row"] for row in shown["rows_left_out"]] == ["rows.jsonl:2"]
    assert [row["text"] for row in shown["samples"]] == ["fine", "<email> wrote"]


# --- how it is kept -----------------------------------------------------------------------------


def test_a_full_disk_leaves_nothing(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TextError, match=f"{SHA}: cannot be written .No space left on device.; "):
        fetch(server.address(), SHA, cache, network=NETWORK)
    assert left_in(cache) == []


def test_several_at_once_get_the_same_whole_file(server: Server, cache: Path) -> None:
    together = threading.Barrier(4)

    def answer(on: Answering) -> None:
        together.wait(20)  # none is done before all have begun
        on.say(200, DATA)

    server.answer = answer
    with ThreadPoolExecutor(4) as threads:
        fetching = [
            threads.submit(fetch, server.address(), SHA, cache, network=NETWORK) for _ in range(4)
        ]
        assert {work.result().read_bytes() for work in fetching} == {DATA}
    assert left_in(cache) == [SHA]


def test_killed_in_the_middle_there_is_no_file(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = threading.Event()

    def stop_half_way(on: Answering) -> None:
        on.say(200, DATA[: len(DATA) // 2], content_length=len(DATA))
        half.set()
        server.over.wait(20)

    server.answer = stop_half_way
    address = server.address(host="localhost")
    program = (
        "from pathlib import Path; from pipelines.corpora.sources.web import Network, fetch\n"
        f"network = Network(private=frozenset({sorted(NETWORK.private)}))\n"
        f"fetch({address!r}, {SHA!r}, Path({str(cache)!r}), network=network)"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        assert half.wait(20)
        until = time.monotonic() + 20
        while not any((cache / name).stat().st_size for name in left_in(cache)):
            assert time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    (part,) = left_in(cache)
    assert part != SHA

    server.answer = lambda on: on.say(200, DATA)
    assert fetch(address, SHA, cache, network=NETWORK).read_bytes() == DATA
    assert sorted(left_in(cache)) == sorted([part, SHA]), "a living part is not swept"
    (cache / SHA).unlink()
    with monkeypatch.context() as skewed:  # our clock is a day ahead of the file server's
        late = {**vars(time), "time": lambda: time.time() + 86_400}
        skewed.setattr(web, "time", SimpleNamespace(**late))
        fetch(address, SHA, cache, network=NETWORK)
    assert sorted(left_in(cache)) == sorted([part, SHA]), "whatever our clock says"
    (cache / SHA).unlink()
    os.utime(cache / part, (0, 0))
    fetch(address, SHA, cache, network=NETWORK)
    assert left_in(cache) == [SHA], "a dead one is"


def test_progress_is_told_at_most_once_a_second(
    server: Server,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "dragon.text")
    ticks = count(0, 0.4)  # the clock is read once a chunk; the file has four or more
    clock = {**vars(time), "monotonic": lambda: next(ticks)}
    monkeypatch.setattr(web, "time", SimpleNamespace(**clock))
    fetch(server.address("/text.txt?token=hidden"), SHA, cache, network=NETWORK)
    (record,) = caplog.records
    assert (record.progress, record.fleeting) == (True, True)  # type: ignore[attr-defined]
    assert record.getMessage() == f"{server.address()}: 1 MB · 0.7 MB/s · 0 s left"
