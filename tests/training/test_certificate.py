"""The promise of a training: the root before its first step, stamped if an authority is set."""

from __future__ import annotations

import base64
import json
import logging
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipelines.core.making import Making
from pipelines.core.merkle import Tree
from pipelines.core.project import CHECKOUT, Project
from pipelines.core.work import Work, tidy
from pipelines.training.certificate import AUTHORITY, commit
from pipelines.training.timestamps import read_stamp

DIGESTS = [sha256(bytes([number])).digest() for number in range(9)]
ROOT = Tree(DIGESTS).root
KEY = "tiny/foundation"


@pytest.fixture(autouse=True)
def nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(AUTHORITY, raising=False)
    monkeypatch.setattr(logging.getLogger("dragon"), "propagate", True)


def making(folder: Path, *, works: bool = True) -> Making:
    (folder / "area").mkdir(exist_ok=True)
    project = Project(CHECKOUT, folder / "home", folder / "store")
    return Making(KEY, folder, project, Work(folder / "area") if works else None)


def test_the_root_is_promised_with_its_time(tmp_path: Path) -> None:
    made = making(tmp_path, works=False)
    commit(made, iter([*DIGESTS, DIGESTS[0]]))
    promised = made.made["certificate"]
    assert promised == {
        "root": ROOT.hex(),
        "documents": 9,
        "committed": promised["committed"],
        "timestamp": None,
    }
    since = datetime.now(UTC) - datetime.fromisoformat(promised["committed"])
    assert timedelta(0) <= since < timedelta(minutes=1)
    json.dumps(promised)


def test_a_training_that_goes_on_keeps_its_promise(tmp_path: Path) -> None:
    first = making(tmp_path)
    commit(first, DIGESTS)
    file = first.work.promise  # type: ignore[union-attr]
    told = json.loads(file.read_bytes())
    assert told.pop("digest")
    assert told == first.made["certificate"]
    # The clock of the second start would tell another time.
    earlier = {**told, "committed": "2001-02-03T04:05:06+00:00"}
    _seal(file, earlier)
    second = making(tmp_path)
    commit(second, reversed(DIGESTS))
    assert second.made["certificate"] == earlier


def test_another_order_promises_anew(tmp_path: Path) -> None:
    first, second = making(tmp_path), making(tmp_path)
    others = [*DIGESTS[:-1], bytes(32)]
    commit(first, DIGESTS)
    commit(second, others)
    assert second.made["certificate"]["root"] == Tree(others).root.hex() != ROOT.hex()
    third = making(tmp_path)
    commit(third, others)
    assert third.made["certificate"] == second.made["certificate"]


def test_a_changed_promise_is_not_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = making(tmp_path)
    commit(first, DIGESTS)
    file = first.work.promise  # type: ignore[union-attr]
    content = file.read_bytes()
    file.write_bytes(content.replace(b"20", b"19", 1))
    second = making(tmp_path)
    commit(second, DIGESTS)
    assert "promise.json was changed, so the training promises anew" in caplog.text
    assert second.made["certificate"]["root"] == ROOT.hex()


def test_a_training_that_begins_anew_has_no_old_promise(tmp_path: Path) -> None:
    """Nothing goes on without a checkpoint, so nothing may tell an earlier time."""
    first = making(tmp_path)
    commit(first, DIGESTS)
    assert first.work is not None
    tidy(first.work.folder)
    assert not first.work.promise.exists()
    (first.work.folder).mkdir()
    commit(first, DIGESTS)
    (first.work.folder / "checkpoint.json").write_bytes(b"{}")
    tidy(first.work.folder)
    assert first.work.promise.exists()


def test_digests_have_32_bytes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one"):
        commit(making(tmp_path), [])
    with pytest.raises(ValueError, match="has 3 bytes"):
        commit(making(tmp_path), [b"abc"])


# --- an authority -------------------------------------------------------------------------------

