"""The artefact of the log-likelihoods that preferences are compared with."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.core.artefact import Artefact

NATS = "nats.json"


class Reference(Artefact):
    """The nats of both replies of each pair under the assistant that training begins from."""

    kind = "json"

    def nats(self, split: str, ids: Sequence[str]) -> list[float]:
        """Of each pair of a split, in the order of ``ids``: the chosen reply's, the rejected one's.

        Raises ValueError for a pair that it does not know.
        """
        known = {name: pair for name, *pair in self.json(NATS)[split]}
        if missing := [name for name in ids if name not in known]:
            raise ValueError(
                f"{self.key}: has no pair {missing[0]} of the {split} split; it was made from other"
                " examples; make it again"
            )
        return [nats for name in ids for nats in known[name]]
