"""GPU memory before the first step: a training step is traced without memory, and every byte is named.

Nothing here imports torch but the modules that trace; the records that come out are those of `data/forecast.py`.
"""
