"""What is said of the settings elsewhere is what the model says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from broker.config import documents, model

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("name", documents.DOCUMENTS)
def test_a_document_is_up_to_date(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert documents.written(name, text) == text, "make format brings it up to date"


def test_every_setting_has_its_place_in_the_file() -> None:
    config = yaml.load((ROOT / "config.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)
    places = {name: model.at(config, model.path(name)) for name in model.NAMES}
    assert [name for name, place in places.items() if place is None] == []
    assert set(config) - set(model.NAMES) == set()


def test_every_setting_has_a_meaning_and_bounds() -> None:
    for name in model.NAMES:
        assert len(documents.meaning(name)) > 10, name
        assert len(model.must_be(name)) > 3, name
        assert "None" not in model.must_be(name), name


def test_every_setting_reaches_the_containers() -> None:
    """But for those that are `make run`'s alone."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    of_the_platform = {
        name: set(service["environment"])
        for name, service in services.items()
        if "movie-review-platform" in service["image"] and name != "shell"
    }
    assert set(of_the_platform) >= {"migrate", "auth-service", "movie-service", "gateway", "notifications"}
    for name, given in of_the_platform.items():
        assert set(documents.passed()) - given == set(), name
    somewhere = set().union(*of_the_platform.values())
    assert set(model.VARIABLES) - somewhere == set(documents.OF_MAKE_RUN)
