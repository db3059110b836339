"""What this floor raises: one line that says what is wrong, where, and the mend."""


class TextError(ValueError):
    """The data or what was asked of it is wrong; trying again changes nothing."""


class SourceUnavailable(TextError):  # noqa: N818 -- it names the state, as the caller's log will
    """A source could not be fetched; a later try may succeed."""
