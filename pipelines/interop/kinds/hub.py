"""Files of a model of the Hugging Face hub at a pinned revision."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pipelines.interop.kind import Kind, Places
from pipelines.interop.laying import keep, last_parts
from pipelines.interop.options import ExternalWeights, Files
from pipelines.text.addresses import hidden, hub_endpoint
from pipelines.text.errors import SourceUnavailable


class HubWeights(ExternalWeights):
    """Files of a model of the Hugging Face hub at a pinned revision."""

    kind: Literal["hub"]
    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    """A commit, so that it names one content."""
    files: Files


def fetch(source: HubWeights, folder: Path, places: Places) -> list[str]:
    """Download the files where they are not kept yet; gives their names, sorted."""
    names = last_parts(source.files)
    for path, name in names:
        where = f"{source.repository}/{path} at {source.revision[:12]}"
        try:
            kept = _downloaded(source, path, places.cache)
        except OSError as error:  # the hub's errors are of this kind, and an unreachable one
            told = hidden(" ".join(str(error).split()))[:300]
            raise SourceUnavailable(
                f"{where}: {type(error).__name__}: {told}; try again when the hub can be reached"
            ) from error
        keep(kept, folder / name, source.files[path])
    return sorted(name for _, name in names)


def _downloaded(source: HubWeights, path: str, cache: Path) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    kept = hf_hub_download(
        source.repository,
        path,
        revision=source.revision,
        cache_dir=cache / "hub",
        endpoint=hub_endpoint(),  # which one decides nothing: the files are proved
    )
    return Path(kept)


KIND = Kind(options=HubWeights, fetch=fetch, origin="{repository} at {revision:.12}")
