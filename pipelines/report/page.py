"""The report: one self-contained page about a recipe.

The page follows from the artefacts, so equal artefacts give an equal page. Times come from the
records, and the recipe's name comes from its key. They must not decide the bytes of the page, so
the page has marks that are replaced when somebody looks at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from pipelines.core.artefact import Artefact
from pipelines.corpora.artefacts import Contamination, Documents
from pipelines.evaluation.findings import Evaluation
from pipelines.report import card
from pipelines.report.card import readable
from pipelines.report.describe import (
    evaluation_pictures,
    funnel_picture,
    lengths_picture,
    loss_picture,
)
from pipelines.report.markup import folded, framed, image, rows_table, sample, table, tile, tiles
from pipelines.tokens.artefacts import TokenShards
from pipelines.training.artefacts import Checkpoint

TIMES, NAME = "<!-- times -->", "<!-- name -->"
TITLE = "<title>Report</title>"


def page(
    description: str,
    artefacts: Mapping[str, Artefact],
    parents: Mapping[str, Sequence[str]],
) -> str:
    """The page of a recipe, from its artefacts by title and the titles of their inputs."""
    body = [
        f"<h1>{NAME}{escape(description)}</h1>",
        _headlines(artefacts),
        "<h2>Where every weight comes from</h2>",
        "<p>Each box is an artefact and the first digits of its version, the digest of its bytes."
        " <code>dragon trace</code> checks the whole chain again.</p>",
        f'<div class="wide">{lineage_svg(artefacts, parents)}</div>',
        *_data(artefacts),
        *(
            _section(title, artefact)
            for title, artefact in artefacts.items()
            if isinstance(artefact, Checkpoint | Evaluation)
        ),
        "<h2>Artefacts</h2>",
        table(
            ("artefact", "version", "bytes", "figures"),
            [(title, a.version[:12], a.size, _figures(a)) for title, a in artefacts.items()],
        ),
        TIMES,
    ]
    return framed("Report", "".join(body))


def presented(content: str, name: str, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """The page with the recipe's name and the times from the records.

    ``rows`` are (key, ``made`` of the record). An artefact with several trained networks gets a
    further row for each network.
    """
    times = table(
        ("artefact", "finished", "seconds", "device", "threads", "tokens a second"),
        [
            (
                key,
                made.get("finished", ""),
                made.get("seconds", made.get("training_seconds", "")),
                made.get("device", "cpu"),
                made.get("threads", ""),
                made.get("tokens_per_second", ""),
            )
            for key, made in _trainings(rows)
        ],
    )
    html = content.replace(TITLE, f"<title>{escape(name)}: report</title>", 1)
    html = html.replace(NAME, f"{escape(name)}: ", 1)
    return html.replace(TIMES, f"<h2>Times</h2>{times}")


def _trainings(
    rows: Iterable[tuple[str, Mapping[str, Any]]],
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, made in rows:
        yield key, made
        for rung, training in made.get("rungs", {}).items():
            yield f"{key}: {rung}", training


def lineage_svg(artefacts: Mapping[str, Artefact], parents: Mapping[str, Sequence[str]]) -> str:
    """The graph of artefacts as inline SVG, sources on the left and results on the right."""
    depth: dict[str, int] = {}

    def depth_of(key: str) -> int:
        if key not in depth:
            depth[key] = 1 + max((depth_of(p) for p in parents.get(key, ())), default=-1)
        return depth[key]

    columns: dict[int, list[str]] = {}
    for key in artefacts:
        columns.setdefault(depth_of(key), []).append(key)
    width, height, gap_x, gap_y = 176, 42, 24, 14
    rows = max(len(column) for column in columns.values())
    place = {
        key: (
            10 + column * (width + gap_x),
            10 + (row + (rows - len(keys)) / 2) * (height + gap_y),
        )
        for column, keys in columns.items()
        for row, key in enumerate(keys)
    }
    parts = []
    for key, (x, y) in place.items():
        for parent in parents.get(key, ()):
            px, py = place[parent][0] + width, place[parent][1] + height / 2
            middle, end = (px + x) / 2, y + height / 2
            parts.append(
                f'<path d="M{px:g},{py:g} C{middle:g},{py:g} {middle:g},{end:g} {x:g},{end:g}"'
                ' fill="none" stroke="#8d99ae" stroke-width="1.2"/>'
            )
    for key, (x, y) in place.items():
        parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width}" height="{height}" rx="6"'
            ' fill="#edf2f4" stroke="#12355b"/>'
            f'<text x="{x + 8:g}" y="{y + 18:g}" font-size="{_font_size(key)}">{escape(key)}</text>'
            f'<text x="{x + 8:g}" y="{y + 35:g}" font-size="11" fill="#5b6b7b"'
            f' font-family="monospace">{artefacts[key].version[:12]}</text>'
        )
    across = 20 + len(columns) * (width + gap_x) - gap_x
    down = 20 + rows * (height + gap_y) - gap_y
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{across}" height="{down}"'
        f' viewBox="0 0 {across} {down}" font-family="system-ui, sans-serif">{"".join(parts)}</svg>'
    )


def _font_size(key: str) -> float:
    """A font size at which a key fits into its box."""
    return min(12.5, round(164 / (0.56 * len(key)), 1))


def _headlines(artefacts: Mapping[str, Artefact]) -> str:
    parts = []
    for title, artefact in artefacts.items():
        if isinstance(artefact, Evaluation):
            comparison = artefact.findings().comparison
            name, best = comparison.best_baseline()
            measure, better = escape(comparison.measure), escape(comparison.better)
            about = f"{measure}<br>{better} is better; best baseline {best:.3f}, {escape(name)}"
            model = title.removesuffix("_evaluation")
            parts.append(tile(model, f"{comparison.ours:.3f}", about))
    return tiles(parts)


def _data(artefacts: Mapping[str, Artefact]) -> list[str]:
    """A card for each corpus, then the overlaps of training and evaluation texts."""
    shards = [a for a in artefacts.values() if isinstance(a, TokenShards)]
    cards = [
        _card(title.partition("/")[0], artefact, shards)
        for title, artefact in artefacts.items()
        if isinstance(artefact, Documents)
    ]
    return ["<h2>Data</h2>", *cards, *map(_overlaps, artefacts.values())]


def _card(corpus: str, documents: Documents, shards: Iterable[TokenShards]) -> str:
    """The data card of a corpus: counts, tables, pictures, and examples of documents."""
    ledger = documents.ledger()
    tables = card.tables(ledger)
    tokens = [row for artefact in shards for row in card.tokens(artefact, corpus)]
    samples, examples = card.samples(documents), card.examples(documents)
    return "".join(
        [
            f"<h3>{escape(corpus)}</h3>",
            f"<p>{card.headline(ledger)}"
            f" <code>dragon documents {escape(corpus)}</code> shows more of the corpus.</p>",
            '<div class="beside"><div>',
            *(rows_table(rows, title) for title, rows in tables.items()),
            rows_table(tokens, "tokens") if tokens else "",
            "</div><div>",
            image(
                funnel_picture(ledger).address(),
                "documents left after each step, and dropped by reason",
            ),
            image(lengths_picture(ledger).address(), "lengths of the kept documents"),
            "</div></div>",
            folded("The first documents of the training split", "".join(map(sample, samples))),
            folded("Dropped documents, one example of each reason", rows_table(examples))
            if examples
            else "",
        ]
    )


def _overlaps(artefact: Artefact) -> str:
    """The training documents that share text with evaluation sets; empty for other artefacts."""
    if not isinstance(artefact, Contamination):
        return ""
    count = int(artefact.figures()["documents"])
    sentence = f"{count:,} training documents share words in a row with an evaluation text."
    parts = ["<h3>Contamination</h3>", f"<p>{sentence}</p>"]
    if count:
        parts.append(rows_table(card.contaminated(artefact)))
        parts.append(folded("The first of them", rows_table(card.overlaps(artefact))))
    return "".join(parts)


def _section(title: str, artefact: Checkpoint | Evaluation) -> str:
    title = f"<h2>{escape(title)}</h2>"
    if isinstance(artefact, Checkpoint):
        picture = (
            image(loss_picture(artefact).address(), "loss over the steps")
            if artefact.trained()
            else ""
        )
        return title + picture
    findings = artefact.findings()
    parts = [
        f"<h4>{escape(name)}</h4>{image(picture.address(), name)}"
        for name, picture in evaluation_pictures(findings).items()
    ]
    tables = findings.shown_tables().items()
    parts += [rows_table(readable(rows), name) for name, rows in tables]
    return "".join([title, *parts, *map(sample, findings.samples or ())])


def _figures(artefact: Artefact) -> str:
    return ", ".join(
        f"{name} {value:,.4g}" if isinstance(value, float) else f"{name} {value:,}"
        for name, value in artefact.figures().items()
    )
