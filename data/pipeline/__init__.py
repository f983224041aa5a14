"""What a pipeline of layers is, for the runner that trains it and the forecast that traces it."""
