"""The store of the settings in force, with the pseudonyms of its home: what the service and every command opens."""

from crowdrun.data.pseudonyms import Pseudonyms
from crowdrun.data.settings import Settings
from crowdrun.data.store import JobStore


def open_store(settings: Settings) -> JobStore:
    """The job history; names go into it as they are, or hashed where the settings or its home folder say so.

    Raises:
        StoreError: it cannot be opened, or holds names of the other kind.
        ConfigError: the key of the pseudonyms cannot be read or made.
    """
    return JobStore.open(settings.store, pseudonyms_of(settings))


def pseudonyms_of(settings: Settings) -> Pseudonyms | None:
    """How this home hashes names; None: not at all.

    Raises:
        ConfigError: the key cannot be read or made.
    """
    return Pseudonyms.of(settings.home, wanted=settings.pseudonymise)
