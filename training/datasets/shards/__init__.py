"""Samples that do not fit the node: in tar files that lie elsewhere, fetched as they are needed.

One object holds many samples, so that a container that takes 10,000 objects takes millions of samples. The tar files
are as WebDataset writes them: members `KEY.NAME`, all of a sample next to each other.
"""
