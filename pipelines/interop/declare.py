"""``<recipe>/weights``, and the tokenizer and the foundation made from them."""

from __future__ import annotations

from collections.abc import Iterator

from model import architectures
from pipelines.core.declaration import Declaration
from pipelines.core.scope import Scope
from pipelines.interop import kinds
from pipelines.interop.artefacts import Weights
from pipelines.interop.options import ExternalWeights, Taken
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.training.artefacts import Checkpoint

# The distributions whose versions decide the results.
TOKENIZER = ("gguf", "jinja2", "tokenizers")
NETWORK = ("gguf", "numpy", "safetensors", "torch")


def weights(scope: Scope, source: ExternalWeights) -> Iterator[Declaration]:
    """The files of weights that were trained elsewhere."""
    yield Declaration(
        key=scope.key("weights"),
        makes=Weights,
        making="pipelines.interop.fetching:fetch",
        settings=source,
        observe="pipelines.interop.fetching:observed",
        exact=True,
        uses={kinds.__name__: (source.kind,)},
        group=scope.recipe,
        about=f"The files of weights that {scope.recipe} takes from elsewhere"
        f" ({source.kind}), unchanged; licence {source.licence}.",
    )


def tokenizer(scope: Scope) -> Iterator[Declaration]:
    """The tokenizer of the external weights."""
    yield Declaration(
        key=scope.tokenizer,
        makes=TokenizerFiles,
        making="pipelines.interop.vocabulary:take",
        inputs={"weights": scope.key("weights"), "licences": scope.licences},
        libraries=TOKENIZER,
        exact=True,
        group=scope.recipe,
        about=f"The tokenizer that came with the weights of {scope.recipe}.",
    )


def foundation(scope: Scope, source: ExternalWeights) -> Iterator[Declaration]:
    """The network of the external weights, unchanged, without a step of training."""
    yield Declaration(
        key=scope.foundation,
        makes=Checkpoint,
        making="pipelines.interop.network:take",
        inputs={"weights": scope.key("weights"), "tokenizer": scope.tokenizer},
        settings=Taken(architecture=scope.architecture, context_length=source.context_length),
        libraries=NETWORK,
        uses={architectures.__name__: (scope.architecture,)},
        group=scope.recipe,
        about=f"The network of the weights of {scope.recipe}, without a step of training.",
    )
