"""Artefacts: immutable folders of files, and typed views of what is in them.

Whoever holds an ``Artefact`` holds a manifest that has been checked against the version it was
asked by; every read below checks the bytes against that manifest before they are used.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pipelines.identity import HEX, canonical
from pipelines.text.ledger import LEDGER, Ledger
from pipelines.text.regular import open_regular, read_regular

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from model.batches.streams import DocumentPiece, TokenStream
    from pipelines.text.arrow import ArrowFile
    from pipelines.text.decontamination import Overlapping
    from pipelines.text.documents import DroppedRow
    from pipelines.text.examples import Labelled, Pair
    from pipelines.text.shards import Shard, ShardEntry
    from pipelines.text.tables import Document, Unread
    from pipelines.text.tokenizers import Tokenizer

Rows = list[dict[str, Any]]

FIGURES = "figures.json"
TABLES = "tables.json"
MANIFEST = "manifest.json"


class CorruptArtefact(ValueError):  # noqa: N818 - named for what was found
    """Bytes that are not the ones the manifest vouches for; the message names them."""


class Entry(NamedTuple):
    """What a manifest says of one file: its size in bytes and sha256."""

    size: int
    sha256: str


def build_manifest(folder: Path) -> bytes:
    """The canonical manifest of everything in ``folder``; its sha256 is the version.

    Raises CorruptArtefact for what is neither a file nor a folder with files.
    """
    _require_no_empty_folder(folder)
    files = []
    for path in _files_in(folder):
        size, sha256 = _measure(path)
        files.append({"path": path.relative_to(folder).as_posix(), "size": size, "sha256": sha256})
    return canonical({"files": sorted(files, key=lambda entry: str(entry["path"]))})


def read_manifest(folder: Path, version: str) -> dict[str, Entry]:
    """The files that the manifest lists, once its own bytes are shown to be ``version``."""
    path = folder / MANIFEST
    try:
        content = read_regular(path)
    except OSError as error:
        raise CorruptArtefact(f"{path}: cannot be read ({error.strerror})") from None
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != version:
        raise CorruptArtefact(
            f"{path}: sha256 is {sha256[:12]}, the version says {version[:12]};"
            f" remove {folder} and run again"
        )
    try:
        listed = json.loads(content)["files"]
        if not isinstance(listed, list):
            raise ValueError("files is no list")
        return dict(map(_entry, listed))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptArtefact(f"{path}: not a manifest ({error}); remove {folder}") from None


def _entry(listed: Any) -> tuple[str, Entry]:
    """A manifest's line as (path, entry). Raises ValueError for a path that leaves the folder."""
    path, entry = listed["path"], Entry(listed["size"], listed["sha256"])
    parts = path.split("/")
    if not set(parts).isdisjoint({"", ".", ".."}) or "\0" in path or "\\" in path:
        raise ValueError(f"path {path!r} leaves the folder")
    if type(entry.size) is not int or entry.size < 0 or not HEX.fullmatch(entry.sha256):
        raise ValueError(f"size or sha256 of {path!r} is none")
    return path, entry


def _files_in(folder: Path) -> Iterator[Path]:
    """The files below an artefact's folder but its manifest.

    Raises CorruptArtefact for a link, a pipe or a device: no manifest lists these, and a link leads
    out of what was hashed.
    """
    for place, folders, names in os.walk(folder):
        here = Path(place)
        for name in (*folders, *names):
            mode = (here / name).lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise CorruptArtefact(f"{here / name}: neither a file nor a folder; remove it")
        yield from (here / name for name in names if here / name != folder / MANIFEST)


def _require_no_empty_folder(folder: Path) -> None:
    """Raise CorruptArtefact naming a folder without a file, which no manifest can list."""
    for place, folders, names in os.walk(folder):
        if not folders and not names and Path(place) != folder:
            raise CorruptArtefact(f"{place}: a folder that the manifest does not know; remove it")


