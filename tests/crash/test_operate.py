"""What an operator does while it runs: backups and their return, fsck, SIGHUP."""

import os
import shutil
import signal
import sqlite3

import pytest
from daemons import wait_until
from test_restart import Load, accepted, submit_quick


def jobs_of(service):
    """{id: what GET shows of it} of every job that has finished."""
    wait_until(lambda: all(job["status"] == "completed"
                           for job in service.get("/jobs?limit=10000").json()["jobs"]))
    return {job["id"]: service.job(job["id"])
            for job in service.get("/jobs?limit=10000").json()["jobs"]}


def events(service, name):
    return [line for line in service.logs().splitlines() if f" event={name} " in line]


def test_backups_are_whole_while_clients_submit(daemons, tmp_path):
    """Each one is a store by itself that holds all that was acknowledged before it began."""
    service = daemons().up_again()

    def submit(session, n):
        return session.post(f"{service.base_url}/jobs", timeout=30, json={
            "type": "scene_preload", "parameters": {"scene_paths": [f"res://b/{n}.tscn"]}})

    copies = []
    with Load(service, submit) as load:
        for number in range(5):
            before = [a.json()["job_id"] for a in list(load.answers) if accepted(a)]
            copy = tmp_path / f"copy-{number}.db"
            done = service.ctl("backup", copy)
            assert done.returncode == 0, done.stderr
            copies.append((copy, before))
            wait_until(lambda: len(load.answers) > len(before) + 20)
    assert all(accepted(answer) for answer in load.answers)
    for copy, before in copies:
        assert copy.stat().st_mode & 0o777 == 0o600
        with sqlite3.connect(copy) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            ids = {str(row[0]) for row in db.execute("SELECT id FROM jobs")}
        assert set(before) <= ids
    assert service.ctl("backup", copies[0][0]).returncode != 0, "nothing is written over"
    service.assert_sound()


def test_a_backup_can_be_gone_back_to(daemons, tmp_path):
    service = daemons().up_again()
    for number in range(20):
        submit_quick(service, number, headers={"Idempotency-Key": f"key-{number}"})
    shown = jobs_of(service)
    assert service.ctl("backup", tmp_path / "copy.db").returncode == 0
    lost = submit_quick(service, 20)
    service.kill("jobqd", signal.SIGTERM)
    assert service.running["jobqd"].wait(60) == 0
    # As the README says.
    assert service.ctl("remove-table").returncode == 0
    for path in service.store_path().parent.glob(service.store_path().name + "*"):
        path.unlink()
    shutil.copy(tmp_path / "copy.db", service.store_path())
    service.up_again()
    assert jobs_of(service) == shown
    assert service.get(f"/jobs/{lost}").status_code == 404
    again = submit_quick(service, 7, headers={"Idempotency-Key": "key-7"})
    assert shown[again]["id"] == again, "its key is known"
    service.assert_sound()


@pytest.mark.parametrize("sql,words", [
    ("DELETE FROM jobs WHERE id = 2; UPDATE meta SET value = value - 1 WHERE name = 'jobs'",
     "job 2: table and store disagree: it is in the table only"),
    ("INSERT INTO jobs SELECT 900, type, status, progress, attempt, requeues, created, started, "
     "completed, owner, key, parameters, error, result, sum, priority, labels, log FROM jobs WHERE id = 1; "
     "UPDATE meta SET value = value + 1 WHERE name = 'jobs'", None),
    ("UPDATE jobs SET result = '{}' WHERE id = 3", None),
    ("DELETE FROM jobs WHERE id = 2", None)])
def test_fsck_finds_what_differs(daemons, sql, words):
    """A disagreement is named; what the sums and the count tell is called damage."""
    service = daemons().up_again()
    for number in range(5):
        submit_quick(service, number)
    jobs_of(service)
    assert service.ctl("fsck").returncode == 0
    service.kill_core()
    with sqlite3.connect(service.store_path()) as db:
        db.executescript(sql)
    done = service.ctl("fsck")
    if words:
        assert done.returncode == 1 and words in done.stdout
        assert done.stdout.endswith("4 jobs in the store, 1 disagreements\n")
    else:
        assert done.returncode == 2 and "damaged" in done.stderr


def test_sighup_takes_a_new_configuration(daemons):
    """A good one holds for both daemons from then on; running jobs end as they began."""
    service = daemons(options=["whitelist = res://small.tscn"]).up_again()
    config = service.state / "etc/jobq.conf"
    body = {"type": "scene_preload", "parameters": {"scene_paths": ["res://slow.tscn"]}}
    refused = service.post("/jobs", body)
    assert refused.json()["code"] == "scene_not_whitelisted", refused.text
    text = config.read_text()
    config.write_text(text + "whitelist = res://slow.tscn\njob_timeout = 7s\n")
    for name in ("jobqd", "jobq-api"):
        os.kill(service.pid(name), signal.SIGHUP)
    wait_until(lambda: len(events(service, "reloaded")) == 2, what="two reloads")
    answer = wait_until(lambda: (a := service.post("/jobs", body)).status_code == 202 and a,
                        what="the new whitelist")
    job = service.wait_job(answer.json()["job_id"])
    assert job["status"] == "completed" and job["result"]["scenes_loaded"] == 1
    service.assert_sound()


def test_sighup_refuses_a_bad_configuration(daemons):
    service = daemons().up_again()
    config = service.state / "etc/jobq.conf"
    pids = [service.pid(name) for name in ("jobqd", "jobq-api")], service.workers()
    text = config.read_text()
    config.write_text(text + "job_timeout = soon\n")
    for name in ("jobqd", "jobq-api"):
        os.kill(service.pid(name), signal.SIGHUP)
    refused = wait_until(lambda: len(found := events(service, "reload_refused")) == 2 and found)
    line = len(text.splitlines()) + 1
    assert all(f"{config}:{line}" in one and "job_timeout" in one for one in refused), refused
    config.write_text(text + f"store = {service.state}/another.db\n")
    os.kill(service.pid("jobqd"), signal.SIGHUP)
    refused = wait_until(lambda: len(found := events(service, "reload_refused")) == 3 and found)
    assert "store needs a restart" in refused[-1]
    config.write_text(text)
    assert pids == ([service.pid(name) for name in ("jobqd", "jobq-api")], service.workers())
    assert service.wait_job(submit_quick(service, 1))["status"] == "completed"
    service.assert_sound()
