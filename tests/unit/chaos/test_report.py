"""The chaos suite's tables, and their place on a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.report import Check, Result, put_into


def result(*checks: Check) -> Result:
    return Result("kills", "python -m tests.chaos kills", list(checks))


def test_a_check_shows_what_was_found() -> None:
    assert Check.none("lost", []).row == ["lost", "0", "0", "yes"]
    assert Check.none("lost", [1, 2, 3, 4]).row == ["lost", "0", "4 (1, 2, 3)", "**no**"]


def test_a_bound_holds_up_to_itself_and_not_for_what_never_came() -> None:
    assert Check.at_most("longest", 6, 6.0, "s").row == ["longest", "≤ 6 s", "6.0 s", "yes"]
    assert not Check.at_most("longest", 6, 6.01, "s").holds
    assert Check.at_most("longest", 6, None, "s").row[2:] == ["never", "**no**"]


def test_only_what_does_not_hold_has_failed() -> None:
    bad = Check.none("lost", [1])
    assert result(Check.none("doubled", []), bad).failed == [bad]


def test_a_page_gets_the_tables_between_the_scenarios_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    marks = "<!-- kills: measured -->\n{}<!-- end -->\n"
    page.write_text("before\n<!-- kills: measured -->\nold\n<!-- kills: end -->\nafter\n" + marks.format("x"))
    put_into(page, result(Check.none("lost", [])))
    text = page.read_text()
    assert "| lost | 0 | 0 | yes |\n<!-- kills: end -->\nafter\n" in text
    assert "old" not in text
    assert text.startswith("before\n<!-- kills: measured -->\n`python -m tests.chaos kills`")
    assert text.endswith(marks.format("x"))


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="kills: measured"):
        put_into(page, result())
    assert page.read_text() == "nothing\n"
