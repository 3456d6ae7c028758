"""Backups restored and judged: drills, kills at random moments, and a year of it all.

`python -m tests.restores --help`. What was given out, and to whom, is kept here.
"""
