"""What is said of the settings elsewhere is what the model says."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from broker.config import documents, model

ROOT = Path(__file__).parents[4]
PLATFORM = "movie-review-platform"


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return found


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
    of_the_platform = {
        name: set(service["environment"])
        for name, service in compose()["services"].items()
        if PLATFORM in service["image"] and name not in ("shell", "this-release", "backup")
    }
    assert set(of_the_platform) >= {"migrate", "auth-service", "movie-service", "gateway", "notifications"}
    for name, given in of_the_platform.items():
        assert set(documents.passed()) - given == set(), name
    somewhere = set().union(*of_the_platform.values())
    assert set(model.VARIABLES) - somewhere == set(documents.OF_MAKE_RUN)


def test_the_image_has_the_version_that_pyproject_says() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    images = {each["image"] for each in compose()["services"].values() if PLATFORM in each["image"]}
    assert images == {f"${{PLATFORM_IMAGE:-{PLATFORM}}}:{version}"}


def test_only_the_doors_are_reachable_from_outside() -> None:
    """RabbitMQ's management page is, from this machine alone."""
    published = {name: each["ports"] for name, each in compose()["services"].items() if "ports" in each}
    assert set(published) == {"gateway", "notifications", "rabbitmq"}
    assert all(port.startswith("127.0.0.1:") for port in published["rabbitmq"])


def test_who_need_not_talk_shares_no_network() -> None:
    services = compose()["services"]
    internal = {name for name, network in compose()["networks"].items() if network and network["internal"]}
    assert internal == {"broker", "databases", "cache"}

    def on(network: str) -> set[str]:
        return {name for name, each in services.items() if network in each.get("networks", [])} - {"backup"}

    assert on("databases") == {"postgres", "migrate", "auth-service", "movie-service"}
    assert on("cache") == {"redis", "movie-service", "gateway"}
    assert on("front") == {"gateway", "notifications"}
    assert on("operators") == {"rabbitmq"}
    alone = {name for name, each in services.items() if "networks" not in each}
    assert alone == {name for name, each in services.items() if each.get("network_mode") == "none"}


def test_logs_of_every_container_have_an_end() -> None:
    assert {
        name for name, each in compose()["services"].items() if "max-size" not in str(each["logging"])
    } == set()


def test_no_check_starts_a_machine() -> None:
    """Each is a shell, or a program of C."""
    for name, each in compose()["services"].items():
        words = " ".join(each.get("healthcheck", {}).get("test", []))
        assert not {"python", "rabbitmq-diagnostics"} & set(words.split()), name
