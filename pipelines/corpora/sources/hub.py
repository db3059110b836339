"""Rows of a data set of the Hugging Face hub, streamed at a pinned revision.

The ``datasets`` library reads the rows; this file makes the reading exact. By itself the library
prefers a local folder or one of its own modules of the same name, uses any cached revision when it
cannot reach the hub, and follows the card of a data set to files elsewhere, which no revision
pins. The library runs no code of a data set.
"""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Collection, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from pipelines.corpora.sources.https import PASSING
from pipelines.corpora.sources.records import looked_at, mend_of
from pipelines.text.addresses import hidden, hub_endpoint, shown
from pipelines.text.errors import SourceUnavailable, TextError

if TYPE_CHECKING:
    from datasets import DatasetBuilder, IterableDataset

    from pipelines.corpora.sources.kinds.hub import HubSource

ROWS = 256
"""The number of rows that are read at once; one row at a time is ten times slower."""
MAX_REASON = 300


def hub_rows(source: HubSource) -> Iterator[dict[str, Any]]:
    """The rows of ``source`` in the hub's order, each with the columns that its fields name.

    A class label becomes its name. For any size of the data set, memory is bounded by what the
    library opens at once: 10 MB of JSON lines, or one row group of a Parquet file. ``HF_TOKEN``
    gives access to gated and private data sets, ``HF_ENDPOINT`` names another hub (the asset
    observes it, because it decides the rows), ``HF_HUB_OFFLINE`` forbids every request. Raises
    TextError if the data set lacks a column or a split, and SourceUnavailable if the hub cannot be
    reached, after all tries of the library (about ten minutes at most).
    """
    try:
        yield from islice(_rows(source), source.max_documents)
    except TextError:
        raise
    except Exception as error:
        # The library passes on any error of its own libraries; this line names the data set.
        raise _text_error(source, error) from error


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


def _columns(source: HubSource, known: Collection[str]) -> list[str]:
    """The columns to read for the names that ``fields`` maps: ``meta`` for ``meta.id``."""
    named = source.fields.columns() or list(known)
    mapped = [name if name in known else name.partition(".")[0] for name in named]
    also = [name for name in looked_at(source.fields) if name in known]
    return list(dict.fromkeys([*mapped, *also]))


def _class_name(names: list[str], number: int | None) -> str | None:
    """The name of a class; on the hub null and -1 mean that there is no class."""
    return None if number is None or number < 0 else names[number]


def _open(source: HubSource) -> IterableDataset:
    """The split with the columns that the fields need; no row of it is read yet."""
    from datasets.packaged_modules.parquet.parquet import ParquetConfig

    builder = _builder(source)
    splits = builder.as_streaming_dataset()
    if source.split not in splits:
        raise TextError(
            f"{_where(source)}: split={source.split!r} is not one of {sorted(map(str, splits))}; "
            "correct `split`"
        )
    data_set = splits[source.split]
    if (
        data_set.features is None
    ):  # such as one JSON array: its columns are unknown before it is read
        return data_set
    columns = _columns(source, data_set.features)
    missing = [name for name in columns if name not in data_set.features]
    if missing:
        raise TextError(
            f"{_where(source)}: no column {', '.join(missing)} among "
            f"{', '.join(data_set.features)}; {mend_of(data_set.features)}"
        )
    if isinstance(builder.config, ParquetConfig):
        # `select_columns` alone would fetch the other columns too; this option does not.
        builder.config.columns = columns
        data_set = builder.as_streaming_dataset(split=source.split)
    # Pictures and sounds beside the text are dropped before anything decodes them.
    return data_set.select_columns(columns)


def _builder(source: HubSource) -> DatasetBuilder:
    """The library's reader of the data set. Raises TextError for a file outside the revision."""
    import datasets

    _keep_quiet()
    library_endpoint = datasets.config.HF_ENDPOINT.rstrip(
        "/"
    )  # its value when the library was imported
    if library_endpoint != hub_endpoint():
        raise TextError(
            f"{_where(source)}: the library uses the hub {shown(library_endpoint)}, but HF_ENDPOINT"
            f" is {hub_endpoint()}; set it before the run begins"
        )
    with tempfile.TemporaryDirectory() as empty_cache:
        builder = datasets.load_dataset_builder(
            f"hf://datasets/{source.dataset}",  # the prefix excludes a local folder of this name
            source.config,
            revision=source.revision,
            cache_dir=empty_cache,  # else the library may use another cached revision
        )
    for files in (builder.config.data_files or {}).values():
        for file in files:
            if not re.match(rf"hf://datasets/[^@]+@{source.revision}/", file):
                raise TextError(
                    f"{_where(source)}: its file {file} is not part of the revision; "
                    "correct `dataset`, or read that file with another source"
                )
    return builder


def _keep_quiet() -> None:
    """Turn off the library's progress bars, log lines and telemetry."""
    import datasets
    import huggingface_hub

    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    for library in (datasets.utils, huggingface_hub.utils):
        library.disable_progress_bars()
    for name in ("datasets", "huggingface_hub", "httpx2"):  # the last logs signed addresses
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _where(source: HubSource) -> str:
    config = f", config {source.config}" if source.config else ""
    return f"data set {source.dataset}{config} at revision {source.revision[:12]}"


def _text_error(source: HubSource, error: Exception) -> TextError:
    """An error of the library as TextError or SourceUnavailable with a message of one line."""
    from datasets.exceptions import DatasetNotFoundError

    network_errors = [cause for cause in _causes(error) if _is_of_the_network(cause)]
    if network_errors:  # the first cause explains the most
        return SourceUnavailable(
            f"{_where(source)}: {_reason(network_errors[-1])}; try again when the hub can be "
            "reached and HF_HUB_OFFLINE is not set"
        )
    mend = "correct the recipe's source"
    if isinstance(error, DatasetNotFoundError):
        mend = "correct `dataset` and `revision`, or set HF_TOKEN if it is gated or private"
    return TextError(f"{_where(source)}: {_reason(error)}; {mend}")


def _causes(error: BaseException | None) -> list[BaseException]:
    """An error and its causes, also those that the library hides."""
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
    """The library's message in one line, without possible secrets in addresses."""
    words = " ".join(str(error).split()).partition(" For more information")[0]
    return f"{type(error).__name__}: {hidden(words)}"[:MAX_REASON]
