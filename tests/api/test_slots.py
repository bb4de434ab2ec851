"""Three slots: order, concurrency, progress, crashes, time limits, retention."""

import os
import signal
import time

import pytest
from conftest import quick_job, slow_job
from service import alive, wait_until


def running(service):
    return [job["id"] for job in service.get("/jobs?status=running&limit=10000").json()["jobs"]]


def test_first_in_first_out_and_three_at_once(own_service):
    service = own_service()
    ids = [service.submit("batch_operations", {"operations": [
        {"action": "validate", "scene_path": "res://slow.tscn"}] * 3}) for _ in range(12)]
    seen = set()

    def look():
        now = running(service)
        assert len(now) <= 3
        # Whoever runs is followed only by jobs that came later.
        queued = [int(job["id"]) for job in
                  service.get("/jobs?status=queued&limit=10000").json()["jobs"]]
        assert not queued or not now or min(queued) > min(map(int, now))
        seen.add(len(now))
        return all(service.job(i)["status"] == "completed" for i in ids)
    wait_until(look, 120, "the end of all jobs")
    assert 3 in seen, "three ran at the same time"
    started = [service.job(i)["started_at"] for i in ids]
    assert started == sorted(started)


def test_progress_moves_while_a_job_runs(own_service):
    service = own_service()
    job_id = slow_job(service, 400)
    values = []

    def look():
        job = service.job(job_id)
        if job["status"] == "running":
            values.append(job["progress"])
        return job["status"] == "completed"
    wait_until(look, 180, "the end of the job")
    assert values == sorted(values), "progress never goes down"
    assert len(set(values)) >= 5, f"progress was seen to move: {values}"
    assert max(values) < 1.0
    assert all(round(value, 2) == value for value in values)


@pytest.mark.parametrize("number,name", [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGKILL, "SIGKILL"),
                                         (signal.SIGABRT, "SIGABRT")])
def test_crash_fails_the_job_with_the_signal(own_service, number, name):
    service = own_service()
    workers = service.wait_workers()
    job_id = slow_job(service)
    wait_until(lambda: service.job(job_id)["progress"] > 0)
    busy = max(workers, key=cpu_time)
    os.kill(busy, number)
    job = service.wait_job(job_id)
    assert job["status"] == "failed" and job["result"] is None
    assert job["error"] == f"worker killed by signal {int(number)} ({name})"
    after = service.wait_workers()
    assert busy not in after and len(set(after) & set(workers)) == 2, "only one was replaced"
    assert service.wait_job(quick_job(service))["status"] == "completed"
    service.assert_sound()


def cpu_time(pid):
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_all_three_slots_come_back(own_service):
    service = own_service()
    for _ in range(3):
        workers = service.wait_workers()
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not set(workers) & set(service.workers()))
    ids = [quick_job(service) for _ in range(9)]
    assert all(service.wait_job(i)["status"] == "completed" for i in ids)
    service.assert_sound()


def test_job_over_its_time_is_ended(own_service):
    service = own_service(options=["job_timeout = 500ms"])
    began = time.monotonic()
    job = service.wait_job(slow_job(service))
    assert job["status"] == "failed"
    assert "timed out" in job["error"] and "0.500 s" in job["error"]
    assert time.monotonic() - began < 30
    assert service.wait_job(quick_job(service))["status"] == "completed"


def test_finished_jobs_go_after_their_retention(own_service):
    service = own_service(options=["retention = 1s", "cleanup_interval = 200ms"])
    done, cancelled = quick_job(service), None
    service.wait_job(done)
    blockers = [slow_job(service) for _ in range(3)]
    cancelled = quick_job(service)
    service.delete(f"/jobs/{cancelled}")
    for job_id in (done, cancelled):
        wait_until(lambda: service.get(f"/jobs/{job_id}").status_code == 404, 15)
    assert service.get(f"/jobs/{done}").json()["error"] == "Job not found"
    assert {job["id"] for job in service.get("/jobs").json()["jobs"]} == set(blockers)
    assert int(quick_job(service)) == int(cancelled) + 1, "ids are not used again"


def test_no_process_takes_another_down(own_service):
    """Kills each kind of process in turn; the others stay, the service recovers."""
    service = own_service()
    job_id = slow_job(service)
    wait_until(lambda: service.job(job_id)["status"] == "running")
    from service import children

    api_parent, supervisor = service.pid("jobq-api"), service.pid("jobqd")
    api_children = wait_until(lambda: len(children(api_parent)) == 3 and children(api_parent))
    workers = service.wait_workers()

    os.kill(api_children[0], signal.SIGKILL)
    service.wait_healthy()
    assert alive(api_parent) and alive(supervisor) and all(alive(p) for p in workers)

    os.kill(api_parent, signal.SIGKILL)
    assert alive(api_children[1]) and alive(api_children[2])
    assert service.get(f"/jobs/{job_id}").status_code == 200, "its children go on serving"
    wait_until(lambda: service.pid("jobq-api") != api_parent)
    wait_until(lambda: not alive(api_children[1]) and not alive(api_children[2]), 30,
               "the orphans leave when a new parent serves")
    service.wait_healthy()

    os.kill(supervisor, signal.SIGKILL)
    assert all(alive(p) for p in workers)
    wait_until(lambda: service.pid("jobqd") != supervisor)
    service.wait_healthy()
    assert service.job(job_id)["status"] == "running", "the job never stopped"
    assert len(running(service)) <= 3
    assert service.wait_job(quick_job(service))["status"] == "completed"
    service.assert_sound()
