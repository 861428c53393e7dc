"""Kill backups, restores, resumptions, rollbacks and the server itself at random moments, and look at what is there.

    python benchmarks/crash.py [--kills 320] [--servers 52] [--faults 24] [--seed 0]

A trial works on a database of its own: some records of a collection are replaced, others come, others again are not in
the plan, and a collection with a unique index and a view may be missing. Whatever ended a process, every record is
afterwards as it was or as planned, and there once; a resumption ends in the planned state, a rollback in the old one;
no backup under a final name is anything but whole. Only kills that came before the process had ended count.

It prints a table, and what was not as it should be with the trial that shows it.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, cast

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from recovery_nb.backups import Compression, recipients, verify_backup, write_backup
from recovery_nb.backups.doubt import doubted
from recovery_nb.embedded import find_mongod
from recovery_nb.errors import RecoveryError
from recovery_nb.records.batch import Ref
from recovery_nb.records.elements import id_element, split
from recovery_nb.restore import (
    OnConflict,
    Plan,
    Rows,
    Selected,
    State,
    apply,
    list_restores,
    make_plan,
    resume,
    rollback,
    verify_restore,
)
from recovery_nb.sources.mongodb import Database

TRACEBACK, REFUSED = 99, 2
"""How a child ends that raised what no user can act on, and one that said what to do."""
AGE = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa"
STRUCTURES = {
    "fresh": '{"options": {}, "indexes": [{"v": 2, "key": {"n": 1}, "name": "n", "unique": true}]}',
    "seen": '{"options": {"viewOn": "fresh", "pipeline": []}, "indexes": []}',
}
spawn = multiprocessing.get_context("forkserver")


class Server:
    """A replica set of one on a port and a folder that stay the same when it is killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()
        member = {"_id": 0, "host": f"127.0.0.1:{self.port}"}
        with MongoClient(port=self.port, directConnection=True) as client:
            client.admin.command("replSetInitiate", {"_id": "rs", "members": [member]})
        self.await_primary()

    def start(self) -> None:
        options = ["--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--replSet", "rs",
                   "--oplogSize", "512", "--setParameter", "diagnosticDataCollectionEnabled=false"]  # fmt: skip
        command = [str(find_mongod()), "--dbpath", str(self._folder), "--port", str(self.port), *options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def await_primary(self) -> None:
        with MongoClient(port=self.port, directConnection=True, serverSelectionTimeoutMS=500) as client:
            for _ in range(600):
                with contextlib.suppress(PyMongoError):
                    if client.admin.command("hello").get("isWritablePrimary"):
                        return
                time.sleep(0.05)  # between looks, until it answers
        raise SystemExit("mongod does not come up")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def uri(self, name: str, port: int = 0) -> str:
        return f"mongodb://127.0.0.1:{port or self.port}/{name}?directConnection=true"


class Proxy:
    """Passes connections on to a server, and drops some of them after so many bytes of its replies."""

    def __init__(self, port: int, drops: list[int]) -> None:
        self._to, self._drops, self.dropped = port, drops, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                inside, _ = self._listener.accept()
                outside = socket.create_connection(("127.0.0.1", self._to))
                threading.Thread(target=self._pump, args=(inside, outside, False), daemon=True).start()
                threading.Thread(target=self._pump, args=(outside, inside, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, replies: bool) -> None:
        with contextlib.suppress(OSError), source, sink:
            while data := source.recv(65_536):
                if replies and self._drops:
                    self._drops[0] -= len(data)
                    if self._drops[0] <= 0:
                        self._drops.pop(0)
                        self.dropped += 1
                        for one in (source, sink):
                            one.shutdown(socket.SHUT_RDWR)
                        return
                sink.sendall(data)


def _child(verb: str, uri: str, folder: Path, what: str, limit: int, complaint: Path) -> None:
    """Do one thing, as a process of its own."""
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        if verb == "backup":
            compression, _, age = what.partition("+")
            to = recipients([AGE]) if age else []
            packed = cast("Compression", compression)  # one of the words that `what` is made of
            write_backup(Database(uri), folder / "backups", compression=packed, recipients=to)
        elif verb == "rollback":
            rollback(folder / "restores" / what, uri)
        else:
            plan, records = Plan.load(folder / "plan"), split((folder / "source.bson").read_bytes())

            def payload(rows: Rows) -> list[bytes]:
                return [records[offset] for offset in rows.offsets]

            if verb == "restore":
                apply(plan, uri, payload=payload, folder=folder / "restores", batch=100)
            else:
                resume(folder / "restores" / what, uri, plan=plan, payload=payload, batch=100)
    except RecoveryError as error:
        with contextlib.suppress(OSError):
            complaint.write_text(str(error))
        sys.exit(REFUSED)
    except BaseException as error:
        complaint.write_text(f"{type(error).__name__}: {error}")
        sys.exit(TRACEBACK)


class Trial:
    """A database before a restore, and the plan."""

    def __init__(self, server: Server, client: MongoClient[Any], folder: Path, seed: str, records: int) -> None:
        self.chance, self.server, self.folder = random.Random(seed), server, folder
        self.name, self.seed, self.client = f"crash_{seed}".replace(" ", "_"), seed, client
        self.uri, self.violations = server.uri(self.name), list[str]()
        folder.mkdir()
        database, chance = client[self.name], self.chance
        live = [{"_id": n, "v": "live", "x": chance.randbytes(60)} for n in range(0, records, 2)]
        database.things.insert_many([*live, *({"_id": f"other {n}"} for n in range(200))])
        planned = [("things", bson.encode({"_id": n, "v": "planned", "x": chance.randbytes(90)}))
                   for n in range(records)]  # fmt: skip
        structures = STRUCTURES if chance.random() < 0.5 else {}
        if structures:
            planned += [("fresh", bson.encode({"_id": n, "n": n})) for n in range(records // 4)]
        self.old = self.state()
        self.planned = {**self.old, **{(name, id_element(one) or b""): one for name, one in planned}}
        (folder / "source.bson").write_bytes(b"".join(one for _, one in planned))
        chosen = [
            Selected(name, str(place), own, self.old.get((name, own)), one, "memory", Ref("", place, len(one)))
            for place, (name, one) in enumerate(planned)
            if (own := id_element(one))
        ]
        plan = make_plan(
            chosen, folder / "plans", database=self.name, on_conflict=OnConflict.REPLACE, structures=structures,
            transaction=chance.choice(("", "", "batch", "plan")),
        )  # fmt: skip
        plan.path.rename(folder / "plan")

    def state(self) -> dict[tuple[str, bytes], bytes]:
        """Every record that is there, by collection and `_id`."""
        found: dict[tuple[str, bytes], bytes] = {}
        database = self.client[self.name]
        for name in ("things", "fresh"):
            for buffer in database[name].find_raw_batches({}):
                for record in split(buffer):
                    self.expect((name, id_element(record) or b"") not in found, "a record is there twice")
                    found[name, id_element(record) or b""] = record
        return found

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.violations.append(f"{self.seed}: {what}")

    def run(self, verb: str, what: str = "", *, limit: int = 0, port: int = 0) -> BaseProcess:
        uri, complaint = self.server.uri(self.name, port), self.folder / "complaint"
        complaint.unlink(missing_ok=True)
        child = spawn.Process(target=_child, args=(verb, uri, self.folder, what, limit, complaint))
        child.start()
        return child

    def finish(self, child: BaseProcess, after: str) -> int:
        """Wait for a child, and return how it ended."""
        child.join(120)
        if child.exitcode is None:
            child.kill()
            child.join()
            self.expect(False, f"{after}: it did not end")
        told = (self.folder / "complaint").read_text() if (self.folder / "complaint").exists() else ""
        self.expect(child.exitcode != TRACEBACK, f"{after}: {told}")
        if child.exitcode == REFUSED:
            self.expect(any(word in told for word in ("restore --resume", "rollback", "give another folder")), told)
        return child.exitcode or 0

    def must(self, verb: str, what: str) -> None:
        code = self.finish(self.run(verb, what), verb)
        told = (self.folder / "complaint").read_text() if code else ""
        self.expect(code == 0, f"{verb} does not come to its end: {told}")

    def killed(self, verb: str, what: str = "") -> bool:
        """Run something and kill it; return whether it was still at work."""
        child = self.run(verb, what)
        time.sleep(self.chance.random() * self.took(verb))  # a random moment is what is wanted here
        child.kill()
        child.join()
        self.expect(child.exitcode in (0, -signal.SIGKILL), f"{verb} ended by itself with {child.exitcode}")
        return child.exitcode == -signal.SIGKILL

    def took(self, verb: str) -> float:
        return {"restore": 1.0, "resume": 0.8, "rollback": 0.6, "backup": 0.5}[verb]

    def old_or_planned(self, after: str) -> None:
        """Every record is as it was or as planned; none that was there is gone, and there is no other."""
        now = self.state()
        for place, record in now.items():
            self.expect(record in (self.old.get(place), self.planned.get(place)), f"{after}: a wrong record")
        self.expect(self.old.keys() <= now.keys(), f"{after}: a record is lost")

    def restore_id(self) -> str:
        found = list_restores(self.folder / "restores")
        return found[0].id if found else ""

    def to_the_plan(self, after: str) -> None:
        if not (own := self.restore_id()):
            return
        (info,) = list_restores(self.folder / "restores")
        self.must("resume", own)
        self.expect(self.state() == self.planned, f"{after}, resume: not the planned state")
        found = verify_restore(info.path, self.uri)
        self.expect(found.ok, f"{after}, resume: {found.problems[:3]}")

    def to_the_old(self, after: str) -> None:
        if not (own := self.restore_id()):
            self.expect(self.state() == self.old, f"{after}: written without a journal")
            return
        self.must("rollback", own)
        self.expect(self.state() == self.old, f"{after}, rollback: not the old state")
        there = set(self.client[self.name].list_collection_names()) - {"system.views"}
        self.expect(there == {"things"}, f"{after}, rollback: {there}")
        (info,) = list_restores(self.folder / "restores")
        self.expect(info.state is State.ROLLED_BACK, f"{after}, rollback: {info.state}")
        found = verify_restore(info.path, self.uri) if (info.path / "journal.bson").exists() else None
        self.expect(found is None or found.ok, f"{after}, rollback: {found and found.problems[:3]}")

    def whole_backups(self, after: str) -> None:
        for entry in (self.folder / "backups").glob("[!.]*"):
            self.expect(doubted(entry) == {}, f"{after}: {entry.name} is doubted")
            if not list(entry.rglob("*.age")):
                self.expect(verify_backup(entry).ok, f"{after}: {entry.name} is not whole")


def kill_a_chain(trial: Trial, count: Counter[str]) -> None:
    """Kill a restore, perhaps its resumption too, and then its rollback."""
    count["restore"] += trial.killed("restore")
    trial.old_or_planned("restore")
    if (own := trial.restore_id()) and trial.chance.random() < 0.8:
        for _ in range(trial.chance.choice((1, 1, 2))):
            count["resume"] += trial.killed("resume", own)
            trial.old_or_planned("resume")
        trial.to_the_plan("resume")
    if own:
        count["rollback"] += trial.killed("rollback", own)
        trial.old_or_planned("rollback")
    trial.to_the_old("rollback")


def kill_a_backup(trial: Trial, count: Counter[str]) -> None:
    for _ in range(3):
        packed = trial.chance.choice(("none", "zstd", "gzip", "zstd+age"))
        count["backup"] += trial.killed("backup", packed)
        trial.whole_backups("backup")


def kill_the_server(trial: Trial, count: Counter[str]) -> None:
    child = trial.run("restore")
    time.sleep(0.15 + trial.chance.random() * 0.7)  # a random moment in mid-work, as above
    at_work = child.is_alive()
    trial.server.kill()
    trial.server.start()
    trial.server.await_primary()
    trial.finish(child, "the server was killed")
    count["server"] += at_work
    trial.old_or_planned("the server was killed")
    if trial.chance.random() < 0.7:
        trial.to_the_plan("the server was killed")
    trial.to_the_old("the server was killed")


def fill_the_disk(trial: Trial, count: Counter[str]) -> None:
    code = trial.finish(trial.run("restore", limit=trial.chance.randrange(2_000, 200_000)), "a full disk")
    count["full disk"] += code == REFUSED
    trial.old_or_planned("a full disk")
    if trial.chance.random() < 0.5:
        trial.to_the_plan("a full disk")
    if own := trial.restore_id():
        limit = trial.chance.randrange(2_000, 200_000)
        count["full disk"] += trial.finish(trial.run("rollback", own, limit=limit), "a full disk") == REFUSED
    trial.old_or_planned("a full disk")
    trial.to_the_old("a full disk")
    trial.finish(trial.run("backup", "none", limit=trial.chance.randrange(1_000, 100_000)), "a full disk")
    trial.whole_backups("a full disk")


def drop_connections(trial: Trial, count: Counter[str]) -> None:
    drops = [trial.chance.randrange(1_000, 60_000) for _ in range(trial.chance.choice((1, 3, 12)))]
    proxy = Proxy(trial.server.port, drops)
    trial.finish(trial.run("restore", port=proxy.port), "dropped connections")
    count["dropped"] += proxy.dropped > 0
    proxy.close()
    trial.old_or_planned("dropped connections")
    if trial.chance.random() < 0.5:
        trial.to_the_plan("dropped connections")
    trial.to_the_old("dropped connections")


@contextlib.contextmanager
def workshop() -> Iterator[tuple[Server, MongoClient[Any], Path]]:
    folder = Path(tempfile.mkdtemp(prefix="recovery-nb-crash-"))
    server = Server(folder / "mongod")
    try:
        with MongoClient(server.uri("admin"), document_class=RawBSONDocument) as client:
            yield server, client, folder
    finally:
        server.kill()
        shutil.rmtree(folder)


CAMPAIGNS = (
    ("backup", kill_a_backup, 3_000),
    ("restore", kill_a_chain, 2_000),
    ("resume", kill_a_chain, 2_000),
    ("rollback", kill_a_chain, 2_000),
    ("server", kill_the_server, 4_000),
    ("full disk", fill_the_disk, 2_000),
    ("dropped", drop_connections, 2_000),
)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=320, help="of backups, restores, resumptions and rollbacks")
    parser.add_argument("--servers", type=int, default=52, help="kills of mongod in mid-restore")
    parser.add_argument("--faults", type=int, default=24, help="full disks, and as many dropped connections")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    wanted = dict.fromkeys(("backup", "restore", "resume", "rollback"), options.kills // 4)
    wanted |= {"server": options.servers, "full disk": options.faults, "dropped": options.faults}
    count, bad, violations = Counter[str](), Counter[str](), list[str]()
    with workshop() as (server, client, folder):
        for kind, campaign, records in CAMPAIGNS:
            number = 0
            while count[kind] < wanted[kind] and number < 20 + 10 * wanted[kind]:
                number += 1
                seed = f"{options.seed}-{kind}-{number}"
                trial = Trial(server, client, folder / seed, seed, records)
                campaign(trial, count)
                bad[kind] += len(trial.violations)
                violations += trial.violations
                for one in trial.violations[:5]:
                    print(f"  {one}", file=sys.stderr, flush=True)
                client.drop_database(trial.name)
                shutil.rmtree(trial.folder)
    print(f"{'kind':<34}{'trials':>8}{'violations':>12}")
    names = {"backup": "SIGKILL, backup", "restore": "SIGKILL, restore", "resume": "SIGKILL, resumption",
             "rollback": "SIGKILL, rollback", "server": "SIGKILL of mongod, mid-restore",
             "full disk": "full disk", "dropped": "dropped connections"}  # fmt: skip
    for kind, name in names.items():
        print(f"{name:<34}{count[kind]:>8}{bad[kind]:>12}")
    return 1 if violations else 0


if __name__ == "__main__":
    spawn.set_forkserver_preload(["recovery_nb.restore", "recovery_nb.backups"])
    sys.exit(main())
