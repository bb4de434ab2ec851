"""The whole service, started as a person would start it, and held by a test.

`Service` runs packaging/quickstart on a state directory and a port of its own,
waits until it answers, and offers what tests need: requests, pids, signals,
logs, raw sockets. Leaving it stops everything and fails the test when
anything was left running or a sanitizer has complained.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("nginx", "jobq-api", "jobq-hook", "jobqd")  # what quickstart keeps running
READY = 90  # seconds; sanitizers and a busy machine are slow
PATIENCE = 3  # times as long as a quiet machine would ever need
os.environ.setdefault("LSAN_OPTIONS", f"suppressions={ROOT}/tests/support/lsan.supp:"
                                      "print_suppressions=0")
# Ignored in the background and under nohup; quickstart, a shell script, could not change it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
COMPLAINTS = ("ERROR: AddressSanitizer", "runtime error:", "LeakSanitizer", "ThreadSanitizer")


def wait_until(condition, timeout=20, what="the condition"):
    """Calls `condition` until it gives something true; returns that."""
    timeout *= PATIENCE
    deadline = time.monotonic() + timeout
    pause = 0.005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come about within {timeout} s")
        time.sleep(pause)  # between two looks; the deadline decides
        pause = min(pause * 1.5, 0.1)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def alive(pid):
    """Whether the process runs (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def children(pid):
    """The pids of a process's children that run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (OSError, ProcessLookupError):
                continue
            if int(fields[1]) == pid and fields[0] not in "ZX":
                found.append(int(entry.name))
    return sorted(found)


def role(pid):
    """What jobqd has started a child for: `slot` or `store`."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return words[words.index(b"-x") + 1].decode()
    except (OSError, ValueError, IndexError):
        return None


def freeze(*pids):
    """Stops processes with SIGSTOP; returns when every thread of theirs stands still (t: traced)."""
    def still(pid):
        try:
            return all((task / "stat").read_text().rpartition(")")[2].split()[0] in "TtZX"
                       for task in Path(f"/proc/{pid}/task").iterdir())
        except (OSError, ProcessLookupError):
            return not alive(pid)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: all(still(pid) for pid in pids), 20, "standing still")


