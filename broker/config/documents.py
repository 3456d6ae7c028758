"""Where else the settings are told: a section each of files of the checkout, made from the model."""

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

from broker.config import model
from broker.config.sections import SECTIONS, Section

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "settings: made by `make format` from broker/config/sections.py", "settings: end"
WIDTH = 118
# What the compose file says itself, since in a container it cannot be otherwise, or is for one service alone.
COMPOSED = (
    "AMQP_URI",
    "AUTH_DATABASE_URL",
    "MOVIES_DATABASE_URL",
    "REDIS_URL",
    "GATEWAY_HOST",
    "GATEWAY_PORT",
    "NOTIFIER_HOST",
    "NOTIFIER_PORT",
    "SIGNING_KEY_SECRET",
    "HEALTH_FILE",
)
OF_MAKE_RUN = ("DATA_FOLDER",)


def heading(section: type[Section]) -> str:
    """What a section is about."""
    return (section.__doc__ or "").partition("\n")[0]


def meaning(name: str) -> str:
    """What a setting is for: part of a sentence, with its unit."""
    said = model.Settings.model_fields[name].description or ""
    return said if model.variable(name) else f"{said} (in the file alone)"


def passed() -> list[str]:
    """The variables that a container is given as they are in `.env` and in the environment."""
    return [variable for variable in model.VARIABLES if variable not in (*COMPOSED, *OF_MAKE_RUN)]


def _config_yaml() -> Iterator[str]:
    for section in SECTIONS:
        yield f"# --- {heading(section)}"
        for name in section.model_fields:
            if model.path(name) != (name,) or name == "LOGGING":
                continue  # below, by hand
            yield from textwrap.wrap(meaning(name), WIDTH, initial_indent="# ", subsequent_indent="#   ")
            variable, default = model.variable(name), model.default(name)
            raw = "!raw_env_var " if isinstance(model.Settings.model_fields[name].default, str) else ""
            yield f"{name}: {raw}${{{variable}:{default}}}" if variable else f"{name}: {default}"
        yield ""


def _readme() -> Iterator[str]:
    yield "| variable | default | what it may be | meaning |"
    yield "| --- | --- | --- | --- |"
    for name in model.NAMES:
        default = model.default(name)
        shown = f"`{default}`" if default and default != "{}" else ""
        yield f"| `{model.variable(name) or name}` | {shown} | {model.must_be(name)} | {meaning(name)} |"


def _compose() -> Iterator[str]:
    yield "x-settings: &settings"
    yield from (f"  {variable}:" for variable in passed())


def _env_example() -> Iterator[str]:
    for variable in passed():
        name = model.VARIABLES[variable]
        yield from textwrap.wrap(meaning(name), WIDTH, initial_indent="# ", subsequent_indent="#   ")
        yield f"#{variable}={model.default(name)}"


Lines = Callable[[], Iterator[str]]
# By file: how a comment begins and ends there, and what stands between the two of ours.
DOCUMENTS: dict[str, tuple[str, str, Lines]] = {
    "config.yaml": ("# ", "", _config_yaml),
    "README.md": ("<!-- ", " -->", _readme),
    "docker-compose.yml": ("# ", "", _compose),
    ".env.example": ("# ", "", _env_example),
}


def written(name: str, text: str) -> str:
    """The text of a document with its section as the model has it. Raises ValueError where it has none."""
    opens, closes, lines = DOCUMENTS[name]
    begin, end = f"{opens}{BEGIN}{closes}\n", f"{opens}{END}{closes}\n"
    before, found, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{name}: nowhere to put the settings: {begin!r} … {end!r}")
    section = "\n".join(line.rstrip() for line in lines()).strip("\n")
    blank = "\n" if opens == "<!-- " else ""
    return f"{before}{begin}{blank}{section}\n{blank}{end}{after}"


def write(root: Path = ROOT) -> None:
    """Bring every document up to date."""
    for name in DOCUMENTS:
        file = root / name
        file.write_text(written(name, file.read_text(encoding="utf-8")), encoding="utf-8")
