"""Names that are nearly ours."""

from collections.abc import Iterable

# What is one letter away in a short name is a slip; in a long one, what is two letters away.
_LONG = 12


def nearest(name: str, ours: Iterable[str]) -> str | None:
    """The one of `ours` that `name` is a slip of the keyboard away from, whatever the case; None for none."""
    written = name.upper()
    most = 2 if len(written) >= _LONG else 1
    near = [(_distance(written, each.upper()), each) for each in ours if _may_be_near(written, each, most)]
    distance, best = min(near, default=(most + 1, None))
    return best if distance <= most else None


def _may_be_near(written: str, other: str, most: int) -> bool:
    """Nearly all names are not, and that is seen faster."""
    if abs(len(written) - len(other)) > most:
        return False
    return len(set(written).symmetric_difference(other.upper())) <= 2 * most


def _distance(one: str, other: str) -> int:
    """Letters to add, leave out, replace, or swap with their neighbour: optimal string alignment.

    https://en.wikipedia.org/wiki/Damerau-Levenshtein_distance
    """
    before_last: list[int] = []
    last = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        row = [i]
        for j, expected in enumerate(other, 1):
            best = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != expected))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == expected:
                best = min(best, before_last[j - 2] + 1)
            row.append(best)
        before_last, last = last, row
    return last[-1]
