"""The training options of a recipe: budget, optimizer, schedule."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SerializeAsAny, model_validator

from pipelines.core.stanza import Positive, Strict
from pipelines.training.methods import Full, Lora, Method, Rate
from pipelines.training.networks import ModelChoice

LOOK_TOKENS = 65_536
"""How many tokens of the validation split a validation reads, if the recipe does not say."""
HIGHEST_TIED = 0.05
"""The highest rate of an embedding that is also the head: above it the loss soon exceeds ln V."""

# By (optimizer, start of the network): the rates of the matrices, the embeddings and the head.
# "drawn" weights are new, "trained" ones were trained before. The rates are those of the shipped
# recipes, or else those that trained best on text as bytes with a loss never above ln V.
RATES = {
    ("muon", "drawn"): (0.02, 0.3, 0.004),
    ("muon", "trained"): (0.005, 0.05, 0.002),
    ("adamw", "drawn"): (0.003, 0.003, 0.003),
    ("adamw", "trained"): (0.0001, 0.0001, 0.0001),
}


class OptimizerChoice(Strict):
    """Learning rates by role, as in ``model/training/optim.py``.

    The default of a rate depends on the optimizer, on whether the head is the embedding and on
    whether the network was trained before.
    """

    kind: Literal["muon", "adamw"] = "muon"
    matrix_learning_rate: Rate | None = None
    """For the matrices inside the blocks."""
    embedding_learning_rate: Rate | None = None
    """For the embeddings; at most 0.05 where the head is the embedding."""
    head_learning_rate: Rate | None = None
    """For the output head, and for gains and biases."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """Muon's."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0

    def resolved(self, *, tied: bool, trained: bool, share: float = 1.0) -> OptimizerChoice:
        """A copy with every rate. ``tied``: the head is the embedding; ``trained``: it is not new.

        A rate that is left out is this ``share`` of its default. Raises ValueError for a rate that
        is too high for an embedding that is also the head.
        """
        defaults = RATES[self.kind, "trained" if trained else "drawn"]
        matrix, embedding, head = (share * rate for rate in defaults)
        if tied:
            embedding = head
        rates = {
            "matrix_learning_rate": self.matrix_learning_rate or matrix,
            "embedding_learning_rate": self.embedding_learning_rate or embedding,
            "head_learning_rate": self.head_learning_rate or head,
        }
        if tied and rates["embedding_learning_rate"] > HIGHEST_TIED:
            raise ValueError(
                f"optimizer.embedding_learning_rate: {rates['embedding_learning_rate']} is for an"
                " embedding alone, and here the head is the embedding (of weights from elsewhere it"
                f" may be); give {HIGHEST_TIED} or less, or leave it out"
            )
        return self.model_copy(update=rates)


class ScheduleChoice(Strict):
    """The learning rate over a run: warmup, constant, decay."""

    warmup_steps: Annotated[int, Field(ge=0, strict=True)] = 0
    decay: Literal["linear", "cosine", "none"] = "linear"
    decay_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The last share of the steps over which the rate falls."""
    floor: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The rate at the end, as a share of the full rate."""


