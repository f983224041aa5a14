"""Log readers, one file a format; `registry.py` is the table of them."""
