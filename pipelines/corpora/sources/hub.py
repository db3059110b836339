"""Rows of a data set of the Hugging Face hub, streamed at a pinned revision.

The library does the work; what is added makes it exact. Left alone, it takes a local folder or a
module of its own for a data set of that name, falls back to whatever revision it has kept when
the hub cannot be reached, and follows a data set's card to files elsewhere, which no revision
pins. It runs no code of a data set.
"""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Container, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from pipelines.corpora.sources.https import PASSING
from pipelines.corpora.sources.records import columns_of, looked_at, mend_of
from pipelines.text.addresses import hidden, hub_endpoint, shown
from pipelines.text.errors import SourceUnavailable, TextError

if TYPE_CHECKING:
    from datasets import DatasetBuilder, IterableDataset

    from pipelines.corpora.sources.kinds.hub import HubSource

ROWS = 256
"""Rows taken from the library at once: one by one it is ten times slower."""
MAX_REASON = 300


def hub_rows(source: HubSource) -> Iterator[dict[str, Any]]:
    """The rows of ``source`` in the hub's order, each with the columns that its fields name.

    A class label is given by its name. Memory is bounded by what the library opens at once,
    whatever the data set's size: 10 MB of JSON lines, one row group of a Parquet file. ``HF_TOKEN``
    opens gated and private data sets, ``HF_ENDPOINT`` names another hub (the asset observes it, for
    it decides the rows), ``HF_HUB_OFFLINE`` forbids all. Raises TextError for what the data set has
    not, and SourceUnavailable where the hub cannot be reached, once the library has given up (after
    some ten minutes at most).
    """
    try:
        yield from islice(_rows(source), source.max_documents)
    except TextError:
        raise
    except Exception as error:
        # The library raises whatever its own libraries do; our one line names the data set.
        raise _told(source, error) from error


def _rows(source: HubSource) -> Iterator[dict[str, Any]]:
    from datasets import ClassLabel

    data_set = _open(source)
    features = data_set.features or {}
    classes = {name: kind.names for name, kind in features.items() if isinstance(kind, ClassLabel)}
    for batch in data_set.iter(batch_size=ROWS):
        kept = {name: batch[name] for name in _columns(source, batch) if name in batch}
        for name in classes.keys() & kept.keys():
            kept[name] = [_class_name(classes[name], number) for number in kept[name]]
        for values in zip(*kept.values(), strict=True):
            yield dict(zip(kept, values, strict=True))


def _columns(source: HubSource, known: Container[str]) -> list[str]:
    """The columns to read for the names that ``fields`` maps: ``meta`` for ``meta.id``."""
    named = columns_of(source.fields)
    mapped = [name if name in known else name.partition(".")[0] for name in named]
    also = [name for name in looked_at(source.fields) if name in known]
    return list(dict.fromkeys([*mapped, *also]))


def _class_name(names: list[str], number: int | None) -> str | None:
    """The name of a class; null and -1 are the hub's ways to say that there is none."""
    return None if number is None or number < 0 else names[number]


def _open(source: HubSource) -> IterableDataset:
    """The split, none of its rows read yet, narrowed to the columns that the fields need."""
    from datasets.packaged_modules.parquet.parquet import ParquetConfig

    builder = _builder(source)
    splits = builder.as_streaming_dataset()
    if source.split not in splits:
        raise TextError(
            f"{_where(source)}: split={source.split!r} is none of {sorted(map(str, splits))}; "
            "correct `split`"
        )
    data_set = splits[source.split]
    if data_set.features is None:  # such as one JSON array: known only once it was read
        return data_set
    columns = _columns(source, data_set.features)
    missing = [name for name in columns if name not in data_set.features]
    if missing:
        raise TextError(
            f"{_where(source)}: no column {', '.join(missing)} among "
            f"{', '.join(data_set.features)}; {mend_of(data_set.features)}"
        )
    if isinstance(builder.config, ParquetConfig):
        # Selected below a column would be fetched all the same; named here it is not.
        builder.config.columns = columns
        data_set = builder.as_streaming_dataset(split=source.split)
    # Pictures and sounds beside the text are dropped before anything decodes them.
    return data_set.select_columns(columns)


def _builder(source: HubSource) -> DatasetBuilder:
    """The library's reader of the data set, all of whose files lie in the pinned revision."""
    import datasets

    _keep_quiet()
    asked = datasets.config.HF_ENDPOINT.rstrip("/")  # as it was when the library was imported
    if asked != hub_endpoint():
        raise TextError(
            f"{_where(source)}: the library asks {shown(asked)}, HF_ENDPOINT says"
            f" {hub_endpoint()}; set it before the run begins"
        )
    with tempfile.TemporaryDirectory() as nothing_kept:
        builder = datasets.load_dataset_builder(
            f"hf://datasets/{source.dataset}",  # without the prefix, a local folder comes first
            source.config,
            revision=source.revision,
            cache_dir=nothing_kept,  # else an earlier revision may stand in for this one
        )
    for files in (builder.config.data_files or {}).values():
        for file in files:
            if not re.match(rf"hf://datasets/[^@]+@{source.revision}/", file):
                raise TextError(
                    f"{_where(source)}: its file {file} is not part of the revision; "
                    "correct `dataset`, or read that file by a source of its own"
                )
    return builder


def _keep_quiet() -> None:
    """No progress bars, no lines of the library's own, no counting of who loads what."""
    import datasets
    import huggingface_hub

    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    for library in (datasets.utils, huggingface_hub.utils):
        library.disable_progress_bars()
    for name in ("datasets", "huggingface_hub", "httpx2"):  # the last tells signed addresses
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _where(source: HubSource) -> str:
    config = f", config {source.config}" if source.config else ""
    return f"data set {source.dataset}{config} at revision {source.revision[:12]}"


def _told(source: HubSource, error: Exception) -> TextError:
    """What the library raised, as one line of ours."""
    from datasets.exceptions import DatasetNotFoundError

    trouble = [cause for cause in _causes(error) if _is_of_the_network(cause)]
    if trouble:  # the first cause says the most
        return SourceUnavailable(
            f"{_where(source)}: {_reason(trouble[-1])}; try again when the hub can be reached and "
            "HF_HUB_OFFLINE is not set"
        )
    mend = "correct the recipe's source"
    if isinstance(error, DatasetNotFoundError):
        mend = "correct `dataset` and `revision`, or set HF_TOKEN if it is gated or private"
    return TextError(f"{_where(source)}: {_reason(error)}; {mend}")


def _causes(error: BaseException | None) -> list[BaseException]:
    """An error and what led to it, also where the library hides it."""
    causes: list[BaseException] = []
    while error is not None and error not in causes:
        causes.append(error)
        error = error.__cause__ or error.__context__
    return causes


def _is_of_the_network(error: BaseException) -> bool:
    from datasets.utils.file_utils import CONNECTION_ERRORS_TO_RETRY

    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return status in PASSING
    return isinstance(error, (ConnectionError, TimeoutError, *CONNECTION_ERRORS_TO_RETRY))


def _reason(error: BaseException) -> str:
    """The library's words in one line, without what addresses in them may carry of secrets."""
    words = " ".join(str(error).split()).partition(" For more information")[0]
    return f"{type(error).__name__}: {hidden(words)}"[:MAX_REASON]
