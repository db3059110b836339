"""What Dagster loads: the definitions of every recipe of the project."""

from pipelines.graph import build
from pipelines.project import Project
from pipelines.recipe.loading import load_recipes

defs = build(Project.here(), load_recipes(Project.here().recipes).values())
