"""What hangs under a foundation: for each kind of task, its models and their evaluations."""

import dagster as dg

from pipelines.assets.assistants import assistant_assets
from pipelines.assets.classifiers import classifier_assets
from pipelines.assets.examples import examples
from pipelines.recipe.schema import Recipe
from pipelines.recipe.tasks import AssistantTask, ClassifierTask, DomainTask, Task, TranslationTask


def task_assets(recipe: Recipe, task: str, declared: Task) -> list[dg.AssetsDefinition]:
    """A task's examples, models and evaluations under a recipe."""
    match declared:
        case AssistantTask():
            under = assistant_assets(recipe, task, declared.corpus, declared.training)
        case ClassifierTask():
            under = classifier_assets(recipe, task, declared)
        case TranslationTask():
            from pipelines.assets.translations import translation_assets

            under = translation_assets(recipe, task, declared)
        case DomainTask():
            from pipelines.assets.domains import domain_assets

            return domain_assets(recipe, task, declared)
    return [examples(task, declared), *under]
