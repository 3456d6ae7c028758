"""Backup and restore: both databases as they are at one moment in one file, and back, as a new history.

`python -m broker.backup --help`; what operators do with it is in `docs/operations.md`.
"""
