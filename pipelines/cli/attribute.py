"""``dragon attribute``: which passages of a text stand verbatim in the training documents."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.asking import bearable
from pipelines.cli.files import read_file
from pipelines.cli.showing import json_option, print_json
from pipelines.cli.store import open_store, store_option

if TYPE_CHECKING:
    from pipelines.lineage.attribute import Passage, Place, Searched


@click.command()
@click.argument("target", help="A model (chat/foundation), a recipe (its foundation) or a corpus.")
@click.argument("text", required=False, help="The text; - reads standard input to its end.")
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read the text from this file.",
)
@click.option(
    "--words",
    type=click.IntRange(min=0),
    default=4,
    show_default=True,
    help="The fewest words of a passage.",
)
@click.option(
    "--characters",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="The fewest characters of a passage.",
)
@click.option(
    "--places",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="How many places of each passage to list.",
)
@click.option("--all", "all_places", is_flag=True, help="List every place.")
@click.option(
    "--influence",
    type=click.IntRange(min=1),
    metavar="N",
    help="Rank the N documents that influenced a foundation's answer most, instead of passages.",
)
@click.option("--prompt", default="", help="What the text answers, for --influence.")
@json_option
@store_option
def attribute(
    target: str,
    text: str | None,
    file: Path | None,
    words: int,
    characters: int,
    places: int,
    all_places: bool,
    influence: int | None,
    prompt: str,
    as_json: bool,
    store: Path | None,
) -> None:
    """Find passages of a text in the training documents.

    Prints the longest passages that stand verbatim in a document, from left to right, each with the
    places where it stands. The corpora need an index: dragon run RECIPE --select CORPUS/index.
    """
    given = _given(text, file)
    if influence is not None:
        _rank(store, target, given, prompt, influence, as_json)
        return
    from pipelines.lineage import attribute as asked

    searched = asked.opened(open_store(store), target)
    most = None if all_places else places
    found = asked.attribute(searched, given, words=words, characters=characters, places=most)
    if as_json:
        print_json(_as_json(searched, given, found))
        return
    for line in _lines(searched, given, found):
        click.echo(line)


def _rank(
    store: Path | None, target: str, text: str, prompt: str, most: int, as_json: bool
) -> None:
    from pipelines.cli import influenced

    ranking = influenced.ranked(open_store(store), target, text, prompt, most)
    if as_json:
        print_json(influenced.as_json(ranking))
        return
    for line in influenced.lines(ranking):
        click.echo(line)


def _given(text: str | None, file: Path | None) -> str:
    """The text from the argument, a file or standard input; ends of lines become newlines.

    Documents are cleaned in the same way. Raises ValueError if it is not UTF-8 or too long.
    """
    if (text is None) == (file is None):
        raise click.UsageError("give either a text (- for standard input) or --file")
    if file is None and text != "-":
        return bearable(text or "")
    name = "standard input" if file is None else str(file)
    data = sys.stdin.buffer.read() if file is None else read_file(file)
    try:
        return bearable(data.decode().replace("\r\n", "\n"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: not UTF-8 at byte {error.start}; convert it to UTF-8") from None


def _as_json(searched: Searched, text: str, found: list[Passage]) -> dict[str, Any]:
    return {
        "key": searched.key,
        "version": searched.version,
        "corpora": {
            corpus: {"index": index.artefact.version, **index.artefact.figures()}
            for corpus, index in searched.indexes.items()
        },
        "characters": len(text),
        "passages": [asdict(passage) for passage in found],
    }


def _lines(searched: Searched, text: str, found: list[Passage]) -> list[str]:
    from pipelines.cli.terminal import painted
    from pipelines.core.declaration import listed
    from pipelines.report.card import Share, legible

    lines = []
    for passage in found:
        places = f"{passage.count:,} place{'s' * (passage.count != 1)}"
        where = f"characters {passage.start} to {passage.end}, {passage.words} words, {places}"
        said = painted(legible(passage.text).replace("\n", "\\n"), "bold")
        lines += [said, f"  {where}", *map(_line, passage.places)]
        left = passage.count - len(passage.places)
        lines += [f"    and {left:,} more"] if passage.places and left else []
    figures = {name: index.artefact.figures() for name, index in searched.indexes.items()}
    corpora = listed(f"{int(told['documents']):,} of {name}" for name, told in figures.items())
    documents = f"the training documents of {searched.key}: {corpora}"
    if not found:
        return [f"no passage of that length stands in {documents}"]
    covered = {n for passage in found for n in range(passage.start, passage.end)}
    share = Share(len(covered) / len(text))
    count = f"{len(found)} passage{'s' * (len(found) != 1)}"
    return [*lines, "", f"{count}, {share} of the text; searched were {documents}"]


def _line(place: Place) -> str:
    from pipelines.report.card import legible

    where = f"line {place.line:,}, character {place.character:,}"
    line = f"    {place.corpus}  {legible(place.document_id)}  {where}  {legible(place.licence)}"
    if place.readings is None:
        return line
    read = (
        f"{one.model} read it from step {one.first_step:,} on, {one.tokens:,} tokens"
        for one in place.readings
    )
    return f"{line}  {'; '.join(read) or 'never read'}"
