"""The schema that a release needs is the last of its migrations."""

from __future__ import annotations

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from broker.schema import Schema, note
from tests.processes import ROOT


@pytest.mark.parametrize("part", ["auth", "movies"])
def test_it_is_alembics_head(part: str) -> None:
    settings = Config(ROOT / "alembic.ini", ini_section=part)
    settings.set_main_option("script_location", str(ROOT / part / "migrations"))
    assert Schema(part).needed == ScriptDirectory.from_config(settings).get_current_head()


def test_what_is_written_down_is_a_revision() -> None:
    with pytest.raises(ValueError, match="no revision"):
        note("2'; DROP TABLE users; --")
