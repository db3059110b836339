"""``dragon documents``: the data card of a corpus and its texts, read from the store alone."""

from __future__ import annotations

import itertools
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from pipelines.cli import documents_json
from pipelines.cli.showing import json_option, print_json
from pipelines.cli.store import open_store, store_option
from pipelines.core.artefact import Rows
from pipelines.core.record import StoreError
from pipelines.core.store import Store
from pipelines.corpora.artefacts import Contamination, Documents
from pipelines.corpora.splits import SPLITS
from pipelines.report import card
from pipelines.text.nearest import did_you_mean
from pipelines.tokens.artefacts import TokenShards

START = 400  # characters of a text that are shown without --full


@click.command()
@click.argument("corpus", help="A corpus that was made.")
@click.option("--dropped", metavar="REASON", help="Read documents dropped for this reason.")
@click.option("--split", metavar="SPLIT", help="Read the documents of this split.")
@click.option(
    "--contaminated",
    metavar="RECIPE",
    help="Show documents that share words with this recipe's evaluation texts.",
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="How many documents to show.",
)
@click.option("--full", is_flag=True, help="Show all of each text, not only its start.")
@json_option
@store_option
def documents(
    corpus: str,
    dropped: str | None,
    split: str | None,
    contaminated: str | None,
    count: int,
    full: bool,
    as_json: bool,
    store: Path | None,
) -> None:
    """Print a corpus' data card, or read its documents.

    The card says what cleaning did. It lists the reasons for --dropped and the splits for --split.
    """
    opened = open_store(store)
    artefact = _find(opened, corpus.removesuffix("/documents"))
    chosen = [option for option in (dropped, split, contaminated) if option is not None]
    if len(chosen) > 1:
        raise StoreError("--dropped, --split and --contaminated: give only one of them")
    if dropped is not None:
        _require_reason(artefact, dropped)
    elif split is not None:
        _require_split(artefact, split)
    if as_json:
        print_json(_as_json(opened, artefact, dropped, split, contaminated, count, full))
    elif dropped is not None:
        _read_dropped(artefact, dropped, count, full)
    elif split is not None:
        _read_split(artefact, split, count, full)
    elif contaminated is not None:
        _read_contaminated(artefact, _searched(opened, artefact, contaminated), count)
    else:
        _print_card(opened, artefact)


def _find(store: Store, corpus: str) -> Documents:
    known = [key.split("/")[0] for key in _keys(store, "documents")]
    if corpus not in known:
        names = ", ".join(known) or "no documents yet"
        mend = did_you_mean(corpus, known, "dragon run makes others")
        raise StoreError(f"corpus {corpus!r}: is not in {store.root}, which has {names}; {mend}")
    return store.current(f"{corpus}/documents", Documents)


def _as_json(
    store: Store,
    found: Documents,
    dropped: str | None,
    split: str | None,
    contaminated: str | None,
    count: int,
    full: bool,
) -> dict[str, Any]:
    length = None if full else START
    if dropped is not None:
        return documents_json.dropped_of(found, dropped, count, length)
    if split is not None:
        return documents_json.split_of(found, split, count, length)
    if contaminated is not None:
        made = _searched(store, found, contaminated)
        return documents_json.contaminated_of(found, made, count)
    shards = {
        key: store.current(key, TokenShards) for key in _made_of(store, "token_shards", found)
    }
    made_of = _made_of(store, "contamination", found)
    return documents_json.card_of(
        found, shards, {key: store.current(key, Contamination) for key in made_of}
    )


# The card


