"""The section of a tokenizer in a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipelines.core.stanza import Outside, Sha256, Strict
from pipelines.text.places import require_inside


class TokenizerChoice(Strict):
    """A tokenizer that is trained (bpe, words), published (gpt2, cl100k), or from a file.

    Training uses the training split alone.
    """

    kind: Literal["bpe", "words", "gpt2", "cl100k", "file"] = "bpe"
    vocab_size: Annotated[int, Field(ge=260, le=1_000_000, strict=True)] | None = None
    """The number of all tokens, with the control tokens (bpe only)."""
    path: str | None = None
    """A Hugging Face ``tokenizer.json``, relative to the project (file only)."""
    outside: Outside = False
    """true: the path may lead outside the project, or into hidden folders (file only)."""
    sha256: Sha256 | None = None
    """The digest of that file (file only)."""

    @model_validator(mode="after")
    def _options_fit_kind(self) -> TokenizerChoice:
        if (self.kind == "bpe") != (self.vocab_size is not None):
            raise ValueError("vocab_size belongs to kind: bpe, and to it alone")
        for option in (self.path, self.sha256):
            if (self.kind == "file") != (option is not None):
                raise ValueError("path and sha256 belong to kind: file, and to it alone")
        if self.outside and self.path is None:
            raise ValueError("outside belongs to kind: file, and to it alone")
        if self.path is not None and not self.outside:
            require_inside(self.path)
        return self

    def decides(self) -> dict[str, object]:
        """Everything but the path, because the place of a file does not decide its content."""
        return self.model_dump(mode="json", exclude={"path", "outside"}, exclude_none=True)