def thaw(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def program(name, *arguments, timeout=60, **keywords):
    """Runs one of the built programs to its end."""
    return subprocess.run([Path(os.environ["JOBQ_BUILD"]) / name, *map(str, arguments)],
                          capture_output=True, text=True, timeout=timeout, **keywords)


class Service:
    """`options` are lines of jobq.conf; they replace quickstart's own whitelist."""

    def __init__(self, options=None, project=None, tokens=None, rate="100000r/s", state=None,
                 table_max="64M"):
        self.state = Path(state or tempfile.mkdtemp(prefix="jobq-", dir="/tmp"))
        self.own_state = state is None
        self.project = Path(project) if project else ROOT / "packaging/sample-project"
        self.port = free_port()
        self.tokens = tokens or {"ci": secrets.token_hex(32)}
        self.token = next(iter(self.tokens.values()))
        self.rate = rate
        self.log_path = Path(f"{self.state}.log")
        self.config = Path(f"{self.state}.conf")
        self.tokens_path = Path(f"{self.state}.tokens")
        lines = [f"table_max = {table_max}"]
        if not any(line.startswith("whitelist") for line in options or []):
            lines.append("whitelist = res://")
        if not any(line.startswith("api_processes") for line in options or []):
            lines.append("api_processes = 2")  # whatever the machine
        self.config.write_text("\n".join(lines + (options or [])) + "\n")
        self.process = None
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.session = self.new_session()

    # ---- life -----------------------------------------------------------------

    def start(self):
        self.tokens_path.write_text(json.dumps(
            {hashlib.sha256(token.encode()).hexdigest(): {"name": name}
             for name, token in self.tokens.items()}))
        environment = dict(os.environ, JOBQ_TOKENS=str(self.tokens_path), JOBQ_RATE=self.rate)
        # A crash must look like one: as a signal, not as a sanitizer's exit status.
        environment["ASAN_OPTIONS"] = \
            "handle_segv=0:handle_abort=0:allocator_may_return_null=1:" + \
            environment.get("ASAN_OPTIONS", "")
        assert "JOBQ_BUILD" in environment, "JOBQ_BUILD must name a finished build directory"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [ROOT / "packaging/quickstart", "--no-install", "--port", str(self.port),
                 "--dir", self.state, "--project", self.project, "--config", self.config],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment,
                start_new_session=True)
        wait_until(self.ready_or_dead, READY, "the service")
        assert self.process.poll() is None, f"quickstart ended:\n{self.logs()[-4000:]}"
        return self

    def ready_or_dead(self):
        return self.process.poll() is not None or self.healthy()

    def healthy(self):
        try:
            return requests.get(f"{self.base_url}/healthz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def wait_healthy(self):
        wait_until(self.healthy, READY, "a healthy service")

    def stop(self):
        if self.process is None:
            return
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError(f"quickstart did not stop:\n{self.logs()[-4000:]}")
        assert status == 0, f"quickstart ended with {status}:\n{self.logs()[-4000:]}"
        wait_until(lambda: not self.left_over(), 15,
                   "the end of every process of the service")

    def left_over(self):
        """Processes that have the state directory in their command line, or its access log open."""
        found, log = [], f"{self.state}/log/access.log"
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid() and alive(entry.name):
                try:
                    command = (entry / "cmdline").read_bytes()
                    # nginx's workers do not show whose they are.
                    if os.fsencode(str(self.state) + "/") in command or \
                            command.startswith(b"nginx: worker") and \
                            any(os.readlink(fd).startswith(log) for fd in (entry / "fd").iterdir()):
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found

    def crash(self):
        """Kills all of it at once."""
        process, self.process = self.process, None
        parents = [process.pid] + [self.pid(name) for name in PROGRAMS]
        freeze(*parents)  # or they start again what dies
        pids = self.left_over()
        for pid in [process.pid, *pids]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(20)
        wait_until(lambda: not any(alive(pid) for pid in pids), 20, "the end of everything")

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.discard()
            raise

    def __exit__(self, kind, value, trace):
        try:
            self.stop()
            lines = self.logs().splitlines()
            complaints = [n for n, line in enumerate(lines)
                          if any(word in line for word in COMPLAINTS)]
            assert not complaints, "\n".join(lines[complaints[0]:complaints[0] + 60])
            if kind is not None:
                print(self.logs()[-6000:])
        finally:
            self.discard()

    def discard(self):
        for pid in self.left_over():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for name in Path("/dev/shm").glob(self.table_name().lstrip("/") + "*"):
            name.unlink()
        for path in (self.config, self.tokens_path, self.log_path):
            path.unlink(missing_ok=True)
        if self.own_state:
            shutil.rmtree(self.state, ignore_errors=True)

    # ---- looking in -----------------------------------------------------------

    def logs(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def pid(self, name):
        """Of one of PROGRAMS, once there is a live one."""
        def read():
            try:
                pid = int((self.state / "run" / f"{name}.pid").read_text())
            except (OSError, ValueError):
                return None
            return pid if alive(pid) else None
        return wait_until(read, 20, f"a live {name}")

    def kill(self, name, number=signal.SIGKILL):
        pid = self.pid(name)
        os.kill(pid, number)
        return pid

    def workers(self):
        """The slots' worker processes."""
        return [pid for pid in children(self.pid("jobqd")) if role(pid) == "slot"]

    def writer(self):
        """The store's writer process, once there is one."""
        return wait_until(lambda: next((pid for pid in children(self.pid("jobqd"))
                                        if role(pid) == "store"), None), 20, "a writer")

    def wait_workers(self, count=3):
        return wait_until(lambda: len(self.workers()) == count and self.workers(), 20,
                          f"{count} workers")

    def api_workers(self, count):
        """The worker processes of jobq-api, once there are so many."""
        return wait_until(lambda: len(pids := children(self.pid("jobq-api"))) == count and pids,
                          20, f"{count} workers of jobq-api")

    def connections(self, name):
        """How many connections to a FastCGI socket there are, accepted or not yet."""
        # The socket keeps the name under which it was bound, before it got its place.
        path = self.socket_path(name) + "."
        return sum(path in line and line.split()[5] in ("02", "03")
                   for line in Path("/proc/net/unix").read_text().splitlines())

    def table_name(self):
        options = list(self.state.glob("etc/*")) if self.state.exists() else []
        for path in options:
            match = re.search(r"^\s*table_name\s*=\s*(\S+)", path.read_text(errors="replace"), re.M)
            if match:
                return match[1]
        for line in self.logs().splitlines():
            match = re.search(r"table=(/\S+)", line)
            if match:
                return match[1]
        return "/jobq-no-such-table"

    def ctl(self, *command):
        """Runs jobqctl on this service's table."""
        return subprocess.run([Path(os.environ["JOBQ_BUILD"]) / "jobqctl", "-c", self.config,
                               "-o", f"table_name={self.table_name()}", *command],
                              capture_output=True, text=True, timeout=120)

    def assert_sound(self):
        done = self.ctl("check")
        assert done.returncode == 0, done.stdout + done.stderr

    # ---- asking ---------------------------------------------------------------

    def new_session(self, token=None):
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {token or self.token}"
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=64)
        session.mount("http://", adapter)
        return session

    def request(self, method, path, **arguments):
        arguments.setdefault("timeout", 90)
        return self.session.request(method, self.base_url + path, **arguments)

    def get(self, path, **arguments):
        return self.request("GET", path, **arguments)

    def post(self, path, body, **arguments):
        return self.request("POST", path, json=body, **arguments)

    def delete(self, path, **arguments):
        return self.request("DELETE", path, **arguments)

    def submit(self, kind, parameters, **arguments):
        answer = self.post("/jobs", {"type": kind, "parameters": parameters}, **arguments)
        assert answer.status_code == 202, answer.text
        return answer.json()["job_id"]

    def job(self, job_id):
        answer = self.get(f"/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()["job"]

    def wait_job(self, job_id, timeout=60):
        def finished():
            job = self.job(job_id)
            return job if job["status"] in ("completed", "failed", "cancelled") else None
        return wait_until(finished, timeout, f"the end of job {job_id}")

    def raw(self, data, timeout=20, shut=False):
        """Sends bytes to nginx and returns all it answers until it closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as s:
            s.sendall(data)
            if shut:
                s.shutdown(socket.SHUT_WR)
            got = b""
            while part := s.recv(65536):
                got += part
            return got

    def socket_path(self, name):
        """The FastCGI socket `api` or `wait`."""
        return str(self.state / "run" / f"{name}.sock")


# ---- a FastCGI client (the FastCGI specification, section 3.3) -----------------

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT = 1, 2, 3, 4, 5, 6


def record(kind, content=b"", request_id=1, version=1, padding=0, length=None):
    return struct.pack("!BBHHBB", version, kind, request_id,
                       len(content) if length is None else length, padding, 0) + \
        content + b"\0" * padding


def pairs(parameters):
    out = b""
    for name, value in parameters.items():
        for text in (name, value):
            out += struct.pack("!B", len(text)) if len(text) < 128 else \
                struct.pack("!I", len(text) | 1 << 31)
        out += name.encode() + value.encode()
    return out


def fastcgi_request(parameters, body=b"", keep=False):
    return (record(BEGIN, struct.pack("!HB5x", 1, int(keep))) + record(PARAMS, pairs(parameters)) +
            record(PARAMS) + (record(STDIN, body) if body else b"") + record(STDIN))


def fastcgi(path, data, timeout=20):
    """Sends records to a FastCGI socket; returns what standard output it answers."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        s.connect(path)
        s.sendall(data)
        return fastcgi_answer(s)


def fastcgi_answer(s):
    buffer, out = b"", b""
    while True:
        while len(buffer) < 8:
            part = s.recv(65536)
            if not part:
                return out
            buffer += part
        _, kind, _, length, padding, _ = struct.unpack("!BBHHBB", buffer[:8])
        while len(buffer) < 8 + length + padding:
            part = s.recv(65536)
            if not part:
                return out
            buffer += part
        if kind == STDOUT:
            out += buffer[8:8 + length]
        buffer = buffer[8 + length + padding:]
        if kind == END:
            return out
