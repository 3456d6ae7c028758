"""The settings file, with the environment put in, and where each setting came from.

YAML with Nameko's `${VARIABLE:default}` in it. What the variable of a setting holds is never read as YAML, in
which `010` is 8, `1:30` is 90 and `yes` is true.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from broker.config import model
from broker.config.faults import ConfigurationError
from broker.config.spelling import nearest

ENVIRONMENT, FILE, DEFAULT = "environment", "file", "default"
_REFERENCE = re.compile(r"\$\{([^}:\s]+):?([^}]*)\}")
_HOLDS_REFERENCE = re.compile(r".*\$\{.*\}.*")
_TAGS = ("!env_var", "!raw_env_var")
# What Nameko would read, and the platform's parts go past.
_OF_NAMEKO = (
    "ACCEPT",
    "AMQP_SSL",
    "AUTO_DELETE_EVENT_EXCHANGES",
    "LOGIN_METHOD",
    "SERIALIZER",
    "SERIALIZERS",
    "SERVICE_CONTAINER_CLS",
    "WEB_SERVER_ADDRESS",
    "rpc_exchange",
)
# Other programs' variables that are one letter away from ours.
_OF_OTHERS = ("AMQP_URL", "LOGLEVEL", "REDIS_URI")


@dataclass
class Source:
    """What a file and the environment say, unchecked but for names."""

    path: Path | None
    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)  # by setting; what is missing is DEFAULT
    lines: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def where(self, name: str) -> tuple[str, str]:
        """Where a setting's value stands, for people, and what it is called there; empty for nowhere."""
        if self.origins.get(name) == ENVIRONMENT:
            return "the environment", model.variable(name) or name
        return (f"{self.path}, line {self.lines[name]},", name) if name in self.lines else ("", name)


class _Loader(yaml.SafeLoader):
    """Tells what stands there twice; knows Nameko's tags."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.twice: dict[str, None] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        self.look_for_twins(node)
        return super().construct_mapping(node, deep=deep)

    def look_for_twins(self, node: yaml.MappingNode) -> None:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                self.twice[f"line {line}: {name} is there twice, first in line {seen[name]}"] = None
            elif name != "<<":
                seen[name] = line


def _fill_in(text: str) -> str:
    """`text` with its references replaced by what they refer to."""
    return _REFERENCE.sub(lambda found: os.environ.get(found[1], found[2]), text)


def _typed(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    filled = _fill_in(str(loader.construct_scalar(node)))
    return filled if filled == node.value else yaml.safe_load(filled)


def _raw(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    return _fill_in(str(loader.construct_scalar(node)))


_Loader.add_constructor("!env_var", _typed)
_Loader.add_constructor("!raw_env_var", _raw)
_Loader.add_implicit_resolver("!env_var", _HOLDS_REFERENCE, None)


def parse(path: Path | None) -> Source:
    """What the settings file says, None for none, and the environment.

    Raises ConfigurationError where the file is not there or is not a YAML mapping.
    """
    source = Source(path)
    if path is not None:
        _read_file(source, path)
    for variable, name in model.VARIABLES.items():
        if variable in os.environ and name not in source.origins:
            source.values[name] = os.environ[variable]
            source.origins[name] = ENVIRONMENT
    _look_for_slips(source)
    return source


def _read_file(source: Source, path: Path) -> None:
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not valid"
        raise ConfigurationError(f"{path}{where}: not valid YAML ({problem})") from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigurationError(f"{path}: must be a mapping of settings")
    loader.look_for_twins(root)
    loader.flatten_mapping(root)
    for key, value in root.value:
        _take(source, loader, key, value)
    source.faults += [f"{path}, {each}" for each in loader.twice]


def _take(source: Source, loader: _Loader, key: yaml.Node, value: yaml.Node) -> None:
    """One key of the file, and what it holds."""
    name, where = str(key.value), f"{source.path}, line {key.start_mark.line + 1}"
    if not _is_known(source, name, where):
        return
    for setting in model.NAMES:
        outermost, *inner = model.path(setting)
        node = value if setting == name else _node(value, inner) if outermost == name else None
        if node is not None:
            _trace(source, setting, node)
            if isinstance(node, yaml.ScalarNode) and node.tag in _TAGS:
                node.tag = "!raw_env_var"
    try:
        source.values[name] = loader.construct_object(value, deep=True)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        problem = getattr(error, "problem", None) or "a value that cannot be read"
        source.faults.append(f"{where}: {name} is not valid YAML ({problem})")


def _is_known(source: Source, name: str, where: str) -> bool:
    if name in model.NAMES:
        return True
    if name in _OF_NAMEKO:
        source.faults.append(f"{where}: {name} is Nameko's, and no part of the platform reads it")
    elif not name.startswith(("x-", "<<")):  # as in compose files: a place for what others refer to
        guess = nearest(name, [*model.NAMES, *model.VARIABLES])
        guess = model.VARIABLES.get(guess or "", guess)
        source.faults.append(
            f"{where}: there is no setting {name}" + (f"; did you mean {guess}?" if guess else "")
        )
    return False


def _node(value: yaml.Node, keys: list[str]) -> yaml.Node | None:
    """The node that is there, below `value`."""
    for key in keys:
        if not isinstance(value, yaml.MappingNode):
            return None
        inner = [held for name, held in value.value if name.value == key]
        if not inner:
            return None
        value = inner[-1]
    return value


def _trace(source: Source, name: str, node: yaml.Node) -> None:
    """Note where a setting came from; a variable of the environment that the file goes past is a fault."""
    source.lines[name] = node.start_mark.line + 1
    text = node.value if isinstance(node, yaml.ScalarNode) else ""
    references = _REFERENCE.findall(text) if node.tag in _TAGS else []
    if any(found in os.environ for found, _ in references):
        source.origins[name] = ENVIRONMENT
        return
    variable = model.variable(name)
    source.origins[name] = DEFAULT if references == [(variable, model.default(name))] else FILE
    if variable is not None and os.environ.get(variable, text) != text:
        source.faults.append(
            f"{source.path}, line {source.lines[name]}: {name} goes past the environment's {variable}; "
            f"write ${{{variable}:…}} there, or leave it out of the environment"
        )


def _look_for_slips(source: Source) -> None:
    """Variables that are nearly ours, where the right one is not there: nobody reads them.

    What is further away than a slip is somebody else's business, whatever it begins with: Kubernetes alone
    puts half a dozen variables for each of its services into every container.
    """
    for written in os.environ:
        if written in model.VARIABLES:
            continue
        guess = nearest(written, model.VARIABLES)
        if written in model.NAMES:
            guess = model.variable(written)
        if guess is None or guess in os.environ:
            continue
        line = f"environment variable {written} is read by nobody; did you mean {guess}?"
        (source.notices if written in _OF_OTHERS else source.faults).append(line)
