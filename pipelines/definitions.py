"""The module that Dagster loads: the definitions of every recipe of the project.

A recipe with a fault is left out, and so are two recipes that contradict each other. The graph and
the log show the fault. The other recipes are loaded as usual.
"""

import logging

from pipelines.core.project import Project
from pipelines.orchestration.graph import build
from pipelines.recipe.loading import disagreements, read_recipes
from pipelines.stages import collisions

project = Project.here()
recipes, faults = read_recipes(project.recipes)
faults |= disagreements(recipes)
faults |= collisions({name: r for name, r in recipes.items() if name not in faults})
for fault in faults.values():
    logging.getLogger("dragon").warning("left out: %s", fault)
sound = [recipe for name, recipe in recipes.items() if name not in faults]

defs = build(project, sound, faults)
