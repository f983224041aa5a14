"""A run: attempt after attempt, what is written of it, and the runs that there were."""
