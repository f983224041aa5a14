"""What a job asked for and what it used: records, log readers, labels that can be believed, and the store."""