def _measure(path: Path) -> tuple[int, str]:
    """A file's size and sha256, of the same open file. Raises CorruptArtefact naming it."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CorruptArtefact(f"{path}: cannot be read ({error.strerror})") from None


@dataclass(frozen=True)
class Artefact:
    """One version of one asset: its key, version, derivation, folder and manifest."""

    key: str
    version: str
    derivation: str
    folder: Path
    files: Mapping[str, Entry]

    kind: ClassVar[str] = "artefact"

    def read(self, name: str) -> bytes:
        """The bytes of one file, hashed first. Raises CorruptArtefact naming the file."""
        path = self._listed(name)
        try:
            content = read_regular(path)
        except OSError as error:
            raise CorruptArtefact(f"{path}: cannot be read ({error.strerror})") from None
        self._compare(name, len(content), hashlib.sha256(content).hexdigest())
        return content

    def json(self, name: str) -> Any:
        """One file as JSON, its bytes hashed first."""
        return json.loads(self.read(name))

    def table(self, name: str) -> ArrowFile:
        """One table, opened by the checksums in ``tables.json``: each record batch is checked as it
        is read, so a large one need not be hashed whole first."""
        from pipelines.text.arrow import ArrowFile
        from pipelines.text.tables import TABLES, read_index

        self._listed(name)
        return ArrowFile(self.folder, read_index(self.read(TABLES))[name])

    def verify(self) -> None:
        """Hash every file; a missing, extra or changed one raises CorruptArtefact.

        So does a link, a pipe or an empty folder.
        """
        present = {path.relative_to(self.folder).as_posix() for path in _files_in(self.folder)}
        for name in sorted(present ^ set(self.files)):
            wrong = "not in the manifest" if name in present else "missing"
            raise CorruptArtefact(f"{self.folder / name}: {wrong}; remove {self._mend}")
        _require_no_empty_folder(self.folder)
        for name in self.files:
            self._compare(name, *_measure(self.folder / name))

    def remark(self) -> str:
        """What a run's line should say of it besides; empty for nothing."""
        return ""

    def figures(self) -> dict[str, float]:
        """The numbers that were measured on it, for the tracker and the report."""
        found: dict[str, float] = self.json(FIGURES) if FIGURES in self.files else {}
        return found

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return sum(entry.size for entry in self.files.values())

    @property
    def _mend(self) -> str:
        return f"{self.folder} and run again"

    def _listed(self, name: str) -> Path:
        if name not in self.files:
            raise CorruptArtefact(f"{self.folder}: the manifest lists no {name}")
        path = self.folder / name
        for above in path.parents:
            if above == self.folder:
                return path
            if above.is_symlink():
                raise CorruptArtefact(f"{above}: a link, where a folder has to be; remove it")
        raise AssertionError(f"{name} lies outside its artefact")  # the manifest was checked

    def _compare(self, name: str, size: int, sha256: str) -> None:
        entry = self.files[name]
        if size != entry.size:
            raise CorruptArtefact(
                f"{self.key}: {self.folder / name}: {size} bytes, the manifest says {entry.size};"
                f" remove {self._mend}"
            )
        if sha256 != entry.sha256:
            raise CorruptArtefact(
                f"{self.key}: {self.folder / name}: sha256 is {sha256[:12]}, the manifest says"
                f" {entry.sha256[:12]}; remove {self._mend}"
            )


class RawText(Artefact):
    """Documents as their source gave them: ``documents.arrow``; rows that are none, and why."""

    kind = "arrow"
    TABLE: ClassVar[str] = "documents.arrow"
    UNREAD: ClassVar[str] = "unread.arrow"

    def documents(self) -> Iterator[Document]:
        """All documents in the source's order."""
        from pipelines.text.tables import read_documents

        return read_documents(self.table(self.TABLE))

    def unread(self) -> Iterator[Unread]:
        """The rows that were left out since they are no documents, in the source's order."""
        from pipelines.text.tables import read_unread

        if self.UNREAD not in self.files:  # of a version made before they were kept
            return iter(())
        return read_unread(self.table(self.UNREAD))

    def remark(self) -> str:
        """How many rows were left out, and for what reasons."""
        figures = self.figures()
        reasons = {
            name.removeprefix("dropped_"): int(count)
            for name, count in figures.items()
            if name.startswith("dropped_")
        }
        told = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
        count = sum(reasons.values())
        return f"{count:,} bad row{'s' * (count > 1)} left out: {told}" if count else ""


