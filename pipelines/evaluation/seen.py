"""Which items of an evaluation set training documents hold too: contamination of the set."""

from __future__ import annotations

from pipelines.core.artefact import FIGURES
from pipelines.core.making import Making
from pipelines.corpora.artefacts import Documents
from pipelines.corpora.decontamination import Against
from pipelines.corpora.overlaps import write_overlaps
from pipelines.evaluation.items import Items
from pipelines.text.tables import Document


def find(making: Making, settings: Against, items: Items, documents: dict[str, Documents]) -> None:
    """Find the items that share n-grams of words with a training document (Brown et al. 2020, C).

    Every such item is reported, by its id and that of each document. An item of fewer than eight
    words is not looked for: a document may hold it by chance.
    """
    training = {corpus: texts.table("train.arrow") for corpus, texts in documents.items()}
    texts = [Document(item.id, item.text, "", "") for item in items.items()]
    advance = making.advance(sum(table.index.size for table in training.values()))
    counts = write_overlaps(
        making.folder, training, {"items": texts}, settings.ngram, advance, most=len(texts)
    )
    making.write(FIGURES, dict(counts))
