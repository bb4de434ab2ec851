"""What the measurements stand on: services to measure, an nginx before them, load."""

import json
import os
import re
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from service import Service, alive, children, free_port, wait_until  # noqa: E402

HERE = Path(__file__).resolve().parent
TINY = '[gd_scene format=3]\n\n[node name="A" type="Node2D"]\n'
BODY = '{"type": "scene_preload", "parameters": {"scene_paths": ["res://a.tscn"]}}'
TOKEN = secrets.token_hex(32)  # the same for all, so that one nginx knows it
API = {"processes": 2, "threads": 160}  # the defaults of jobq.conf on two processors


def program(name):
    return Path(os.environ["JOBQ_BUILD"]) / "tests/bench" / name


def numbers(text):
    """The `name value` lines of our programs."""
    return {name: float(value) for name, value in
            (line.split() for line in text.splitlines() if len(line.split()) == 2)}


def run_program(*command, timeout=600):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=timeout)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return numbers(done.stdout)


def make_project(root):
    """One tiny scene, and one to keep a worker busy with."""
    (root / "project.godot").write_text('config_version=5\n\n[application]\nconfig/name="b"\n')
    (root / "a.tscn").write_text(TINY)
    nodes = "\n".join(f'[node name="N{i}" type="Node2D" parent="."]\nposition = Vector2({i}, 1)\n'
                      for i in range(20000))
    (root / "slow.tscn").write_text(f"{TINY}\n{nodes}")
    return root


class Bench(Service):
    """A service to measure, with its table at hand."""

    def __init__(self, project, table_max, durability="off", log_level="warning"):
        """What is compared with others that keep nothing on disk does so with `off`, too."""
        super().__init__(
            project=project, table_max=table_max, rate="1000000r/s", tokens={"ci": TOKEN},
            options=["drain_timeout = 0", f"durability = {durability}", f"log_level = {log_level}",
                     f"api_processes = {API['processes']}", f"api_threads = {API['threads']}"])

    def table(self, timeout=60):
        """jobqctl's numbers."""
        return run_program(Path(os.environ["JOBQ_BUILD"]) / "jobqctl", "-c",
                           self.state / "etc/jobq.conf", "show", timeout=timeout)

    def fill(self, *arguments):
        return run_program(program("fill"), self.table_name(), *arguments)

    def segment_bytes(self):
        """Memory that the tmpfs has given to the table, with all that it is made of."""
        return os.stat(f"/dev/shm{self.table_name()}").st_blocks * 512

    def finish(self, count):
        """Puts `count` jobs in and lets the workers do them; returns the ids."""
        done = self.fill("submit", count)
        wait_until(lambda: self.table()["queued"] + self.table()["running"] == 0, 1800,
                   "the end of the jobs")
        assert self.table()["failed"] == 0, self.logs()[-2000:]
        return int(done["first"]), int(done["last"])

    def hold_workers(self):
        """
        Stops the three workers, each in the middle of a job, so that jobs queue
        up and the slots' own work is not measured. Stopped ones that sleep would
        not do: each submission would try to wake them, which a busy queue spares.
        """
        job = {"operations": [{"action": "validate", "scene_path": "res://slow.tscn"}] * 10000}
        for _ in range(3):
            self.submit("batch_operations", job)
        wait_until(lambda: self.table()["running"] == 3, 60, "three running jobs")
        pids = self.wait_workers()
        for _ in range(20):
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            try:
                self.table(timeout=2)
                return
            except subprocess.TimeoutExpired:
                for pid in pids:  # one was stopped with the table's lock in its hand
                    os.kill(pid, signal.SIGCONT)
                time.sleep(0.05)
        raise AssertionError("the workers hold the table's lock")

    def api_pids(self):
        return children(self.pid("jobq-api"))

    def pool_pids(self):
        """The processes of the plain pool: those with its number of threads."""
        def found():
            pids = [pid for pid in self.api_pids()
                    if len(os.listdir(f"/proc/{pid}/task")) == API["threads"] + 1]
            return pids if len(pids) == API["processes"] else None
        return wait_until(found, 20, "the plain pool")


