"""The four job routes, to the letter."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import quick_job, slow_job

PRELOAD = {"type": "scene_preload", "parameters": {"scene_paths": ["res://a.tscn"]}}
WARM = {"type": "cache_warming", "parameters": {}}
JSON = {"Content-Type": "application/json"}


def assert_error(answer, status, code, error=None):
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert list(body)[:3] == ["success", "error", "code"]
    assert body["success"] is False
    assert body["code"] == code, body
    assert len(body["error"]) > 5
    if error is not None:
        assert body["error"] == error
    return body


# ---- POST /jobs ------------------------------------------------------------------


def test_submit_answers_202_with_location(service):
    answer = service.post("/jobs", PRELOAD)
    assert answer.status_code == 202
    body = answer.json()
    assert list(body) == ["success", "job_id", "status"]
    assert body["success"] is True and body["status"] == "queued"
    assert re.fullmatch(r"[1-9][0-9]*", body["job_id"])
    assert answer.headers["Location"] == f"/jobs/{body['job_id']}"
    assert answer.headers["Content-Type"] == "application/json"
    assert service.get(answer.headers["Location"]).status_code == 200


def test_ids_count_upwards(service):
    ids = [int(quick_job(service)) for _ in range(5)]
    assert ids == sorted(ids) and len(set(ids)) == 5


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b"{} x", b'{"type":"cache_warming","type":"cache_warming"}',
    b'{"type":"\xff"}', b"\xef\xbb\xbf{}", b'{"a":' * 33 + b"1" + b"}" * 33,
])
def test_bodies_that_are_no_json_object(service, body):
    assert_error(service.request("POST", "/jobs", data=body, headers=JSON), 400, "invalid_json")


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded",
                                  "application/jsonx", "application/json-patch+json", "json"])
def test_other_content_types(service, kind):
    headers = {} if kind is None else {"Content-Type": kind}
    assert_error(service.request("POST", "/jobs", data=json.dumps(WARM).encode(), headers=headers),
                 400, "invalid_content_type")


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON",
                                  "application/json; charset=utf-8", "application/json ;a=b"])
def test_content_types_that_are_json(service, kind):
    answer = service.request("POST", "/jobs", data=json.dumps(WARM).encode(),
                             headers={"Content-Type": kind})
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("body,code,pointer", [
    ({}, "invalid_type", "/type"),
    ({"type": 1, "parameters": {}}, "invalid_type", "/type"),
    ({"type": "scene_load", "parameters": {}}, "invalid_type", "/type"),
    ({"type": "cache_warming"}, "invalid_parameters", "/parameters"),
    ({"type": "cache_warming", "parameters": 5}, "invalid_parameters", "/parameters"),
    ({"type": "cache_warming", "parameters": {}, "x": 1}, "unknown_member", "/x"),
    ({"type": "cache_warming", "parameters": {"x": 1}}, "unknown_member", "/parameters/x"),
    ({"type": "cache_warming", "parameters": {"scope": "x"}}, "invalid_parameters",
     "/parameters/scope"),
    ({"type": "scene_preload", "parameters": {}}, "invalid_parameters", "/parameters/scene_paths"),
    ({"type": "scene_preload", "parameters": {"scene_paths": []}}, "invalid_parameters",
     "/parameters/scene_paths"),
    ({"type": "scene_preload", "parameters": {"scene_paths": ["res://a.tscn"] * 10001}},
     "invalid_parameters", "/parameters/scene_paths"),
    ({"type": "scene_preload", "parameters": {"scene_paths": ["res://a.tscn", 1]}},
     "invalid_parameters", "/parameters/scene_paths/1"),
    ({"type": "scene_preload", "parameters": {"scene_paths": ["/etc/passwd"]}},
     "invalid_scene_path", "/parameters/scene_paths/0"),
    ({"type": "scene_preload", "parameters": {"scene_paths": ["res://../x.tscn"]}},
     "invalid_scene_path", "/parameters/scene_paths/0"),
    ({"type": "scene_preload", "parameters": {"scene_paths": ["res://a\0.tscn"]}},
     "invalid_scene_path", "/parameters/scene_paths/0"),
    ({"type": "scene_preload", "parameters": {"scene_paths": ["res://secret/s.tscn"]}},
     "scene_not_whitelisted", "/parameters/scene_paths/0"),
    ({"type": "batch_operations", "parameters": {"operations": [{"action": "load"}]}},
     "invalid_parameters", "/parameters/operations/0/scene_path"),
    ({"type": "batch_operations", "parameters": {"operations": [
        {"action": "run", "scene_path": "res://a.tscn"}]}},
     "invalid_parameters", "/parameters/operations/0/action"),
    ({"type": "batch_operations", "parameters": {"mode": 1, "operations": [
        {"action": "load", "scene_path": "res://a.tscn"}]}},
     "invalid_parameters", "/parameters/mode"),
])
def test_refusals_name_the_member(service, body, code, pointer):
    before = service.get("/jobs?limit=10000").json()["count"]
    answer = assert_error(service.post("/jobs", body), 400, code)
    assert answer["details"]["pointer"] == pointer
    assert service.get("/jobs?limit=10000").json()["count"] == before, "something was queued"


def test_unknown_type_lists_the_three(service):
    error = service.post("/jobs", {"type": "x", "parameters": {}}).json()["error"]
    for name in ("batch_operations", "scene_preload", "cache_warming"):
        assert name in error


def test_limits_are_told_as_numbers(service):
    body = {"type": "scene_preload", "parameters": {"scene_paths": ["res://a.tscn"] * 10001}}
    assert service.post("/jobs", body).json()["details"]["limit"] == 10000


def test_ten_thousand_paths_are_accepted(service):
    job = service.wait_job(service.submit(
        "scene_preload", {"scene_paths": ["res://a.tscn"] * 10000}))
    assert job["result"]["scenes_loaded"] == job["result"]["total_scenes"] == 10000


@pytest.mark.parametrize("excess,status", [(0, 202), (1, 413)])
@pytest.mark.parametrize("chunked", [False, True])
def test_one_mebibyte_is_the_limit(service, excess, status, chunked):
    body = json.dumps(WARM).encode()
    body += b" " * (1048576 + excess - len(body))
    data = iter([body[:700000], body[700000:]]) if chunked else body
    answer = service.request("POST", "/jobs", data=data, headers=JSON)
    assert answer.status_code == status
    if status == 413:
        assert_error(answer, 413, "payload_too_large", "Payload too large")


# ---- Idempotency-Key -------------------------------------------------------------


def test_same_key_and_body_answer_with_the_first_job(service):
    key = {"Idempotency-Key": "k-1 ~!"}
    first = service.post("/jobs", PRELOAD, headers=key)
    again = service.post("/jobs", PRELOAD, headers=key)
    assert "Idempotent-Replayed" not in first.headers
    assert again.status_code == 202 and again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    service.wait_job(first.json()["job_id"])
    assert service.post("/jobs", PRELOAD, headers=key).json() == first.json()


def test_same_key_with_another_body_is_refused(service):
    key = {"Idempotency-Key": "k-2"}
    assert service.post("/jobs", PRELOAD, headers=key).status_code == 202
    assert_error(service.post("/jobs", WARM, headers=key), 422, "idempotency_key_reused")


def test_keys_belong_to_their_token(service):
    key = {"Idempotency-Key": "k-3"}
    first = service.post("/jobs", PRELOAD, headers=key).json()["job_id"]
    other = service.new_session(service.tokens["other"])
    answer = other.post(f"{service.base_url}/jobs", json=PRELOAD, headers=key)
    assert answer.json()["job_id"] != first


@pytest.mark.parametrize("key,status", [("x" * 255, 202), ("x" * 256, 400), ("", 400),
                                        (b"\xc3\xa4", 400), ("a\tb", 400)])
def test_keys_are_bounded(service, key, status):
    answer = service.post("/jobs", WARM, headers={"Idempotency-Key": key})
    assert answer.status_code == status
    if status == 400:
        assert_error(answer, 400, "invalid_idempotency_key")


def test_fifty_at_once_make_one_job(service):
    def submit(_):
        return service.post("/jobs", PRELOAD, headers={"Idempotency-Key": "k-50"}).json()["job_id"]
    with ThreadPoolExecutor(50) as pool:
        assert len(set(pool.map(submit, range(50)))) == 1


# ---- GET /jobs/:id ---------------------------------------------------------------

MEMBERS = ["id", "type", "status", "progress", "created_at", "started_at", "completed_at",
           "result", "error"]


def test_job_has_nine_members_in_order(service):
    job_id = quick_job(service)
    service.wait_job(job_id)
    answer = service.get(f"/jobs/{job_id}")
    body = answer.json()
    assert list(body) == ["success", "job"] and body["success"] is True
    job = body["job"]
    assert list(job) == MEMBERS
    assert job["id"] == job_id and job["type"] == "scene_preload"
    assert job["status"] == "completed" and job["error"] is None
    assert '"progress":1.0,' in answer.text, "a JSON real"
    assert all(isinstance(job[name], int)
               for name in ("created_at", "started_at", "completed_at"))
    assert job["created_at"] <= job["started_at"] <= job["completed_at"]
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize("job_id", ["0", "01", "999999999", "abc", "1x", "-1", "18446744073709551616",
                                    "9" * 200, "1e3"])
def test_what_is_no_kept_job_is_404(service, job_id):
    for method in ("GET", "DELETE"):
        assert_error(service.request(method, f"/jobs/{job_id}"), 404, "job_not_found",
                     "Job not found")


def test_etag_answers_304_until_the_job_changes(own_service):
    service = own_service()
    job_id = slow_job(service)
    blockers = [slow_job(service) for _ in range(2)]
    queued = quick_job(service)
    first = service.get(f"/jobs/{queued}")
    tag = first.headers["ETag"]
    assert re.fullmatch(r'"[^"]+"', tag)
    for given in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = service.get(f"/jobs/{queued}", headers={"If-None-Match": given})
        assert answer.status_code == 304 and answer.content == b""
        assert answer.headers["ETag"] == tag
    for given in ('"x"', tag[:-2] + '"', "nonsense"):
        assert service.get(f"/jobs/{queued}", headers={"If-None-Match": given}).status_code == 200
    assert service.delete(f"/jobs/{queued}").status_code == 200
    changed = service.get(f"/jobs/{queued}", headers={"If-None-Match": tag})
    assert changed.status_code == 200 and changed.headers["ETag"] != tag
    assert job_id not in blockers


def test_unfinished_jobs_hint_when_to_ask_again(own_service):
    service = own_service()
    answer = service.get(f"/jobs/{slow_job(service)}")
    assert int(answer.headers["Retry-After"]) >= 1


# ---- HEAD and other methods ------------------------------------------------------


@pytest.mark.parametrize("path", ["/jobs?limit=5", "/jobs", "/jobs/1", "/jobs/999999", "/healthz"])
def test_head_is_get_without_a_body(service, path):
    quick_job(service)
    get, head = service.get(path), service.request("HEAD", path)
    assert head.status_code == get.status_code and head.content == b""
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


@pytest.mark.parametrize("path,method,allow", [
    ("/jobs", "PUT", {"GET", "HEAD", "POST"}), ("/jobs", "DELETE", {"GET", "HEAD", "POST"}),
    ("/jobs", "BREW", {"GET", "HEAD", "POST"}), ("/jobs/1", "POST", {"GET", "HEAD", "DELETE"}),
    ("/jobs/1", "PATCH", {"GET", "HEAD", "DELETE"}), ("/healthz", "POST", {"GET", "HEAD"}),
])
def test_wrong_method_names_the_right_ones(service, path, method, allow):
    answer = service.request(method, path)
    assert_error(answer, 405, "method_not_allowed")
    assert set(re.split(r",\s*", answer.headers["Allow"])) == allow


# ---- GET /jobs -------------------------------------------------------------------


def test_list_has_short_members_oldest_first(service):
    ids = [quick_job(service) for _ in range(3)]
    for path in ("/jobs", "/jobs?limit=10000"):
        answer = service.get(path)
        assert answer.status_code == 200
        body = answer.json()
        assert list(body) == ["success", "jobs", "count"] and body["success"] is True
        assert body["count"] == len(body["jobs"])
        assert all(list(job) == MEMBERS[:5] for job in body["jobs"])
        listed = [int(job["id"]) for job in body["jobs"]]
        assert listed == sorted(set(listed))
        assert {int(i) for i in ids} <= set(listed)


def test_list_filters(own_service):
    service = own_service()
    done = quick_job(service)
    service.wait_job(done)
    running = [slow_job(service) for _ in range(3)]
    queued, warm = quick_job(service), service.submit("cache_warming", {})
    cancelled = quick_job(service)
    service.delete(f"/jobs/{cancelled}")

    def ids(query):
        body = service.get(f"/jobs?{query}").json()
        assert body["count"] == len(body["jobs"])
        return [job["id"] for job in body["jobs"]]
    assert ids("status=completed") == [done]
    service_running = [job["id"] for job in service.get("/jobs?status=running").json()["jobs"]]
    assert service_running == running
    assert ids("status=queued") == [queued, warm]
    assert ids("status=cancelled") == [cancelled]
    assert ids("status=failed") == []
    assert ids("type=cache_warming") == [warm]
    assert ids("status=queued&type=scene_preload") == [queued]
    assert ids("status=que%75ed") == [queued, warm]


def test_pages_follow_their_links(service):
    for _ in range(12):
        quick_job(service)
    everything = [job["id"] for job in service.get("/jobs").json()["jobs"]]
    walked, path = [], "/jobs?limit=5"
    while path:
        answer = service.get(path)
        walked += [job["id"] for job in answer.json()["jobs"]]
        assert answer.json()["count"] <= 5
        link = answer.headers.get("Link")
        path = re.fullmatch(r'<([^>]+)>; rel="next"', link)[1] if link else None
    assert walked == everything


def test_last_page_has_no_link(service):
    quick_job(service)
    count = service.get("/jobs").json()["count"]
    assert "Link" not in service.get(f"/jobs?limit={count}").headers
    if count > 1:
        link = service.get(f"/jobs?limit={count - 1}&type=scene_preload").headers.get("Link", "")
        assert "type=scene_preload" in link or not link


@pytest.mark.parametrize("query,code", [
    ("status=done", "invalid_status"), ("status=", "invalid_status"),
    ("status=queued&status=queued", "invalid_status"), ("status=%zz", "invalid_status"),
    ("type=x", "invalid_type"), ("limit=0", "invalid_limit"), ("limit=10001", "invalid_limit"),
    ("limit=-1", "invalid_limit"), ("limit=1.5", "invalid_limit"), ("limit=", "invalid_limit"),
    ("limit=5&after=x", "invalid_after"), ("limit=5&after=99999999999999999999", "invalid_after"),
])
def test_bad_list_parameters(service, query, code):
    assert_error(service.get(f"/jobs?{query}"), 400, code)


def test_limits_of_the_limit(service):
    assert service.get("/jobs?limit=1").json()["count"] == 1
    assert service.get("/jobs?limit=10000").status_code == 200
    assert service.get("/jobs?limit=1&after=18446744073709551615").json()["jobs"] == []


# ---- DELETE /jobs/:id ------------------------------------------------------------


def test_cancel_takes_only_queued_jobs(own_service):
    service = own_service()
    running = [slow_job(service) for _ in range(3)]
    queued = quick_job(service)
    from service import wait_until
    wait_until(lambda: service.job(running[2])["status"] == "running")
    answer = service.delete(f"/jobs/{queued}")
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "message": "Job cancelled"}
    job = service.job(queued)
    assert job["status"] == "cancelled" and job["started_at"] is None
    assert isinstance(job["completed_at"], int) and job["progress"] == 0
    for other in (queued, running[0]):
        assert_error(service.delete(f"/jobs/{other}"), 400, "not_cancellable",
                     "Can only cancel queued jobs")
    assert service.job(running[0])["status"] == "running"


def test_cancelled_or_run_never_both(own_service):
    """Cancels race with claims; each answer has to be kept."""
    service = own_service()
    for _ in range(30):
        ids = [quick_job(service) for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda i: service.delete(f"/jobs/{i}").status_code, ids))
        for job_id, status in zip(ids, answers):
            job = service.wait_job(job_id)
            assert job["status"] == ("cancelled" if status == 200 else "completed")
            assert (job["started_at"] is None) == (status == 200)
    service.assert_sound()
