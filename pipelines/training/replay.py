"""A training that goes on from a kept state of an earlier one, as far as both read the same.

The receipts prove it: the digest after a step covers every token that the steps up to there read.
So a training that reads something else only later ends bit for bit at the weights of a training
from scratch, and makes only the steps from there on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
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
    trainings = [one for one in store.records(declared.key) if one.makes == KeptStates.__name__]
    if not trainings or making.work.load_checkpoint() is not None:
        return
    why = _take_earlier(declared, making, loaded, store, trainings)
    if why:
        log.info("%s: begins anew: %s", making.key, why)


def _take_earlier(
    declared: Declaration,
    making: Making,
    loaded: Mapping[str, Artefact],
    store: Store,
    trainings: Sequence[Record],
) -> str:
    """Take the newest state that is shared with an earlier training; why there is none, or ""."""
    earlier = [one for one in trainings if _is_alike(one, making.decides)]
    if not earlier:
        return _difference(trainings[0].decides, making.decides)
    from pipelines.training.fitting import environment
    from pipelines.training.precision import precision_of
    from pipelines.training.receipts import Receipt

    arguments = declared.arguments(loaded)
    reading = found(f"{declared.making.partition(':')[0]}:reading")(**arguments)
    now = environment(precision_of(arguments["settings"].training))
    why = ""
    for record in earlier:
        if any({**leg, "step": 0} != {**now, "step": 0} for leg in record.made.get("legs", [{}])):
            why = why or "the earlier training ran on another machine or in another precision"
            continue
        states = store.open(declared.key, record.version, KeptStates, record.derivation)
        if states.trail()["fault"]:
            why = why or "the earlier training ended with a fault"
            continue
        step = _shared(states, Receipt(reading.sources), reading.batches)
        if step:
            _take(making, states, record, step)
            return ""
        why = (
            f"it reads something else than the earlier training before that one's first kept state"
            f" (step {min(states.steps(), default=0)}), as after a change of the tokenizer, the"
            " mixture's limits, the splits or the decontamination"
        )
    return why


def _is_alike(record: Record, decides: Mapping[str, Any]) -> bool:
    """Whether a record's training differs from another in nothing but the text that it reads."""
    then, now = ({**one, "inputs": dict(one["inputs"])} for one in (record.decides, decides))
    return then["inputs"].pop(READ, "") != now["inputs"].pop(READ, "") and then == now


def _difference(decides: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What else than the text is not as it was in an earlier training."""
    parts = [name for name in now if name != "inputs" and now[name] != decides.get(name)]
    read = [
        name
        for name, version in now["inputs"].items()
        if name != READ and version != decides["inputs"].get(name)
    ]
    return f"other {', '.join(read + parts) or 'inputs'} than the earlier training had"


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