class Front:
    """
    One nginx before all that is compared: the service's own configuration, with
    a server for each target that differs in nothing but who answers.
    """

    def __init__(self, services, empty_socket, empty_pid):
        """The targets are the services, by name, and "nginx" and "empty"."""
        self.model = next(iter(services.values()))
        self.targets = {"nginx": None, "empty": None, **services}
        self.empty_socket = empty_socket
        self.pids = {"nginx": [], "empty": children(empty_pid),
                     **{name: service.api_pids() for name, service in services.items()}}
        self.directory = tempfile.TemporaryDirectory(prefix="jobq-bench-", dir="/tmp")
        self.state = Path(self.directory.name)
        self.ports = {}
        self.process = None

    def template(self, name):
        return (self.model.state / "etc" / name).read_text().replace(
            f"{self.model.state}/etc/jobq-", f"{self.state}/etc/jobq-")

    def http(self):
        """The http part, with the upstreams once more for every target."""
        text = self.template("jobq-http.conf")
        blocks = dict(re.findall(r"^upstream (jobq_\w+) (\{.*?^\})", text, re.M | re.S))
        for name, service in self.targets.items():
            for upstream, block in blocks.items():
                pool = upstream.removeprefix("jobq_")
                path = service.socket_path(pool) if service else self.empty_socket
                block = re.sub(r"unix:\S+", f"unix:{path}", block, count=1)
                text += f"\nupstream bench_{name}_{pool} {block}\n"
        return text

    def server(self, name):
        text = self.template("jobq-server.conf").replace(f"{self.model.state}/log/",
                                                         f"{self.state}/log/")
        if name == "nginx":
            # Of the content handlers none returns a fixed text, so this is answered
            # in the rewrite phase, which ends before limit_req is looked at.
            return text.replace("fastcgi_pass jobq_api;",
                                'return 200 \'{"padding": "%s"}\';' % ("x" * 285))
        return re.sub(r"fastcgi_pass jobq_(\w+);", rf"fastcgi_pass bench_{name}_\1;", text)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def start(self):
        for name in ("etc", "log", "tmp"):
            (self.state / name).mkdir()
        (self.state / "etc/jobq-http.conf").write_text(self.http())
        whole = self.template("quickstart.conf").replace(f"{self.model.state}/", f"{self.state}/")
        block = re.search(r"^ {4}server \{.*?^ {4}\}\n", whole, re.M | re.S)[0]
        servers = ""
        for name in self.targets:
            self.ports[name] = free_port()
            (self.state / f"etc/server-{name}.conf").write_text(self.server(name))
            servers += block.replace(f":{self.model.port} ", f":{self.ports[name]} ").replace(
                "etc/jobq-server.conf", f"etc/server-{name}.conf")
        (self.state / "etc/nginx.conf").write_text(whole.replace(block, servers))
        self.process = subprocess.Popen(
            ["/usr/sbin/nginx", "-e", "stderr", "-p", f"{self.state}/",
             "-c", f"{self.state}/etc/nginx.conf"], stdin=subprocess.DEVNULL)
        for name in self.targets:
            answer = wait_until(lambda: self.answer(name), 20, f"an answer of {name}")
            assert answer == 200, f"{name} answers {answer}"

    def answer(self, name):
        """The status of a plain request; None: nobody answers yet."""
        assert self.process.poll() is None, "nginx has ended"
        session = self.model.new_session()
        try:
            return session.get(self.url(name) + "/jobs?limit=1", timeout=5).status_code
        except OSError:  # as all of requests' own errors are
            return None

    def __exit__(self, kind, value, trace):
        if self.process:
            self.process.terminate()
            self.process.wait(20)
        self.directory.cleanup()

    def url(self, name):
        return f"http://127.0.0.1:{self.ports[name]}"

    def load(self, name, paths, seconds, method="GET", connections=64, pause=0):
        """
        Runs wrk against a target; every request has to be answered with success.
        Rates are a second's, times in milliseconds, but `app`, `front` and their sum
        `cost`: the microseconds of processor time that a request takes in the
        application's processes and in nginx's.
        """
        os.truncate(self.state / "log/access.log", 0)
        words = self.state / "tmp/paths"
        words.write_text("".join(f"{path}\n" for path in paths))
        command = ["wrk", "-t", "2", "-c", connections, "-d", f"{seconds}s", "-s",
                   HERE / "load.lua", "-H", f"Authorization: Bearer {self.model.token}"]
        rest = [method, words, pause]
        if method == "POST":
            command += ["-H", "Content-Type: application/json"]
            rest.append(BODY)
        groups = {"app": self.pids[name], "front": children(self.process.pid)}
        before = {group: processor_time(pids) for group, pids in groups.items()}
        done = subprocess.run([str(word) for word in [*command, self.url(name), "--", *rest]],
                              capture_output=True, text=True, timeout=seconds + 60)
        assert all(alive(pid) for pid in sum(groups.values(), [])), f"{name}: a process has died"
        spent = {group: processor_time(pids) - before[group] for group, pids in groups.items()}
        assert done.returncode == 0, done.stdout + done.stderr
        result = json.loads(done.stdout.splitlines()[-1])
        assert result["failed"] == 0 and result["requests"] > 0, \
            f"{name}: {result}\n{(self.state / 'log/access.log').read_text()[-1000:]}"
        result["rate"] = result["requests"] / result["microseconds"] * 1e6
        for group, seconds_spent in spent.items():
            result[group] = seconds_spent / result["requests"] * 1e6
        result["cost"] = result["app"] + result["front"]
        for name in ("p50", "p99", "max"):
            result[name] /= 1000
        return result


def start_empty(socket):
    """
    The empty application, in as many processes and threads as the plain pool. In a
    session of its own as the services are: the kernel may share the processors
    between sessions (sched(7), autogroups).
    """
    process = subprocess.Popen([program("empty"), socket, str(API["processes"]),
                                str(API["threads"])], stdin=subprocess.DEVNULL,
                               start_new_session=True)
    wait_until(lambda: Path(socket).exists() and len(children(process.pid)) == API["processes"],
               20, "the empty application")
    return process


def interleaved(rounds, targets, measure):
    """
    Calls measure(target) for every target in every round, in an order that turns
    from round to round, and returns {target: [result of each round]}.
    """
    results = {target: [] for target in targets}
    for number in range(rounds):
        turn = number % len(targets)
        for target in targets[turn:] + targets[:turn]:
            results[target].append(measure(target))
    return results


def median_of(results, key):
    return statistics.median(result[key] for result in results)


def median_ratio(results, over, key):
    """The median of the rounds' ratios."""
    return statistics.median(a[key] / b[key] for a, b in zip(results, over))


def processor_time(pids):
    """Seconds of processor time that the processes have used."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(field[11]) + int(field[12]) for field in fields) / os.sysconf("SC_CLK_TCK")


def status_field(pid, field):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+)", text, re.M)[1])


def switches(pid):
    """How often any thread of the process has been put on and off a processor."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        text = (task / "status").read_text()
        total += sum(int(n) for n in re.findall(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)",
                                                text, re.M))
    return total


__all__ = ["TOKEN", "Bench", "Front", "children", "free_port", "interleaved", "make_project",
           "median_of", "median_ratio", "processor_time", "program", "run_program", "start_empty",
           "status_field", "switches", "wait_until"]
