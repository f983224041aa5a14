"""Checkpoints of a run: what is kept, when, where, and how a later attempt goes on from it."""
