"""A training that begins anew beside an earlier one says why, in one line."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.core.store import Store
from pipelines.training import replay
from pipelines.training.artefacts import KeptStates
from tests.lineage.made_up import MadeUp, plain

KEY = "one/foundation_states"


def begin(store: Store, decides: Any, caplog: pytest.LogCaptureFixture) -> str:
    work = SimpleNamespace(load_checkpoint=lambda: None)
    making: Any = SimpleNamespace(work=work, key=KEY, decides=decides)
    declared: Any = SimpleNamespace(makes=KeptStates, key=KEY)
    caplog.clear()
    with caplog.at_level("INFO", logger="dragon.training"):
        replay.begin(declared, making, {}, store)
    return caplog.text


def test_the_reason_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = MadeUp(tmp_path)
    assert begin(made.store, {"inputs": {}}, caplog) == ""  # the first training
    tokenizer = made.publish("one/tokenizer", "TokenizerFiles", plain("1"))
    inputs = {"token_shards": made.publish("one/a", "TokenShards", plain("2"))}
    inputs["tokenizer"] = tokenizer
    made.publish(KEY, "KeptStates", plain("3"), inputs)
    then = made.store.current_record(KEY).decides
    now = {**then, "inputs": {**then["inputs"], "token_shards": "other", "tokenizer": "another"}}
    said = begin(made.store, now, caplog)
    assert f"{KEY}: begins anew: other tokenizer than the earlier training had" in said
    now = {**then, "code": "other", "libraries": {"torch": "3"}}
    said = begin(made.store, now, caplog)
    assert "begins anew: other code, libraries than the earlier training had" in said
    assert len(said.splitlines()) == 1
