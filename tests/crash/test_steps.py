"""The store's writer killed at its every system call: nothing that was acknowledged goes.

The table's own steps are killed at every instruction by
tests/unit/table/test_kill.c. JOBQ_STEPS=all tries each call, which takes long;
otherwise some are tried, other ones in each run.
"""

import os
import random
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import powercut
import pytest
from daemons import alive, wait_until
from service import freeze, program

ALL = os.environ.get("JOBQ_STEPS") == "all"
SAMPLES = 16


def steps(total, samples):
    """Which calls to try, of so many."""
    if ALL:
        return range(1, total + 1)
    width = total / samples
    return [min(total, int(width * n + random.random() * width) + 1) for n in range(samples)]


class Watched:
    """A service, and all that it has acknowledged."""

    def __init__(self, service):
        self.service = service
        self.shown = {}  # id: the answer to GET, once it has finished
        self.keyed = {}  # id: its number
        self.count = 0

    def submit(self, key=False):
        self.count += 1
        job_id = self.send(self.count, key)
        if key:
            self.keyed[job_id] = self.count
        return job_id

    def send(self, number, key):
        answer = self.service.post(
            "/jobs", {"type": "scene_preload",
                      "parameters": {"scene_paths": [f"res://steps/{number}.tscn"]}},
            headers={"Idempotency-Key": f"step-{number}"} if key else {}, timeout=20)
        assert answer.status_code == 202, f"{answer.text}\n{self.service.logs()[-6000:]}"
        return answer.json()["job_id"]

    def finish(self, job_id, status="completed"):
        try:
            job = self.service.wait_job(job_id)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.service.logs()[-6000:]}") from None
        assert job["status"] == status, job
        self.shown[job_id] = self.service.get(f"/jobs/{job_id}").text

    def stopped(self):
        """The slots' workers, stopped while they hold no lock."""
        workers = self.service.wait_workers()

        def stand():
            freeze(*workers)
            try:  # which takes the lock
                if program("jobqctl", "-c", self.service.config, "-o",
                           f"table_name={self.service.table_name()}", "show",
                           timeout=5).returncode == 0:
                    return True
            except subprocess.TimeoutExpired:
                pass
            self.go(workers)
            return False
        wait_until(stand, what="workers that hold no lock")
        return workers

    @staticmethod
    def go(workers):
        for pid in workers:
            os.kill(pid, signal.SIGCONT)

    def work(self):
        """Two jobs that run, one that is cancelled, one with a key that is repeated."""
        first, second = self.submit(), self.submit(key=True)
        self.finish(first)
        self.finish(second)
        workers = self.stopped()
        third = self.submit()
        answer = self.service.delete(f"/jobs/{third}")
        self.go(workers)
        assert answer.status_code == 200, answer.text
        self.finish(third, "cancelled")

    def look(self):
        """All is as it was shown, in the table and in the store."""
        service = self.service
        for job_id, text in self.shown.items():
            assert service.get(f"/jobs/{job_id}").text == text
        for job_id, number in self.keyed.items():
            assert self.send(number, True) == job_id, "its key stands for it"
        rows = service.store_rows()
        assert sorted(rows, key=int) == sorted(self.shown, key=int)
        for job_id, row in rows.items():
            assert f'"status":"{row["status"]}"' in self.shown[job_id]
        service.assert_sound()

    def reboot(self):
        self.service.power_off()
        self.service.up_again()
        self.look()


