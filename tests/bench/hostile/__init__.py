"""Clients that mean no good, beside healthy ones."""
