"""The assets of a recipe as a report sees them."""

from __future__ import annotations

from pathlib import Path

from pipelines.report.chain import Chain
from pipelines.report.options import Page, Part
from pipelines.tokens.artefacts import TokenShards
from pipelines.training.artefacts import Checkpoint, KeptStates


class Shards(TokenShards):
    def summaries(self) -> list[dict[str, object]]:
        return [{"corpus": "talk"}]


class Untold(Checkpoint):
    def drawn(self) -> dict[str, dict[str, float]]:
        return {"talk": {"epochs": 1.5}}


def test_a_model_behind_the_states_of_its_training_has_read_the_corpus() -> None:
    reads = {
        "token_shards": (),
        "foundation_states": ("token_shards",),
        "foundation": ("foundation_states",),
    }
    parts = tuple(
        Part(title=title, reads=inputs, settings="{}", origin="") for title, inputs in reads.items()
    )
    views = {"token_shards": Shards, "foundation_states": KeptStates, "foundation": Untold}
    artefacts = {title: view(title, "", "", Path(), {}) for title, view in views.items()}
    chain = Chain(Page(description="", parts=parts), artefacts)
    assert list(chain.uses("talk")) == ["Foundation model (read 1.50 times)"]
