"""Sources: one order, one text for equal content, and errors that name the place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.core.project import Project
from pipelines.corpora.raw_text import observed
from pipelines.corpora.sources import Document, files, hub, read_source, web
from pipelines.corpora.sources.conversations import render_conversation
from pipelines.corpora.sources.kinds import package
from pipelines.corpora.sources.kinds.folder import FolderSource, folder_state
from pipelines.corpora.sources.kinds.generated import GeneratedSource
from pipelines.corpora.sources.kinds.hub import HubSource
from pipelines.corpora.sources.kinds.package import PackageSource
from pipelines.corpora.sources.kinds.url import UrlSource
from pipelines.text.addresses import hidden, names_user, shown
from pipelines.text.errors import TextError

NO_CACHE = Path("no-cache")


def folder_source(**changes: Any) -> FolderSource:
    return FolderSource(**{"kind": "folder", "path": "texts", "licence": "CC0-1.0", **changes})


def read(root: Path, **changes: Any) -> list[Document]:
    return list(read_source(folder_source(**changes), folder_root=root, cache=NO_CACHE))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "two.txt").write_text("two")
    (folder / "a.txt").write_text("one")
    (folder / "Z.txt").write_text("zed")
    (folder / "b.txt").write_text("before the folder: `.` sorts before `/`")
    return tmp_path


NAMES = ["Z.txt", "a.txt", "b.txt", "b/two.txt"]


# --- which files --------------------------------------------------------------------------------


def test_folder_order_is_by_code_point_of_the_relative_path(root: Path) -> None:
    found = read(root)
    assert [d.id for d in found] == NAMES == sorted(NAMES)
    assert found[3] == Document("b/two.txt", "two", "b/two.txt", "CC0-1.0")


def test_a_shuffled_listing_changes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight, scandir = read(root), os.scandir

    @contextmanager
    def backwards(folder: str) -> Iterator[list[os.DirEntry[str]]]:
        with scandir(folder) as entries:
            yield sorted(entries, key=lambda entry: entry.name, reverse=True)

    monkeypatch.setattr(os, "scandir", backwards)
    assert read(root) == straight


@settings(max_examples=50)
@given(names=st.lists(st.text("aZ.-/é😀\x1f", min_size=1, max_size=6), max_size=12))
def test_walking_sorts_as_sorting_all_names_does(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("texts")
    for name in names:
        path = folder / name.strip("/").replace("//", "/")
        if path != folder and all(not part.startswith(".") for part in name.split("/")):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            except OSError:  # one name is a file here and a folder there
                continue
    every = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    if every:
        assert [found.name for found in files.matching(folder, "**/*")] == every


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("**/*", NAMES),
        ("**", NAMES),
        ("*", NAMES[:3]),
        ("[ab].txt", NAMES[1:3]),
        ("b/*.txt", NAMES[3:]),
        ("**/two.*", NAMES[3:]),
        ("**/b/**/t?o.txt", NAMES[3:]),
    ],
)
def test_a_glob_chooses(root: Path, glob: str, expected: list[str]) -> None:
    assert [d.id for d in read(root, glob=glob)] == expected


def test_hidden_files_and_folders_are_never_read(root: Path) -> None:
    (root / "texts" / ".git").mkdir()
    (root / "texts" / ".git" / "config.txt").write_text("secret")
    (root / "texts" / ".env").write_text("secret")
    assert [d.id for d in read(root)] == NAMES
    with pytest.raises(TextError, match="no file matches"):
        read(root, glob=".*/*")


def test_one_file_may_be_the_source(root: Path) -> None:
    assert read(root, path="texts/b/two.txt") == [
        Document("two.txt", "two", "two.txt", "CC0-1.0"),
    ]


def test_a_folder_moved_elsewhere_gives_the_same_documents(root: Path) -> None:
    before = read(root)
    (root / "texts").rename(root / "moved")
    assert read(root, path="moved") == before


def test_a_folders_state_is_its_content(root: Path) -> None:
    """Fault 10: as many bytes, other content."""
    state = folder_state(folder_source(), root)
    assert [name for name, _ in state] == NAMES
    os.utime(root / "texts" / "a.txt", (1, 1))
    assert folder_state(folder_source(), root) == state
    (root / "texts" / "a.txt").write_text("One")
    changed = folder_state(folder_source(), root)
    assert [old == new for old, new in zip(state, changed, strict=True)] == [
        True,
        False,
        True,
        True,
    ]


def test_missing_folder_and_empty_match_are_named(root: Path) -> None:
    """Fault 3."""
    with pytest.raises(TextError, match=r"absent: no such file or folder"):
        read(root, path="absent")
    with pytest.raises(TextError, match=r"no file matches glob='\*\.tex'"):
        read(root, glob="*.tex")


def test_files_without_any_text_are_no_source(root: Path) -> None:
    for name in NAMES:
        (root / "texts" / name).write_text("")
    with pytest.raises(TextError, match="folder source: there is no text in it"):
        read(root)
    (root / "texts" / "a.txt").write_text("x")
    assert len(read(root)) == 4, "blank documents go on, to be counted"


@pytest.mark.parametrize("glob", ["/etc/*", "../*.txt", "", "a/", "./*"])
def test_a_glob_cannot_leave_the_folder(root: Path, glob: str) -> None:
    (root / "outside.txt").write_text("secret")
    with pytest.raises(TextError, match="has an empty part"):
        read(root, glob=glob)


def test_a_link_out_of_the_folder_is_refused(root: Path) -> None:
    """Fault 8."""
    (root / "outside.txt").write_text("secret")
    link = root / "texts" / "link.txt"
    link.symlink_to(root / "outside.txt")
    with pytest.raises(TextError, match=r"link\.txt: a link out of the folder"):
        read(root)
    link.unlink()
    link.symlink_to("a.txt")
    assert [d.text for d in read(root, glob="link.*")] == ["one"]


def test_a_link_to_what_is_hidden_is_refused(root: Path) -> None:
    (root / "texts" / ".env").write_text("secret")
    (root / "texts" / "link.txt").symlink_to(".env")
    with pytest.raises(TextError, match=r"link\.txt: a link to a hidden file"):
        read(root)


def test_a_link_on_the_way_out_of_the_project_is_refused(root: Path) -> None:
    project = root / "project"
    (project / ".hidden").mkdir(parents=True)
    (project / ".hidden" / "a.txt").write_text("hidden")
    (project / "out").symlink_to(root / "texts")
    (project / "in").symlink_to(".hidden")
    (project / "one.txt").symlink_to(root / "texts" / "a.txt")
    for path, told in (
        ("out", "out of the project"),
        ("out/b", "out of the project"),
        ("one.txt", "out of the project"),
        ("in", "into a hidden folder"),
    ):
        with pytest.raises(TextError, match=rf"{path}: a link leads {told}; .*outside: true"):
            read(project, path=path)
        with pytest.raises(TextError, match=rf"{path}: a link leads {told}"):
            folder_state(folder_source(path=path), project)
        assert read(project, path=path, outside=True)


def test_a_linked_folder_is_refused_rather_than_passed_over(root: Path) -> None:
    (root / "elsewhere").mkdir()
    (root / "texts" / "more").symlink_to(root / "elsewhere")
    for glob in ("**/*", "more/*.txt"):
        with pytest.raises(TextError, match=r"more: a link out of the folder"):
            read(root, glob=glob)
    assert len(read(root, glob="*.txt")) == 3, "the pattern does not reach into it"
    (root / "texts" / "more").unlink()
    (root / "texts" / "b" / "loop").symlink_to(root / "texts")
    assert [d.id for d in read(root)] == NAMES, "what is in the folder is read once"


def test_a_pipe_among_the_files_is_refused(root: Path) -> None:
    os.mkfifo(root / "texts" / "pipe.txt")
    with pytest.raises(TextError, match=r"pipe\.txt: not a regular file"):
        read(root)


def test_a_name_that_is_not_utf8_is_refused(root: Path) -> None:
    Path(os.fsdecode(os.fsencode(root / "texts") + b"/\xff.txt")).write_text("x")
    with pytest.raises(TextError, match=r"texts/\\xff\.txt: a name that is not UTF-8"):
        read(root)


@pytest.mark.parametrize("name", ["a.txt", "rows.jsonl"])
def test_a_file_that_grows_while_it_is_read_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Fault 9."""
    fstat, grown = os.fstat, root / "texts" / name
    grown.write_text('{"text": "one"}\n')

    def stat_then_grow(descriptor: int) -> os.stat_result:
        result = fstat(descriptor)
        with grown.open("a") as file:
            file.write('{"text": "more"}\n')
        return result

    monkeypatch.setattr(os, "fstat", stat_then_grow)
    with pytest.raises(TextError, match=rf"{name}: changed while it was read"):
        read(root, path=f"texts/{name}")
    with pytest.raises(TextError, match=rf"{name}: changed while it was read"):
        folder_state(folder_source(path=f"texts/{name}"), root)


