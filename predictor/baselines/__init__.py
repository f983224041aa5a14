"""What others do instead of a crowd, each after its source, replayed on the same jobs."""
