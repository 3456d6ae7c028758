"""Movies' tables and queries."""
