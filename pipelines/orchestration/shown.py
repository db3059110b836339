"""What the page of an asset shows before any version: links, columns, settings, owners, tags."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from pipelines.core.declaration import Declaration
from pipelines.orchestration.columns import columns_of
from pipelines.recipe.schema import Recipe
from pipelines.report.card import shorten
from pipelines.report.describe import LINE
from pipelines.stages import stages
from pipelines.sweeps.artefacts import SweepComparison
from pipelines.text.flat import flat
from pipelines.training.artefacts import Checkpoint
from pipelines.word_vectors.artefacts import WordVectors

INLINE = 990  # Dagster shows Markdown in place below 1,000 characters, else behind a button
DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28,52}\b")


@dataclass(frozen=True)
class Shown:
    """What a recipe says of an asset that decides nothing: who owns it, and its tags."""

    owners: list[str] = field(default_factory=list)
    tags: Mapping[str, str] = field(default_factory=dict)


def shown_by(recipes: Iterable[Recipe]) -> dict[str, Shown]:
    """The owners and tags of each asset, by key; a shared asset has those of all its recipes."""
    shown: dict[str, Shown] = {}
    for recipe in recipes:
        owners = [recipe.owner] if recipe.owner else []
        for declared in stages(recipe):
            before = shown.get(declared.key, Shown())
            tags = {**recipe.tags, f"recipe/{recipe.name}": "", **_licence(recipe, declared)}
            shown[declared.key] = Shown(
                list(dict.fromkeys([*before.owners, *owners])), {**before.tags, **tags}
            )
    return shown


def _licence(recipe: Recipe, declared: Declaration) -> dict[str, str]:
    """The licence of a corpus' or of external weights' assets as a tag."""
    scope, _, name = declared.key.partition("/")
    licence = ""
    if declared.group == "corpora" and scope in recipe.corpora:
        licence = recipe.corpora[scope].source.licence
    elif name == "weights" and recipe.weights is not None:
        licence = recipe.weights.licence
    value = re.sub(r"[^A-Za-z0-9_.-]+", "-", licence)[:63]
    return {"licence": value} if value else {}


def definition(declared: Declaration) -> dict[str, Any]:
    """The metadata of an asset's definition: links to its other pages, its columns and settings."""
    key, url = declared.key, dg.MetadataValue.url
    metadata: dict[str, Any] = {
        "versions": url(f"/assets/{key}"),
        "trace": url(f"/trace/{key}"),
    }
    if declared.group != "corpora":
        metadata["recipe"] = url(f"/recipes/{declared.group}")
        metadata["report"] = url(f"/reports/{declared.group}")
    if declared.points or issubclass(declared.makes, SweepComparison):
        metadata["the sweep"] = url(f"/sweeps/{declared.group}")
    if issubclass(declared.makes, Checkpoint | WordVectors):
        metadata["live, while it trains"] = url(f"/live/{key}")
    if columns := columns_of(declared):
        metadata["dagster/column_schema"] = dg.TableSchema(columns=columns)
    if declared.settings is not None:
        metadata["settings"] = dg.MetadataValue.md(_settings(declared.settings.decides()))
    return metadata


def _settings(settings: Mapping[str, Any]) -> str:
    """Settings as lines of a block of code, digests shortened; cut where it would not fit."""
    told = (
        DIGEST.sub(r"\1…", f"{name}: {value}")
        for name, value in flat(settings)
        if value is not None
    )
    lines = [shorten(line, LINE) for line in told]
    room = INLINE - 40
    kept: list[str] = []
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            kept.append(f"and {len(lines) - len(kept)} more")
            break
        kept.append(line)
    return "\n".join(["```text", *(line.replace("```", "'''") for line in kept), "```"])
