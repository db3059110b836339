"""A check of every report: it opens, and it names each asset that it is about."""

from __future__ import annotations

import html

from pipelines.checks import Check, Inputs, Outcome, Readers
from pipelines.report.artefacts import Report

MOST = 5  # assets that the outcome lists


def look(report: Report, _: Readers, inputs: Inputs) -> Outcome:
    """The numbers of assets that the page names and does not name."""
    page = report.page()
    titles = [name.partition("/")[2] for name in inputs if name.startswith("artefacts/")]
    unnamed = [title for title in titles if html.escape(title) not in page]
    numbers = {
        "bytes": report.size,
        "assets": len(titles),
        "pictures": page.count("data:image/png"),
        "not named": len(unnamed),
        "first": unnamed[:MOST],
    }
    whole = page.lstrip().lower().startswith("<!doctype html") and "</html>" in page
    return Outcome(whole and not unnamed, numbers)


CHECK = Check(
    name="names_its_assets",
    view=Report,
    description="The page is whole, and each asset that it is about is named on it.",
    look=look,
    compares=True,
)