CHILD = """
import json, sys
from pathlib import Path
from pipelines.corpora.sources.kinds.folder import FolderSource, folder_state
from pipelines.corpora.sources import read_source
source = FolderSource(kind="folder", path="texts", licence="x")
root = Path(sys.argv[1])
documents = list(read_source(source, folder_root=root, cache=root))
print(json.dumps([folder_state(source, root), documents]))
"""


def test_neither_locale_nor_time_zone_changes_anything(root: Path) -> None:
    """Faults 12 and 13, guarantee 5: a Turkish i, a name that ASCII lacks, no UTF-8 mode."""
    for name in ("İ.txt", "ı.TXT", "é.jsonl", "e\u0301.csv"):
        (root / "texts" / name).write_text('{"text": "ıi"}\n' if "json" in name else "text\nıİ\n")
    here = [folder_state(folder_source(), root), read(root, licence="x")]
    for changes in (
        {"LC_ALL": "C", "TZ": "Pacific/Kiritimati", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "America/St_Johns"},
    ):
        command = [sys.executable, "-c", CHILD, str(root)]
        repository = Path(__file__).parents[3]
        done = subprocess.run(
            command, env=os.environ | changes, cwd=repository, capture_output=True, check=True
        )
        assert json.loads(done.stdout) == json.loads(json.dumps(here))


