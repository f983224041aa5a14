"""A model described in JSON: layers, or the name of a known network; never code. Imports no torch."""
