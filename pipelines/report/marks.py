"""The places of a report that the records fill when somebody looks at it.

The date, the commit, the machine and the recipe's name must not decide the bytes of the report.
"""

from __future__ import annotations

from html import escape

TITLE = "Report"
NAME, MADE = "<!-- name -->", "<!-- made -->"
UNKNOWN = "The records of the store say it: dragon run and dragon ui show this page with it."
CHANGES, TIMES = (
    f'<p class="soft" data-mark="{mark}">{UNKNOWN}</p>' for mark in ("changes", "times")
)


def filled(content: str, name: str, made: str, changes: str, times: str) -> str:
    """The page with its marks replaced; all but ``name`` are HTML."""
    html = content.replace(f"<title>{TITLE}</title>", f"<title>{escape(name)}: report</title>", 1)
    for mark, told in (
        (NAME, f"{escape(name)}: "),
        (MADE, made),
        (CHANGES, changes),
        (TIMES, times),
    ):
        html = html.replace(mark, told, 1)
    return html
