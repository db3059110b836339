"""A check of every training: its receipt is what its recipe and its inputs say that it reads."""

from __future__ import annotations

from pipelines.checks import Check, Inputs, Outcome, Readers
from pipelines.core.declaration import Declaration, found
from pipelines.training.artefacts import RECEIPT, Checkpoint, KeptStates


def look(
    trained: Checkpoint | KeptStates, _: Readers, inputs: Inputs, declared: Declaration
) -> Outcome:
    """How many links of the receipt were compared; it passes if all of them are equal.

    One stretch of a hundred steps, which the version chooses, and the last one are read again.
    Weights that were taken out of a trail have its receipt. Weights from elsewhere have none, and a
    trail of a training that diverged has none.
    """
    if RECEIPT not in trained.files:
        return Outcome(True, {"steps": 0})
    told = trained.json(RECEIPT)
    kept = inputs.get("states")
    if isinstance(kept, KeptStates):
        return Outcome(kept.json(RECEIPT) == told, {"steps": told["steps"]})
    from pipelines.training.receipts import branched_from

    loaded = {key: inputs[name] for name, key in declared.reads().items()}
    arguments = declared.arguments(loaded)
    reading = found(f"{declared.making.partition(':')[0]}:reading")(**arguments)
    begun = branched_from(arguments)
    chosen = begun["steps"] + 1 + int(trained.version[:8], 16) % (told["steps"] - begun["steps"])
    found_in = [reading.compare(told, begun, step, step) for step in (chosen, told["steps"])]
    wrong = [f"steps {one.wrong[0]} to {one.wrong[1]}" for one in found_in if one.wrong]
    numbers = {"steps": told["steps"], "links": sum(one.equal for one in found_in)}
    return Outcome(not wrong, {**numbers, "read otherwise": wrong})


CHECK = Check(
    name="reads_as_declared",
    view=(Checkpoint, KeptStates),
    description="The receipt of what the steps read is what the recipe and the inputs give.",
    look=look,
    blocking=True,
    recomputes=True,
)
