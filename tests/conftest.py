"""What the tests share: the whole chain, run once on ``tiny`` into a store of its own."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# Before torch is imported, and for every child: on networks this small a second thread only waits,
# and where other work shares the cores it waits for minutes.
os.environ["OMP_NUM_THREADS"] = "1"
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So a shell starts a command in the background. The children of the tests would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.pop("MLFLOW_TRACKING_URI", None)  # the tests track into their own folders

import pytest
from hypothesis import settings

from pipelines.core.project import CHECKOUT, Project
from pipelines.core.store import Store
from pipelines.core.tracking import Tracker
from pipelines.corpora.generators.dialogues import dialogue
from pipelines.tokens.tokenizers import BytePairTokenizer
from pipelines.tokens.tokenizers.bpe_training import train_bpe
from pipelines.tokens.tokenizers.openai import gpt2

# A busy machine is no fault of the code.
settings.register_profile("dragon", deadline=None)
settings.load_profile("dragon")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--share",
        type=share,
        metavar="K/N",
        help="of the chosen tests every Nth, from the Kth (from 0) on",
    )


def share(text: str) -> slice:
    """``1/5`` as the tests that it stands for."""
    first, _, step = text.partition("/")
    if not (first.isdecimal() and step.isdecimal() and int(first) < int(step)):
        raise argparse.ArgumentTypeError(f"{text}: give K/N with K below N, such as 0/5")
    return slice(int(first), None, int(step))


@pytest.hookimpl(trylast=True)  # after -m and -k have chosen
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = config.getoption("share")
    if chosen is not None:
        kept = items[chosen]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


COMMAND = "from pipelines.cli.main import run; run()"


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def fault(self) -> str:
        """The one line that a failed command says on stderr."""
        assert self.code not in (0, None), self.out
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


@dataclass(frozen=True)
class Place:
    """A home and a store, and the command line in them."""

    home: Path
    root: Path

    @property
    def store(self) -> Store:
        return Store(self.root)

    @property
    def project(self) -> Project:
        return Project(CHECKOUT, self.home, self.root)

    @property
    def environment(self) -> dict[str, str]:
        return {"DRAGON_HOME": str(self.home), "DRAGON_STORE": str(self.root)}

    def dragon(self, *arguments: str, stdin: str | bytes = "") -> Said:
        """The command line in this process."""
        from pipelines.cli.main import run

        out, err, code = io.StringIO(), io.StringIO(), 0
        with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            patch.setenv("DAGSTER_HOME", str(self.home / "dagster"))
            patch.setattr(sys, "argv", ["dragon", *arguments])
            given = stdin.encode() if isinstance(stdin, str) else stdin
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stdout(out))
            stack.enter_context(contextlib.redirect_stderr(err))
            stack.enter_context(_quiet_again())
            try:
                run()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
                print(end.code if isinstance(end.code, str) else "", end="", file=err)
        return Said(code, out.getvalue(), err.getvalue())

    def start(self, *arguments: str, first: str = "") -> subprocess.Popen[str]:
        """The command line in a process of its own, its output in pipes; ``first`` runs before."""
        return subprocess.Popen(
            [sys.executable, "-c", f"{first}\n{COMMAND}", *arguments],
            cwd=CHECKOUT,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@contextlib.contextmanager
def _quiet_again() -> Iterator[None]:
    """The command line lets the logger speak; caplog needs it as it was."""
    logger = logging.getLogger("dragon")
    before = logger.level, logger.propagate, list(logger.handlers)
    try:
        yield
    finally:
        logger.level, logger.propagate, logger.handlers = before


@dataclass(frozen=True)
class Chain(Place):
    """Where ``tiny`` was run, and what that said. To be read, never changed."""

    said: Said


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """``dragon run tiny``, once for all tests."""
    folder = tmp_path_factory.mktemp("chain")
    place = Place(folder / "home", folder / "store")
    said = place.dragon("run", "tiny")
    assert said.code == 0, said.out + said.err
    assert Tracker(place.project.mlflow).settle(120)
    return Chain(place.home, place.root, said)


@pytest.fixture
def copy(chain: Chain, tmp_path: Path) -> Chain:
    """A store like the chain's that a test may change."""
    shutil.copytree(chain.root, tmp_path / "store", symlinks=True)
    return replace(chain, root=tmp_path / "store")


