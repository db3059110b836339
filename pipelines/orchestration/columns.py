"""The columns of the tables of an asset, with what each holds."""

from __future__ import annotations

import dagster as dg

from pipelines.core.artefact import Artefact
from pipelines.core.declaration import Declaration
from pipelines.corpora.artefacts import Documents, RawText
from pipelines.evaluation.items import Items
from pipelines.examples.artefacts import Examples
from pipelines.examples.options import LabelsTaken, PreferencesTaken
from pipelines.tokens.artefacts import TokenShards

Columns = tuple[tuple[str, str, str], ...]
"""(name, type of Arrow, what it holds) of each column."""

DOCUMENT: Columns = (
    ("id", "string", "The document's name in its source"),
    ("text", "large_string", "The text"),
    ("source", "string", "The file or data set that it came from"),
    ("licence", "string", "The licence of the text, as the source or the recipe says"),
    ("label", "string", "The label of the text; null if it has none"),
    ("changes", "list<item: string not null>", "What cleaning changed, step by step"),
    ("sha256", "string", "The digest of the text in UTF-8"),
)
TABLES: dict[type[Artefact], Columns] = {
    RawText: DOCUMENT,
    Documents: DOCUMENT,
    Items: (
        ("id", "string", "The item's name in its source"),
        ("contexts", "list<item: string not null>", "What stands before each answer"),
        ("continuations", "list<item: string not null>", "The answers"),
        ("gold", "int64", "The number of the right answer, from 0 on"),
    ),
    TokenShards: (
        ("document_id", "string", "The id of the document"),
        ("tokens", "list<item: uint16 not null>", "Its token ids, closed by the end of text"),
    ),
}
CHATS: Columns = (
    ("id", "string", "The id of the document; of one of its replies, also the number of the turn"),
    ("document_id", "string", "The document that it was taken from"),
    ("roles", "list<item: string>", "The role of each turn, the oldest first"),
    ("said", "list<item: large_string>", "The words of each turn"),
    ("learned", "list<item: bool>", "Whether the words of each turn are learned"),
)
PREFERENCES: Columns = (
    *CHATS[:4],
    ("chosen", "large_string", "The reply to prefer"),
    ("rejected", "large_string", "The other reply to the same turns"),
)
LABELLED: Columns = (
    ("id", "string", "The id of the example"),
    ("document_id", "string", "The document that it was taken from"),
    ("text", "large_string", "The text"),
    ("label", "string", "One of the labels of the task"),
)
EXAMPLES: dict[type, Columns] = {LabelsTaken: LABELLED, PreferencesTaken: PREFERENCES}


def columns_of(declared: Declaration) -> list[dg.TableColumn]:
    """The columns of an asset's tables; empty if it has no table for people."""
    if declared.makes is Examples:
        columns = EXAMPLES.get(type(declared.settings), CHATS)
    else:
        columns = TABLES.get(declared.makes, ())
    return [dg.TableColumn(name, kind, description=about) for name, kind, about in columns]
