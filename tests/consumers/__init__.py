"""Consumers of other people's making, each in its own words: they print the events' envelopes, one a line."""
