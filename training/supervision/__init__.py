"""The process beside a job, one a node: starts the command, measures its tree, keeps the limits, says how it ended."""
