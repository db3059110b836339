"""Files that a person names: what cannot be read or written is one line with the mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.cli.attribute import _given
from pipelines.cli.files import read_file, write_file
from pipelines.lineage.certificate import CERTIFICATE
from pipelines.text.paths import exists, is_file
from tests.conftest import Place
from tests.lineage import made_up
from tests.lineage.made_up import MadeUp


@pytest.fixture
def here(tmp_path: Path) -> Place:
    """A store with a model and states, and nothing else."""
    making = MadeUp(tmp_path / "store")
    making.publish("m/foundation_states", "KeptStates", made_up.plain("s"))
    making.publish("m/foundation", "Checkpoint", made_up.checkpoint([]))
    return Place(tmp_path / "home", tmp_path / "store")


def test_a_text_that_can_name_no_file_names_none(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("text")
    assert is_file(tmp_path / "there")
    assert exists(tmp_path)
    assert not is_file(tmp_path)
    for text in ("x" * 300, f"{tmp_path}/{'y' * 300}/z", "a\0b", ""):
        assert not is_file(text)
    assert not exists("x" * 300)
    assert not exists("a\0b")


def test_a_file_is_read_and_written(tmp_path: Path) -> None:
    write_file(tmp_path / "file", b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_file(tmp_path / "file") == read_file(tmp_path / "link") == b"content"
    assert read_file(tmp_path / "file", 3) == b"con"


def test_what_cannot_be_read_or_written_is_told_with_its_mend(here: Place, tmp_path: Path) -> None:
    missing, away = tmp_path / "missing", tmp_path / "away" / "file"
    told = {
        ("check", str(missing)): f"{missing}: cannot be read (no such file or directory); name",
        ("check", "/dev/null"): "/dev/null: cannot be read (not a regular file); name a file that",
        ("trace", "m/foundation", "--html", str(away)): f"{away}: cannot be written",
    }
    for command, words in told.items():
        assert here.dragon(*command).fault.startswith(f"dragon: {words}"), command
    with pytest.raises(ValueError, match=f"make the folder {away.parent} first"):
        write_file(away, b"")
    with pytest.raises(ValueError, match="name a file that can be written"):
        write_file(tmp_path, b"")


def test_a_certificate_is_checked_without_a_text(here: Place, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(f'{{"format":"{CERTIFICATE}"}}')
    said = here.dragon("check", str(tmp_path / "file"), str(tmp_path / "file"))
    assert said.code == 2
    assert "is a certificate, which is of no single text" in said.err
    assert "refused" in here.dragon("check", str(tmp_path / "file")).fault


def test_states_have_no_steps_but_their_network_has(here: Place) -> None:
    fault = here.dragon("steps", "m/foundation_states", "1").fault
    assert fault.endswith("name the network that was taken from them, such as m/foundation")


def test_no_number_of_days_is_refused(here: Place) -> None:
    said = here.dragon("gc", "--older-than", "nan")
    assert said.code == 2
    assert "give a number of days" in said.err
    assert "m/foundation" not in said.out


def test_only_the_named_pin_is_removed(tmp_path: Path) -> None:
    making, here = MadeUp(tmp_path / "store"), Place(tmp_path / "home", tmp_path / "store")
    by_digit: dict[str, list[str]] = {}
    while not any(len(versions) > 1 for versions in by_digit.values()):
        number = sum(map(len, by_digit.values()))
        made = making.publish("m/figures", "Artefact", made_up.plain(str(number)))
        by_digit.setdefault(made.version[0], []).append(made.version)
        making.store.pin(made, "")
    digit, versions = next((d, found) for d, found in by_digit.items() if len(found) > 1)
    before = len(list(making.store.pins.all()))
    fault = here.dragon("unpin", f"m/figures@{digit}").fault
    assert f"2 pinned versions begin with '{digit}'; give more digits of" in fault
    assert len(list(making.store.pins.all())) == before
    assert here.dragon("unpin", f"m/figures@{versions[0][:16]}").code == 0
    assert versions[0] not in {pin.version for pin in making.store.pins.all()}
    assert len(list(making.store.pins.all())) == before - 1


def test_the_ends_of_lines_of_windows_are_those_of_documents(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"one line\r\nand another\r\n")
    assert _given(None, tmp_path / "text") == "one line\nand another\n"