def traced(pid, number):
    """killat on a writer, once it counts."""
    process = subprocess.Popen([powercut.tool("killat"), str(number), str(pid)],
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready 0\n"
    return process


def ended(process):
    """What killat has seen: ("killed", call) or ("counted", calls)."""
    process.terminate()
    out, _ = process.communicate(timeout=30)
    word, number = out.split()
    return word, int(number)


def test_at_work(daemons):
    """Killed in the middle of work: each request is answered all the same."""
    service = daemons().up_again()
    watched = Watched(service)
    watched.work()
    tracer = traced(service.writer(), 0)
    watched.work()
    word, total = ended(tracer)
    assert word == "counted" and total > 50, "every commit takes some"
    tried = 0
    for number in steps(total, SAMPLES):
        before = service.writer()
        tracer = traced(before, number)
        watched.work()
        word, _ = ended(tracer)
        if word == "killed":
            tried += 1
            assert not alive(before)
        watched.look()
        watched.reboot()
    print(f"killed at {tried} of {total} system calls")
    assert tried >= len(list(steps(total, SAMPLES))) * 0.7


def start_killed(service, number):
    """Starts all, with jobqd's first writer killed at a call."""
    service.launch("jobqd", before=[str(powercut.tool("killat")), str(number), "--"])
    service.launch_all()
    service.wait_healthy()


def count_calls(watched):
    """How many calls the first writer of a start takes until a job has been stored."""
    service = watched.service
    start_killed(service, 0)
    watched.finish(watched.submit())
    os.kill(service.writer(), signal.SIGKILL)
    found = wait_until(lambda: [line for line in service.logs().splitlines()
                                if line.startswith("counted ")], what="the tracer's count")
    return int(found[-1].split()[1])


def leave_running(watched):
    """The power goes while a job runs: the next start has something to write."""
    service = watched.service
    job_id = service.submit("batch_operations", {"operations": [
        {"action": "validate", "scene_path": "res://slow.tscn"}] * 2000})
    wait_until(lambda: service.store_rows()[job_id]["status"] == "running")
    return job_id


@pytest.mark.parametrize("how", ["new", "reboot", "take_over", "refill"])
def test_at_start(daemons, how):
    """Killed while it makes, reads, takes over or writes anew its store."""
    service = daemons()
    watched = Watched(service)
    service.up_again()
    if how != "new":
        watched.work()
    samples = 6

    def go_down():
        lost = None
        if how == "new":
            watched.shown.clear()
            watched.keyed.clear()
            service.power_off()
            for path in service.state.glob("jobq.db*"):
                path.unlink()
        elif how == "reboot":
            lost = leave_running(watched)
            service.power_off()
        else:
            service.kill_core()
        if how == "refill":
            for path in service.state.glob("jobq.db*"):
                path.unlink()
        return lost

    def come_up(lost):
        if lost is not None:
            watched.finish(lost, "failed")
            # Or jobqd lived for long enough to see its worker killed.
            assert "the service went down" in watched.shown[lost] or \
                "killed by signal 9" in watched.shown[lost]
        watched.work()
        watched.look()

    lost = go_down()
    total = count_calls(watched)
    service.wait_healthy()
    come_up(lost)
    for number in steps(total, samples):
        lost = go_down()
        start_killed(service, number)
        come_up(lost)
    watched.reboot()
    tried = service.logs().count("\nkilled ")
    print(f"{how}: killed at {tried} of {total} system calls")
    assert tried >= samples * 0.7


def test_many_at_once(daemons):
    """Killed again and again while many clients submit: each is answered, once."""
    service = daemons(settings=["submit_timeout=60s"]).up_again()
    over = threading.Event()

    def kill():
        while not over.is_set():
            for pid in service.of_role("store"):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            over.wait(random.uniform(0.05, 0.3))
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with ThreadPoolExecutor(16) as pool:
            ids = list(pool.map(lambda n: service.submit("scene_preload", {
                "scene_paths": [f"res://many/{n}.tscn"]}), range(400)))
    finally:
        over.set()
        killer.join()
    assert len(set(ids)) == 400
    for n, job_id in enumerate(ids):
        assert service.wait_job(job_id)["result"]["scenes"][0]["scene_path"] == \
            f"res://many/{n}.tscn"
    assert set(service.store_rows()) == set(ids)
    service.assert_sound()
