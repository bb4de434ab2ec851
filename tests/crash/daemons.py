"""The service without quickstart's keeping: daemons killed and started again one by one.

quickstart writes the state directory once and is stopped; from then on the
daemons are started from here. So a test decides what is started again, when,
and with which shim loaded into jobqd.
"""

import contextlib
import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from service import ROOT, Service, alive, children, role, wait_until  # noqa: E402

READY = 90  # seconds; a busy machine is slow
NAMES = ("jobqd", "jobq-api", "jobq-hook", "nginx")
SMALL = """[gd_scene load_steps=2 format=3]

[ext_resource type="Script" path="res://thing.gd" id="1_s"]

[node name="Small" type="Node2D"]
script = ExtResource("1_s")
"""


def make_project(root):
    """A small scene, and one whose validation takes some milliseconds."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "project.godot").write_text('config_version=5\n\n[application]\nconfig/name="c"\n')
    (root / "thing.gd").write_text("extends Node2D\n")
    (root / "small.tscn").write_text(SMALL)
    nodes = [f'\n[node name="N{i}" type="Node2D" parent="."]\nposition = Vector2({i}, 1)'
             for i in range(40000)]
    (root / "slow.tscn").write_text("\n".join(
        ["[gd_scene format=3]\n", '[node name="Root" type="Node2D"]'] + nodes) + "\n")
    return root


def program(pid):
    """The name in the first word of its command line; the kernel's own may be `exe`."""
    try:
        return os.path.basename(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]).decode()
    except OSError:
        return None


