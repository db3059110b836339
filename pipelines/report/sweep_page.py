"""The page of a sweep: the best choice, all choices in a table, curves, effects and forecasts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from pipelines.report import swept
from pipelines.report.describe import Picture, describe
from pipelines.report.markup import (
    Html,
    cell,
    code,
    framed,
    heading,
    listed,
    rows_table,
    tile,
    tiles,
)
from pipelines.report.sections import picture
from pipelines.sweeps.artefacts import SweepComparison

ABOUT_FORECASTS = (
    "A forecast says where a choice ends if it gains from the comparison on what the choices of"
    " this sweep gain in the middle, by a power law through their training losses. Its band holds"
    " how much gains and seeds differ. An error of the middle gain is not in it: that moves all"
    " forecasts alike and changes no decision. A choice is stopped if its band lies wholly above"
    " the band of the best."
)


def sweep_page(name: str, comparison: SweepComparison, seconds: Mapping[str, float]) -> str:
    """The page of a recipe's sweep; ``seconds`` has the training time of each point, by name."""
    content = comparison.content()
    shown = {t: one for t, one in describe(comparison).items() if isinstance(one, Picture)}
    parts = tiles(tile(title, figure, f"<p>{cell(about)}</p>") for title, figure, about in
                  swept.headline(comparison))  # fmt: skip
    top = heading(1, f"Sweep of {name}") + parts
    body = "".join(
        [
            *_best(content, name),
            heading(2, "All choices", "choices"),
            rows_table(swept.rows(content, seconds), "All choices, the best first", ours=0),
            heading(2, "Curves", "curves"),
            *(_drawn(title, one) for title, one in shown.items() if title == "curves"),
            heading(2, "What each setting does", "effects"),
            *(_drawn(title, one) for title, one in shown.items() if title != "curves"),
            *_forecasts(content),
        ]
    )
    entries = [("best", "The best choice"), ("choices", "All choices"), ("curves", "Curves")]
    entries += [("effects", "What each setting does"), ("forecasts", "Forecasts")]
    contents = listed((anchor, text, ()) for anchor, text in entries)
    return framed(f"Sweep of {name}", body, intro=top, contents=contents)


def _best(content: swept.Content, name: str) -> Iterator[str]:
    yield heading(2, "The best choice", "best")
    yield f"<p>{cell(swept.verdict(content))}</p>"
    lines = swept.adoption(content)
    if lines:
        yield f"<p>The recipe {code(name)} adopts it with:</p>"
        yield Html(f"<pre>{escape(chr(10).join(lines))}</pre>")
        yield "<p>Its foundation is then this point, which is not trained again.</p>"
    else:
        yield "<p>The recipe has these values already.</p>"


def _drawn(title: str, one: Picture) -> str:
    caption = "Validation loss over the steps; a dashed line was stopped at its cross"
    if title != "curves":
        caption = f"{title}: means with the deviation over seeds; hollow marks are forecasts"
    return picture(one, f"{caption}. The table of all choices has the numbers.", caption)


def _forecasts(content: swept.Content) -> Iterator[str]:
    yield heading(2, "Forecasts", "forecasts")
    if not content["comparisons"]:
        yield "<p>No choice was forecast: the recipe stops none.</p>"
        return
    yield f"<p>{cell(ABOUT_FORECASTS)}</p>"
    yield rows_table(swept.forecasts(content), "Each choice at each comparison")
