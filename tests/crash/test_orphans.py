"""Processes that outlive their jobqd: none works on behind the back of the next one.

Each test makes certain what the storm finds now and then: it holds a process up
at the one instant that matters (powercut.c), kills jobqd, and lets it go on
when another jobqd is there.
"""

import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from daemons import alive, children, role, wait_until

FUTEX, FCNTL, POLL = "202", "72", "7"  # x86-64


def submit_slow(service, operations=10000):
    return service.submit("batch_operations", {"operations": [
        {"action": "validate", "scene_path": "res://slow.tscn"}] * operations})


def submit_quick(service, number, paths=1, **arguments):
    return service.submit("scene_preload", {
        "scene_paths": [f"res://orphan/{number}.tscn"] * paths}, **arguments)


def attempts(service, job_id):
    return re.findall(rf"jobqd\[(\d+)\] level=info event=job_started job={job_id} ",
                      service.logs())


def call_of(pid):
    """The number of the system call that it sleeps in."""
    try:
        return Path(f"/proc/{pid}/syscall").read_text().split()[0]
    except OSError:
        return None


def held(pid):
    """Whether the shim holds it up: it looks every now and then, and sleeps between."""
    return call_of(pid) == POLL


def gone(pids, what, timeout=20):
    wait_until(lambda: not any(alive(pid) for pid in pids), timeout, what)


def writer_of(jobqd):
    return [pid for pid in children(jobqd) if role(pid) == "store"]


def test_a_writer_whose_turn_has_not_come(daemons):
    """Its jobqd dies while it waits for the writer before it: it leaves all to others."""
    service = daemons(settings=["submit_timeout=30s"]).up_again()
    first = service.writer()
    os.kill(first, signal.SIGSTOP)
    service.kill("jobqd")
    second_jobqd = service.launch("jobqd").pid
    waiting = wait_until(lambda: writer_of(second_jobqd))[0]
    wait_until(lambda: call_of(waiting) == FCNTL, what="a writer that waits for its turn")
    answers = []
    client = threading.Thread(target=lambda: answers.append(
        service.new_session().post(f"{service.base_url}/jobs", timeout=60, json={
            "type": "scene_preload", "parameters": {"scene_paths": ["res://turn.tscn"]}})))
    client.start()
    wait_until(lambda: "next_id 2\n" in service.ctl("show").stdout, what="the submission")
    service.kill("jobqd")
    service.launch("jobqd")
    wait_until(lambda: not service.up("jobqd") or writer_of(service.pid("jobqd")))
    assert alive(waiting) is False or call_of(waiting) == FCNTL, "it has left, or waits on"
    os.kill(first, signal.SIGCONT)
    client.join(60)
    assert answers and answers[0].status_code == 202, answers and answers[0].text
    gone([first, waiting], "the end of both writers")
    service.wait_healthy()
    assert service.wait_job(answers[0].json()["job_id"])["status"] == "completed"
    assert "store_failed" not in service.logs()
    service.assert_sound()


def test_a_writer_that_fills_a_table_which_was_given_up(daemons):
    """jobqd dies while its writer reads the store; the next one begins anew, alone."""
    service = daemons(shim=True).up_again()
    running = [submit_slow(service) for _ in range(3)]
    queued = [submit_quick(service, n) for n in range(5)]
    wait_until(lambda: all(service.store_rows()[i]["status"] == "running" for i in running))
    service.power_off()
    pause = service.state / "pause"
    pause.write_text("R 0\n")
    service.launch("jobqd", environment={"POWERCUT_FAULT": str(pause)})
    old_slots = wait_until(lambda: len(service.of_role("slot")) == 3 and service.of_role("slot"))
    old_writer = service.writer()
    wait_until(lambda: service.logs().count("event=worker_started slot=") >= 6)
    service.kill("jobqd")
    service.launch("jobqd")
    service.up_again()
    assert alive(old_writer), "it is still held up"
    pause.unlink()
    gone([old_writer, *old_slots], "the end of the old writer and its slots")
    for job_id in queued:
        assert service.wait_job(job_id)["status"] == "completed"
    for job_id in running:
        assert service.wait_job(job_id)["error"] == \
            "the service went down while the job was running"
    for job_id in queued:
        assert len(attempts(service, job_id)) == 1, f"job {job_id} ran twice"
    service.assert_sound()


