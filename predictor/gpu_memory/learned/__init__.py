"""What measurements teach: by how much the whole card holds more than was traced, and how sure that is."""