@pytest.fixture(scope="session")
def home(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home for short runs; making Dagster's and MLflow's tables takes longer than they do."""
    return Path(shutil.copytree(chain.home, tmp_path_factory.mktemp("short") / "home"))


@pytest.fixture
def place(home: Path, tmp_path: Path) -> Place:
    """An empty store."""
    return Place(home, tmp_path / "store")


@pytest.fixture
def fresh(tmp_path: Path) -> Place:
    """Neither a home nor a store yet."""
    return Place(tmp_path / "home", tmp_path / "store")


SMALLER = """\
description: smaller still
seed: 3
corpora:
  talk:
    source: {kind: generated, generator: dialogues, documents: 300, seed: 5}
    split: {validation: 0.1, test: 0.1}
tokenizer: {kind: bpe, vocab_size: 300}
model: {architecture: gpt, preset: modern, d_model: 16, n_layers: 1, n_heads: 1, context_length: 16}
training: {steps: 12, batch_size: 4, precision: fp32, validate_every: 6, checkpoint_every: 4}
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a recipe smaller than tiny, with (old, new) pieces of its text exchanged."""

    def write(*changes: tuple[str, str], name: str = "smaller") -> Path:
        text = SMALLER
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def smaller(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that holds the smaller recipe's data, once for all tests. To be read."""
    folder = tmp_path_factory.mktemp("smaller")
    (folder / "smaller.yaml").write_text(SMALLER, encoding="utf-8")
    place = Place(home, folder / "store")
    said = place.dragon("run", str(folder / "smaller.yaml"), "--select", "smaller/token_shards")
    assert said.code == 0, said.out + said.err
    return place.root


@pytest.fixture
def made(smaller: Path, home: Path, tmp_path: Path) -> Place:
    """A store with the smaller recipe's data, to be changed."""
    return Place(home, Path(shutil.copytree(smaller, tmp_path / "made", symlinks=True)))


# Text, reference data and small tokenizers

REFERENCE = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def reference() -> Path:
    if not REFERENCE.is_dir():
        pytest.skip(f"reference data absent: {REFERENCE}")
    return REFERENCE


@pytest.fixture(scope="session")
def openai(reference: Path) -> BytePairTokenizer:
    """GPT-2's own tokenizer, from OpenAI's files."""
    folder = reference / "bpe"
    return gpt2((folder / "encoder.json").read_bytes(), (folder / "vocab.bpe").read_bytes())


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return [dialogue(7, index)[0] for index in range(300)]


@pytest.fixture(scope="session")
def small(texts: list[str]) -> BytePairTokenizer:
    return train_bpe(texts, 512)


SPECIALS = ("</s>", "<s>", "<unk>", "[SEP]", "[UNK]")


@pytest.fixture(scope="session")
def tokenizer_files(texts: list[str]) -> dict[str, bytes]:
    """A ``tokenizer.json`` of each model that Hugging Face's library has, by the model's name."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    split, byte_level = pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(False)
    letters, named = pre_tokenizers.ByteLevel.alphabet(), list(SPECIALS)
    known: dict[str, Any] = {"vocab_size": 600, "special_tokens": named, "show_progress": False}
    made = {
        "BPE": Tokenizer(models.BPE()),
        "Unigram": Tokenizer(models.Unigram()),
        "WordPiece": Tokenizer(models.WordPiece(unk_token="[UNK]")),
        "WordLevel": Tokenizer(models.WordLevel(unk_token="<unk>")),
    }
    made["BPE"].pre_tokenizer, made["BPE"].decoder = byte_level, decoders.ByteLevel()
    made["Unigram"].pre_tokenizer = pre_tokenizers.Metaspace()
    made["Unigram"].normalizer, made["Unigram"].decoder = normalizers.NFKC(), decoders.Metaspace()
    made["WordPiece"].pre_tokenizer, made["WordPiece"].decoder = split, decoders.WordPiece()
    made["WordLevel"].pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    with_letters = {**known, "initial_alphabet": letters}
    made["BPE"].train_from_iterator(texts, trainers.BpeTrainer(**with_letters))
    made["Unigram"].train_from_iterator(texts, trainers.UnigramTrainer(unk_token="<unk>", **known))
    made["WordPiece"].train_from_iterator(texts, trainers.WordPieceTrainer(**known))
    made["WordLevel"].train_from_iterator(texts, trainers.WordLevelTrainer(**known))
    return {name: tokenizer.to_str().encode() for name, tokenizer in made.items()}
