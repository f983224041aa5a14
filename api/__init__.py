"""Every face that a person or a program meets: command line, REST, sbatch wrapper; and where the parts are wired."""
