"""What Dagster loads: the definitions of every recipe of the project.

A recipe with a fault, or two that contradict each other, are left out; the fault is an entry of the
graph and a line in the log, and the others are there as ever.
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
