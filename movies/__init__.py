"""Films, TV shows and their reviews."""