SETTINGS = """\
[tsa]
default_tsa = ours
[ours]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha256
"""


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a time-stamp authority: keys, certificates and settings of openssl."""
    pytest.importorskip("rfc3161_client")
    if shutil.which("openssl") is None:
        pytest.skip("openssl is absent")
    folder = tmp_path_factory.mktemp("authority")
    (folder / "settings").write_text(SETTINGS.format(folder=folder))
    (folder / "serial").write_text("01\n")
    (folder / "use").write_text("extendedKeyUsage=critical,timeStamping\n")
    new = ("req", "-newkey", "rsa:2048", "-nodes")
    for name in ("ca", "other"):
        named = ("-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        openssl(folder, *new, "-x509", "-days", "3650", *named)
    openssl(folder, *new, "-subj", "/CN=tsa", "-keyout", "tsa.key", "-out", "tsa.csr")
    openssl(folder, "x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-set_serial", "2", "-days", "3650", "-extfile", "use", "-out", "tsa.pem")  # fmt: skip
    return folder


@pytest.fixture
def authority() -> Iterator[Callable[[Callable[[bytes], tuple[int, bytes]]], str]]:
    """``authority(answer)``: the address of a server that answers each request so."""
    servers: list[ThreadingHTTPServer] = []

    def serve(answer: Callable[[bytes], tuple[int, bytes]]) -> str:
        class Answering(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = self.rfile.read(int(self.headers["Content-Length"]))
                status, body = answer(asked)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/tsr?key=secret"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def stamped(office: Path) -> Callable[[bytes], tuple[int, bytes]]:
    def answer(asked: bytes) -> tuple[int, bytes]:
        (office / "query").write_bytes(asked)
        openssl(office, "ts", "-reply", "-config", "settings", "-queryfile", "query",
                "-out", "reply")  # fmt: skip
        return 200, (office / "reply").read_bytes()

    return answer


def said_of(stamp: object, trusted: Path) -> str:
    try:
        return read_stamp(stamp, ROOT, trusted)
    except ValueError:
        return "refused"


def test_an_authority_stamps_the_root(
    tmp_path: Path,
    office: Path,
    authority: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(AUTHORITY, authority(stamped(office)))
    made = making(tmp_path)
    commit(made, DIGESTS)
    assert not caplog.records
    stamp = made.made["certificate"]["timestamp"]
    assert stamp["authority"] == "127.0.0.1"
    assert "secret" not in json.dumps(made.made)
    told = read_stamp(stamp, ROOT, office / "ca.pem")
    assert told.endswith("by 127.0.0.1, signature verified")
    assert told.startswith(str(datetime.now(UTC).year))
    assert "its signature is not checked" in read_stamp(stamp, ROOT, None)
    # A training that goes on asks nobody again.
    monkeypatch.setenv(AUTHORITY, authority(lambda _: pytest.fail("asked again")))
    again = making(tmp_path)
    commit(again, DIGESTS)
    assert again.made["certificate"] == made.made["certificate"]
    with pytest.raises(ValueError, match="does not vouch for it"):
        read_stamp(stamp, ROOT, office / "other.pem")
    with pytest.raises(ValueError, match="is of another root"):
        read_stamp(stamp, bytes(32), office / "ca.pem")
    token = base64.b64decode(stamp["token"])
    for place in range(0, len(token), 97):
        changed = token[:place] + bytes([token[place] ^ 1]) + token[place + 1 :]
        forged = {**stamp, "token": base64.b64encode(changed).decode()}
        # A byte outside what was signed, such as in the words of the status, changes nothing.
        assert said_of(forged, office / "ca.pem") in ("refused", told)


@pytest.mark.parametrize("stamp", [None, {}, [], {"token": 1}, {"token": "%"}, {"token": "AAAA"}])
def test_a_stamp_that_is_none_is_refused(stamp: object) -> None:
    pytest.importorskip("rfc3161_client")
    with pytest.raises(ValueError, match="time stamp: cannot be read"):
        read_stamp(stamp, ROOT, None)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((500, b"no"), "answered with status 500"),
        ((302, b""), "answered with status 302"),
        ((200, b""), "is no answer to a request"),
        ((200, b"not a time stamp"), "is no answer to a request"),
        ((200, bytes(1 << 20)), "is no answer to a request"),
    ],
)
def test_a_failing_authority_is_a_warning(
    answer: tuple[int, bytes],
    said: str,
    tmp_path: Path,
    authority: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("rfc3161_client")
    monkeypatch.setenv(AUTHORITY, authority(lambda _: answer))
    made = making(tmp_path)
    commit(made, DIGESTS)
    assert made.made["certificate"]["timestamp"] is None
    (record,) = caplog.records
    assert said in record.getMessage()
    assert record.getMessage().endswith("the training goes on without a time stamp")
    assert "secret" not in record.getMessage()
    assert "\n" not in record.getMessage()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://127.0.0.1:9/", "cannot be reached"),
        ("file:///etc/passwd", "is no http or https address"),
        ("nonsense", "is no http or https address"),
        ("http://[", "is no http or https address"),
    ],
)
def test_an_authority_that_cannot_be_asked_is_a_warning(
    address: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("rfc3161_client")
    monkeypatch.setenv(AUTHORITY, address)
    made = making(tmp_path)
    commit(made, DIGESTS)
    assert made.made["certificate"]["timestamp"] is None
    assert said in caplog.text


def test_the_answer_to_another_request_is_refused(
    tmp_path: Path,
    office: Path,
    authority: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An old answer, given again, tells an old time."""
    answers: list[tuple[int, bytes]] = []

    def replay(asked: bytes) -> tuple[int, bytes]:
        answers.append(answers[0] if answers else stamped(office)(asked))
        return answers[-1]

    monkeypatch.setenv(AUTHORITY, authority(replay))
    made = [making(tmp_path, works=False) for _ in range(2)]
    for one in made:
        commit(one, DIGESTS)
    assert made[0].made["certificate"]["timestamp"] is not None
    assert made[1].made["certificate"]["timestamp"] is None
    assert "answered another request" in caplog.text


def test_nobody_is_asked_without_an_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import urllib3

    monkeypatch.setattr(urllib3, "request", lambda *_, **__: pytest.fail("asked"))
    commit(making(tmp_path), DIGESTS)


def _seal(file: Path, content: dict[str, object]) -> None:
    from pipelines.core.identity import canonical, digest

    file.write_bytes(canonical({**content, "digest": digest(content)}))
