"""Which precision a training that leaves it to the machine has here, as its derivation says it."""

from collections.abc import Callable

from pipelines.project import Project
from pipelines.recipe.training import Training


def precision(training: Training) -> Callable[[Project], dict[str, str]] | None:
    """What an asset is to ``observe``; None where the recipe says which precision it is.

    So that the weights of a machine which multiplies in bf16 are never taken for those of one that
    does not. It is read at the time of the work, for it takes torch.
    """

    def observe(_: Project) -> dict[str, str]:
        from pipelines.fitting import precision_of

        return {"precision": precision_of(training)}

    return observe if training.precision == "auto" else None
