"""What kind of names a store holds: one kind only, or a person would be two people."""

import sqlalchemy as sa

from crowdrun.data.errors import StoreError
from crowdrun.data.pseudonyms import Pseudonyms
from crowdrun.data.store_schema import JOB_VERSIONS, METADATA, shown, transaction

#: One row where names are hashed: which key they are hashed with.
PSEUDONYMS = sa.Table("crowdrun_pseudonyms", METADATA, sa.Column("fingerprint", sa.Text, nullable=False))


def check_names(engine: sa.Engine, pseudonyms: Pseudonyms | None) -> None:
    """Say nothing when the names of a store are of this kind; an empty one becomes so.

    Raises:
        StoreError: they are of the other kind, or hashed with another key.
    """
    with transaction(engine, "open") as connection:
        there = sa.inspect(connection).has_table(PSEUDONYMS.name)
        known = connection.execute(sa.select(PSEUDONYMS.c.fingerprint)).scalar() if there else None
    ours = pseudonyms.fingerprint if pseudonyms else None
    if known == ours:
        return
    if known is not None:
        key = "another key than that of this home" if ours else "a key that is not in this home"
        raise StoreError(
            f"the store {shown(engine.url)} holds names that were hashed with {key}; put its pseudonyms.key into "
            "CROWDRUN_HOME, or name another store with --store"
        )
    assert ours
    _begin(engine, ours)


def _begin(engine: sa.Engine, fingerprint: str) -> None:
    with transaction(engine, "write to", writes=True) as connection:
        PSEUDONYMS.create(connection, checkfirst=True)
        if connection.execute(sa.select(JOB_VERSIONS.c.seq).limit(1)).first():
            raise StoreError(
                f"the store {shown(engine.url)} holds jobs with plain names, which stay what they are; name another "
                "store with --store and ingest the logs into that, or leave --pseudonymise out"
            )
        connection.execute(PSEUDONYMS.insert().values(fingerprint=fingerprint))
