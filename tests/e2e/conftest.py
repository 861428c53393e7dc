"""A real JupyterLab and a real Chromium; without Chromium these tests are skipped and say so."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import CodecOptions, Decimal128, ObjectId, encode, json_util
from bson.raw_bson import RawBSONDocument

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"
PATIENCE = 60_000
"""Milliseconds for what a kernel is asked to do, on a busy machine."""


@dataclass
class Watch:
    """What a page did that it should not have.

    Attributes:
        page: The page.
        outside: Addresses it asked for beyond those it may; the requests were aborted.
        errors: Errors of its scripts.
    """

    page: Any
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def calm(self) -> bool:
        return not self.outside and not self.errors


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        if os.environ.get("RECOVERY_NB_BROWSER") == "required":
            pytest.fail("Chromium is required here and is not installed")
        pytest.skip("Chromium is not installed")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[[str], Watch]]:
    """Open pages that may only ask for addresses beginning as the given one does."""
    contexts = []

    def open_page(allowed: str) -> Watch:
        context = browser.new_context(viewport={"width": 1360, "height": 1400})
        contexts.append(context)
        watch = Watch(context.new_page())

        def judge(route: Any) -> None:
            url = route.request.url
            if url.startswith((allowed, "data:", "blob:")):
                route.continue_()
            else:
                watch.outside.append(url)
                route.abort()

        context.route("**/*", judge)
        watch.page.on("pageerror", lambda error: watch.errors.append(str(error)))
        watch.page.set_default_timeout(PATIENCE)
        return watch

    yield open_page
    for context in contexts:
        context.close()


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab.

    Attributes:
        url: Its address, with a slash at the end.
        token: What it wants to see.
        root: The folder of its notebooks.
    """

    url: str
    token: str
    root: Path


@pytest.fixture
def lab(tmp_path: Path) -> Callable[[dict[str, str]], Any]:
    """Start JupyterLab with everything of its own in the test's folder: `with lab(environment) as server`."""

    @contextmanager
    def start(environment: dict[str, str]) -> Iterator[Lab]:
        # A UNIX socket's path holds 107 characters: a test's own folder is too deep for a kernel's sockets.
        with (
            tempfile.TemporaryDirectory(prefix="lab") as sockets,
            serve({**environment, "JUPYTER_RUNTIME_DIR": sockets}) as server,
        ):
            yield server

    @contextmanager
    def serve(environment: dict[str, str]) -> Iterator[Lab]:
        root, own = tmp_path / "work", tmp_path / "jupyter"
        root.mkdir(exist_ok=True)
        config = own / "config" / "labconfig"
        config.mkdir(parents=True)
        silent = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
        (config / "page_config.json").write_text(json.dumps(silent))
        port, token = _free_port(), secrets.token_hex(16)
        folders = {
            "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data",
            "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython",
            "HOME": "home",
        }  # fmt: skip
        for name in folders.values():
            (own / name).mkdir(exist_ok=True)
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}",
            f"--ServerApp.root_dir={root}", "--LabApp.expose_app_in_browser=True", "--KernelManager.transport=ipc",
        ]  # fmt: skip
        given = {**os.environ, **{name: str(own / place) for name, place in folders.items()}, **environment}
        with (own / "log").open("wb") as log:
            server = subprocess.Popen(command, env=given, stdout=log, stderr=log, start_new_session=True)
        try:
            url = f"http://127.0.0.1:{port}/"
            _wait(server, f"{url}api/status?token={token}", own / "log")
            yield Lab(url, token, root)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()

    return start


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 (our own server's address)
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture
def notebook7(tmp_path: Path) -> Callable[[dict[str, str]], Any]:
    """Start Notebook 7 as `lab` starts JupyterLab."""

    def start(environment: dict[str, str]) -> Any:
        return _front(
            tmp_path, environment, ready="api/status",
            command=lambda root, port, token: [
                "notebook", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}",
                "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}",
                "--JupyterNotebookApp.expose_app_in_browser=True", "--KernelManager.transport=ipc",
            ],
        )  # fmt: skip

    return start


