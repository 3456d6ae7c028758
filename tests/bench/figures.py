"""Percentiles of what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def percentile(values: Sequence[float], percent: int) -> float:
    """Of at least one value; `percent` from 1 to 99."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def spread(values: Sequence[float], unit: str) -> str:
    """The median, the 99th percentile and the worst, for people."""
    if not values:
        return "none"
    return (
        f"p50 {percentile(values, 50):,.1f} {unit}, p99 {percentile(values, 99):,.1f} {unit}, "
        f"worst {max(values):,.1f} {unit}"
    )
