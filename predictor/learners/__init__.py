"""The members of the crowd, one file each; `registry.py` is the table of them."""
