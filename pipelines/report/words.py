"""Names for people: of the assets of a recipe, and of the unit in which a network's loss is.

An asset's title in a report is its key without the recipe's name, because that name must not decide
the report's bytes: ``foundation``, ``chitchat/documents``, ``spam_classifier``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.core.declaration import listed

Parents = Mapping[str, Sequence[str]]
EVALUATION, EXAMPLES = "_evaluation", "_examples"

KNOWN = {
    "foundation": "Foundation model",
    "foundation_states": "States of the foundation's training",
    "contamination": "Overlaps with held-out text",
    "weights": "Weights from elsewhere",
}
OF_A_CORPUS = {
    "raw_text": "Raw text of {}",
    "documents": "Documents of {}",
    "index": "Index of the text of {}",
    "items": "Items of {}",
    "word_vectors": "Word vectors of {}",
}
# What a network predicts at one step, and its loss is the mean of; a token if it is not here.
PREDICTS = {"bert": "hidden token", "word2vec": "pair of words"}


def named(title: str) -> str:
    """An asset in words: ``spam_classifier`` is the "Spam classifier"."""
    corpus, _, name = title.rpartition("/")
    if name.endswith(EVALUATION):
        return f"Evaluation of the {_lower(named(title.removesuffix(EVALUATION)))}"
    if corpus and name in OF_A_CORPUS:
        return OF_A_CORPUS[name].format(plain(corpus))
    if name.endswith(EXAMPLES):
        return f"Examples for {plain(name.removesuffix(EXAMPLES))}"
    if name.endswith("_seen"):
        return f"Items of {plain(name.removesuffix('_seen'))} in training text"
    if name.endswith("_domain"):
        return _upper(f"{plain(name)} model")
    return KNOWN.get(name, _upper(plain(name)))


def names(parents: Parents) -> dict[str, str]:
    """All assets in words, by title; an evaluation is named after the model that it is of."""
    return {title: _name(title, parents) for title in parents}


def _name(title: str, parents: Parents) -> str:
    model = subject(title, parents)
    if not model:
        return named(title)
    told = f"Evaluation of the {_lower(named(model))}"
    return f"{told} by {plain(asked)}" if (asked := suite(title, parents)) else told


def subject(title: str, parents: Parents) -> str:
    """The title of the model that an evaluation is of; empty if the asset is of no other.

    ``spam_evaluation`` is of ``spam_classifier``: the parent that begins with the same words and
    has no evaluation of its own. ``foundation_arc_evaluation`` by a set ``arc`` is of the parent
    with whose name it begins.
    """
    if not title.endswith(EVALUATION):
        return ""
    stem = title.removesuffix(EVALUATION)
    candidates = [parent for parent in parents[title] if parent.startswith(f"{stem}_")]
    free = [parent for parent in candidates if parent + EVALUATION not in parents]
    if stem in parents[title]:
        return stem
    by_a_set = [parent for parent in parents[title] if stem.startswith(f"{parent}_")]
    return next(iter(free or candidates or sorted(by_a_set, key=len, reverse=True)), "")


def suite(title: str, parents: Parents) -> str:
    """The evaluation set by which an evaluation measures its model; empty for its own data."""
    rest = title.removesuffix(EVALUATION).removeprefix(f"{subject(title, parents)}_")
    return rest if f"{rest}/items" in parents[title] else ""


def plain(name: str) -> str:
    """A name of a recipe without its underscores."""
    return name.replace("_", " ")


def anchor(title: str) -> str:
    """The anchor of an asset's place in the report."""
    return f"a-{title.replace('/', '-')}"


def loss_unit(config: Mapping[str, Any]) -> str:
    """The unit of a checkpoint's loss, from its ``config()``: "nats a token", "nats a text"."""
    predicts = "text" if "labels" in config else PREDICTS.get(config["architecture"], "token")
    return f"nats a {predicts}"


def listing(items: Sequence[str]) -> str:
    """Some things as words: "a, b and c"; empty without any."""
    return listed(items) if items else ""


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
