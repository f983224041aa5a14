"""The one error tree of crowdrun.

Every message holds what came, what was allowed, and what to do next.

    CrowdrunError
    ├── ConfigError            a setting, option or file of settings that cannot be used
    ├── RequestError           a job request with a value that no job can have
    ├── LogError               a log that cannot be read at all (a broken line is a rejection, not an error)
    │   ├── LogFormatError     not the format that was named
    │   └── LogTruncatedError  the compressed stream ends in the middle
    ├── OutputError            a file that could not be written
    ├── StoreError             the job history cannot be opened, read or written
    ├── ModelError             a published model that is missing, changed or from another version
    ├── NotEnoughDataError     too few labelled jobs to learn from
    ├── DescriptionError       a description of a model that cannot be built
    ├── ForecastError          a model whose GPU memory cannot be forecast
    ├── NotInstalledError      a library that this needs is not there
    ├── TooLongError           it takes longer than it may, and would the next time
    ├── LaunchError            a run that could not be started
    ├── CheckpointError        a checkpoint that is damaged, or does not fit the model
    ├── DatasetError           samples that cannot be read
    ├── ServiceError           a crowdrun service that cannot be reached, refuses or fails
    └── BusyError              there is no time or room for it now; later there may be
"""


class CrowdrunError(Exception):
    """Base of everything that crowdrun raises on purpose; the command line prints it without a traceback."""


class ConfigError(CrowdrunError):
    """A setting, option or file of settings that cannot be used."""


class RequestError(CrowdrunError):
    """A job request with a value that no job can have."""


class LogError(CrowdrunError):
    """A log that cannot be read at all."""


class LogFormatError(LogError):
    """The log is not in the format that was named."""


class LogTruncatedError(LogError):
    """The compressed stream ends in the middle."""


class OutputError(CrowdrunError):
    """A file that could not be written."""


class StoreError(CrowdrunError):
    """The job history cannot be opened, read or written."""


class ModelError(CrowdrunError):
    """A published model that is missing, changed or from another version."""


class NotEnoughDataError(CrowdrunError):
    """Too few labelled jobs to learn from."""


class DescriptionError(CrowdrunError):
    """A description of a model that cannot be built, or that is more than a forecast takes."""


class ForecastError(CrowdrunError):
    """A model whose GPU memory cannot be forecast: it cannot be traced, or it fails by itself."""


class NotInstalledError(CrowdrunError):
    """A library that this needs is not installed."""


class TooLongError(CrowdrunError):
    """It takes longer than it may, and would the next time."""


class LaunchError(CrowdrunError):
    """A run that could not be started."""


class DatasetError(CrowdrunError):
    """Samples that cannot be read."""


class CheckpointError(CrowdrunError):
    """A checkpoint that is damaged, or does not fit the model."""


class BusyError(CrowdrunError):
    """There is no time or room for it now; in `retry_after_s` seconds there may be."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ServiceError(CrowdrunError):
    """A crowdrun service that cannot be reached, refuses or fails; `status` is that of HTTP, None without an answer."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
