"""An edit makes anew what hangs on the edited code, and nothing else.

The rows name kinds of assets by their makings, with the architecture where there are several.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.core import identity
from pipelines.core.declaration import Declaration
from pipelines.core.identity import code_fingerprint
from pipelines.recipe.loading import load_recipes
from pipelines.stages import declare

ROOT = Path(__file__).parents[2]
SHORT = {
    "pipelines.corpora.raw_text:read": "raw text",
    "pipelines.corpora.documents:clean": "documents",
    "pipelines.corpora.overlaps:find": "contamination",
    "pipelines.index.building:build": "index",
    "pipelines.tokens.training:make": "tokenizer",
    "pipelines.tokens.shards:encode": "shards",
    "pipelines.examples.pairs:take": "pairs",
    "pipelines.examples.chats:take": "chats",
    "pipelines.examples.preferences:take": "preferences",
    "pipelines.examples.labelled:take": "labelled",
    "pipelines.training.pretraining:pretrain": "foundation",
    "pipelines.evaluation.foundation:evaluate": "foundation's evaluation",
    "pipelines.interop.fetching:fetch": "weights",
    "pipelines.interop.vocabulary:take": "taken tokenizer",
    "pipelines.interop.network:take": "taken foundation",
    "pipelines.word_vectors.training:train": "word vectors",
    "pipelines.word_vectors.evaluation:evaluate": "vectors' evaluation",
    "pipelines.attention_ladder.evaluation:evaluate": "ladder",
    "pipelines.tasks.assistant.training:train": "assistant",
    "pipelines.tasks.assistant.evaluation:evaluate": "assistant's evaluation",
    "pipelines.tasks.classifier.training:train": "classifier",
    "pipelines.tasks.classifier.evaluation:evaluate": "classifier's evaluation",
    "pipelines.tasks.translation.training:train": "translator",
    "pipelines.tasks.translation.evaluation:evaluate": "translator's evaluation",
    "pipelines.tasks.domain.training:train": "domain",
    "pipelines.tasks.domain.evaluation:evaluate": "domain's evaluation",
    "pipelines.tasks.preference.reference:read": "reference",
    "pipelines.tasks.preference.training:train": "preferring",
    "pipelines.tasks.preference.evaluation:evaluate": "preferring's evaluation",
    "pipelines.report.making:write": "report",
}
LEARNED = {"foundation", "bert's foundation", "translator", "assistant", "classifier", "domain",
           "preferring"}  # fmt: skip
BESIDE = {"word vectors", "ladder"}
PREFERRING = {"reference", "preferring", "preferring's evaluation"}
ON_GPT = {*PREFERRING, "foundation", "taken foundation",
          "foundation's evaluation", "ladder", "domain",
          "domain's evaluation", "assistant", "assistant's evaluation", "classifier",
          "classifier's evaluation", "translator's evaluation"}  # fmt: skip
ON_BERT = {"bert's foundation", "bert's foundation's evaluation"}
EVALUATIONS = {"preferring's evaluation", "foundation's evaluation",
               "bert's foundation's evaluation", "ladder",
               "vectors' evaluation", "assistant's evaluation", "classifier's evaluation",
               "translator's evaluation", "domain's evaluation"}  # fmt: skip
REQUESTS = {"raw text: generated, requests", "raw text: choices, generated"}
OF_FILES = {"raw text: folder", "raw text: package"}
DOCUMENTS = {"documents", "books' documents", "pairs' documents"}
TRANSLATOR = {"translator", "translator's evaluation"}
EDITS: dict[str, tuple[str, str, str, set[str]]] = {
    "a cleaning step": (
        "pipelines/corpora/cleaning/steps/gutenberg.py", "START", "BEGIN", {"books' documents"},
    ),
    "a step of many corpora": (
        "pipelines/corpora/cleaning/steps/length.py", "short", "brief",
        {"documents", "books' documents"},
    ),
    "a step of every corpus": (
        "pipelines/corpora/cleaning/steps/duplicates.py", "duplicate", "double", DOCUMENTS,
    ),
    "a step of no corpus": ("pipelines/corpora/cleaning/steps/c4.py", "lorem", "ipsum", set()),
    "a writer of text": (
        "pipelines/corpora/generators/translations.py", "share", "part",
        {"raw text: generated, translations", *REQUESTS},
    ),
    "another writer of text": (
        "pipelines/corpora/generators/messages.py", "SPAM", "JUNK",
        {"raw text: generated, messages"},
    ),
    "a kind of source": (
        "pipelines/corpora/sources/kinds/folder.py", "at_rest", "resting", {"raw text: folder"},
    ),
    "the format of a file": (
        "pipelines/corpora/sources/rows.py", "csv", "tsv",
        OF_FILES,
    ),
    "how records become documents": (
        "pipelines/corpora/sources/records.py", "messages", "talks",
        OF_FILES,
    ),
    "the hub's reader": ("pipelines/corpora/sources/hub.py", "256", "257", set()),
    "where weights are from": (
        "pipelines/interop/kinds/hub.py", "cache", "kept", set(),
    ),
    "how places are sorted": (
        "pipelines/index/building.py", "<< 20", "<< 21", {"index"},
    ),
    "how checked blocks are read": ("pipelines/text/blocks.py", "4096", "8192", {"index"}),
    "the BPE trainer": (
        "pipelines/tokens/tokenizers/bpe_training.py", "256", "257", {"tokenizer"},
    ),
    "the shard writer": ("pipelines/tokens/shard_rows.py", "1 << 18", "1 << 17", {"shards"}),
    "the https client": (
        "pipelines/corpora/sources/https.py", "timeout", "patience", {"tokenizer"},
    ),
    "published ranks": ("pipelines/tokens/tokenizers/openai.py", "gpt2", "gpt3", {"tokenizer"}),
    "the decoder": ("model/architectures/gpt/network.py", "0.02", "0.03", ON_GPT),
    "the encoder": ("model/architectures/bert/network.py", "0.02", "0.03", ON_BERT),
    "the encoder-decoder": (
        "model/architectures/encoder_decoder/network.py", "0.02", "0.03", TRANSLATOR,
    ),
    "the loop": ("model/training/loop.py", "steps", "paces", LEARNED | BESIDE),
    "what frozen blocks keep": ("model/training/prefix.py", "LIMIT", "MOST", LEARNED | BESIDE),
    "how a network is adapted": (
        "pipelines/training/adapting.py", "attention", "heed",
        {"assistant", "classifier", "domain", "preferring"},
    ),
    "the optimizer": ("model/training/optim.py", "4.7750", "4.7751", LEARNED | BESIDE),
    "one task's options": (
        "pipelines/tasks/translation/options.py", "beams", "rays", TRANSLATOR,
    ),
    "one task's evaluation": (
        "pipelines/tasks/classifier/evaluation.py", "test", "trial", {"classifier's evaluation"},
    ),
    "what labels are scored by": (
        "pipelines/evaluation/labels.py", "macro", "mean", {"classifier's evaluation"},
    ),
    "what replies are seen of": (
        "pipelines/evaluation/replies.py", "count", "number",
        {"assistant's evaluation", "preferring's evaluation"},
    ),
    "one task's reference": (
        "pipelines/tasks/preference/reference.py", "replies of", "answers of",
        {"reference", "preferring's evaluation"},
    ),
    "pairs as batches": (
        "pipelines/training/chats.py", "by_length", "sorted",
        {"assistant", "assistant's evaluation"},
    ),
    "labelled texts as batches": (
        "pipelines/training/labelled.py", "split has", "part has",
        {"classifier", "classifier's evaluation"},
    ),
    "what lies near a word": (
        "pipelines/word_vectors/neighbours.py", "-2.0", "-3.0", {"vectors' evaluation"},
    ),
    "what evaluations write": (
        "pipelines/evaluation/findings.py", ".json", ".js", EVALUATIONS | {"report"},
    ),
    "the baselines": (
        "pipelines/evaluation/baselines.py", "lzma", "zip",
        {"foundation's evaluation", "bert's foundation's evaluation", "classifier's evaluation",
         "translator's evaluation"},
    ),
    "which points of a sweep are stopped": (
        "pipelines/sweeps/stopping.py", "WIDTH", "BREADTH", set(),
    ),
    "the report": ("pipelines/report/page.py", "section", "part", {"report"}),
    "pictures": ("pipelines/report/pictures.py", "color", "colour", {"report"}),
    "the tracker": ("pipelines/core/tracking/run.py", "500", "501", set()),
    "the store": ("pipelines/core/records.py", "records", "notes", set()),
    "Dagster's door": ("pipelines/orchestration/assets.py", "reused", "used", set()),
    "the command line": ("pipelines/cli/run.py", "recipe", "receipt", set()),
    "what a person does with a task": (
        "pipelines/tasks/assistant/__init__.py", "Talk to it", "Speak to it", set(),
    ),
    "how tasks are called": ("pipelines/tasks/__init__.py", "--task", "--the-task", set()),
    "a comment": ("model/training/loop.py", "# ", "# Then: ", set()),
}  # fmt: skip


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """``edit(file, old, new)``: from now on one file of the project reads so."""
    read = Path.read_text

    def edit(file: str, old: str, new: str) -> None:
        place = ROOT / file
        assert old in read(place)

        def edited(path: Path, *args: str, **kwargs: str) -> str:
            text = read(path, *args, **kwargs)
            return text.replace(old, new) if path == place else text

        monkeypatch.setattr(Path, "read_text", edited)
        identity.forget_code()

    return edit


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    identity.forget_code()


def name_of(declared: Declaration) -> str:
    """The kind of an asset, with what it uses where that tells two of a kind apart."""
    name = SHORT[declared.making]
    used = {entry for entries in declared.uses.values() for entry in entries}
    if name == "raw text":
        return f"{name}: {', '.join(sorted(used))}"
    if name == "documents" and "duplicates" not in used:
        return f"plain {name}"
    if name == "documents":
        return "books' " * ("gutenberg" in used) + "pairs' " * ("length" not in used) + name
    return "bert's " * (used == {"bert"}) + name


@pytest.fixture(scope="module")
def codes() -> Callable[[], dict[str, str]]:
    """The code of every kind of asset that the shipped recipes declare."""
    declared = {}
    recipes = load_recipes(ROOT / "recipes")
    for one in declare(list(recipes.values())):
        declared[name_of(one)] = one.making.partition(":")[0], one.uses
    assert {re.sub(r"^(bert's|books'|pairs'|plain) |:.*", "", name) for name in declared} == {
        *SHORT.values()
    }
    return lambda: {name: code_fingerprint(*told) for name, told in declared.items()}


@pytest.mark.parametrize(("file", "old", "new", "anew"), EDITS.values(), ids=EDITS)
def test_an_edit_makes_anew_what_hangs_on_it(
    file: str, old: str, new: str, anew: set[str], codes: Callable[[], dict[str, str]],
    edit: Callable[[str, str, str], None],
) -> None:  # fmt: skip
    before = codes()
    edit(file, old, new)
    assert {name for name, code in codes().items() if code != before[name]} == anew
