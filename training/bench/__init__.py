"""Ways of training, measured: what `crowdrun bench compare`, `batch`, `scaling`, `accuracy` and `depth` run."""