class Documents(Artefact):
    """Clean documents, each once, one Arrow file a split, and the ledger of what was dropped."""

    kind = "arrow"

    def split(self, name: str) -> Iterator[Document]:
        """The documents of ``train``, ``validation`` or ``test``."""
        from pipelines.text.tables import read_documents

        return read_documents(self.table(f"{name}.arrow"))

    def training_texts(self, left_out: frozenset[str] = frozenset()) -> Iterator[str]:
        """The texts of the training split, but those of some documents."""
        return (d.text for d in self.split("train") if d.id not in left_out)

    def dropped(self) -> Iterator[DroppedRow]:
        """The documents that were left out: why, and the start of each."""
        from pipelines.text.documents import DROPPED, read_dropped

        return read_dropped(self.table(DROPPED))

    def ledger(self) -> Ledger:
        """What went in, what was kept in each split, what was dropped and why."""
        return Ledger.from_json(self.read(LEDGER))

    def figures(self) -> dict[str, float]:
        """The ledger's counts."""
        ledger = self.ledger()
        return {
            "documents_in": ledger.documents_in,
            "documents_kept": ledger.kept.total(),
            "bytes_kept": ledger.bytes_kept.total(),
            **{f"dropped_{reason}": n for reason, n in sorted(ledger.dropped.items())},
        }


class Contamination(Artefact):
    """Training documents that share words in a row with what the model is evaluated on."""

    kind = "arrow"

    def overlaps(self) -> Iterator[Overlapping]:
        """Pairs of a training document and an evaluation text."""
        from pipelines.text.decontamination import OVERLAPS, read_overlaps

        return read_overlaps(self.table(OVERLAPS))

    def left_out(self) -> dict[str, frozenset[str]]:
        """The ids of the training documents that share words, by corpus."""
        found: dict[str, set[str]] = {}
        for row in self.overlaps():
            found.setdefault(row.corpus, set()).add(row.document_id)
        return {corpus: frozenset(ids) for corpus, ids in found.items()}


class TokenizerFiles(Artefact):
    """A tokenizer: its ranks in tiktoken's format and its control tokens."""

    kind = "tiktoken"

    def load(self) -> Tokenizer:
        """Ready to encode and decode."""
        from pipelines.text.tokenizers import load_tokenizer

        return load_tokenizer(self.read)


