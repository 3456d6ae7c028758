"""Whatever is wrong with a setting is one line that names it, and shows no secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker import config
from broker.config import ConfigurationError, model
from tests.unit.broker.config.wrong import cases

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in model.VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[object]:
    """What is said of a settings file with a text."""

    def said(text: str) -> tuple[str, ...]:
        file = tmp_path / "config.yaml"
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigurationError) as raised:
            config.read(file)
        return tuple(line.replace(f"{file}, ", "") for line in raised.value.lines)

    return said


def misspelt(variable: str) -> list[str]:
    """Two letters swapped, one left out, one twice, one too many; and in small letters."""
    at = len(variable) // 2
    swapped = variable[:-2] + variable[-1] + variable[-2]
    return [
        swapped,
        variable[:at] + variable[at + 1 :],
        variable[:at] + variable[at:].replace(variable[at], variable[at] * 2, 1),
        f"{variable}S",
        variable.lower(),
    ]


@pytest.mark.parametrize(("variable", "what", "value"), cases())
def test_a_wrong_value_is_one_line(
    monkeypatch: pytest.MonkeyPatch, variable: str, what: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as raised:
        config.read(None)
    (line,) = raised.value.lines
    assert line.startswith(f"setting {variable}: ")
    assert "must " in line or "has " in line or "holds " in line
    assert "a-secret" not in line
    assert line.isprintable()


@pytest.mark.parametrize("value", ["", "loud", "yes", "[", "0"])
def test_a_wrong_level_by_the_file_is_one_line(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Where it is one value inside another."""
    monkeypatch.setenv("LOG_LEVEL", value)
    with pytest.raises(ConfigurationError) as raised:
        config.read(ROOT / "config.yaml")
    (line,) = raised.value.lines
    said = "setting LOG_LEVEL: must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL"
    assert line == f"{said} (the environment says {value!r})"


@pytest.mark.parametrize("variable", model.VARIABLES)
def test_a_misspelt_variable_is_one_line(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    others = set(model.VARIABLES) | set(model.NAMES)
    for name in misspelt(variable):
        if name in others:
            continue
        with monkeypatch.context() as patch:
            patch.setenv(name, "a-secret")
            with pytest.raises(ConfigurationError) as raised:
                config.read(None)
        (line,) = raised.value.lines
        assert line == f"environment variable {name} is read by nobody; did you mean {variable}?"


@pytest.mark.parametrize("name", model.NAMES)
def test_a_misspelt_key_is_one_line(lines: object, name: str) -> None:
    wrong = name[:-2] + name[-1] + name[-2]
    (line,) = lines(f"# a comment\n{wrong}: 5\n")  # type: ignore[operator]
    assert line == f"line 2: there is no setting {wrong}; did you mean {name}?"


@pytest.mark.parametrize("name", model.NAMES)
def test_a_key_that_is_there_twice_is_one_line(lines: object, name: str) -> None:
    given = {"LOGGING": "{}", "TRANSPORT_OPTIONS": "{}"}.get(name, model.default(name) or "''")
    (line,) = lines(f"{name}: {given}\nx-a: 1\n{name}: {given}\n")  # type: ignore[operator]
    assert line == f"line 3: {name} is there twice, first in line 1"


def test_all_faults_are_said_at_once(lines: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFIER_PORT", "-1")
    monkeypatch.setenv("RCP_TIMEOUT", "5")
    text = "GATEWAY_PORT: eighty\nGATEWAY_PROT: 1\nLOGGING: {version: 1, root: {level: loud}}\nx: 1\nx: 2\n"
    said = lines(text)  # type: ignore[operator]
    assert [re.sub(r" \(.*| says .*", "", line) for line in said] == [
        "line 2: there is no setting GATEWAY_PROT; did you mean GATEWAY_PORT?",
        "line 4: there is no setting x",
        "line 5: there is no setting x",
        "line 5: x is there twice, first in line 4",
        "environment variable RCP_TIMEOUT is read by nobody; did you mean RPC_TIMEOUT?",
        "setting GATEWAY_PORT: must be a whole number from 1 to 65535",
        "setting NOTIFIER_PORT: must be a whole number from 1 to 65535",
        "setting LOG_LEVEL: must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "GATEWAY_PORT: yes",
            "setting GATEWAY_PORT: must be a whole number from 1 to 65535 (line 1, says True)",
        ),
        ("GATEWAY_PORT: [8000]", "setting GATEWAY_PORT: must be a whole number"),
        ("GATEWAY_PORT: {a: 1}", "setting GATEWAY_PORT: must be a whole number"),
        ("GATEWAY_PORT: 2024-01-01", "setting GATEWAY_PORT: must be a whole number"),
        ("GATEWAY_PORT: '${'", "setting GATEWAY_PORT: must be a whole number"),
        (
            "SIGNING_KEY_SECRET: 0123",
            "setting SIGNING_KEY_SECRET: must be text of 1023 bytes at most, or empty",
        ),
        ("DATA_FOLDER: 5", "setting DATA_FOLDER: must be text, and not empty"),
        ("SERIALIZER: pickle", "line 1: SERIALIZER is Nameko's, and no part of the platform reads it"),
        ("TRANSPORT_OPTIONS: 5", "setting TRANSPORT_OPTIONS: must be a mapping"),
        ("TRANSPORT_OPTIONS: {read_tiemout: 1}", "setting TRANSPORT_OPTIONS: read_tiemout is no option"),
        ("TRANSPORT_OPTIONS: {read_timeout: -1}", "setting TRANSPORT_OPTIONS: read_timeout must be"),
        ("LOGGING: 5", "setting LOGGING: must be a mapping"),
        ("LOGGING: {root: {}}", "setting LOGGING: must have version: 1"),
        (
            "LOGGING: {version: 1, loggers: {a: {level: x}}}",
            "setting LOGGING: loggers.a.level must be one of",
        ),
        (
            "LOGGING: {version: 1, root: {handlers: [a]}}",
            "setting LOGGING: root names 'a', which is not there",
        ),
        (
            "LOGGING: {version: 1, root: {level: a, level: b}}",
            "line 1: level is there twice, first in line 1",
        ),
        ("8000: GATEWAY_PORT", "line 1: there is no setting 8000"),
        ("[1, 2]: 3", "line 1: there is no setting"),
        ("HEARTBEAT: 0", "setting HEARTBEAT: must be a whole number from 1 to 3600 (line 1, says 0)"),
    ],
)
def test_what_the_file_says_wrong_is_one_line(lines: object, text: str, said: str) -> None:
    found = lines(text)  # type: ignore[operator]
    assert [line for line in found if line.startswith(said)], found
    assert len(found) == 1 or "twice" in said


