"""Where a run is started: this machine, or a Slurm cluster."""
