"""jobqd stopped, killed and started again while clients are there."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from daemons import alive, wait_until


def submit_slow(service, operations=10000):
    return service.submit("batch_operations", {"operations": [
        {"action": "validate", "scene_path": "res://slow.tscn"}] * operations})


def submit_quick(service, number, **arguments):
    return service.submit("scene_preload", {"scene_paths": [f"res://restart/{number}.tscn"]},
                          **arguments)


class Load:
    """Threads that read or submit without a pause, and keep what was answered."""

    def __init__(self, service, work, threads=4):
        self.service, self.work = service, work
        self.over = threading.Event()
        self.answers = []
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(threads)]

    def run(self, thread):
        session, number = self.service.new_session(), 0
        while not self.over.is_set():
            number += 1
            try:
                self.answers.append(self.work(session, f"{thread}-{number}"))
            except requests.RequestException as error:
                self.answers.append(error)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_until(lambda: len(self.answers) > 20, what="a load")
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(90)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_reads_go_on(daemons, number):
    """Not one of them fails; submissions wait, and are accepted or answered 503."""
    service = daemons(settings=["drain_timeout=30s"]).up_again()
    done = submit_quick(service, 0)
    shown = service.wait_job(done)

    def read(session, n):
        path = f"/jobs/{done}" if n.endswith(("1", "3", "5", "7")) else "/jobs?limit=5"
        return session.get(service.base_url + path, timeout=30)

    def submit(session, n):
        return session.post(f"{service.base_url}/jobs", timeout=30, json={
            "type": "scene_preload", "parameters": {"scene_paths": [f"res://load/{n}.tscn"]}})

    with Load(service, read) as reads, Load(service, submit, 2) as submits:
        for _ in range(5):
            service.kill("jobqd", number)
            if number == signal.SIGTERM:
                assert service.running["jobqd"].wait(60) == 0
            read_so_far = len(reads.answers)
            wait_until(lambda: len(reads.answers) > read_so_far + 20, what="reads without jobqd")
            before = len(submits.answers) + len(submits.threads)  # also those on their way
            service.launch("jobqd")
            wait_until(lambda: any(accepted(a) for a in submits.answers[before:]),
                       what="an accepted submission")
    bad = [answer for answer in reads.answers
           if isinstance(answer, Exception) or answer.status_code != 200]
    assert not bad, f"{len(bad)} of {len(reads.answers)} reads failed, such as {said(bad[0])}"
    ids = []
    for answer in submits.answers:
        if accepted(answer):
            ids.append(answer.json()["job_id"])
        else:
            assert not isinstance(answer, Exception) and answer.status_code == 503, said(answer)
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.json()["code"] == "supervisor_unavailable", answer.text
    assert ids and len(set(ids)) == len(ids)
    ends = [service.wait_job(job_id) for job_id in ids]
    failed = [job for job in ends if job["status"] != "completed"]
    assert not failed, f"{len(failed)} of {len(ends)} jobs, such as {failed[0]}\n{service.logs()[-6000:]}"
    assert service.job(done) == shown
    assert len(service.get("/jobs?limit=10000").json()["jobs"]) == len(ids) + 1
    service.assert_sound()
    print(f"{len(reads.answers)} reads, {len(ids)} of {len(submits.answers)} submissions accepted")


def accepted(answer):
    return not isinstance(answer, Exception) and answer.status_code == 202


def said(answer):
    return answer if isinstance(answer, Exception) else f"{answer.status_code} {answer.text[:300]}"


def test_a_short_restart_is_only_a_delay(daemons):
    """Submissions that come while jobqd is away wait for it and are accepted."""
    service = daemons(settings=["submit_timeout=30s"]).up_again()
    service.kill("jobqd")
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(submit_quick, service, n) for n in range(20)]
        assert service.get("/jobs").json()["count"] == 0
        assert not any(answer.done() for answer in answers)
        service.launch("jobqd")
        ids = [answer.result(60) for answer in answers]
    assert len(set(ids)) == 20
    assert all(service.wait_job(job_id)["status"] == "completed" for job_id in ids)


def test_an_upgrade_is_only_a_delay(daemons):
    """While an older jobqd's table stands, requests wait for the newer one's; it is said once."""
    # One process, which has seen the older table: a second one might first look between the two.
    service = daemons(settings=["submit_timeout=30s", "api_processes=1"]).up_again()
    done = submit_quick(service, 0)
    service.wait_job(done)
    for name in ("jobqd", "jobq-api", "jobq-hook"):
        service.kill(name, signal.SIGTERM)
        assert service.running[name].wait(60) == 0
    table = Path("/dev/shm") / service.table_name().lstrip("/")
    content = bytearray(table.read_bytes())
    content[8] ^= 0x40  # the layout, in what all layouts have in common
    table.write_bytes(content)
    said_before = service.logs().count("event=table_refused")
    for name in ("jobq-api", "jobq-hook"):
        service.launch(name)
    wait_until(lambda: service.get("/healthz").status_code == 503, what="jobq-api's sockets")
    with ThreadPoolExecutor(40) as pool:
        answers = [pool.submit(submit_quick, service, n) for n in range(20)]
        reads = [pool.submit(service.job, done) for _ in range(20)]
        wait_until(lambda: service.logs().count("event=table_refused") >= said_before + 2)
        assert not any(answer.done() for answer in answers + reads)
        service.launch("jobqd")
        ids = [answer.result(60) for answer in answers]
        assert all(read.result(60)["status"] == "completed" for read in reads)
    assert len(set(ids)) == 20
    assert all(service.wait_job(job_id)["status"] == "completed" for job_id in ids)
    said = service.logs().count("event=table_refused") - said_before
    assert said <= 3, "more than one a process: one of api, one of wait, jobq-hook"


def test_requests_wait_for_a_table_that_is_being_made(daemons):
    """At first a segment has no size: a service that has just been started waits for it."""
    service = daemons(settings=["submit_timeout=60s"])
    table = Path("/dev/shm") / service.table_name().lstrip("/")
    table.touch(0o660)
    for name in ("jobq-api", "nginx"):
        service.launch(name)
    wait_until(service.says_away, what="nginx and jobq-api")
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(service.get, "/jobs/1?wait=1") for _ in range(8)]
        wait_until(lambda: "\njobq_waiting_requests 8\n" in service.get("/metrics").text,
                   what="requests that wait for the table")
        service.launch("jobqd")
        assert all(answer.result(60).status_code == 404 for answer in answers)
    service.up_again()


def test_without_jobqd_submissions_are_refused_in_time(daemons):
    service = daemons(settings=["submit_timeout=500ms"]).up_again()
    service.kill("jobqd")
    began = time.monotonic()
    answer = service.post("/jobs", {"type": "cache_warming", "parameters": {}})
    assert answer.status_code == 503 and answer.json()["code"] == "supervisor_unavailable"
    assert 0.4 < time.monotonic() - began < 10
    service.up_again()
    assert service.get("/jobs").json()["count"] == 0, "it was not queued"


def test_workers_are_adopted(daemons):
    """A job goes on in the same process, whatever happens to jobqd; its end is seen."""
    service = daemons().up_again()
    job_id = submit_slow(service, 400)
    wait_until(lambda: service.job(job_id)["progress"] > 0)
    workers = service.workers()
    for _ in range(3):
        progress = service.job(job_id)["progress"]
        service.kill("jobqd")
        service.up_again()
        job = service.job(job_id)
        assert job["status"] in ("running", "completed") and job["progress"] >= progress
    assert service.wait_job(job_id, 120)["status"] == "completed"
    assert service.logs().count(f"event=job_started job={job_id} ") == 1
    wait_until(lambda: not any(alive(pid) for pid in workers), what="the end of the old workers")
    service.wait_workers()
    service.assert_sound()


def test_draining(daemons):
    """SIGTERM: who runs may finish, who is queued stays so, none is lost; status 0."""
    service = daemons(settings=["drain_timeout=60s"]).up_again()
    running = [submit_slow(service, 40) for _ in range(3)]
    queued = [submit_quick(service, n) for n in range(5)]
    wait_until(lambda: all(service.job(i)["status"] == "running" for i in running))
    service.kill("jobqd", signal.SIGTERM)
    assert service.running["jobqd"].wait(90) == 0
    for job_id in running:
        assert service.job(job_id)["status"] == "completed"
    for job_id in queued:
        assert service.job(job_id)["status"] == "queued"
    rows = service.store_rows()
    assert [rows[i]["status"] for i in running + queued] == ["completed"] * 3 + ["queued"] * 5
    service.power_off()
    service.up_again()
    assert all(service.wait_job(i)["status"] == "completed" for i in queued)
    assert all(service.job(i)["status"] == "completed" for i in running)


def test_draining_has_an_end(daemons):
    """After drain_timeout running jobs are failed, and say why; status 0."""
    service = daemons(settings=["drain_timeout=500ms"]).up_again()
    job_id = submit_slow(service)
    wait_until(lambda: service.job(job_id)["status"] == "running")
    began = time.monotonic()
    service.kill("jobqd", signal.SIGTERM)
    assert service.running["jobqd"].wait(40) == 0
    assert time.monotonic() - began < 20
    job = service.job(job_id)
    assert job["status"] == "failed"
    assert job["error"] == "jobqd was stopped before the job was done"
    assert service.store_rows()[job_id]["status"] == "failed"


@pytest.mark.parametrize("reboot", [False, True])
def test_one_key_many_submitters(daemons, reboot):
    """50 at once, jobqd killed in their middle: one job, which all are told of."""
    service = daemons(settings=["submit_timeout=30s"]).up_again()
    for round_number in range(5):
        key = f"the-key-{round_number}"
        gate = threading.Barrier(51)

        def submit(key=key, gate=gate):
            session = service.new_session()
            gate.wait()
            for _ in range(300):
                try:
                    answer = session.post(
                        f"{service.base_url}/jobs", timeout=40, headers={"Idempotency-Key": key},
                        json={"type": "scene_preload",
                              "parameters": {"scene_paths": [f"res://key/{key}.tscn"]}})
                except requests.RequestException:
                    time.sleep(0.05)  # the service is away: as a client would
                    continue
                if answer.status_code == 202:
                    return answer.json()["job_id"]
                assert answer.status_code in (502, 503), answer.text
                time.sleep(0.05)
            raise AssertionError("never accepted")

        with ThreadPoolExecutor(50) as pool:
            answers = [pool.submit(submit) for _ in range(50)]
            gate.wait()
            time.sleep(0.01 * round_number)  # another instant in each round
            if reboot:
                service.power_off()
            else:
                service.kill("jobqd")
            service.launch_all()
            ids = {answer.result(90) for answer in answers}
        assert len(ids) == 1, ids
        service.wait_healthy()  # all may have been answered before it went down
    jobs = service.get("/jobs").json()["jobs"]
    assert len(jobs) == 5
    service.assert_sound()


def test_keys_outlast_a_reboot(daemons):
    service = daemons().up_again()
    keys = {f"key-{n}": submit_quick(service, n, headers={"Idempotency-Key": f"key-{n}"})
            for n in range(20)}
    for job_id in keys.values():
        service.wait_job(job_id)
    service.power_off()
    service.up_again()
    for n, (key, job_id) in enumerate(keys.items()):
        answer = service.post("/jobs", {
            "type": "scene_preload", "parameters": {"scene_paths": [f"res://restart/{n}.tscn"]}},
            headers={"Idempotency-Key": key})
        assert answer.status_code == 202 and answer.json()["job_id"] == job_id
        assert answer.headers["Idempotent-Replayed"] == "true"
        other = service.post("/jobs", {"type": "cache_warming", "parameters": {}},
                             headers={"Idempotency-Key": key})
        assert other.status_code == 422
    assert int(submit_quick(service, "new")) > max(map(int, keys.values()))


def test_ids_are_not_used_again(daemons):
    """Whatever dies between two submissions, and however often."""
    service = daemons().up_again()
    last = 0
    for n in range(12):
        given = int(submit_quick(service, n))
        assert given > last
        last = given
        if n % 3 == 0:
            service.power_off()
        elif n % 3 == 1:
            service.kill_core()
        else:
            os.kill(service.writer(), signal.SIGKILL)
        service.up_again()