class Training(Strict):
    """The budget of a training, in steps or tokens and never in minutes, and its settings."""

    steps: Positive | None = None
    tokens: Positive | None = None
    batch_size: Positive = 16
    accumulate: Positive = 1
    """Into how many parts a batch is cut, which are read one after the other, for less memory."""
    processes: Positive = 1
    """How many processes of this machine train together; each reads its share of a batch's rows."""
    sharding: Literal["replicated", "sharded"] = "replicated"
    """replicated: each process holds all weights. sharded: each holds a part of every weight, for
    a network that is too large for one."""
    optimizer: OptimizerChoice = OptimizerChoice()
    schedule: ScheduleChoice = ScheduleChoice()
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    """The largest gradient norm; null for no limit."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where the processor multiplies it natively."""
    validate_every: Positive = 100
    """Every so many steps, and at the end, the loss of the validation split is computed. It decides
    the result only with ``keep_best`` or ``patience``."""
    validation_batches: Positive | Literal["all"] | None = None
    """How many batches of the validation split a validation reads, spread evenly over it, or all. A
    batch has 32 windows, or ``batch_size`` of a task's examples or of words. Default: about
    65,536 tokens."""
    keep_best: bool = False
    """The result is the weights with the lowest validation loss, not the last ones."""
    patience: Positive | None = None
    """Training ends after so many validations in a row without a new lowest loss."""
    checkpoint_minutes: Annotated[float, Field(gt=0)] | None = 1.0
    """After so many minutes the state is saved, so that an interrupted training can go on; null for
    never. It decides no result."""
    checkpoint_every: Positive | None = None
    """The state is also saved every so many steps. It decides no result."""

    @model_validator(mode="after")
    def _one_budget(self) -> Training:
        if (self.steps is None) == (self.tokens is None):
            raise ValueError("give either steps or tokens")
        return self

    @model_validator(mode="after")
    def _rows_for_all(self) -> Training:
        if self.processes > self.batch_size:
            raise ValueError(
                f"processes={self.processes} exceeds batch_size={self.batch_size}: each process"
                " reads at least one row of a batch"
            )
        return self

    @model_validator(mode="after")
    def _best_is_whole(self) -> Training:
        if self.keep_best and self.processes > 1 and self.sharding == "sharded":
            raise ValueError("keep_best needs all weights in one process: set sharding: replicated")
        return self

    def decides_nothing(self) -> frozenset[str]:
        """When states are saved; also when validations are, unless they choose the weights."""
        saves = frozenset({"checkpoint_minutes", "checkpoint_every"})
        looks = frozenset({"validate_every", "validation_batches"})
        return saves if self.looks_decide else saves | looks

    @property
    def looks_decide(self) -> bool:
        """Whether validations choose the weights or the end."""
        return self.keep_best or self.patience is not None

    def look(self, batch_size: int, mean_tokens: float) -> int | None:
        """How many windows or examples of the validation split each validation reads; None for all.

        ``batch_size`` of them make a batch; ``mean_tokens`` is the mean number of tokens of one.
        """
        if self.validation_batches == "all":
            return None
        if self.validation_batches is not None:
            return self.validation_batches * batch_size
        return max(1, round(LOOK_TOKENS / mean_tokens))

    def steps_for(self, mean_tokens: float) -> int:
        """The number of optimizer steps; a token budget counts whole batches.

        ``mean_tokens`` is the mean number of tokens in a row of a batch: the length of a window, or
        the tokens of an example with its prompt or source and without the padding.
        """
        if self.steps is not None:
            return self.steps
        assert self.tokens is not None
        return max(1, int(self.tokens / (self.batch_size * mean_tokens)))

    def resolved(self, *, tied: bool, trained: bool, share: float = 1.0) -> Self:
        """A copy with all rates of its optimizer; arguments as in ``OptimizerChoice.resolved``."""
        optimizer = self.optimizer.resolved(tied=tied, trained=trained, share=share)
        return self.model_copy(update={"optimizer": optimizer})


class FineTuning(Training):
    """The training of a network that was trained before, and what of it learns."""

    method: Method = Full()
    """full: all weights. last_block: the last blocks. lora: thin matrices beside the weights."""

    def resolved(self, *, tied: bool, trained: bool, share: float = 1.0) -> Self:
        """A copy with all rates; arguments as in ``OptimizerChoice.resolved``."""
        resolved = super().resolved(tied=tied, trained=trained, share=share)
        if not isinstance(self.method, Lora):
            return resolved
        return resolved.model_copy(update={"method": self.method.resolved(share)})


class Keep(Strict):
    """A trail of full states, an artefact of its own: other trainings can branch from each."""

    every: Positive
    """A state is kept every so many steps."""
    gigabytes: Annotated[float, Field(gt=0)] = 10.0
    """The most that the states may take, 1e9 bytes each; beyond it the trail is thinned evenly, the
    oldest states first."""


class Branch(Strict):
    """A state of the trail of another training, from which this one goes on."""

    asset: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*/[a-z][a-z0-9_]*_states$")]
    """The trail, such as chat/foundation_states."""
    step: Positive

    def decides_nothing(self) -> frozenset[str]:
        """The name of the trail; its version is among the inputs."""
        return frozenset({"asset"})


class Pretraining(Training):
    """The training of a foundation, and how documents fill its windows."""

    keep: Keep | None = None
    branch: Annotated[Branch | None, Field(alias="from")] = None
    """Go on from a state of another training of the same network, with the rates and up to the
    steps of this one."""

    packing: Literal["windows", "documents"] = "windows"
    """windows: documents end to end, cut where a window ends. documents: whole documents, packed
    best-fit; attention stays within each."""

    def require_branch(self, recipe: str, config: Any) -> None:
        """Raise ValueError if it branches from a trail of its own ``recipe``, or at its end.

        ``config`` is that of the network.
        """
        if self.branch is None:
            return
        if self.branch.asset.startswith(f"{recipe}/"):
            raise ValueError(
                f"from.asset: {self.branch.asset} is of this recipe itself; name the trail of"
                " another recipe"
            )
        steps = self.steps_for(config.context_length)
        if self.branch.step >= steps:
            raise ValueError(
                f"from.step: nothing is left to train after step {self.branch.step:,}, because the"
                f" training has {steps:,} steps; name an earlier state, or give more steps"
            )


class Continued(FineTuning, Pretraining):
    """The continued training of a foundation on other text, and what of it learns."""


class Pretrained(Strict):
    """The settings of a foundation, besides its shards."""

    model: SerializeAsAny[ModelChoice]
    training: Pretraining
    weights: dict[str, float]
    """By corpus: its share of the batches."""
    epochs: dict[str, float]
    """By corpus: how many epochs of it training may read at most."""
    seed: int


def with_default_rates(training: Training) -> Training:
    """The training with all rates, for a new network whose head is not its embedding."""
    return training.resolved(tied=False, trained=False)


Drawn = Annotated[Training, AfterValidator(with_default_rates)]
"""The training of a new network whose head is not its embedding."""
