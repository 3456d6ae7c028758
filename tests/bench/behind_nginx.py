"""`python -m tests.bench.behind_nginx`: what clients lose while two gateways behind nginx are restarted.

Each as its operator may have it: nginx's stock settings or `max_fails=0`, the second gateway as soon as the
first is ready again, or once nginx trusts that too. A table on stdout. Needs nginx on the path.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import requests

from tests.chaos.report import Table
from tests.clients import Api, sign_up
from tests.platforms import FullDeployment, running
from tests.processes import free_port, wait_until
from tests.servers import PrivateServers

CLIENTS = 8
PAUSE_SECONDS = 0.02
FAIL_TIMEOUT_SECONDS = 11.0  # nginx's is 10 s
BLOCK = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream gateways {{ {servers} }}
    server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://gateways; }} }}
}}
"""


@contextmanager
def nginx(gateways: list[str], more: str) -> Iterator[str]:
    """nginx in front of `gateways`, each with `more` behind its address in the upstream block; its URL."""
    port = free_port()
    servers = " ".join(f"server {urlsplit(url).netloc} {more};" for url in gateways)
    with tempfile.TemporaryDirectory(prefix="nginx-") as folder:
        settings = Path(folder, "nginx.conf")
        settings.write_text(BLOCK.format(folder=folder, servers=servers, port=port))
        process = subprocess.Popen(["nginx", "-c", str(settings), "-e", f"{folder}/error.log"])
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{port}"), 10, "nginx answers")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/health/live", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


class Load:
    """Reads and writes through nginx, counted by their status."""

    def __init__(self, url: str, token: str) -> None:
        self.outcomes: Counter[str] = Counter()
        self._api = lambda: Api(url, token)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)]

    def _run(self, number: int) -> None:
        api, asked = self._api(), number
        while not self._over.wait(PAUSE_SECONDS):
            asked += 1
            try:
                if asked % 5:
                    status = api.get("/api/movies?limit=1").status_code
                else:
                    status = api.post("/api/movies", {"title": "Behind nginx"}).status_code
                self.outcomes[str(status)] += 1
            except requests.RequestException as error:
                self.outcomes[type(error).__name__] += 1

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def restarted(deployment: FullDeployment, number: int) -> None:
    process = deployment.process(f"gateway-{number}")
    process.terminate()
    assert process.wait(40) == 0, process.tail()
    deployment.start_part(f"gateway-{number}")


def measured(deployment: FullDeployment, token: str, more: str, *, soon: bool) -> tuple[int, Counter[str]]:
    with nginx(deployment.gateways, more) as url, Load(url, token) as load:
        time.sleep(1)
        for number, gateway in enumerate(deployment.gateways):
            restarted(deployment, number)
            wait_until(lambda gateway=gateway: answers(gateway), 60, "it is back")
            time.sleep(1 if soon else FAIL_TIMEOUT_SECONDS)
    lost = Counter({what: count for what, count in load.outcomes.items() if not what.startswith("2")})
    return load.outcomes.total(), lost


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.behind_nginx", description=__doc__)
    parser.parse_args()
    rows = []
    with PrivateServers(environment={}) as servers, tempfile.TemporaryDirectory() as folder:
        deployment = FullDeployment(servers.urls, Path(folder), gateways=2)
        with running(deployment):
            token = sign_up(deployment.gateways[0]).token
            for more in ("", "max_fails=0"):
                for soon in (True, False):
                    requested, lost = measured(deployment, token, more, soon=soon)
                    when = "at once" if soon else "11 s after the first was back"
                    rows.append([more or "stock", when, str(requested), f"{lost.total()} {dict(lost) or ''}"])
                    print(Table(("nginx", "the second", "requests", "lost"), rows).markdown(), flush=True)


if __name__ == "__main__":
    main()
