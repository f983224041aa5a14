"""What goes in and out over REST: pydantic models of the records in `data`."""