# --- packages, the web, the hub, generators -----------------------------------------------------


def turn(sender: str, *said: str) -> list[dict[str, Any]]:
    return [{"text": text, "sender": sender, "timestamp": "2018"} for text in said]


def test_a_conversation_keeps_the_lines_of_its_messages() -> None:
    turns = [
        turn("x", "Hello", "how are you?"),
        turn("y", " ", ""),
        turn("y", "Good thanks ", "\nTwo:\n\n  - one\n  - B: two"),
        turn("x", "And now?"),
        turn("x", "Still there?"),
        [],
        turn("z", "May I?"),
    ]
    assert render_conversation(turns) == (
        "A: Hello how are you?\nB: Good thanks\nTwo:\n\n  - one\n  - B: two\n"
        "A: And now?\nA: Still there?\nC: May I?"
    )


ORIGIN = "old-talk==1.0/old_talk/data"


def package_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, form: str) -> Any:
    @contextmanager
    def opened(*_: object) -> Iterator[IO[bytes]]:
        (tmp_path / "data").write_bytes(data)
        with (tmp_path / "data").open("rb") as file:
            yield file

    monkeypatch.setattr(package, "open_package_file", opened)
    return PackageSource(
        kind="package",
        package="old-talk",
        version="1.0",
        file="old_talk/data",
        sha256="0" * 64,
        format=form,
        licence="MIT",
    )


def rows(source: Any) -> list[Document]:
    return list(read_source(source, folder_root=Path(), cache=NO_CACHE))


def test_conversations_keep_their_own_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"c2": {"messages": [turn("x", "Hi")]}, "c1": {"messages": []}}
    source = package_source(tmp_path, monkeypatch, json.dumps(data).encode(), "conversations")
    assert rows(source) == [
        Document("c2", "A: Hi", ORIGIN, "MIT"),
        Document("c1", "", ORIGIN, "MIT"),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        b"{",
        b"[]",
        b'{"c": {}}',
        b'{"c": {"messages": [[{"text": "no sender"}]]}}',
        b'{"c": {"messages": [[{"text": 3, "sender": "x"}]]}}',
        b'{"c": {"messages": [[{"text": "half \\ud800", "sender": "x"}]]}}',
    ],
)
def test_broken_conversations_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bytes
) -> None:
    with pytest.raises(TextError, match=rf"{ORIGIN}:(c:)? ") as caught:
        rows(package_source(tmp_path, monkeypatch, broken, "conversations"))
    assert "\n" not in str(caught.value)


def test_quotes_in_labelled_lines_are_literal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b'ham\tsay "so"\tnow\r\nspam\t"Win!\n' + b"ham\tx\n" * 8
    found = rows(package_source(tmp_path, monkeypatch, data, "labelled_lines"))
    assert [(d.id, d.text, d.label) for d in found[:2]] == [
        ("old_talk/data:1", 'say "so"\tnow', "ham"),
        ("old_talk/data:2", '"Win!', "spam"),
    ]
    assert len(found) == 10


@pytest.mark.parametrize("broken", [b"ham\tx\nno tab\n", b"ham\tx\n\ty\n", b"ham\tx\n\nham\ty\n"])
def test_a_line_without_label_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bytes
) -> None:
    with pytest.raises(TextError, match=f"{ORIGIN}:2: not `label TAB text`"):
        rows(package_source(tmp_path, monkeypatch, broken, "labelled_lines"))


