"""How a published crowd stays right: when it is trained anew, what a new one must beat, and how it is set."""
