"""The subcommands of `crowdrun`, one file each."""