def test_requests_wait_for_the_table_after_one_that_was_given_up(daemons):
    """jobqd dies while its writer reads the store, and requests wait: the next one's is theirs."""
    service = daemons(shim=True, settings=["submit_timeout=60s"]).up_again()
    done = submit_quick(service, 0)
    shown = service.wait_job(done)
    service.power_off()
    pause = service.state / "pause"
    pause.write_text("R 0\n")
    service.launch("jobqd", environment={"POWERCUT_FAULT": str(pause)})
    writer = service.writer()
    wait_until(lambda: held(writer), what="a writer that is held up")
    for name in ("jobq-api", "nginx"):
        service.launch(name)
    wait_until(service.says_away, what="nginx and jobq-api")
    with ThreadPoolExecutor(8) as pool:
        reads = [pool.submit(service.get, f"/jobs/{done}?wait=1") for _ in range(8)]
        wait_until(lambda: "\njobq_waiting_requests 8\n" in service.get("/metrics").text,
                   what="requests that wait for the table")
        service.kill("jobqd")
        service.launch("jobqd")
        began = time.monotonic()
        assert all(read.result(120).json()["job"] == shown for read in reads)
        assert time.monotonic() - began < 30, "none waits in vain for what is given up"
    pause.unlink()
    service.up_again()
    service.assert_sound()


def test_a_writer_killed_while_it_fills_the_table(daemons):
    """jobqd's next writer reads the store into what is there of it already."""
    service = daemons(shim=True).up_again()
    keyed = {f"k{n}": submit_quick(service, n, 400, headers={"Idempotency-Key": f"k{n}"})
             for n in range(20)}
    before = {job_id: service.wait_job(job_id) for job_id in keyed.values()}
    running = submit_slow(service, 3000)
    wait_until(lambda: service.store_rows()[running]["status"] == "running")
    service.power_off()
    pause = service.state / "pause"
    pause.write_text("R 20\n")
    service.launch("jobqd", environment={"POWERCUT_FAULT": str(pause)})
    for reads in (30, 40, 50):  # each one gets further
        writer = service.writer()
        wait_until(lambda: held(writer), what="a writer that is held up")
        pause.write_text(f"R {reads}\n")
        os.kill(writer, signal.SIGKILL)
        wait_until(lambda: not alive(writer))
    assert not service.healthy()
    pause.unlink()
    service.up_again()
    for key, job_id in keyed.items():
        assert submit_quick(service, key[1:], 400, headers={"Idempotency-Key": key},
                            timeout=20) == job_id
        assert service.job(job_id) == before[job_id]
    assert service.wait_job(running)["status"] == "failed"
    service.assert_sound()


@pytest.mark.parametrize("first", ["old", "new"])
def test_slots_of_a_jobqd_that_died_as_it_started_them(daemons, first):
    """They find another jobqd there: only its own workers run jobs, each job once."""
    service = daemons(shim=True).up_again()
    service.kill_core()
    old_hold, new_hold = service.state / "hold-old", service.state / "hold-new"
    for path in (old_hold, new_hold):
        path.touch()
    service.launch("jobqd", environment={"POWERCUT_START": str(old_hold)})
    old = wait_until(lambda: len(children(service.pid("jobqd"))) == 4 and
                     children(service.pid("jobqd")))
    service.kill("jobqd")
    service.launch("jobqd", environment={"POWERCUT_START": str(new_hold)})
    new = wait_until(lambda: len(children(service.pid("jobqd"))) == 4 and
                     children(service.pid("jobqd")))
    if first == "old":
        old_hold.unlink()
        wait_until(lambda: all(waits_or_gone(pid) for pid in old), what="what they do")
        new_hold.unlink()
    else:
        new_hold.unlink()
        service.wait_healthy()
        old_hold.unlink()
    gone(old, "the end of what the dead jobqd had started")
    service.wait_healthy()
    jobs = [submit_slow(service, 20) for _ in range(3)] + \
        [submit_quick(service, n) for n in range(30)]
    for job_id in jobs:
        assert service.wait_job(job_id)["status"] == "completed"
        assert len(attempts(service, job_id)) == 1
    assert {int(pid) for job_id in jobs for pid in attempts(service, job_id)} <= \
        set(service.workers())
    assert new and "worker exited with status" not in service.logs()
    service.assert_sound()


def waits_or_gone(pid):
    """Whether it has left, or has gone through its start and sleeps in the kernel."""
    return not alive(pid) or call_of(pid) in (FUTEX, FCNTL)


def test_a_job_that_an_orphan_runs_is_not_settled_by_another(daemons):
    """A worker that finds its slot taken ends; the job of who has taken it goes on."""
    service = daemons(shim=True).up_again()
    job_id = submit_slow(service, 300)
    wait_until(lambda: service.job(job_id)["progress"] > 0)
    service.kill("jobqd")
    service.up_again()
    job = service.wait_job(job_id, 120)
    assert job["status"] == "completed", job
    assert len(attempts(service, job_id)) == 1
