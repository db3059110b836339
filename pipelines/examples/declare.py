"""``<corpus>/<task>_examples``: the examples of a task, shared by all recipes with this task."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.core.declaration import Declaration, listed
from pipelines.core.stanza import Strict
from pipelines.examples.artefacts import Examples
from pipelines.examples.options import ChatsTaken, LabelsTaken, PairsTaken, PreferencesTaken

MAKINGS: dict[type[Strict], str] = {
    PairsTaken: "pipelines.examples.pairs:take",
    ChatsTaken: "pipelines.examples.chats:take",
    PreferencesTaken: "pipelines.examples.preferences:take",
    LabelsTaken: "pipelines.examples.labelled:take",
}


def examples(task: str, corpus: str, settings: Strict) -> Iterator[Declaration]:
    """A task's examples, taken from a corpus."""
    yield Declaration(
        key=f"{corpus}/{task}_examples",
        makes=Examples,
        making=MAKINGS[type(settings)],
        inputs={"documents": f"{corpus}/documents"},
        settings=settings,
        libraries=("pyarrow",),
        group="corpora",
        about=f"{_about(settings)} from the documents of {corpus}, for the task {task}.",
    )


def _about(settings: Strict) -> str:
    if isinstance(settings, LabelsTaken):
        return f"Texts labelled {listed(settings.names())}"
    if isinstance(settings, ChatsTaken):
        return "Conversations and the replies of the assistant in them"
    if isinstance(settings, PreferencesTaken):
        return "Pairs of a chosen and a rejected reply, with the turns before them,"
    assert isinstance(settings, PairsTaken)
    turns = settings.context_turns
    before = "the turn" if turns == 1 else f"up to {turns} turns"
    return f"Pairs of a reply and {before} before it"
