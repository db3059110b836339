"""``dragon schema``: the JSON Schema of recipes."""

from __future__ import annotations

import json

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for editors.

    The file recipes/recipe.schema.json holds the same text; each recipe names it in line one.
    """
    from pipelines.recipe.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2, sort_keys=True))
