"""The card of a set of examples: how many, how long, of which roles, under which licences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipelines.core.artefact import Rows
from pipelines.corpora.splits import SPLITS

SHARES = {"shortest": 0.0, "half are at most": 0.5, "nine tenths are at most": 0.9, "longest": 1.0}


class Card:
    """Counts what is in the examples of each split; lengths are in characters."""

    def __init__(self) -> None:
        self._lengths: dict[str, list[int]] = {split: [] for split in SPLITS}
        self._turns: Counter[str] = Counter()
        self._characters: Counter[str] = Counter()
        self._learned: Counter[str] = Counter()
        self._licences: Counter[str] = Counter()

    def add(
        self, split: str, roles: Sequence[str], said: Sequence[str], learned: Sequence[bool]
    ) -> None:
        """Count an example."""
        self._lengths[split].append(sum(map(len, said)))
        self._turns.update(roles)
        for role, words, learns in zip(roles, said, learned, strict=True):
            self._characters[role] += len(words)
            self._learned[role] += learns

    def of_document(self, licence: str) -> None:
        """Count a document that has examples."""
        self._licences[licence] += 1

    def tables(self) -> dict[str, Rows]:
        """The tables by title."""
        return {
            "characters of an example": [
                {"split": split, "examples": len(lengths)}
                | {name: quantile(lengths, share) for name, share in SHARES.items()}
                for split, lengths in self._lengths.items()
            ],
            "turns": [
                {
                    "role": role,
                    "turns": count,
                    "learned": self._learned[role],
                    "characters": self._characters[role],
                }
                for role, count in sorted(self._turns.items())
            ],
            "licences": [
                {"licence": licence, "documents": count}
                for licence, count in sorted(self._licences.items())
            ],
        }


def quantile(values: Sequence[int], share: float) -> int:
    """The least of the values that at least ``share`` of them do not exceed; 0 without any."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] if ordered else 0
