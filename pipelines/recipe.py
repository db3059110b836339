"""The schema of ``recipes/*.yaml``: every decision behind one foundation model and its tasks.

A recipe is strict: an unknown key is an error that names the file, the line and the nearest
name. Values here are literals that decide a result; paths of the store, devices and ports are
not. Knows nothing of Dagster, and imports no torch: an architecture's options come from its
config dataclass, whose module stays free of torch on purpose.
"""

from __future__ import annotations

import difflib
import itertools
import re
import reprlib
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    model_validator,
)

from model.architectures import catalogue

T = TypeVar("T")
NAME = r"^[a-z][a-z0-9_]{0,62}$"
RESERVED = ("records", "current")  # what the store keeps beside the versions of a key


def _unreserved(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"{name!r} is a word of the store; choose another name")
    return name


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise ValueError(f"label={twice!r} stands twice; keep one")
    return labels


Name = Annotated[str, Field(pattern=NAME), AfterValidator(_unreserved)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[int, Field(gt=0, strict=True)]  # strict: `steps: yes` is not one step
Fraction = Annotated[float, Field(ge=0, lt=0.5)]


class RecipeError(ValueError):
    """A recipe that cannot be used; the message names file, line, field and mend."""


class Strict(BaseModel):
    """A frozen section of a recipe that refuses unknown keys."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,  # JSON, and with it a derivation, has neither
    )

    def decides(self) -> dict[str, Any]:
        """The section as canonical JSON material for a derivation."""
        return self.model_dump(mode="json")


class PackageSource(Strict):
    """A data file inside a released Python package; the package is never imported."""

    kind: Literal["package"]
    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9.!+_-]+$")]
    file: str
    """The file's path inside the package."""
    sha256: Sha256
    format: Literal["conversations", "labelled_lines", "plain"]
    licence: str


class FolderSource(Strict):
    """Local text files, one document each."""

    kind: Literal["folder"]
    path: str
    """The folder, relative to the project."""
    glob: str = "**/*.txt"
    on_bad_utf8: Literal["fail", "replace"] = "fail"
    licence: str

    def decides(self) -> dict[str, Any]:
        """Everything but the path: where a text lies is not what it says."""
        return self.model_dump(mode="json", exclude={"path"})


class GeneratedSource(Strict):
    """Text from a seeded generator: the same bytes on every machine, for tests."""

    kind: Literal["generated"]
    generator: Literal["dialogues", "messages"]
    documents: Positive
    seed: Annotated[int, Field(strict=True)] = 0
    licence: str = "CC0-1.0"


Source = Annotated[PackageSource | FolderSource | GeneratedSource, Field(discriminator="kind")]


class Cleaning(Strict):
    """What happens to a document before it is kept."""

    unicode: Literal["NFC", "NFKC", "none"] = "NFC"
    min_characters: Annotated[int, Field(ge=1, strict=True)] = 1
    """Shorter documents are left out, and counted in the ledger."""


class Splitting(Strict):
    """The shares held out, by the hash of the document."""

    validation: Fraction = 0.05
    test: Fraction = 0.05


class Corpus(Strict):
    """Where text comes from and how it becomes documents."""

    weight: Annotated[float, Field(ge=0)] = 1.0
    """Its share of the pretraining batches; 0 when only tasks read it."""
    source: Source
    cleaning: Cleaning = Cleaning()
    split: Splitting = Splitting()


class TokenizerChoice(Strict):
    """Byte-level BPE trained on the training split, or GPT-2's own ranks."""

    kind: Literal["bpe", "gpt2"] = "bpe"
    vocab_size: Annotated[int, Field(ge=260, le=1_000_000, strict=True)] | None = None
    """Tokens in all, the control tokens included (bpe only)."""

    @model_validator(mode="after")
    def _size_fits_kind(self) -> TokenizerChoice:
        if (self.kind == "bpe") != (self.vocab_size is not None):
            raise ValueError("vocab_size belongs to kind: bpe, and to it alone")
        return self


class OptimizerChoice(Strict):
    """Learning rates by role, as in ``model/optim.py``."""

    kind: Literal["muon", "adamw"] = "muon"
    matrix_learning_rate: Annotated[float, Field(gt=0)] = 0.02
    """For the matrices inside the blocks."""
    embedding_learning_rate: Annotated[float, Field(gt=0)] = 0.3
    head_learning_rate: Annotated[float, Field(gt=0)] = 0.004
    """For the output head, and for gains and biases."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """Muon's."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0


class ScheduleChoice(Strict):
    """The learning rate over a run: up, level, down."""

    warmup_steps: Annotated[int, Field(ge=0, strict=True)] = 0
    decay: Literal["linear", "cosine", "none"] = "linear"
    decay_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The last share of the steps over which the rate falls."""
    floor: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Where it ends, as a share of the full rate."""


class Training(Strict):
    """A budget and how it is spent; in steps or tokens, never in minutes."""

    steps: Positive | None = None
    tokens: Positive | None = None
    batch_size: Positive = 16
    optimizer: OptimizerChoice = OptimizerChoice()
    schedule: ScheduleChoice = ScheduleChoice()
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    """The largest gradient norm; null for none."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where the processor multiplies it natively."""
    validate_every: Positive = 100
    validation_batches: Positive | None = None
    """How much of the validation split each look uses; null for all of it."""
    checkpoint_every: Positive = 100

    @model_validator(mode="after")
    def _one_budget(self) -> Training:
        if (self.steps is None) == (self.tokens is None):
            raise ValueError("give either steps or tokens")
        return self

    def looks(self, batches: Callable[[], Iterable[T]]) -> Callable[[], Iterable[T]]:
        """``batches`` cut to what each look at the validation split uses."""
        return lambda: itertools.islice(batches(), self.validation_batches)

    def steps_for(self, context_length: int) -> int:
        """The number of optimizer steps; a token budget counts whole batches."""
        if self.steps is not None:
            return self.steps
        assert self.tokens is not None
        return max(1, self.tokens // (self.batch_size * context_length))


class AssistantTask(Strict):
    """Fine-tuning on prompt/reply pairs taken from a corpus of conversations."""

    kind: Literal["assistant"]
    corpus: Name
    context_turns: Positive = 4
    """How many turns before a reply are its prompt."""
    max_pairs: Positive | None = None
    """The first so many training pairs in hash order; null for all."""
    training: Training

    def examples_decide(self) -> dict[str, Any]:
        """What ``examples/<task>`` hangs on, beside its corpus."""
        return self.model_dump(mode="json", include={"kind", "context_turns", "max_pairs"})


class ClassifierTask(Strict):
    """A label head on the foundation, trained on a corpus of labelled documents."""

    kind: Literal["classifier"]
    corpus: Name
    labels: Annotated[tuple[str, ...], Field(min_length=2), AfterValidator(_distinct)]
    """The labels in the order of the head's outputs; the last is the one F1 speaks of."""
    trained_blocks: Annotated[int, Field(ge=0, strict=True)] | None = None
    """How many of the last blocks are trained beside the head; null for the whole network."""
    training: Training

    def examples_decide(self) -> dict[str, Any]:
        """What ``examples/<task>`` hangs on, beside its corpus."""
        return self.model_dump(mode="json", include={"kind", "labels"})


Task = Annotated[AssistantTask | ClassifierTask, Field(discriminator="kind")]


class ModelChoice(Strict):
    """An architecture with those of its options that are written."""

    architecture: str

    @model_validator(mode="after")
    def _is_a_network(self) -> Self:
        self.config(vocab_size=50_304)
        return self

    def config(self, vocab_size: int) -> Any:
        """The architecture's config: its preset, overridden by the options that are written."""
        architecture = catalogue()[self.architecture]
        written = self.model_dump(include=self.model_fields_set)
        written.pop("architecture")
        preset = written.pop("preset", None) or next(iter(architecture.presets), None)
        return architecture.configure(preset, **written, vocab_size=vocab_size)


def _architecture_sections() -> Any:
    """One strict section per architecture, its options read off the config dataclass."""
    sections = []
    for name, architecture in catalogue().items():
        hints = typing.get_type_hints(architecture.config)
        hints.pop("vocab_size")  # the tokenizer decides it
        options: dict[str, Any] = {key: (hint | None, None) for key, hint in hints.items()}
        options["architecture"] = (Literal[name], ...)
        if architecture.presets:
            options["preset"] = (Literal[tuple(architecture.presets)] | None, None)
        sections.append(create_model(f"{name.title()}Model", __base__=ModelChoice, **options))
    if len(sections) == 1:
        return sections[0]
    return Annotated[typing.Union[tuple(sections)], Field(discriminator="architecture")]  # noqa: UP007


class Recipe(Strict):
    """One foundation run and what hangs under it."""

    name: Name
    description: str
    seed: Annotated[int, Field(ge=0, lt=2**31, strict=True)]
    corpora: Annotated[dict[Name, Corpus], Field(min_length=1)]
    tokenizer: TokenizerChoice
    model: _architecture_sections()  # type: ignore[valid-type]
    training: Training
    samples: tuple[str, ...] = ()
    """Prompts that the evaluation continues."""
    tasks: dict[Name, Task] = {}

    @model_validator(mode="after")
    def _hangs_together(self) -> Recipe:
        if not self.mixture():
            raise ValueError("no corpus has a weight above 0: nothing to pretrain on")
        for name, task in self.tasks.items():
            if task.corpus not in self.corpora:
                known = ", ".join(self.corpora)
                raise ValueError(f"task {name} reads corpus={task.corpus}, not one of {known}")
        return self

    def mixture(self) -> dict[str, float]:
        """The corpora that are pretrained on, by name, with their weights."""
        return {name: c.weight for name, c in sorted(self.corpora.items()) if c.weight > 0}

    def network_config(self, vocab_size: int) -> Any:
        """The network's config under a tokenizer of so many tokens."""
        return self.model.config(vocab_size)

    def model_decides(self) -> dict[str, Any]:
        """The architecture section as written: presets are code, which has its own fingerprint."""
        return self.model.model_dump(mode="json", include=self.model.model_fields_set)


def load_recipe(path: Path) -> Recipe:
    """Read one recipe; its name is the file's.

    Raises RecipeError with ``file:line`` and the mend for anything wrong with it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error}); name a recipe file") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_doubled_keys(root, path)
        content = yaml.safe_load(text)
    except RecipeError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise RecipeError(f"{path}:{line}: not YAML: {problem}") from None
    if root is None or not isinstance(content, dict):
        raise RecipeError(f"{path}:1: a recipe is a mapping of settings")
    if "name" in content:
        line, _ = _locate(root, ("name",))
        raise RecipeError(f"{path}:{line}: a recipe's name is its file's; leave out 'name'")
    if not re.fullmatch(NAME, path.stem) or path.stem in RESERVED:
        raise RecipeError(
            f"{path}: rename it: a recipe's name is lower case letters, digits and _, at most 63,"
            f" and none of {', '.join(RESERVED)}"
        )
    try:
        return Recipe.model_validate({"name": path.stem, **content})
    except ValidationError as error:
        raise RecipeError(_explain(error, path, root)) from None


def load_recipes(folder: Path) -> dict[str, Recipe]:
    """All recipes of a folder by name; what they share must agree.

    A corpus or a task's examples are one asset however many recipes name them, so two recipes
    that describe it differently contradict each other.
    """
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise RecipeError(f"{folder}: holds no recipe (*.yaml); run in the project's folder")
    recipes = {path.stem: load_recipe(path) for path in paths}
    shared: dict[tuple[str, str], tuple[Any, str]] = {}
    for recipe in recipes.values():
        for kind, name, content in _shared_parts(recipe):
            first, owner = shared.setdefault((kind, name), (content, recipe.name))
            if first != content:
                raise RecipeError(
                    f"{folder / recipe.name}.yaml: {kind} {name} differs from the one in"
                    f" {owner}.yaml; make them equal or rename one"
                )
    return recipes


def json_schema() -> dict[str, Any]:
    """The JSON Schema that editors check a recipe against."""
    schema = Recipe.model_json_schema()
    schema["properties"].pop("name")
    schema["required"].remove("name")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _shared_parts(recipe: Recipe) -> Iterator[tuple[str, str, Any]]:
    for name, corpus in recipe.corpora.items():
        yield "corpus", name, corpus.model_dump(exclude={"weight"})
    for name, task in recipe.tasks.items():
        yield "task", name, (task.corpus, task.examples_decide())


def _refuse_doubled_keys(root: yaml.Node | None, path: Path) -> None:
    waiting, met = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in met:  # an alias, which may even hold itself
            continue
        met.add(id(node))
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                line = key.start_mark.line + 1
                if not isinstance(key, yaml.ScalarNode):
                    raise RecipeError(f"{path}:{line}: a list as a key; keys are words")
                if key.value in seen:
                    raise RecipeError(f"{path}:{line}: '{key.value}' stands twice; keep one")
                seen.add(key.value)
                waiting.append(value)
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _explain(error: ValidationError, path: Path, root: yaml.Node) -> str:
    """The first fault as one line: file, line, field, what is wrong and the mend."""
    # An unknown key comes first: a missing one is often the same slip seen from the other side.
    faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    fault = faults[0]
    line, keys = _locate(root, fault["loc"])
    field = ".".join(keys) or "recipe"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        known = _known_keys(keys[:-1], fault["loc"])
        near = difflib.get_close_matches(keys[-1], known, n=1, cutoff=0.5)
        mend = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(sorted(known))}"
        message = f"unknown key; {mend}"
    elif fault["type"] not in {"value_error", "missing"}:
        message = f"{message} (found {reprlib.repr(fault['input'])})"
    return f"{path}:{line}: {field}: {message}"


def _locate(root: yaml.Node, loc: tuple[int | str, ...]) -> tuple[int, list[str]]:
    """The line of a fault and its keys; the tags that pydantic puts into ``loc`` are skipped."""
    node, line, keys = root, root.start_mark.line + 1, []
    tagged: yaml.Node | None = None
    for position, part in enumerate(loc):
        if isinstance(node, yaml.MappingNode):
            if node is not tagged and part in _tags(node):
                tagged = node
                continue
            found = [(k, v) for k, v in node.value if k.value == str(part)]
            if found:
                line, node = found[0][0].start_mark.line + 1, found[0][1]
                keys.append(str(part))
            elif position == len(loc) - 1:  # a missing key is named, at its section's line
                keys.append(str(part))
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line + 1
            keys.append(str(part))
    return line, keys


def _tags(node: yaml.MappingNode) -> set[str]:
    """What a section says it is: the union's tag, told apart from a key of the same name."""
    return {v.value for k, v in node.value if k.value in ("kind", "architecture")}


def _known_keys(keys: list[str], loc: tuple[int | str, ...]) -> set[str]:
    """The keys that the section at ``keys`` knows, followed through the published schema."""
    schema = json_schema()
    definitions = schema["$defs"]

    def follow(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        if "$ref" in node:
            yield from follow(definitions[node["$ref"].rsplit("/", 1)[1]])
        for choice in (*node.get("oneOf", ()), *node.get("anyOf", ())):
            yield from follow(choice)
        yield node

    nodes: list[Mapping[str, Any]] = list(follow(schema))
    for key in keys:
        deeper = []
        for node in nodes:
            named, free = node.get("properties", {}), node.get("patternProperties", {})
            deeper += [named[key]] if key in named else list(free.values())
        nodes = [found for child in deeper for found in follow(child)]
    tags = {str(part) for part in loc}
    tagged = [
        node
        for node in nodes
        if any(p.get("const") in tags for p in node.get("properties", {}).values())
    ]
    return {key for node in tagged or nodes for key in node.get("properties", {})}
