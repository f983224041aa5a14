"""How good it is: a log replayed, judged and reported."""
