from __future__ import annotations

from pathlib import Path

import pytest

from broker import config
from broker.config import ConfigurationError

ROOT = Path(__file__).parents[4]


def test_the_settings_file_is_valid_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AMQP_URI", "AUTH_DATABASE_URL", "MOVIES_DATABASE_URL", "REDIS_URL", "GATEWAY_PORT"):
        monkeypatch.delenv(name, raising=False)
    settings = config.settings(config.read(ROOT / "config.yaml"))
    assert settings.AMQP_URI == "memory://"
    assert settings.MOVIES_DATABASE_URL == settings.REDIS_URL == ""
    assert settings.GATEWAY_PORT == 8000


def test_the_environment_overrides_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "9000")
    monkeypatch.setenv("SIGNING_KEY_SECRET", "0123")
    settings = config.settings(config.read(ROOT / "config.yaml"))
    assert (settings.GATEWAY_PORT, settings.SIGNING_KEY_SECRET) == (9000, "0123")


@pytest.mark.parametrize("scheme", ["postgres://", "postgresql://", "postgresql+psycopg2://"])
def test_a_postgresql_url_names_its_driver(scheme: str) -> None:
    settings = config.settings({"MOVIES_DATABASE_URL": f"{scheme}u:p@h/d"})
    assert settings.MOVIES_DATABASE_URL == "postgresql+psycopg2://u:p@h/d"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"GATEWAY_PORT": "eighty"}, "GATEWAY_PORT"),
        ({"GATEWAY_PORT": 70000}, "GATEWAY_PORT"),
        ({"PASSWORD_COST": 5000}, "PASSWORD_COST"),
        ({"RPC_TIMEOUT": 0}, "RPC_TIMEOUT"),
        ({"AUTH_DATABASE_URL": "mysql://root:hidden@h/d"}, "AUTH_DATABASE_URL"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        config.settings(wrong)
    assert named in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize("content", ["a: [", "- a list", "", "\tx: 1", "\x00"])
def test_a_broken_file_is_said_in_one_line(tmp_path: Path, content: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(content)
    with pytest.raises(ConfigurationError) as raised:
        config.read(file)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        config.read(tmp_path / "nowhere.yaml")


def test_origins_are_a_list() -> None:
    settings = config.settings({"NOTIFIER_ORIGINS": " https://a.example , https://b.example,"})
    assert settings.origins == ["https://a.example", "https://b.example"]
