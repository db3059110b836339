"""``dragon schema``: the JSON Schema of recipes."""

from __future__ import annotations

import json

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for editors.

    recipes/recipe.schema.json is this text; the first line of each recipe there points to it.
    """
    from pipelines.recipe.loading import json_schema

    click.echo(json.dumps(json_schema(), indent=2, sort_keys=True))
