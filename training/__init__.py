"""The runner: launches a training job with the resources that were recommended, and measures it."""
