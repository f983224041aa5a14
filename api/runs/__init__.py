"""Running jobs at a terminal: options, what is said while a run goes on, its story afterwards."""
