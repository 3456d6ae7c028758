"""A private RabbitMQ, with an epmd (Erlang's register of node names) of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

from .process import Child, ServerFailed, program
from .server import HOST, Port, Server

AMQP_0_9_1 = b"AMQP\0\0\x09\x01"
METHOD_FRAME = 1
CONNECTION_START = (10, 10)
EPMD_SECONDS = 10.0
CONTROL_SECONDS = 30.0

# No alarm, which would block publishers, for a small machine.
WATERMARK = "0.9"  # of the machine's memory
CONFIG = f"[{{rabbit, [{{vm_memory_high_watermark, {WATERMARK}}}, {{disk_free_limit, 1000000}}]}}].\n"
# Two schedulers that do not spin: the tests want the processors. Erlang's own port on 127.0.0.1 alone. No
# second epmd, whatever becomes of ours.
ERLANG = "+S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1} -start_epmd false"


# What no client may do to a queue of another connection.
REMOVE_BINDING = """
    Name = fun(Kind, Text) -> rabbit_misc:r(<<"/">>, Kind, Text) end,
    rabbit_binding:remove(
        {binding, Name(exchange, <<"%s">>), <<"%s">>, Name(queue, <<"%s">>), []}, <<"tests">>).
"""


class RabbitMq(Server):
    name = "RabbitMQ"
    discard_signal = signal.SIGKILL

    def __init__(
        self, folder: Path | None = None, *, management: bool = False, definitions: Path | None = None
    ) -> None:
        """`management`: with that plugin, at `management_url`. `definitions`: a folder of them that is loaded
        at every start, as docker-compose.yml does; there is no user `guest` then.
        """
        super().__init__(folder)
        self._distribution_port, self._epmd_port = Port(), Port()
        self._epmd: Child | None = None
        self._management_port = Port() if management else None
        self._definitions = definitions
        self._links_modules = not management

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{HOST}:{self.port}//"

    @property
    def management_url(self) -> str:
        assert self._management_port
        return f"http://guest:guest@{HOST}:{self._management_port.number}"

    def url_of(self, user: str, password: str) -> str:
        return f"amqp://{user}:{password}@{HOST}:{self.port}//"

    def start(self) -> None:
        try:
            super().start()
        except ServerFailed:
            if self._closed or not self._links_modules:
                raise
            # A release that minds where its modules lie starts in the ordinary, slow way.
            self._links_modules = False
            super().start()

    def raise_memory_alarm(self) -> None:
        """From now on the node takes itself to be out of memory: it blocks all who publish."""
        self._set_watermark("0")

    def clear_memory_alarm(self) -> None:
        self._set_watermark(WATERMARK)

    def delete_queue(self, name: str) -> None:
        """Also one that is another connection's alone."""
        self.control("delete_queue", name)

    def delete_binding(self, exchange: str, queue: str, routing_key: str) -> None:
        """Also that of a queue which is another connection's alone."""
        self.control("eval", REMOVE_BINDING % (exchange, routing_key, queue))

    def queues(self) -> list[str]:
        """Their names."""
        return self.control("list_queues", "--quiet", "--no-table-headers", "name").split()

    def bindings(self) -> list[tuple[str, str, str]]:
        """Exchange, queue and routing key of each, but for those to the default exchange."""
        columns = ("source_name", "destination_name", "routing_key")
        lines = self.control("list_bindings", "--quiet", "--no-table-headers", *columns).splitlines()
        rows = [line.split("\t") for line in lines]
        return [(row[0], row[1], row[2]) for row in rows if len(row) == 3 and row[0]]

    def _set_watermark(self, fraction: str) -> None:
        self.control("set_vm_memory_high_watermark", fraction)

    def control(self, *words: str | Path) -> str:
        """Have rabbitmqctl do something; what it prints."""
        ended = subprocess.run(
            [*self.control_command, *words],
            env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"} | self.control_environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=CONTROL_SECONDS,
        )
        if ended.returncode != 0:
            raise ServerFailed(f"rabbitmqctl failed:\n{ended.stdout}{ended.stderr}")
        return ended.stdout

    @property
    def control_command(self) -> list[str | Path]:
        return [_script("rabbitmqctl"), "--node", self._node]

    @property
    def control_environment(self) -> dict[str, str]:
        """Beside the way to the programs and this folder as HOME, where Erlang's cookie is."""
        return {**self._environment(_script("rabbitmqctl")), "HOME": str(self.folder)}

    @property
    def _node(self) -> str:
        return f"private{self.port}@localhost"

    def close(self) -> None:
        super().close()
        self._distribution_port.release()
        self._epmd_port.release()
        if self._management_port:
            self._management_port.release()

    def _launch(self) -> Child:
        server = _script("rabbitmq-server")
        environment = self._environment(server)
        if self._epmd is None or not self._epmd.running:
            self._epmd = self._start_epmd(environment)
        return self._spawn([server], environment)

    def _environment(self, server: Path) -> dict[str, str]:
        folder = self.folder
        (folder / "advanced.config").write_text(CONFIG)
        (folder / "enabled_plugins").write_text(f"[{'rabbitmq_management' * bool(self._management_port)}].\n")
        self._write_settings(folder / "rabbitmq.conf")
        (folder / "env.conf").write_text("")
        environment = {
            "ERL_CRASH_DUMP": str(folder / "erl_crash.dump"),
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(self._epmd_port.number),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),  # not the machine's own
            "RABBITMQ_CONF_ENV_FILE": str(folder / "env.conf"),
            "RABBITMQ_DIST_PORT": str(self._distribution_port.number),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG,
            # The script becomes the Erlang machine, as under systemd, instead of a shell that waits for it:
            # the pid we know is then the one to signal.
            "RUNNING_UNDER_SYSTEMD": "true",
        }
        if self._links_modules:
            environment |= _linked_modules(server.resolve().parents[1] / "plugins", folder)
        return environment

    def _write_settings(self, file: Path) -> None:
        settings = {}
        if self._management_port:
            settings |= {
                "management.tcp.ip": HOST,
                "management.tcp.port": str(self._management_port.number),
            }
        if self._definitions:
            settings["load_definitions"] = str(self._definitions)
        file.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))

    def _start_epmd(self, environment: dict[str, str]) -> Child:
        command = [program("epmd", "usr/lib/erlang/erts-*/bin/epmd")]
        epmd = self._spawn([*command, "-address", HOST, "-port", str(self._epmd_port.number)], environment)
        deadline = time.monotonic() + EPMD_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection((HOST, self._epmd_port.number), 1):
                return epmd
            if epmd.wait(0.01) is not None or time.monotonic() > deadline:
                raise ServerFailed(f"epmd does not answer:\n{epmd.log_tail()}")

    def _answers(self, connection: socket.socket) -> bool:
        connection.sendall(AMQP_0_9_1)
        with connection.makefile("rb") as frames:
            frame = frames.read(11)
        if len(frame) < 11:
            return False
        kind, _channel, _size, *method = struct.unpack("!BHIHH", frame)
        return kind == METHOD_FRAME and tuple(method) == CONNECTION_START


