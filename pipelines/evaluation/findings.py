"""What an evaluation found: figures beside baselines, and what there is to read or look at."""

from __future__ import annotations

from typing import Any

from pipelines.core.artefact import TABLES, Artefact, Rows


class Evaluation(Artefact):
    """Figures against baselines, and what there is to read or look at beside them."""

    kind = "evaluation"

    def comparison(self) -> dict[str, Any]:
        """``measure``, ``better`` (lower or higher), ``ours`` and the ``baselines`` by name."""
        found: dict[str, Any] = self.json("comparison.json")
        return found

    def best_baseline(self) -> tuple[str, float]:
        """The baseline that is hardest to beat."""
        comparison = self.comparison()
        best = min if comparison["better"] == "lower" else max
        name: str = best(comparison["baselines"], key=comparison["baselines"].get)
        return name, comparison["baselines"][name]

    def samples(self) -> list[dict[str, str]]:
        """What the model wrote, each behind its prompt."""
        found = self.json("samples.json") if "samples.json" in self.files else []
        order = ("prompt", "source", "continuation", "translation", "reply", "person", "reference")
        return [{name: sample[name] for name in order if name in sample} for sample in found]

    def tables(self) -> dict[str, Rows]:
        """Tables to read, by title."""
        return {
            title: [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
            for title, found in self._shown(TABLES).items()
        }

    def curves(self) -> dict[str, dict[str, Any]]:
        """By title: the axes' labels ``x`` and ``y``, and ``lines`` of [x, y] pairs by name."""
        return self._shown("curves.json")

    def heatmaps(self) -> dict[str, dict[str, Any]]:
        """By title: the labels of ``rows`` and ``columns``, and ``values``, a list a row."""
        return self._shown("heatmaps.json")

    def map(self) -> Rows:
        """Points of a map: ``name``, ``x``, ``y`` and the ``group`` each belongs to."""
        return self._shown("map.json").get("points", [])

    def _shown(self, name: str) -> dict[str, Any]:
        return dict(self.json(name)) if name in self.files else {}

    def confusion(self) -> tuple[list[list[int]], list[str]] | None:
        """The confusion matrix and its labels, for a classifier."""
        if "confusion.json" not in self.files:
            return None
        found = self.json("confusion.json")
        return found["matrix"], found["labels"]
