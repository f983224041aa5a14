"""`crowdrun bench sizing`: the crowd beside what others published, on the same public logs."""
