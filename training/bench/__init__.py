"""Ways of training, measured side by side: what `crowdrun bench compare` and `bench depth` run."""
