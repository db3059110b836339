"""The report: one self-contained page about a recipe.

The page follows from the artefacts, so equal artefacts give an equal page. Times, machines and
commits come from the records, and the recipe's name comes from its key. They must not decide the
bytes of the page, so the page has marks that are replaced when somebody looks at it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipelines.core.artefact import Artefact
from pipelines.corpora.artefacts import Contamination
from pipelines.evaluation.findings import Comparison, Evaluation
from pipelines.examples.artefacts import Examples
from pipelines.report import model_card, sections
from pipelines.report.chain import Chain
from pipelines.report.drawing import drawing, nested
from pipelines.report.figures import bounds_of, headlines, measured, spell, spelled
from pipelines.report.marks import CHANGES, MADE, NAME, TIMES, TITLE
from pipelines.report.markup import (
    Html,
    Number,
    cell,
    code,
    facts,
    framed,
    heading,
    link,
    listed,
    rows_table,
    table,
    tile,
    tiles,
)
from pipelines.report.options import Page
from pipelines.report.words import anchor, plain, subject
from pipelines.training.artefacts import Checkpoint

SHORT = 12  # digits of a version for people


def page(settings: Page, artefacts: Mapping[str, Artefact]) -> str:
    """The page of a recipe, from its artefacts by title."""
    chain = Chain(settings, artefacts)
    first = _first(chain)
    body = "".join(
        [
            *_card(chain, first),
            heading(2, "What changed since the version before", "changes"),
            CHANGES,
            *_lineage(chain),
            *_data(chain),
            *(sections.model(chain, *one, known=first) for one in chain.of(Checkpoint).items()),
            *(sections.lone_evaluation(chain, title, one) for title, one in _alone(chain)),
        ]
    )
    rest = heading(2, "Artefacts", "artefacts") + _artefacts(chain, body)
    rest += heading(2, "Times and machines", "times") + TIMES
    top = f"<h1>{NAME}{cell(settings.description)}</h1>{_results(chain)}"
    return framed(TITLE, body + rest, intro=top, contents=_contents(chain))


def _first(chain: Chain) -> str:
    """The title of the model that the card is of; empty if there is none."""
    models = list(chain.of(Checkpoint))
    return "foundation" if "foundation" in models else next(iter(models), "")


def _alone(chain: Chain) -> Iterator[tuple[str, Evaluation]]:
    """The evaluations that are of no model of the chain."""
    for title, evaluation in chain.of(Evaluation).items():
        if subject(title, chain.parents) not in chain.of(Checkpoint):
            yield title, evaluation


def _contents(chain: Chain) -> str:
    corpora = [(anchor(f"{name}/documents"), plain(name).capitalize()) for name in chain.corpora()]
    overlaps = [(anchor(title), chain.names[title]) for title in chain.of(Contamination)]
    models = [*chain.of(Checkpoint), *(title for title, _ in _alone(chain))]
    return listed(
        [
            ("card", "Model card", ()),
            ("changes", "What changed", ()),
            ("lineage", "Lineage", ()),
            ("data", "Data", [*corpora, *overlaps]),
            *((anchor(title), chain.names[title], ()) for title in models),
            ("artefacts", "Artefacts", ()),
            ("times", "Times and machines", ()),
        ]
    )


def _results(chain: Chain) -> str:
    """A tile for each evaluation: our figure, and the best baseline's."""
    parts = []
    for title, evaluation in chain.of(Evaluation).items():
        comparison = evaluation.findings().comparison
        model = chain.names[subject(title, chain.parents) or title]
        figure, about = measured(comparison.ours, comparison.measure), compared(comparison)
        parts.append(tile(model, figure, about, f"#{anchor(title)}"))
    return tiles(parts) if parts else ""


def compared(comparison: Comparison) -> Html:
    """The measure, whether our figure beats the best baseline, and the baseline's figure."""
    name, best = comparison.best_baseline()
    beats = comparison.margin() > 0
    verdict = "better than the best baseline" if beats else "does not beat the best baseline"
    theirs = f"{name}: {measured(best, comparison.measure)}"
    between = bounds_of(comparison)
    return Html(
        f"<p>{cell(comparison.measure)}, {comparison.better} is better</p>"
        f"{f'<p>95 % interval: {cell(between)}</p>' if between else ''}"
        f'<p class="{"good" if beats else "bad"}">{verdict}</p><p>{cell(theirs)}</p>'
    )


def _card(chain: Chain, first: str) -> Iterator[str]:
    """The model card: facts, data with licences, use and limits."""
    yield heading(2, "Model card", "card")
    known = facts(model_card.about(chain, first)) if first else facts({})
    yield known.replace("</dl>", f"{MADE}</dl>")
    if rows := model_card.data(chain):
        yield rows_table(rows, "Data and licences")
    for name, lines in (("Use", model_card.uses(chain)), ("Limits", model_card.limits(chain))):
        inner = "".join(f"<li>{cell(line)}</li>" for line in lines)
        yield f"{heading(3, name)}<ul>{inner}</ul>" if inner else ""


def _lineage(chain: Chain) -> Iterator[str]:
    yield heading(2, "Where every weight comes from", "lineage")
    yield (
        "<p>From the sources down to the results. Each box is an artefact, with its first figure"
        f" and the first digits of its version, the digest of its bytes. {code('dragon trace')}"
        " checks the whole chain again.</p>"
    )
    under = {title: [*_figure(chain, title), _version(chain, title)] for title in chain.artefacts}
    where = {title: f"#{anchor(title)}" for title in chain.artefacts}

    def line(title: str) -> str:
        return f"{link(where[title], chain.names[title])} {code(_version(chain, title))}"

    short = {title: name.replace(" of the ", ": ") for title, name in chain.names.items()}
    yield drawing(chain.parents, short, under, where)
    yield nested(chain.parents, line)


def _figure(chain: Chain, title: str) -> list[str]:
    """The first figure of an artefact; of examples, how many there are to learn from."""
    artefact = chain.artefacts[title]
    if isinstance(artefact, Examples):
        count = sum(n for name, n in artefact.figures().items() if name.startswith("train_"))
        return [f"{int(count):,} training examples"]
    return [figure.text for figure in headlines(artefact)[:1]]


def _version(chain: Chain, title: str) -> str:
    return chain.artefacts[title].version[:SHORT]


def _data(chain: Chain) -> Iterator[str]:
    """A card for each corpus, then the overlaps of training and held-out texts."""
    yield heading(2, "Data", "data")
    for corpus, documents in chain.corpora().items():
        yield sections.corpus_card(chain, corpus, documents)
    for title, artefact in chain.of(Contamination).items():
        yield sections.overlaps(chain, title, artefact)


def _artefacts(chain: Chain, body: str) -> str:
    """All artefacts with their figures; one without a section of its own has its anchor here."""
    rows = []
    for title, artefact in chain.artefacts.items():
        place = anchor(title)
        here = "" if f'id="{place}"' in body else f' id="{place}"'
        figures = "; ".join(figure.phrase for figure in spelled(artefact.figures()))
        name = cell(chain.names[title])
        name = f"<span{here}>{name}</span>" if here else link(f"#{place}", chain.names[title])
        size = Number(spell("bytes", artefact.size).text)
        rows.append((Html(f"{name} {code(title)}"), code(_version(chain, title)), size, figures))
    return table(("artefact", "version", "size", "figures"), rows, "All artefacts of the recipe")