def _script(name: str) -> Path:
    # Rather not the one on PATH: Debian's changes to the user rabbitmq, and refuses all others but root.
    patterns = (f"usr/lib/rabbitmq/bin/{name}", f"usr/lib/rabbitmq/lib/*/sbin/{name}")
    for pattern in patterns:
        if found := sorted(Path("/").glob(pattern)):
            return found[-1]
    return program(name)


def _linked_modules(plugins: Path, folder: Path) -> dict[str, str]:
    """One folder with links to all Erlang modules, another with RabbitMQ as the only "plugin".

    At its start RabbitMQ loads more than a thousand modules, and Erlang looks for each in about a hundred
    folders, one after the other. Besides, RabbitMQ searches all its plugins, enabled or not. Without the
    one and the other it starts in well under half the time.
    """
    modules, only_rabbit = folder / "modules", folder / "plugins"
    variables = {"RABBITMQ_SERVER_CODE_PATH": str(modules), "RABBITMQ_PLUGINS_DIR": str(only_rabbit)}
    if only_rabbit.exists():
        return variables
    modules.mkdir()
    applications = [*plugins.glob("*/ebin")]
    if erlang := shutil.which("erl"):
        applications += Path(erlang).resolve().parents[1].glob("lib/*/ebin")
    for module in (module for application in applications for module in application.glob("*.beam")):
        with contextlib.suppress(FileExistsError):
            (modules / module.name).symlink_to(module)
    only_rabbit.mkdir()
    for rabbit in plugins.glob("rabbit-[0-9]*"):
        (only_rabbit / rabbit.name).symlink_to(rabbit)
    return variables