class TokenShards(Artefact):
    """Token ids by split and corpus, with document boundaries and ids."""

    kind = "arrow"
    KEPT_BYTES: ClassVar[int] = 1 << 30
    """That the streams of a split keep in memory; what is beyond is read and checked each time."""

    def corpora(self, split: str) -> dict[str, list[Shard]]:
        """A split's shards by corpus; each checks a record batch as it is read."""
        from pipelines.text.shards import Shard

        found: dict[str, list[Shard]] = {}
        for entry in self._index():
            if entry.split == split:
                self._listed(entry.file.path)
                found.setdefault(entry.corpus, []).append(Shard(self.folder, entry))
        return found

    def streams(self, split: str) -> dict[str, TokenStream]:
        """A split's tokens by corpus, documents end to end, each piece checked as it is read."""
        from model.batches.streams import TokenStream

        corpora = self.corpora(split)
        keep = self._pieces_kept(split)
        return {corpus: TokenStream(_pieces(shards), keep) for corpus, shards in corpora.items()}

    def stream(self, split: str, end_of_text: int) -> TokenStream:
        """A split's tokens over all corpora behind one end of text, so that the first is asked too.

        Raises ValueError for a split without text.
        """
        import torch

        from model.batches.streams import Piece, TokenStream

        if not self.text_bytes(split):
            raise ValueError(f"the {split} split has no document; add documents or raise its share")
        pieces: list[Tensor | Piece] = [torch.tensor([end_of_text], dtype=torch.int64)]
        for shards in self.corpora(split).values():
            pieces += _pieces(shards)
        return TokenStream(pieces, self._pieces_kept(split))

    def tokens(self, split: str) -> npt.NDArray[Any]:
        """A split's tokens over all corpora in one row, copied."""
        import numpy as np

        pieces = [
            shard.tokens(number)
            for shards in self.corpora(split).values()
            for shard in shards
            for number in range(len(shard))
        ]
        return np.concatenate(pieces)

    def summaries(self) -> Rows:
        """Per split and corpus: documents, tokens and UTF-8 bytes of text."""
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        for entry in self._index():
            row = rows.setdefault(
                (entry.split, entry.corpus),
                {
                    "split": entry.split,
                    "corpus": entry.corpus,
                    "documents": 0,
                    "tokens": 0,
                    "text_bytes": 0,
                },
            )
            row["documents"] += entry.file.rows
            row["tokens"] += sum(entry.tokens)
            row["text_bytes"] += entry.text_bytes
        return list(rows.values())

    def text_bytes(self, split: str) -> int:
        """UTF-8 bytes of a split's text: the denominator of bits per byte."""
        return sum(row["text_bytes"] for row in self.summaries() if row["split"] == split)

    def _pieces_kept(self, split: str) -> int:
        """How many record batches a stream may keep: together they fit in ``KEPT_BYTES``."""
        shards = [entry for entry in self._index() if entry.split == split]
        longest = max((b.length for entry in shards for b in entry.file.batches), default=1)
        corpora = len({entry.corpus for entry in shards})
        return max(1, self.KEPT_BYTES // (longest * max(corpora, 1)))

    def _index(self) -> list[ShardEntry]:
        from pipelines.text.shards import INDEX, read_index

        return read_index(self.read(INDEX))[1]


def _pieces(shards: Iterable[Shard]) -> list[DocumentPiece]:
    """A piece a record batch, read and checked when it is asked for."""
    import torch

    from model.batches.streams import DocumentPiece

    def view(array: npt.NDArray[Any]) -> Tensor:
        with warnings.catch_warnings():
            # torch has no read-only tensors and says so; a stream is only ever read.
            warnings.simplefilter("ignore", UserWarning)
            return torch.from_numpy(array)

    def piece(shard: Shard, number: int, length: int) -> DocumentPiece:
        return DocumentPiece(
            length,
            load=lambda: view(shard.tokens(number)),
            bounds=lambda: view(shard.offsets(number)),
        )

    return [
        piece(shard, number, length)
        for shard in shards
        for number, length in enumerate(shard.entry.tokens)
    ]


class Examples(Artefact):
    """A task's examples by split: prompt/reply pairs, or labelled texts."""

    kind = "arrow"

    def pairs(self, split: str, left_out: frozenset[str] = frozenset()) -> Iterator[Pair]:
        """An assistant task's examples of a split, but those from some documents."""
        from pipelines.text.examples import read_pairs

        found = read_pairs(self.table(f"{split}.arrow"))
        return (pair for pair in found if pair.document_id not in left_out)

    def labelled(self, split: str, left_out: frozenset[str] = frozenset()) -> Iterator[Labelled]:
        """A classifier task's examples of a split, but those from some documents."""
        from pipelines.text.examples import read_labelled

        found = read_labelled(self.table(f"{split}.arrow"))
        return (row for row in found if row.document_id not in left_out)

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """Any task's examples as mappings, for a look."""
        for batch in self.table(f"{split}.arrow").batches():
            yield from batch.to_pylist()


class Weights(Artefact):
    """Weights that were trained elsewhere and what came with them, file by file as they came."""

    kind = "external"
    FOLDER: ClassVar[str] = "files"

    def names(self) -> list[str]:
        """The files' own names."""
        lead = f"{self.FOLDER}/"
        return [name.removeprefix(lead) for name in self.files if name.startswith(lead)]

    def content(self, name: str) -> bytes:
        """The bytes of one of them, hashed first."""
        return self.read(f"{self.FOLDER}/{name}")


class Checkpoint(Artefact):
    """Weights (safetensors), the network's configuration and its training curve."""

    kind = "safetensors"

    def config(self) -> dict[str, Any]:
        """``architecture``, ``network``, ``tokenizer`` (key and version), a head's ``labels``."""
        found: dict[str, Any] = self.json("config.json")
        return found

    def tensors(self) -> dict[str, Tensor]:
        """The weights; the bytes that were hashed are the bytes that are parsed."""
        from safetensors.torch import load

        tensors: dict[str, Tensor] = load(self.read("model.safetensors"))
        return tensors

    def trained(self) -> bool:
        """Whether any step was taken here; weights that came as they are have no curve."""
        return bool(self.curve()["train"])

    def drawn(self) -> dict[str, dict[str, float]]:
        """What training drew from each corpus: windows, tokens, epochs; empty if it had none."""
        found = self.json("drawn.json") if "drawn.json" in self.files else {}
        return dict(found)

    def curve(self) -> dict[str, list[list[float]]]:
        """``train`` and ``validation``: [step, loss] pairs."""
        found: dict[str, list[list[float]]] = self.json("curve.json")
        return found


class WordVectors(Checkpoint):
    """A checkpoint of word2vec and the words that have a vector, by id: ``words.json``."""

    def words(self) -> list[str]:
        """The words in the order of their ids, the most frequent first."""
        return list(self.counts())

    def counts(self) -> dict[str, int]:
        """How often each word stands in the training documents."""
        return dict(self.json("words.json"))

    def vectors(self) -> Tensor:
        """(words, d_model), a row a word: the vectors that were given, not those foretold."""
        return self.tensors()["given.weight"]


class Evaluation(Artefact):
    """Figures against baselines, and what there is to read or look at beside them."""

    kind = "evaluation"

    def comparison(self) -> dict[str, Any]:
        """``measure``, ``better`` (lower or higher), ``ours`` and the ``baselines`` by name."""
        found: dict[str, Any] = self.json("comparison.json")
        return found

    def best_baseline(self) -> tuple[str, float]:
        """The baseline that is hardest to beat."""
        comparison = self.comparison()
        best = min if comparison["better"] == "lower" else max
        name: str = best(comparison["baselines"], key=comparison["baselines"].get)
        return name, comparison["baselines"][name]

    def samples(self) -> list[dict[str, str]]:
        """What the model wrote, each behind its prompt."""
        found = self.json("samples.json") if "samples.json" in self.files else []
        order = ("prompt", "source", "continuation", "translation", "reply", "person", "reference")
        return [{name: sample[name] for name in order if name in sample} for sample in found]

    def tables(self) -> dict[str, Rows]:
        """Tables to read, by title."""
        return {
            title: [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
            for title, found in self._shown(TABLES).items()
        }

    def curves(self) -> dict[str, dict[str, Any]]:
        """By title: the axes' labels ``x`` and ``y``, and ``lines`` of [x, y] pairs by name."""
        return self._shown("curves.json")

    def heatmaps(self) -> dict[str, dict[str, Any]]:
        """By title: the labels of ``rows`` and ``columns``, and ``values``, a list a row."""
        return self._shown("heatmaps.json")

    def map(self) -> Rows:
        """Points of a map: ``name``, ``x``, ``y`` and the ``group`` each belongs to."""
        return self._shown("map.json").get("points", [])

    def _shown(self, name: str) -> dict[str, Any]:
        return dict(self.json(name)) if name in self.files else {}

    def confusion(self) -> tuple[list[list[int]], list[str]] | None:
        """The confusion matrix and its labels, for a classifier."""
        if "confusion.json" not in self.files:
            return None
        found = self.json("confusion.json")
        return found["matrix"], found["labels"]


class Report(Artefact):
    """One self-contained page about a recipe: ``report.html``."""

    kind = "html"

    def page(self) -> str:
        """The page, without what the records say of times."""
        return self.read("report.html").decode()


VIEWS: dict[str, type[Artefact]] = {
    "raw_text": RawText,
    "documents": Documents,
    "contamination": Contamination,
    "tokenizer": TokenizerFiles,
    "token_shards": TokenShards,
    "foundation": Checkpoint,
    "weights": Weights,
    "examples": Examples,
    "assistant": Checkpoint,
    "classifier": Checkpoint,
    "translator": Checkpoint,
    "domain": Checkpoint,
    "word_vectors": WordVectors,
    "evaluation": Evaluation,
    "report": Report,
}


def view_of(key: str) -> type[Artefact]:
    """The view that a key's artefacts are read through, from its first part."""
    return VIEWS.get(key.split("/")[0], Artefact)
