"""Faults on real processes and servers under load, and a checker of what was acknowledged meanwhile.

`python -m tests.chaos --help`; docs/reliability.md says what is promised, and holds what was measured.
"""