def test_a_plain_package_file_is_one_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rows(package_source(tmp_path, monkeypatch, b"all\nof it", "plain"))
    assert found == [Document("old_talk/data", "all\nof it", ORIGIN, "MIT")]


def test_a_file_on_the_web_is_read_by_its_last_name(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    kept = root / "texts" / "kept"
    kept.write_text('{"text": "hello"}\n{"text": 1}\n')

    def fetch(*arguments: Any, max_bytes: int) -> Path:
        asked.append((*arguments, max_bytes))
        return kept

    monkeypatch.setattr(web, "fetch", fetch)
    url = "https://example.org/a/two%20words.jsonl?token=1"
    source = UrlSource(kind="url", url=url, sha256="0" * 64, licence="MIT", on_bad_row="drop")
    name = "two words.jsonl"
    assert rows(source) == [Document(f"{name}:1", "hello", name, "MIT")]
    assert asked == [(url, "0" * 64, NO_CACHE, source.max_bytes)]
    with pytest.raises(TextError, match=r"^https://example\.org/a/two%20words\.jsonl:2: field"):
        rows(source.model_copy(update={"on_bad_row": "fail"}))


def test_rows_of_the_hub_are_mapped_as_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [{"body": {"en": "one"}, "y": 1}, {"body": None, "y": 2}, {"body": {"en": "three"}}]
    monkeypatch.setattr(hub, "hub_rows", lambda _: iter(given))
    source = HubSource(
        kind="hub",
        dataset="some/set",
        revision="a" * 40,
        licence="MIT",
        fields={"text": "body.en", "label": "y"},  # type: ignore[arg-type]
        on_bad_row="drop",
    )
    notes: Counter[str] = Counter()
    found = list(read_source(source, folder_root=Path(), cache=NO_CACHE, notes=notes))
    assert found == [Document("some/set:1", "one", "some/set", "MIT", "1")]
    assert notes == {"bad_rows_dropped": 2}


def test_another_hub_than_the_usual_one_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    source = HubSource(kind="hub", dataset="some/set", revision="a" * 40, licence="MIT")
    project = Project(Path("root"), Path("home"), Path("store"))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert observed(source, project) == {}
    for usual in ("", "https://huggingface.co", "https://huggingface.co/"):
        monkeypatch.setenv("HF_ENDPOINT", usual)
        assert observed(source, project) == {}
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/hub/")
    assert observed(source, project) == {"hub": "https://mirror.example/hub"}
    for secret in ("https://bob:HUNTER2@mirror.example", "https://mirror.example/?token=HUNTER2"):
        monkeypatch.setenv("HF_ENDPOINT", secret)
        with pytest.raises(
            TextError, match=r"^HF_ENDPOINT=https://mirror\.example.*HF_TOKEN"
        ) as told:
            observed(source, project)
        assert "HUNTER2" not in str(told.value)


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        ("https://a.b/c", "https://a.b/c"),
        ("https://a.b:80/c?HUNTER2#d", "https://a.b:80/c"),
        ("https://bob:HUNTER2@a.b/c", "https://a.b/c"),
        ("https://bob:HUN/TER2@a.b/c", "https://a.b/c"),
        ("https://a.b/@user/c@2", "https://a.b/@user/c@2"),
        ("https://a.b:443/@user", "https://a.b:443/@user"),
        ("https://[::1]:443/@user?x", "https://[::1]:443/@user"),
        ("//a.b/c?HUNTER2", "//a.b/c"),
    ],
)
def test_what_may_be_secret_in_an_address_is_not_shown(words: str, seen: str) -> None:
    assert shown(words) == seen
    if "://" in words:
        assert hidden(f"GET '{words}' and <{words}> failed") == f"GET '{seen}' and <{seen}> failed"


@pytest.mark.parametrize("part", ["://", "http://", "http://a:", "http://a:b", "@", "a@http://"])
def test_addresses_are_found_in_linear_time(part: str) -> None:
    for times in (1_000, 10_000):
        began = time.monotonic()
        hidden(part * times)
        shown(part * times)
        names_user(part * times)
        assert time.monotonic() - began < 5, times


def test_generated_documents_are_numbered_and_labelled() -> None:
    found = rows(GeneratedSource(kind="generated", generator="messages", documents=3, seed=1))
    assert [d.id for d in found] == ["000000", "000001", "000002"]
    assert {d.label for d in found} <= {"spam", "ham"}
    assert {d.licence for d in found} == {"CC0-1.0"}
