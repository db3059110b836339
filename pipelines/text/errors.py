"""The errors about text: their message is one line with the fault, the place and the mend."""


class TextError(ValueError):
    """The data, or a request for data, is wrong; another try changes nothing."""


class SourceUnavailable(TextError):  # noqa: N818 -- it names the state, as the caller's log will
    """A source could not be fetched; a later try may succeed."""
