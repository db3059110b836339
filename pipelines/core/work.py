"""Work areas: a draft, finished parts and checkpoints. One process at a time uses a work area."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.core.artefact import MANIFEST, CorruptArtefact, build_manifest
from pipelines.core.disk import make_folder, open_lock, replace, replacing
from pipelines.core.identity import canonical, digest
from pipelines.text.regular import read_regular

log = logging.getLogger("dragon.store")

POINTER, CURVE, PROMISE = "checkpoint.json", "curve.jsonl", "promise.json"


class Work:
    """The locked work area of one derivation: a draft, finished parts, the newest checkpoint."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def draft(self) -> Path:
        """An empty folder for the files of the new artefact."""
        draft = self.folder / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        if draft.exists():  # it belongs to another user, whose run was interrupted
            draft.rename(self.folder / f"{uuid.uuid4().hex}.partial")
        make_folder(draft)
        return draft

    def parts(self) -> Path:
        """A folder whose finished files stay for the next try; ``*.partial`` files are removed."""
        parts = self.folder / "parts"
        make_folder(parts)
        return parts

    @property
    def curve(self) -> Path:
        """The file with the losses of a running training; a checkpoint says how far it is valid."""
        return self.folder / CURVE

    @property
    def promise(self) -> Path:
        """The file with what a training promised at its first start; gone without a checkpoint."""
        return self.folder / PROMISE

    def save_checkpoint(
        self, step: int, state: Iterable[bytes | memoryview], notes: Mapping[str, Any]
    ) -> None:
        """Keep the state of a running training, given in pieces that are hashed and written.

        The previous checkpoint is removed only after this one is on the disk. Raises OSError naming
        the file; then the previous one stays.
        """
        name, hashed = f"step-{step:08d}.safetensors", hashlib.sha256()
        with replacing(self.folder / name, self.folder / f"{name}.partial") as file:
            for piece in state:
                hashed.update(piece)
                file.write(piece)
        told = {"file": name, "sha256": hashed.hexdigest(), "step": step, "notes": notes}
        content = canonical({**told, "digest": digest(told)})
        replace(self.folder / POINTER, content, self.folder / f"{POINTER}.partial")
        for old in self.folder.glob("step-*"):
            if old.name != name:
                old.unlink(missing_ok=True)

    def load_checkpoint(self) -> tuple[bytes, dict[str, Any]] | None:
        """The state and the notes of the newest checkpoint, hashed before use; None if none exists.

        While another process saves, it is one of the states that were the newest meanwhile. Raises
        CorruptArtefact if its bytes are not the saved bytes.
        """
        pointer = self.folder / POINTER
        if not pointer.exists():
            return None
        mend = f"remove {self.folder} to train from the start"
        try:
            told, state = self._newest(pointer)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise CorruptArtefact(f"{pointer}: is not a checkpoint; {mend}") from None
        if hashlib.sha256(state).hexdigest() != told["sha256"]:
            raise CorruptArtefact(
                f"{self.folder / told['file']}: sha256 is not the one in {pointer.name}; {mend}"
            )
        return state, told["notes"]

    def _newest(self, pointer: Path) -> tuple[dict[str, Any], bytes]:
        """What the pointer says, and the bytes of the state that it names."""
        before = None
        while True:
            told = checkpoint_state(pointer)
            try:
                return told, read_regular(self.folder / told["file"])
            except FileNotFoundError:
                if told == before:
                    raise
                before = told  # its writer has removed it since, and there is a newer one

    def abandoned(self) -> Iterator[dict[str, Any]]:
        """The notes of the newest checkpoints of other derivations; skips unreadable ones."""
        for pointer in sorted(self.folder.parent.glob(f"*/{POINTER}")):
            if pointer.parent != self.folder:
                with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                    yield dict(checkpoint_state(pointer)["notes"])


def checkpoint_state(pointer: Path) -> dict[str, Any]:
    """The content of a file with its own digest. Raises ValueError if its digest does not fit."""
    state: dict[str, Any] = json.loads(read_regular(pointer))
    if state.pop("digest") != digest(state):
        raise ValueError(f"{pointer}: the content does not match its digest")
    return state


def tidy(work: Path) -> None:
    """Remove the files that no later try can use; checkpoints and finished parts stay."""
    shutil.rmtree(work / "draft", ignore_errors=True)
    if not (work / POINTER).exists():
        for left in (work / CURVE, work / PROMISE, *work.glob("step-*")):
            left.unlink(missing_ok=True)
    for partial in work.rglob("*.partial"):
        partial.unlink(missing_ok=True)
    for folder in sorted((p for p in work.rglob("*") if p.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()  # only when empty
    with contextlib.suppress(OSError):
        work.rmdir()


def seal(draft: Path) -> str:
    """Write a draft's manifest and return its version: the sha256 of that manifest."""
    manifest = build_manifest(draft)
    (draft / MANIFEST).write_bytes(manifest)
    return hashlib.sha256(manifest).hexdigest()


def locked(lock: Path, key: str) -> int:
    """Lock a file, waiting for its owner, and return its descriptor. ``key`` is for the log."""
    is_logged = False
    while True:
        handle = open_lock(lock)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            if not is_logged:
                owner = os.read(handle, 32).decode() or "another process"
                log.info("%s: waiting for process %s, which makes the same asset", key, owner)
                is_logged = True
            os.close(handle)
            time.sleep(0.2)
            continue
        # The previous owner may have removed the file that we locked. Then lock the new file.
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(handle).st_ino == lock.stat().st_ino:
                with contextlib.suppress(OSError):  # another user's file is open for reading only
                    os.truncate(handle, 0)
                    os.write(handle, str(os.getpid()).encode())
                return handle
        os.close(handle)
