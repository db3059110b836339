"""A training that goes on from a kept state of an earlier one, as far as both read the same.

The receipts prove it: the digest after a step covers every token that the steps up to there read.
So a training that reads something else only later ends bit for bit at the weights of a training
from scratch, and makes only the steps from there on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipelines.core.artefact import Artefact
from pipelines.core.declaration import Declaration, found
from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.training.artefacts import CURVE, KeptStates

if TYPE_CHECKING:
    from pipelines.core.making import Making

log = logging.getLogger("dragon.training")
READ = "token_shards"  # the input that may differ


def begin(
    declared: Declaration, making: Making, loaded: Mapping[str, Artefact], store: Store
) -> None:
    """Put the newest state that an earlier training shares with this one into its work area.

    Nothing happens if the making keeps no states, has a checkpoint already, or shares none.
    """
    if declared.makes is not KeptStates or making.work is None:
        return
    earlier = [one for one in store.records(declared.key) if _is_alike(one, making.decides)]
    if not earlier or making.work.load_checkpoint() is not None:
        return
    from pipelines.training.fitting import environment, precision_of
    from pipelines.training.receipts import Receipt

    arguments = declared.arguments(loaded)
    reading = found(f"{declared.making.partition(':')[0]}:reading")(**arguments)
    now = environment(precision_of(arguments["settings"].training))
    for record in earlier:
        if any({**leg, "step": 0} != {**now, "step": 0} for leg in record.made.get("legs", [{}])):
            continue
        states = store.open(declared.key, record.version, KeptStates, record.derivation)
        if states.trail()["fault"]:
            continue
        step = _shared(states, Receipt(reading.sources), reading.batches)
        if step:
            _take(making, states, record, step)
            return


def _is_alike(record: Record, decides: Mapping[str, Any]) -> bool:
    """Whether a record's training differs from another in nothing but the text that it reads."""
    if record.makes != KeptStates.__name__:
        return False
    then, now = ({**one, "inputs": dict(one["inputs"])} for one in (record.decides, decides))
    return then["inputs"].pop(READ, "") != now["inputs"].pop(READ, "") and then == now


def _shared(states: KeptStates, receipt: Any, batches: Any) -> int:
    """The last kept step up to which both trainings read the same; 0 for none."""
    told, shared = states.trail()["states"], 0
    for step in states.steps():
        while receipt.steps < step:
            receipt.add(batches.batch(receipt.steps))
        if receipt.last != told[str(step)]["receipt"]:
            break
        shared = step
    return shared


def _take(making: Making, states: KeptStates, record: Record, step: int) -> None:
    """Write the state, the states before it and the curves up to it into the work area."""
    from safetensors.torch import load

    from model.training.loop import State
    from pipelines.training.history import CurveFile
    from pipelines.training.states import KINDS, save_state
    from pipelines.training.trail import name_of

    assert making.work is not None
    content = states.beside.read(CURVE) if states.beside else None
    curves = json.loads(content) if content else {}
    file = CurveFile(making.work.curve)
    points = [(at, kind, loss) for kind in KINDS for at, loss in curves.get(kind, []) if at <= step]
    for at, kind, loss in sorted(points, key=lambda point: (point[0], KINDS.index(point[1]))):
        file.add(kind, at, loss)
    mark = file.mark()
    file.sync()
    file.close()
    told = states.trail()["states"]
    kept = [one for one in states.steps() if one <= step]
    notes = {
        "legs": record.made["legs"],
        "curve": mark,
        "key": making.key,
        "decides": making.decides,
        "receipt": {
            **states.receipt(step),
            "kept": {str(one): told[str(one)]["receipt"] for one in kept},
        },
    }
    for one in kept:
        (making.parts() / name_of(one)).write_bytes(states.state(one))
    save_state(making.work, State(step, load(states.state(step))), notes)
    making.made["replayed"] = {"version": states.version, "step": step}
    log.info("%s: up to step %d it reads what an earlier training read", making.key, step)
