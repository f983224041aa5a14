"""Samples for the built-in tasks: files that the user has, what is installed anyway, or made up; each says which."""
