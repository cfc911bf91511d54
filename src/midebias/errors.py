"""The errors this package raises; each message names the argument or the file."""

__all__ = ["DataError", "InputError", "TooFewSamples"]


class InputError(ValueError):
    """An argument that cannot be used; the message names it, what was found and what is accepted."""


class TooFewSamples(InputError):
    """Fewer samples than the estimate needs."""


class DataError(ValueError):
    """A data file that is missing, damaged or of another format; the message names the file."""
