"""Data sets of the hub: the library's own path, against a hub on this machine.

The library reads its settings when it is imported, so it runs in a process of its own, which
takes sources on its standard input and answers with rows or with the error.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pipelines

REVISION = "c0ffee" + "0" * 34
TOKEN = "hf_neverInALog"
READER = """
import json, logging, resource, sys, time
import datasets  # says that it obeys USE_TORCH; what comes later is ours to keep quiet
logging.basicConfig(level=logging.INFO)
datasets.config.S3_DATASETS_BUCKET_PREFIX = datasets.config.HF_ENDPOINT + "/who-loads-what"
time.sleep = lambda seconds: None  # the library's patience is not ours
from pipelines.corpora.sources.kinds.hub import HubSource
from pipelines.corpora.sources.hub import hub_rows
for line in sys.stdin:
    asked = json.loads(line)
    answer = {"before": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
    try:
        rows = hub_rows(HubSource(**asked["source"]))
        answer["rows"] = sum(1 for _ in rows) if asked["count"] else list(rows)
    except Exception as error:
        answer |= {"error": type(error).__name__, "message": str(error)}
    answer["after"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(answer), flush=True)
"""

Repository = dict[str, bytes]


def lines(*rows: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def row(index: int) -> dict[str, Any]:
    return {"text": f"text {index}", "n": index, "meta": {"id": f"m{index}", "deep": [index]}}


PICTURE_BYTES = 15_000
TABLE_ROWS = 2_000


def table() -> bytes:
    """Text, a class label and pictures that are none: decoding one would fail."""
    rows = range(TABLE_ROWS)
    columns = {
        "text": pa.array([f"text {index}" for index in rows]),
        "label": pa.array([index % 3 - 1 for index in rows]),  # -1: no label
        "picture": pa.array(
            [{"bytes": os.urandom(PICTURE_BYTES), "path": None} for _ in rows],
            pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        ),
    }
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "label": {"names": ["ham", "spam"], "_type": "ClassLabel"},
        "picture": {"_type": "Image"},
    }
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    file = io.BytesIO()
    pq.write_table(pa.table(columns).replace_schema_metadata(about), file, row_group_size=1000)
    return file.getvalue()


PICTURES = [{"name": "text", "dtype": "string"}, {"name": "picture", "dtype": "image"}]


def card(**configs: str) -> bytes:
    """A data set's card whose configurations read one file each."""
    told = [{"config_name": name, "data_files": file} for name, file in configs.items()]
    return f"---\nconfigs: {json.dumps(told)}\n---\n".encode()


LARGE_PART = lines({"text": "x" * 9_999}) * 1000
REPOSITORIES: dict[str, Repository] = {
    "org/lines": {
        "data/train-00000.jsonl": lines(*map(row, range(5))),
        "data/train-00001.jsonl": lines(*map(row, range(5, 700))),
        "data/test.jsonl": lines(row(9)),
    },
    "org/table": {"data/train.parquet": table()},
    "org/array": {"train.json": json.dumps([row(0), row(1)]).encode()},
    "org/dotted": {"train.jsonl": lines({"text": "a text", "meta.id": 7, "meta": {"n": 8}})},
    "org/torn": {"train.jsonl": lines(row(0)) + b'{"text": "cut'},
    "org/configs": {
        "README.md": card(first="a.jsonl", second="b.jsonl"),
        "a.jsonl": lines(row(1)),
        "b.jsonl": lines(row(2)),
    },
    "org/pictures": {
        "README.md": f"---\ndataset_info: {json.dumps({'features': PICTURES})}\n---\n".encode(),
        "train.jsonl": lines({"text": "a text", "picture": "no/such.png"}),
    },
    "org/elsewhere": {"README.md": card(default="/secret/passwords.jsonl")},
    "org/empty": {"notes.bin": b""},
    "org/large": {f"train-{part:05}.jsonl": LARGE_PART for part in range(30)},
}


class Answering(BaseHTTPRequestHandler):
    """What the libraries ask a hub for: a revision, its tree, its files and parts of them."""

    protocol_version = "HTTP/1.1"
    server: Hub

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((path, self.headers.get("Authorization")))
        trouble = self.server.trouble(path)
        if trouble == "hang up":
            self.close_connection = True
        elif trouble is not None:
            status, headers = trouble if isinstance(trouble, tuple) else (trouble, {})
            self.say(status, **headers)
        else:
            self.serve(path, body)

    do_HEAD = do_POST = do_GET  # noqa: N815

    def serve(self, path: str, body: bytes) -> None:
        place = re.fullmatch(
            r"(/api)?/datasets/(org/\w+)/(resolve|revision|tree|paths-info)/(\w+)/?(.*)", path
        )
        if place is None:
            self.server.strange.append(path)
        if place is None or place[2] not in REPOSITORIES:
            return self.say(404, **{"X-Error-Code": "RepoNotFound"})
        _, name, what, revision, file = place.groups()
        if revision != REVISION:
            return self.say(404, **{"X-Error-Code": "RevisionNotFound"})
        files = REPOSITORIES[name]
        if what == "resolve":
            return self.send_file(files.get(file))
        if what == "revision":
            return self.tell({"id": name, "sha": REVISION, "siblings": []})
        if what == "paths-info":
            return self.tell([entry(files, p) for p in parse_qs(body.decode())["paths"]])
        below = {
            "/".join(path.split("/")[: file.count("/") + 1 + bool(file)])
            for path in files
            if path.startswith(f"{file}/" if file else "")
        }
        return self.tell([entry(files, path) for path in sorted(below)])

    def send_file(self, data: bytes | None) -> None:
        about = {"X-Repo-Commit": REVISION, "ETag": '"etag"'}
        if data is None:
            return self.say(404, **{"X-Error-Code": "EntryNotFound"}, **about)
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if part is None:
            return self.say(200, data, **about)
        start, last = int(part[1]), min(int(part[2]), len(data) - 1)
        about["Content-Range"] = f"bytes {start}-{last}/{len(data)}"
        self.server.sent += last + 1 - start
        return self.say(206, data[start : last + 1], **about)

    def tell(self, answer: Any) -> None:
        self.say(200, json.dumps(answer).encode())

    def say(self, status: int, body: bytes = b"", /, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def entry(files: Repository, path: str) -> dict[str, Any]:
    if path not in files:
        return {"type": "directory", "path": path, "oid": "0" * 40}
    return {"type": "file", "path": path, "size": len(files[path]), "oid": "0" * 40}


class Hub(ThreadingHTTPServer):
    """A hub on this machine; counts what it was asked and the bytes of files that it sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.strange: list[str] = []
        self.calm()

    def calm(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.sent = 0
        self.trouble: Callable[[str], Any] = lambda _: None

    def handle_error(self, *_: Any) -> None:
        """The client may go away."""


def keep_another_revision(folder: Path) -> None:
    """What the library leaves behind where it once loaded the data set whole."""
    folder.mkdir(parents=True)
    rows = pa.table({"text": ["of another revision"]})
    with pa.ipc.new_stream(folder / "lines-train.arrow", rows.schema) as stream:
        stream.write_table(rows)
    about = {
        "builder_name": "json",
        "dataset_name": "lines",
        "config_name": "default",
        "version": {"version_str": "0.0.0", "major": 0, "minor": 0, "patch": 0},
        "features": {"text": {"dtype": "string", "_type": "Value"}},
        "splits": {"train": {"name": "train", "num_examples": 1, "dataset_name": "lines"}},
    }
    (folder / "dataset_info.json").write_text(json.dumps(about))


@contextmanager
def reading(folder: Path, asked: Hub, **settings: str) -> Iterator[Reader]:
    """A process that reads from a hub; its folder holds traps for a library left alone."""
    trap = folder / "org" / "lines" / "train.jsonl"
    trap.parent.mkdir(parents=True)
    trap.write_bytes(lines({"text": "local", "n": 0, "meta": {}}))
    (folder / "local.jsonl").write_bytes(lines({"text": "local"}))
    keep_another_revision(
        folder / "home" / "datasets" / "org___lines" / "default" / "0.0.0" / "old"
    )
    environment = {
        **{name: value for name, value in os.environ.items() if "PROXY" not in name.upper()},
        "PYTHONPATH": str(Path(pipelines.__file__).parents[1]),
        "HF_ENDPOINT": f"http://127.0.0.1:{asked.server_port}",
        "HF_HOME": str(folder / "home"),
        "HF_TOKEN": TOKEN,
        "USE_TORCH": "NO",  # importing it takes longer than all the tests
        **settings,
    }
    with (
        (folder / "said").open("w+") as said,
        subprocess.Popen(
            [sys.executable, "-c", READER],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        ) as process,
    ):
        yield Reader(process)
        process.communicate(timeout=60)
        said.seek(0)
        assert said.read() == "", "the library is silent, so no token reaches a log"
    assert asked.strange == [], "nobody is told who reads what"


class Reader:
    """Asks the process for rows."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ask(
        self, dataset: str = "org/lines", count: bool = False, **options: Any
    ) -> dict[str, Any]:
        source = {
            **{"kind": "hub", "dataset": dataset, "revision": REVISION, "licence": "MIT"},
            **options,
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps({"source": source, "count": count}), file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def rows(self, dataset: str = "org/lines", **options: Any) -> list[dict[str, Any]]:
        answer = self.ask(dataset, **options)
        assert "rows" in answer, answer
        rows: list[dict[str, Any]] = answer["rows"]
        return rows

    def refusal(self, dataset: str = "org/lines", **options: Any) -> tuple[str, str]:
        """The error's class and its message, which is one line and names the data set."""
        answer = self.ask(dataset, **options)
        assert "error" in answer, answer
        message = answer["message"]
        assert "\n" not in message
        assert TOKEN not in message
        assert message.startswith(f"data set {dataset}")
        return answer["error"], message


@pytest.fixture(scope="module")
def the_hub() -> Iterator[Hub]:
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def reader(the_hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with reading(tmp_path_factory.mktemp("reader"), the_hub) as reader:
        yield reader


@pytest.fixture
def calm(the_hub: Hub) -> Hub:
    the_hub.calm()
    return the_hub


pytestmark = pytest.mark.usefixtures("calm")


def test_rows_come_in_the_hubs_order_with_the_mapped_columns(reader: Reader) -> None:
    rows = reader.rows(fields={"text": "text", "id": "meta.id"})
    assert rows == [{"text": row(n)["text"], "meta": row(n)["meta"]} for n in range(700)]
    assert reader.rows(fields={"text": "text"}, split="test") == [{"text": "text 9"}]


def test_the_token_is_sent_to_the_hub(reader: Reader, calm: Hub) -> None:
    reader.rows(max_documents=1)
    assert {token for _, token in calm.asked} == {f"Bearer {TOKEN}"}
    assert all(REVISION in path for path, _ in calm.asked)


@pytest.mark.parametrize("most", [1, 6, 257, 10_000])
def test_the_first_documents_are_taken(most: int, reader: Reader) -> None:
    rows = reader.rows(max_documents=most)
    assert rows == [{"text": f"text {n}"} for n in range(min(most, 700))]


def test_columns_that_are_not_mapped_are_not_even_fetched(reader: Reader, calm: Hub) -> None:
    rows = reader.rows("org/table", fields={"text": "text", "label": "label"})
    names = [None, "ham", "spam"]
    assert rows == [{"text": f"text {n}", "label": names[n % 3]} for n in range(TABLE_ROWS)]
    assert calm.sent < TABLE_ROWS * PICTURE_BYTES / 2  # it reads ahead by 5 MB


def test_a_dot_may_be_part_of_a_columns_name(reader: Reader) -> None:
    rows = reader.rows("org/dotted", fields={"text": "text", "id": "meta.id", "label": "meta.n"})
    assert rows == [{"text": "a text", "meta.id": 7, "meta": {"n": 8}}]


def test_pictures_beside_the_text_are_not_opened(reader: Reader) -> None:
    assert reader.rows("org/pictures") == [{"text": "a text"}]


def test_columns_known_only_by_reading_are_chosen_too(reader: Reader) -> None:
    rows = reader.rows("org/array", fields={"text": "text", "label": "absent"})
    assert rows == [{"text": "text 0"}, {"text": "text 1"}]


def test_a_configuration_is_one_of_the_cards(reader: Reader) -> None:
    assert reader.rows("org/configs", config="second") == [{"text": "text 2"}]
    error, message = reader.refusal("org/configs", config="third")
    assert error == "TextError"
    assert "'third' not found. Available: ['first', 'second']" in message
    error, message = reader.refusal("org/configs")
    assert error == "TextError"
    assert "['first', 'second']" in message


@pytest.mark.parametrize(
    ("dataset", "options", "reason"),
    [
        ("org/lines", {"split": "dev"}, "split='dev' is not one of ['test', 'train']; correct"),
        (
            "org/lines",
            {"fields": {"text": "body", "id": "n"}},
            "no column body among text, n, meta",
        ),
        ("org/table", {"fields": {"text": "body"}}, "no column body among text, label, picture;"),
        ("org/absent", {}, "Dataset 'org/absent' doesn't exist on the Hub or cannot be accessed"),
        ("org/lines", {"revision": "d" * 40}, f"Revision '{'d' * 40}' doesn't exist"),
        ("org/empty", {}, "No (supported) data files found"),
        ("org/torn", {}, "JSON parse error"),
    ],
)
def test_what_a_data_set_has_not_is_named(
    dataset: str, options: dict[str, Any], reason: str, reader: Reader
) -> None:
    error, message = reader.refusal(dataset, **options)
    assert error == "TextError"
    assert reason in message


def test_a_gated_data_set_asks_for_a_token(reader: Reader, calm: Hub) -> None:
    calm.trouble = lambda _: (403, {"X-Error-Code": "GatedRepo"})
    error, message = reader.refusal()
    assert error == "TextError"
    assert "gated" in message
    assert "set HF_TOKEN" in message


@pytest.mark.parametrize("name", ["json", "text"])
def test_the_librarys_own_modules_are_no_data_sets(name: str, reader: Reader) -> None:
    """Left alone it reads the files of the working folder."""
    error, message = reader.refusal(name)
    assert error == "TextError"
    assert "local" not in message or "is not part of the revision" in message


def test_a_card_cannot_lead_elsewhere(reader: Reader) -> None:
    secret = Path("/secret")
    assert not secret.exists()
    error, message = reader.refusal("org/elsewhere")
    assert error == "TextError"
    assert "/secret/passwords.jsonl" in message


@pytest.mark.parametrize(
    ("place", "trouble"),
    [
        ("README.md", 500),
        ("README.md", 429),
        ("README.md", "hang up"),
        ("/api/", 502),
        ("train-00001.jsonl", 503),
        ("train-00001.jsonl", "hang up"),
    ],
)
def test_a_hub_in_trouble_is_unavailable(
    place: str, trouble: int | str, reader: Reader, calm: Hub
) -> None:
    calm.trouble = lambda path: trouble if place in path else None
    error, message = reader.refusal()
    assert error == "SourceUnavailable"
    assert (str(trouble) if isinstance(trouble, int) else "isconnected") in message


def test_a_signed_address_is_not_told(reader: Reader, calm: Hub) -> None:
    signed = f"http://127.0.0.1:{calm.server_port}/api/datasets/org/store?signature=hidden"
    calm.trouble = lambda path: (
        (302, {"Location": signed}) if "train" in path else 503 if "store" in path else None
    )
    error, message = reader.refusal()
    assert error == "SourceUnavailable"
    assert "/org/store" in message
    assert "hidden" not in message


@pytest.mark.parametrize("trouble", [503, "hang up"])
def test_trouble_that_passes_leaves_no_trace_in_the_rows(
    trouble: int | str, reader: Reader, calm: Hub
) -> None:
    troubles = iter([trouble, trouble])
    calm.trouble = lambda path: next(troubles, None) if "train-00001" in path else None
    assert reader.rows() == [{"text": f"text {n}"} for n in range(700)]
    assert next(troubles, None) is None


def test_offline_nothing_is_asked(the_hub: Hub, tmp_path: Path) -> None:
    with reading(tmp_path, the_hub, HF_HUB_OFFLINE="1") as offline:
        error, message = offline.refusal()
    assert error == "SourceUnavailable"
    assert "OfflineModeIsEnabled" in message
    assert the_hub.asked == []


@pytest.mark.slow
def test_memory_does_not_grow_with_the_data_set(reader: Reader) -> None:
    """300 MB pass; the library holds one file's part of 10 MB, as bytes, JSON and Arrow."""
    reader.ask("org/large", count=True, max_documents=1000)
    answer = reader.ask("org/large", count=True)
    assert answer["rows"] == 30_000
    assert answer["after"] - answer["before"] < 60_000  # KiB