def _print_card(store: Store, found: Documents) -> None:
    ledger, corpus = found.ledger(), _corpus(found)
    _say(f"{found.key}  {found.version}", card.headline(ledger))
    for title, rows in card.tables(ledger).items():
        _say("", title.upper(), *aligned(rows))
    _say("", "LENGTHS in characters", *_lengths(ledger.lengths))
    for key in _made_of(store, "token_shards", found):
        rows = card.tokens(store.current(key, TokenShards), corpus)
        _say("", f"TOKENS of {key}", *aligned(rows))
    contaminations = _made_of(store, "contamination", found)
    for key in contaminations:
        if sets := documents_json.shared(store.current(key, Contamination), corpus):
            _say("", f"CONTAMINATED, by {key}", *aligned(sets))
    _say("", "FIRST DOCUMENTS of the training split")
    for sample in card.samples(found):
        _show(sample["id"], sample["source"], _one_line(sample["text"]))
    examples = card.examples(found)
    if examples:
        _say("", "LEFT OUT, an example of each reason")
    for example in examples:
        why = f"{example['reason']}: {example['detail']}".removesuffix(": ")
        _show(example["id"], why, _one_line(example["text"]))
    _next(
        *(f"dragon documents {corpus} --dropped {why}" for why, _ in ledger.dropped.most_common(1)),
        f"dragon documents {corpus} --split train",
        *(f"dragon documents {corpus} --contaminated {k.split('/')[0]}" for k in contaminations),
        f"dragon trace {found.key}",
    )


def _made_of(store: Store, kind: str, found: Documents) -> list[str]:
    """The keys of a kind whose current version was made from this version of the documents."""
    keys = []
    for key in _keys(store, kind):
        parents = records[0].parents if (records := store.records(key)) else ()
        if any(parent["version"] == found.version for parent in parents):
            keys.append(key)
    return keys


def _keys(store: Store, kind: str) -> list[str]:
    keys = store.keys()
    return [key for key in keys if key.endswith(f"/{kind}")]


