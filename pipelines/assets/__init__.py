"""The graph: one asset per corpus, recipe and task, each declared by a module here."""

from collections.abc import Iterable

import dagster as dg

from pipelines.assets.contamination import contamination
from pipelines.assets.corpora import documents, raw_text
from pipelines.assets.evaluation import evaluation
from pipelines.assets.external_foundation import external_foundation
from pipelines.assets.external_tokenizer import external_tokenizer
from pipelines.assets.foundation import foundation
from pipelines.assets.ladder import ladder_assets
from pipelines.assets.report import report
from pipelines.assets.tasks import task_assets
from pipelines.assets.tokens import token_shards, tokenizer
from pipelines.assets.vectors import word_vectors
from pipelines.assets.weights import external_weights
from pipelines.recipe.schema import Recipe


def declare_assets(recipes: Iterable[Recipe]) -> list[dg.AssetsDefinition]:
    """All assets of some recipes; what recipes share is one asset."""
    found: dict[dg.AssetKey, dg.AssetsDefinition] = {}
    for recipe in recipes:
        for declared in _chain(recipe):
            found.setdefault(declared.key, declared)
    return list(found.values())


def _chain(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """A recipe's assets, each after what it reads."""
    chain = []
    for corpus, declared in recipe.corpora.items():
        chain += [raw_text(corpus, declared), documents(corpus, declared)]
    for corpus, vectors in recipe.word_vectors.items():
        chain += word_vectors(corpus, vectors)
    chain += contamination(recipe)
    if recipe.weights is None:
        chain += [tokenizer(recipe), token_shards(recipe), foundation(recipe)]
    else:
        chain += [external_weights(recipe), external_tokenizer(recipe)]
        chain += [token_shards(recipe), external_foundation(recipe)]
    chain += [evaluation(recipe), *ladder_assets(recipe)]
    for task, choice in recipe.tasks.items():
        chain += task_assets(recipe, task, choice)
    parents = {
        declared.key.to_user_string(): sorted(k.to_user_string() for k in declared.dependency_keys)
        for declared in chain
    }
    return [*chain, report(recipe, parents)]
