"""Ways of training one model by several ranks, behind one contract (`base.py`); `registry.py` has the table."""