def sessions():
    """(pid, session) of every process that runs."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (OSError, ProcessLookupError):
                continue
            if fields[0] not in "ZX":
                yield int(entry.name), int(fields[3])


def kill_all(pids):
    """Kills; returns when all are dead: [(pid, the time before the signal was sent)]."""
    killed, fds = [], []
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        fds.append(fd)
        before = time.time()
        try:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            killed.append((pid, before))
        except ProcessLookupError:
            pass
    for fd in fds:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        assert poll.poll(20000), "a killed process did not end"
        os.close(fd)
    return killed


class Daemons(Service):
    """`settings` are -o options of all daemons; `preload` and `environment` are jobqd's."""

    def __init__(self, preload=None, environment=None, settings=(), **arguments):
        super().__init__(**arguments)
        self.preload = preload
        self.environment = environment or {}
        self.settings = list(settings)
        self.running = {}
        self.sessions = set()

    # ---- life -----------------------------------------------------------------

    def prepare(self):
        """Has quickstart write the state directory, and leaves nothing running."""
        super().start()
        super().stop()
        self.store_path().unlink(missing_ok=True)
        self.reboot_memory()

    def start(self):
        self.prepare()
        return self.up_again()

    def up_again(self):
        """Starts what does not run; returns when all is well."""
        self.launch_all()
        self.wait_healthy()
        return self

    def build(self):
        return Path(os.environ["JOBQ_BUILD"])

    def options(self):
        return [word for setting in self.settings for word in ("-o", setting)]

    def command(self, name):
        if name == "nginx":
            return ["/usr/sbin/nginx", "-e", "stderr", "-p", f"{self.state}/",
                    "-c", f"{self.state}/etc/quickstart.conf"]
        return [str(self.build() / name), "-c", f"{self.state}/etc/jobq.conf", *self.options()]

    def launch(self, name, before=(), environment=None):
        """Starts a daemon; `before` are words that come first on its command line."""
        more, environment = environment or {}, dict(os.environ)
        if name == "jobqd":
            environment.update(self.environment, **more)
            if self.preload:
                environment["LD_PRELOAD"] = str(self.preload)
        with open(self.log_path, "ab") as log:
            self.running[name] = subprocess.Popen(
                [*before, *self.command(name)], stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, env=environment, start_new_session=True)
        self.sessions.add(self.running[name].pid)
        return self.running[name]

    def launch_all(self):
        for name in NAMES:
            if not self.up(name):
                self.launch(name)

    def says_away(self):
        """Whether nginx and jobq-api answer, without a jobqd or a table that is ready."""
        with contextlib.suppress(requests.ConnectionError):
            return self.get("/healthz").status_code == 503

    def up(self, name):
        process = self.running.get(name)
        return process is not None and process.poll() is None

    def pid(self, name):
        assert self.up(name), f"{name} does not run"
        return self.running[name].pid

    def stop(self):
        """Ends it as quickstart would."""
        for name, number in (("nginx", signal.SIGQUIT), ("jobq-api", signal.SIGTERM),
                             ("jobq-hook", signal.SIGTERM), ("jobqd", signal.SIGTERM)):
            process = self.running.pop(name, None)
            if process is None or process.poll() is not None:
                continue
            process.send_signal(number)
            status = process.wait(60)
            assert status == 0, f"{name} ended with {status}:\n{self.logs()[-4000:]}"
        wait_until(lambda: not self.left_over(), 15, "the end of every process of the service")

    def discard(self):
        self.kill_everything()
        super().discard()

    # ---- killing --------------------------------------------------------------

    def everything(self):
        """The pids of all that runs of it: each daemon leads a session that all it starts is in."""
        found, led = [], set()
        for pid, session in sessions():
            if session in self.sessions:
                found.append(pid)
                led.add(session)
        self.sessions &= led | {process.pid for process in self.running.values()
                                if process.poll() is None}
        return found

    def of_role(self, wanted):
        """Those that jobqd started as `slot` or `store`, also of a jobqd that is gone."""
        return [pid for pid in self.left_over() if role(pid) == wanted]

    def workers(self):
        return self.of_role("slot")

    def writer(self):
        return wait_until(lambda: self.of_role("store"), what="a writer")[0]

    def kill_pids(self, pids):
        killed = kill_all(pids)
        for process in self.running.values():
            process.poll()
        return killed

    def kill(self, name, number=signal.SIGKILL):
        pid = self.pid(name)
        os.kill(pid, number)
        if number == signal.SIGKILL:
            self.running[name].wait(20)
        return pid

    def power_off(self):
        """Kills all of it at once, and empties the shared memory as a reboot does."""
        killed = self.kill_everything()
        self.reboot_memory()
        return killed

    def kill_everything(self):
        killed = []
        while found := self.everything():  # more than once: one about to die may start another
            killed += self.kill_pids(found)
        return killed

    def kill_core(self):
        """jobqd, its slots and its writer, at once."""
        return self.kill_pids([pid for pid in self.left_over() if program(pid) == "jobqd"])

    def reboot_memory(self):
        for name in Path("/dev/shm").glob(self.table_name().lstrip("/") + "*"):
            name.unlink()

    # ---- looking in -----------------------------------------------------------

    def store_path(self):
        for setting in reversed(self.settings):
            if setting.startswith("store="):
                return Path(setting[6:])
        return self.state / "jobq.db"

    def ctl(self, *command):
        return subprocess.run([self.build() / "jobqctl", "-c", f"{self.state}/etc/jobq.conf",
                               *self.options(), *command],
                              capture_output=True, text=True, timeout=300)

    def has_fsck(self):
        return "fsck" in self.ctl("--help").stdout

    def assert_sound(self):
        """The table's invariants hold; table and store say the same."""
        super().assert_sound()
        if self.has_fsck():
            done = self.ctl("fsck")
            assert done.returncode == 0, done.stdout + done.stderr

    def store_rows(self):
        """All jobs in the store by id, read beside the writer."""
        with sqlite3.connect(f"file:{self.store_path()}?mode=ro", uri=True, timeout=20) as db:
            db.row_factory = sqlite3.Row
            return {str(row["id"]): dict(row) for row in db.execute("SELECT * FROM jobs")}

    def store_is_whole(self):
        with sqlite3.connect(f"file:{self.store_path()}?mode=ro", uri=True, timeout=20) as db:
            return db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


__all__ = ["Daemons", "ROOT", "alive", "children", "kill_all", "make_project", "program",
           "role", "wait_until"]