@pytest.fixture
def voila(tmp_path: Path) -> Callable[[dict[str, str], Path], Any]:
    """Serve one notebook by Voilà: `with voila(environment, notebook) as server`."""

    def start(environment: dict[str, str], notebook: Path) -> Any:
        return _front(
            tmp_path, environment, ready="voila/static/voila.js",
            command=lambda root, port, token: [
                "voila", str(notebook), "--no-browser", "--Voila.ip=127.0.0.1", f"--port={port}",
                "--Voila.port_retries=0", f"--Voila.root_dir={root}",
            ],
        )  # fmt: skip

    return start


@contextmanager
def _front(
    tmp_path: Path, environment: dict[str, str], *, command: Callable[[Path, int, str], list[str]], ready: str
) -> Iterator[Lab]:
    """Start a front end's module with everything of its own in the test's folder."""
    root, own = tmp_path / "work", tmp_path / "jupyter"
    folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTERLAB_SETTINGS_DIR": "settings",
               "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython", "HOME": "home"}  # fmt: skip
    for folder in (root, *(own / name for name in folders.values())):
        folder.mkdir(parents=True, exist_ok=True)
    port, token = _free_port(), secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="front") as sockets, (own / "log").open("wb") as log:
        given = {**os.environ, **{name: str(own / place) for name, place in folders.items()},
                 "JUPYTER_RUNTIME_DIR": sockets, **environment}  # fmt: skip
        server = subprocess.Popen(
            [sys.executable, "-m", *command(root, port, token)],
            env=given, stdout=log, stderr=log, start_new_session=True, cwd=root,
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}/"
            _wait(server, f"{url}{ready}?token={token}", own / "log")
            yield Lab(url, token, root)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


@dataclass(frozen=True)
class Shop:
    """A shop that has lost orders, and its copies.

    Attributes:
        orders: The collection: it lost 12 of 40 orders, and 4 are damaged.
        lost: The orders that are missing.
        evidence: A dump, an older backup, and an export of a staging server, whose orders never were the shop's.
    """

    orders: Any
    lost: list[dict[str, Any]]
    evidence: Path

    def now(self) -> list[bytes]:
        """Return every order as the database holds it, byte for byte."""
        raw = self.orders.with_options(codec_options=CodecOptions(RawBSONDocument))
        return [one.raw for one in raw.find().sort("_id")]


@pytest.fixture
def shop(database: Any, tmp_path: Path) -> Shop:
    evidence = tmp_path / "work" / "evidence"
    dump = evidence / "dump_2026-06-20" / "shop"
    dump.mkdir(parents=True)
    orders = [order(number) for number in range(40)]
    (dump / "orders.bson").write_bytes(b"".join(map(encode, orders)))
    taken = datetime(2026, 6, 20, 3, tzinfo=UTC).timestamp()
    os.utime(dump / "orders.bson", (taken, taken))
    older = {"collections": {"orders": [{**one, "status": "open"} for one in orders[:30]]}}
    staging = {"collections": {"orders": [{**order(number), "status": HOSTILE} for number in range(900, 903)]}}
    for name, content in (("backup_2026-05-01.json", older), ("staging_2026-06-01.json", staging)):
        canonical = json_util.CANONICAL_JSON_OPTIONS
        (evidence / name).write_text(json_util.dumps(content, json_options=canonical))
    collection = database.client[database.name]["orders"]
    kept = [one for number, one in enumerate(orders) if not 20 <= number < 32]
    damaged = [{**one, "total": 0, "customer": {**one["customer"], "email": ""}} for one in kept[:4]]
    collection.insert_many([*damaged, *kept[4:]])
    return Shop(collection, orders[20:32], evidence)


def order(number: int) -> dict[str, Any]:
    made = datetime(2026, 3, 1, 9, 30, tzinfo=UTC) + timedelta(days=number, minutes=7 * number)
    name = ("Ann", "Bea", "Cem", "Dag")[number % 4]
    return {
        "_id": ObjectId(f"{int(made.timestamp()):08x}{number:016x}"),
        "number": f"A-{1000 + number}", "placed_at": made, "status": "paid" if number % 3 else "shipped",
        "customer": {"name": name, "email": f"{name.lower()}{number}@example.org"},
        "items": [{"sku": f"B-{number % 7}", "qty": 1 + number % 3}], "total": Decimal128(f"{19 + number}.90"),
    }  # fmt: skip
