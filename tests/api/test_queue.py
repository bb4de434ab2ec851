"""What the queue does beyond the reference: priorities, places, labels, retries, stopping, pausing."""

import pytest

from service import wait_until

SLOW = {"action": "validate", "scene_path": "res://slow.tscn"}
QUICK = {"scene_paths": ["res://a.tscn"]}


def submit(service, kind="scene_preload", parameters=None, **more):
    answer = service.post("/jobs", {"type": kind, "parameters": parameters or QUICK, **more})
    assert answer.status_code == 202, answer.text
    return answer.json()["job_id"]


def shown(service, job_id):
    answer = service.get(f"/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer, code, status=400):
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["success"] is False and body["code"] == code, body
    return body


@pytest.fixture
def paused(own_service):
    """A service whose queue stands still."""
    service = own_service()
    answer = service.post("/queue/pause", None)
    assert answer.status_code == 200 and answer.json()["queue"]["state"] == "paused"
    return service


# ---- priorities and places ------------------------------------------------------


def test_priorities_decide_who_starts(paused):
    service = paused
    ids = [submit(service, priority=p) for p in (0, -10, 10, 0)]
    places = [shown(service, job)["queue_position"] for job in ids]
    assert places == [2, 4, 1, 3]
    first = shown(service, ids[2])
    assert first["priority"] == 10 and "priority" not in shown(service, ids[0])
    assert list(first["job"]) == ["id", "type", "status", "progress", "created_at", "started_at",
                                  "completed_at", "result", "error"]
    slow = [submit(service, "batch_operations", {"operations": [SLOW] * 40}, priority=9)
            for _ in range(2)]  # with these at work only one slot is left for the others
    assert service.post("/queue/resume", None).status_code == 200
    ends = [service.wait_job(job) for job in ids + slow]
    assert all(end["status"] == "completed" for end in ends)
    assert "queue_position" not in shown(service, ids[0])


def test_a_place_that_has_changed_is_not_304(paused):
    service = paused
    ids = [submit(service) for _ in range(3)]
    first = service.get(f"/jobs/{ids[2]}")
    known = {"If-None-Match": first.headers["ETag"]}
    assert service.get(f"/jobs/{ids[2]}", headers=known).status_code == 304
    assert service.delete(f"/jobs/{ids[0]}").status_code == 200
    moved = service.get(f"/jobs/{ids[2]}", headers=known)
    assert (first.json()["queue_position"], moved.status_code) == (3, 200)
    assert moved.json()["queue_position"] == 2
    submit(service)  # behind it
    known = {"If-None-Match": moved.headers["ETag"]}
    assert service.get(f"/jobs/{ids[2]}", headers=known).status_code == 304


@pytest.mark.parametrize("value", [11, -11, 1.5, "1", None, True])
def test_priority_refused(service, value):
    body = refused(service.post("/jobs", {"type": "scene_preload", "parameters": QUICK,
                                          "priority": value}), "invalid_priority")
    assert body["details"]["pointer"] == "/priority"


# ---- labels ---------------------------------------------------------------------


def test_labels_are_shown_and_found(own_service):
    service = own_service()
    art = [submit(service, labels={"team": "art", "build": str(n)}) for n in range(3)]
    submit(service, labels={"team": "artists"})
    plain = submit(service)
    assert shown(service, art[1])["labels"] == {"team": "art", "build": "1"}
    assert "labels" not in shown(service, plain)
    listed = service.get("/jobs?label=team:art").json()
    assert [job["id"] for job in listed["jobs"]] == art
    page = service.get("/jobs?label=team:art&limit=2")
    assert page.headers["Link"] == f'</jobs?label=team:art&limit=2&after={art[1]}>; rel="next"'
    assert service.get("/jobs?label=build:2").json()["count"] == 1
    assert service.get("/jobs?label=build:9").json()["count"] == 0


@pytest.mark.parametrize("labels", [
    [], "x", {"": "a"}, {"a": ""}, {"a": 1}, {"a b": "c"}, {"a": "b c"}, {"a" * 64: "b"},
    {"a": "b" * 64}, {str(n): "x" for n in range(17)}], ids=str)
def test_labels_refused(service, labels):
    refused(service.post("/jobs", {"type": "scene_preload", "parameters": QUICK,
                                   "labels": labels}), "invalid_labels")


def test_labels_at_their_limits(service):
    labels = {f"{n:x}" + "k" * 62: "v" * 63 for n in range(16)}
    assert shown(service, submit(service, labels=labels))["labels"] == labels


@pytest.mark.parametrize("query", ["label=", "label=a", "label=a:", "label=:b", "label=a:b%22",
                                   "label=a:b&label=c:d", "label=" + "a" * 64 + ":b"])
def test_label_filter_refused(service, query):
    refused(service.get(f"/jobs?limit=1&{query}"), "invalid_label")


# ---- again ----------------------------------------------------------------------


def test_retry_repeats_the_job(service):
    job = submit(service, parameters={"scene_paths": ["res://a.tscn", "res://broken.tscn"]},
                 labels={"for": "retry"}, priority=2)
    service.wait_job(job)
    answer = service.post(f"/jobs/{job}/retry", None, headers={"Content-Type": ""})
    assert answer.status_code == 202, answer.text
    again = answer.json()["job_id"]
    assert answer.headers["Location"] == f"/jobs/{again}" and again != job
    assert service.wait_job(again)["result"]["total_scenes"] == 2
    assert shown(service, again)["labels"] == {"for": "retry"}
    assert shown(service, again)["priority"] == 2


def test_retry_of_what_failed(service):
    preload = submit(service, parameters={
        "scene_paths": ["res://a.tscn", "res://broken.tscn", "res://b.tscn", "res://nope.tscn"]})
    batch = submit(service, "batch_operations", {"operations": [
        {"action": "load", "scene_path": "res://a.tscn"},
        {"action": "validate", "scene_path": "res://broken.tscn"}]})
    for job, names in ((preload, ["res://broken.tscn", "res://nope.tscn"]),
                       (batch, ["res://broken.tscn"])):
        service.wait_job(job)
        answer = service.post(f"/jobs/{job}/retry", {"only": "failed"})
        assert answer.status_code == 202, answer.text
        result = service.wait_job(answer.json()["job_id"])["result"]
        rows = result.get("scenes") or result["operations"]
        assert [row["scene_path"] for row in rows] == names


def test_retry_refused(service):
    good = submit(service)
    service.wait_job(good)
    refused(service.post(f"/jobs/{good}/retry", {"only": "failed"}), "nothing_failed")
    refused(service.post(f"/jobs/{good}/retry", {"only": "some"}), "invalid_only")
    refused(service.post(f"/jobs/{good}/retry", {"all": True}), "unknown_member")
    refused(service.post("/jobs/999999/retry", {}), "job_not_found", 404)
    slow = submit(service, "batch_operations", {"operations": [SLOW] * 200})
    refused(service.post(f"/jobs/{slow}/retry", {}), "not_finished")
    service.post(f"/jobs/{slow}/cancel", None)
    service.wait_job(slow)


def test_retry_with_a_key_is_one_job(service):
    job = submit(service)
    service.wait_job(job)
    answers = [service.post(f"/jobs/{job}/retry", {}, headers={"Idempotency-Key": f"again-{job}"})
               for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["Idempotent-Replayed"] == "true"


# ---- stopping -------------------------------------------------------------------


@pytest.mark.parametrize("kind,parameters", [
    ("batch_operations", {"operations": [SLOW] * 2000}),
    ("scene_preload", {"scene_paths": ["res://slow.tscn", "res://a.tscn"] * 5000})])
def test_a_running_job_stops_at_the_next_scene(service, kind, parameters):
    job = submit(service, kind, parameters)
    wait_until(lambda: service.job(job)["status"] == "running", 20, "a running job")
    answer = service.post(f"/jobs/{job}/cancel", None)
    assert answer.status_code == 202 and "stop" in answer.json()["message"]
    end = service.wait_job(job)
    assert end["status"] == "failed" and end["error"] == "stopped on request before it was done"
    rows = end["result"]["operations" if kind == "batch_operations" else "scenes"]
    assert len(rows) < len(parameters.get("operations") or parameters["scene_paths"])
    answer = service.post(f"/jobs/{job}/cancel", None)
    refused(answer, "not_cancellable")
    assert answer.json()["error"] == "Can only cancel jobs that have not ended"


def test_cancel_of_a_queued_job_is_a_cancellation(paused):
    job = submit(paused)
    assert paused.post(f"/jobs/{job}/cancel", None).status_code == 200
    assert paused.job(job)["status"] == "cancelled"
    refused(paused.post("/jobs/77/cancel", None), "job_not_found", 404)


# ---- the queue ------------------------------------------------------------------


def test_pausing_outlasts_a_restart(own_service):
    service = own_service()
    before = submit(service)
    service.wait_job(before)
    assert service.post("/queue/pause", None).json()["queue"]["state"] == "paused"
    job = submit(service, priority=4, labels={"a": "b"})
    service.kill("jobqd")
    service.wait_healthy()
    assert wait_until(lambda: service.get("/queue").json().get("queue"), 20)["state"] == "paused"
    assert service.job(job)["status"] == "queued"
    assert shown(service, job)["labels"] == {"a": "b"} and shown(service, job)["priority"] == 4
    assert service.post("/queue/resume", None).json()["queue"]["state"] == "open"
    assert service.wait_job(job)["status"] == "completed"


def test_draining_takes_nothing_new_and_does_the_rest(paused):
    service = paused
    job = submit(service)
    assert service.post("/queue/drain", None).json()["queue"]["state"] == "draining"
    answer = service.post("/jobs", {"type": "scene_preload", "parameters": QUICK})
    refused(answer, "queue_draining", 503)
    assert int(answer.headers["Retry-After"]) > 0
    assert service.wait_job(job)["status"] == "completed"
    wait_until(lambda: service.get("/queue").json()["queue"]["queued"] == 0, 20, "an empty queue")
    assert service.post("/queue/resume", None).status_code == 200
    service.wait_job(submit(service))


def test_queue_routes(service):
    answer = service.get("/queue")
    assert answer.json()["queue"]["slots"] == 3 and answer.json()["queue"]["state"] == "open"
    for method, path, allow in (("POST", "/queue", "GET, HEAD"), ("GET", "/queue/pause", "POST"),
                                ("DELETE", "/queue/drain", "POST"),
                                ("GET", "/jobs/1/retry", "POST"),
                                ("POST", "/jobs/1/log", "GET, HEAD")):
        answer = service.request(method, path)
        assert answer.status_code == 405 and answer.headers["Allow"] == allow, path
    assert service.get("/queue/stop").status_code == 404


# ---- the log --------------------------------------------------------------------


def test_log_tells_what_was_done(service):
    job = submit(service, parameters={"scene_paths": ["res://a.tscn", "res://broken.tscn"]})
    service.wait_job(job)
    body = service.get(f"/jobs/{job}/log").json()
    assert body["success"] is True and body["job_id"] == job and body["finished"] is True
    first, second = body["lines"]
    assert "preload res://a.tscn: done, 2 nodes" in first and first.startswith("20")
    assert "preload res://broken.tscn: failed: " in second
    refused(service.get("/jobs/999999/log"), "job_not_found", 404)


def test_log_is_capped(service):
    job = submit(service, parameters={"scene_paths": ["res://a.tscn"] * 2000})
    service.wait_job(job)
    lines = service.get(f"/jobs/{job}/log").json()["lines"]
    assert sum(len(line) + 1 for line in lines) <= 65536
    assert "more lines found no room" in lines[-1] and int(lines[-1].split()[1]) > 100
    assert service.job(job)["result"]["scenes_loaded"] == 2000
