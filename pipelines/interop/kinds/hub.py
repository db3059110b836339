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
    """The hash of a commit, which names exactly one content."""
    files: Files


def fetch(source: HubWeights, folder: Path, places: Places) -> list[str]:
    """Download the files that are not in the cache yet; return their names, sorted."""
    names = last_parts(source.files)
    for path, name in names:
        where = f"{source.repository}/{path} at {source.revision[:12]}"
        try:
            kept = _downloaded(source, path, places.cache)
        except OSError as error:  # the base of the hub's errors and of network errors
            reason = hidden(" ".join(str(error).split()))[:300]
            raise SourceUnavailable(
                f"{where}: {type(error).__name__}: {reason}; try again when the hub can be reached"
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
        endpoint=hub_endpoint(),  # decides nothing, because the digests are checked
    )
    return Path(kept)


KIND = Kind(options=HubWeights, fetch=fetch, origin="{repository} at {revision:.12}")
