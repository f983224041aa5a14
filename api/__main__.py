"""`python -m crowdrun.api` is `crowdrun`, also where the command is not on the PATH."""

from crowdrun.api.cli import main

if __name__ == "__main__":
    main()
