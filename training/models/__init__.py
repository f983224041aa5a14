"""Built-in training tasks on data that needs no download."""
