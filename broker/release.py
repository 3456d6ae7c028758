"""Which release this is."""

# As in pyproject.toml, which containers lack.
VERSION = "0.1.0"