def _lengths(lengths: Mapping[str, int]) -> Iterator[str]:
    """One line with a bar for each power of two: the number of documents of these lengths."""
    bins = {int(below): count for below, count in lengths.items()}
    below, top = min(bins), max(bins.values())
    while below <= max(bins):
        count = bins.get(below, 0)
        bar = "█" * -(-30 * count // top)
        yield f"  {below // 2:>13,} to {below - 1:<13,} {bar} {count:,}"
        below *= 2


# Documents


def _require_reason(found: Documents, reason: str) -> None:
    dropped = found.ledger().dropped
    if reason not in dropped:
        known = ", ".join(f"{name} ({n:,})" for name, n in dropped.most_common())
        mend = did_you_mean(reason, dropped, f"name one of {known}")
        mend = mend if known else "nothing was dropped; read with --split"
        raise StoreError(f"{found.key}: --dropped {reason}: no such reason; {mend}")


def _require_split(found: Documents, split: str) -> None:
    if split not in SPLITS:
        mend = did_you_mean(split, SPLITS, f"name one of {', '.join(SPLITS)}")
        raise StoreError(f"{found.key}: --split {split}: no such split; {mend}")


def _read_dropped(found: Documents, reason: str, count: int, full: bool) -> None:
    ledger, corpus = found.ledger(), _corpus(found)
    total = ledger.dropped[reason]
    rows = (row for row in found.dropped() if row.reason == reason)
    # The ledger says how many there are, so nothing is read after the last one.
    for number, row in enumerate(itertools.islice(rows, min(count, total)), 1):
        text = row.text if full else card.shorten(row.text, START)
        rest = row.characters - len(row.text)
        if full and rest > 0:
            text += f"\n[the store does not keep {rest:,} more characters]"
        where = f"{row.source}, {row.characters:,} characters"
        _say("")
        why = f"{reason}: {row.detail}".removesuffix(": ")
        label = [f"label: {row.label}"] if row.label is not None else []
        _show(f"{number}  {row.id}", where, *label, why, text=text)
    _say("", f"{min(count, total):,} of {total:,} that were dropped as {reason}")
    others = [name for name, _ in ledger.dropped.most_common() if name != reason]
    _next(
        *([f"dragon documents {corpus} --dropped {others[0]}"] if others else []),
        f"dragon documents {corpus} --split train",
    )


def _read_split(found: Documents, split: str, count: int, full: bool) -> None:
    for number, document in enumerate(itertools.islice(found.split(split), count), 1):
        text = document.text if full else card.shorten(document.text, START)
        where = f"{document.source}, {len(document.text):,} characters"
        label = [f"label: {document.label}"] if document.label is not None else []
        changes = document.changes or ("not changed",)
        _say("")
        _show(f"{number}  {document.id}", where, *label, *changes, text=text)
    total = found.ledger().kept[split]
    _say("", f"{min(count, total):,} of {total:,} in {split}")
    corpus, dropped = _corpus(found), found.ledger().dropped.most_common(1)
    _next(
        *(f"dragon documents {corpus} --dropped {why}" for why, _ in dropped),
        f"dragon trace {found.key}",
    )


def _searched(store: Store, found: Documents, recipe: str) -> Contamination:
    """What a recipe found when it searched for contamination in these documents.

    Raises StoreError if it has not searched in this version of them.
    """
    known = [key.split("/")[0] for key in _keys(store, "contamination")]
    if recipe not in known:
        names = ", ".join(known) or "none"
        mend = did_you_mean(recipe, known, "give it a section decontamination and run it")
        raise StoreError(
            f"--contaminated {recipe}: this recipe has not searched for contamination"
            f" (recipes that have: {names}); {mend}"
        )
    contamination = store.current(f"{recipe}/contamination", Contamination)
    if contamination.key not in _made_of(store, "contamination", found):
        raise StoreError(
            f"{contamination.key} was made from another version of {found.key}; make it again with"
            f" dragon run {recipe}"
        )
    return contamination


def _read_contaminated(found: Documents, contamination: Contamination, count: int) -> None:
    corpus = _corpus(found)
    sets = documents_json.shared(contamination, corpus)
    if not sets:
        _say(f"{contamination.key}: no training document of {corpus} is contaminated")
        return
    _say(*aligned(sets))
    for number, row in enumerate(card.overlaps(contamination, count, corpus), 1):
        where = f"{row['evaluation']}, {row['evaluation_id']}: {row['shared']:,} in common"
        _say("")
        _show(f"{number}  {row['document_id']}", where, text=row["ngram"])


# Printing


def aligned(rows: Rows) -> Iterator[str]:
    """A table as lines; columns of numbers are aligned to the right."""
    numbers = {name for row in rows for name, v in row.items() if isinstance(v, int | float)}
    cells = [dict(zip(rows[0], rows[0], strict=True)), *card.readable(rows)]
    width = {name: max(len(row[name]) for row in cells) for name in rows[0]}
    for row in cells:
        line = (
            cell.rjust(width[name]) if name in numbers else cell.ljust(width[name])
            for name, cell in row.items()
        )
        yield f"  {'  '.join(line)}".rstrip()


def _show(title: str, *about: str, text: str = "") -> None:
    """Print a document: its title, facts about it and its text, each indented more."""
    _say(f"  {title}", *(f"     {line}" for line in about if line))
    for line in card.legible(text).split("\n") if text else ():
        _say(*(f"     | {piece}".rstrip() for piece in textwrap.wrap(line, _width()) or [""]))


def _one_line(text: str) -> str:
    return card.shorten(" ".join(text.split()), _width())


def _width() -> int:
    """The number of characters of a text that fit on a line."""
    return max(shutil.get_terminal_size().columns - 8, 20)


def _next(*commands: str) -> None:
    _say("", "Next:", *(f"  {command}" for command in commands))


def _say(*lines: str) -> None:
    """Print lines with control characters made visible, so that no text disturbs the terminal."""
    encoding = sys.stdout.encoding or "utf-8"
    for line in lines:
        seen = card.legible(line).replace("\n", "\\n")
        click.echo(seen.encode(encoding, "backslashreplace").decode(encoding))


def _corpus(found: Documents) -> str:
    return found.key.split("/")[0]