def test_a_variable_that_the_file_goes_past_is_one_line(
    lines: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "9000")
    (line,) = lines("GATEWAY_PORT: 8000")  # type: ignore[operator]
    assert line.startswith("line 1: GATEWAY_PORT goes past the environment's GATEWAY_PORT; ")


def test_a_variable_that_the_file_does_not_name_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text("GATEWAY_PORT: 8000\n")
    monkeypatch.setenv("MAX_WORKERS", "7")
    monkeypatch.setenv("LOG_LEVEL", "debug")
    typed = config.settings(config.read(tmp_path / "config.yaml"))
    assert (typed.max_workers, typed.LOG_LEVEL) == (7, "DEBUG")


@pytest.mark.parametrize(
    "name",
    [
        "GATEWAY_SERVICE_HOST",  # of Kubernetes, for a service called gateway
        "GATEWAY_SERVICE_PORT_HTTP",
        "GATEWAY_PORT_8000_TCP",
        "GATEWAY_PORT_8000_TCP_ADDR",
        "NOTIFIER_PORT_8001_TCP_PROTO",
        "REDIS_HOST",
        "REDIS_PORT",
        "REDIS_PASSWORD",
        "DATABASE_URL",
        "RABBITMQ_URL",
        "GATEWAY_INTERFACE",  # of CGI
        "LOG_FORMAT",
        "LOG_FILE",
        "MAX_MEMORY",
        "CACHE_DIR",
        "CACHE_LOCATION",
        "PYTHON",
        "CONFIG",
    ],
)
def test_variables_of_others_are_theirs(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "anything")
    config.read(None)


@pytest.mark.parametrize(("name", "ours"), [("AMQP_URL", "AMQP_URI"), ("LOGLEVEL", "LOG_LEVEL")])
def test_what_others_call_nearly_so_is_said_and_not_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, ours: str
) -> None:
    monkeypatch.setenv(name, "anything")
    config.read(None)
    said = f"environment variable {name} is read by nobody; did you mean {ours}?\n"
    assert capsys.readouterr().err == said


def test_with_the_right_one_beside_it_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AMQP_URL", "anything")
    monkeypatch.setenv("AMQP_URI", "amqp://localhost")
    config.read(None)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("gateway", "notifier", "refused"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("::", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "::1", False),
    ],
)
def test_two_doors_of_a_process_need_two_ports(
    monkeypatch: pytest.MonkeyPatch, gateway: str, notifier: str, refused: bool
) -> None:
    for name, value in {"GATEWAY_HOST": gateway, "NOTIFIER_HOST": notifier, "NOTIFIER_PORT": "8000"}.items():
        monkeypatch.setenv(name, value)
    config.read(None)  # parts of their own may each be on a machine of its own
    if not refused:
        config.read(None, one_process=True)
        return
    with pytest.raises(ConfigurationError, match="both are 8000"):
        config.read(None, one_process=True)
