"""The schedules of a pipeline by name. Imports no torch: the command line reads it."""

from collections.abc import Mapping

#: Schedule -> stages of a rank: with two, a rank has less to wait for at the ends of the pipeline.
CHUNKS: Mapping[str, int] = {"gpipe": 1, "1f1b": 1, "interleaved": 2, "zero-bubble": 2}
SCHEDULES = tuple(CHUNKS)
