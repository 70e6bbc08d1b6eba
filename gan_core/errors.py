"""The errors that a user can mend: each message names the file, the value and the remedy."""

from gan_core.secrets import hidden


class GanError(Exception):
    """Base of every error that comes from the user's input or environment, not from a bug.

    Its message holds no password or signature of a URL, whatever it is made of.
    """

    def __init__(self, *arguments: object):
        super().__init__(*(hidden(one) if isinstance(one, str) else one for one in arguments))


class ConfigError(GanError):
    """A configuration file is wrong: it names the file, the line, the key and what would be right."""


class UsageError(GanError):
    """A command line that no command takes: it says what would be right."""


class SourceError(GanError):
    """The images of a dataset cannot be had: missing, empty, wrongly laid out, refused or corrupt."""


class StoreError(GanError):
    """An artefact is missing, incomplete or does not match its manifest."""


class DamagedError(StoreError):
    """What says what an artefact is was edited, is damaged, lacks what its reader needs, or is of a later
    version of this project."""


class LeaseError(GanError):
    """Another process makes the same artefact, or has taken it over from this one."""


class TrainingError(GanError):
    """Training cannot start or go on (non-finite loss, checkpoint of another configuration)."""


class LostRankError(TrainingError):
    """Another of the processes that train together is gone; `silent` is the number of one that is there, but
    gives no sign of life."""

    def __init__(self, message: str, silent: int | None = None):
        super().__init__(message)
        self.silent = silent


class EvaluationError(GanError):
    """A metric cannot be computed (too few samples, missing weights, protocols that do not match)."""
