"""Real logs that the project made itself by running real jobs; README.md tells how."""
