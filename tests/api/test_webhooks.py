"""The webhook routes, to the letter. What is delivered is in test_deliveries.py."""

import json
import re

import pytest
from receiver import Receiver, answer
from service import Service, wait_until

JSON = {"Content-Type": "application/json"}
URL = "http://127.0.0.1:9/hook"
GOOD = {"url": URL, "events": ["job.completed"]}
MEMBERS = ["id", "url", "events", "secret", "created_at", "enabled", "delivery_count",
           "failure_count", "last_delivery"]
SECRET = "a secret that nobody may see"
EVENTS = ["job.queued", "job.started", "job.progress", "job.completed", "job.failed",
          "job.cancelled", "scene.loaded", "scene.failed", "scene.validated", "scene.reloaded",
          "auth.failed", "rate_limit.exceeded", "ping"]


def assert_error(got, status, code, error=None):
    assert got.status_code == status, got.text
    assert got.headers["Content-Type"] == "application/json"
    body = got.json()
    assert list(body)[:3] == ["success", "error", "code"]
    assert body["success"] is False and body["code"] == code, body
    assert len(body["error"]) > 5
    if error is not None:
        assert body["error"] == error
    return body


@pytest.fixture(scope="module")
def running(project):
    with Service(project=project, options=["drain_timeout = 0"]) as started:
        yield started


@pytest.fixture
def service(running):
    """Without webhooks."""
    for webhook in running.get("/webhooks").json()["webhooks"]:
        assert running.delete(f"/webhooks/{webhook['id']}").status_code == 200
    return running


def create(service, **members):
    got = service.post("/webhooks", {**GOOD, **members})
    assert got.status_code == 201, got.text
    return got.json()["webhook_id"]


def put(service, webhook, **members):
    return service.request("PUT", f"/webhooks/{webhook}", json=members)


# ---- POST /webhooks ------------------------------------------------------------------


def test_create_answers_201_with_the_webhook(service):
    got = service.post("/webhooks", {**GOOD, "secret": SECRET})
    assert got.status_code == 201
    assert got.headers["Content-Type"] == "application/json"
    body = got.json()
    assert list(body) == ["success", "webhook_id", "webhook"] and body["success"] is True
    assert re.fullmatch("[1-9][0-9]*", body["webhook_id"])
    assert got.headers["Location"] == f"/webhooks/{body['webhook_id']}"
    webhook = body["webhook"]
    assert list(webhook) == MEMBERS
    assert webhook["id"] == body["webhook_id"] and webhook["secret"] == "***"
    assert webhook["url"] == URL and webhook["events"] == ["job.completed"]
    assert isinstance(webhook["created_at"], int) and webhook["created_at"] > 1600000000
    assert webhook["enabled"] is True and webhook["last_delivery"] is None
    assert webhook["delivery_count"] == webhook["failure_count"] == 0
    shown = service.get(got.headers["Location"])
    assert shown.status_code == 200
    assert shown.json() == {"success": True, "webhook": webhook}


def test_the_example_of_the_reference_works_unchanged(service):
    got = service.post("/webhooks", {"url": "https://your-server.com/webhook",
                                     "events": ["scene.loaded", "scene.validated"],
                                     "secret": "webhook_secret"})
    assert got.status_code == 201, got.text
    assert got.json()["webhook"]["events"] == ["scene.loaded", "scene.validated"]


def test_without_a_secret_there_is_no_such_member(service):
    for members in ({}, {"secret": None}):
        webhook = service.get(f"/webhooks/{create(service, **members)}").json()["webhook"]
        assert list(webhook) == [name for name in MEMBERS if name != "secret"]


def test_it_may_begin_disabled(service):
    assert service.get(f"/webhooks/{create(service, enabled=False)}").json()["webhook"]["enabled"] \
        is False


def test_every_event_and_pattern_is_known_and_repetitions_go(service):
    events = EVENTS + ["*", "job.*", "scene.*", "auth.*", "rate_limit.*"]
    webhook = create(service, events=events + events[:10])
    assert service.get(f"/webhooks/{webhook}").json()["webhook"]["events"] == events


def test_ids_are_never_given_again(service):
    first = create(service)
    assert service.delete(f"/webhooks/{first}").status_code == 200
    assert int(create(service)) > int(first)


# ---- 400 -------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b"{} x", b'{"url":"http://a/","url":"http://a/","events":["*"]}',
    b'{"url":"\xff"}', b"\xef\xbb\xbf{}", b'{"a":' * 33 + b"1" + b"}" * 33,
])
def test_bodies_that_are_no_json_object(service, body):
    webhook = create(service)
    for method, path in (("POST", "/webhooks"), ("PUT", f"/webhooks/{webhook}")):
        assert_error(service.request(method, path, data=body, headers=JSON), 400, "invalid_json")


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded",
                                  "application/jsonx"])
def test_other_content_types(service, kind):
    headers = {} if kind is None else {"Content-Type": kind}
    webhook = create(service)
    for method, path in (("POST", "/webhooks"), ("PUT", f"/webhooks/{webhook}")):
        assert_error(service.request(method, path, data=json.dumps(GOOD).encode(),
                                     headers=headers), 400, "invalid_content_type")


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_are_bounded(service, chunked):
    body = json.dumps(GOOD).encode()
    body += b" " * (1048577 - len(body))
    data = iter([body[:700000], body[700000:]]) if chunked else body
    assert_error(service.request("POST", "/webhooks", data=data, headers=JSON), 413,
                 "payload_too_large", "Payload too large")


BAD = [  # of a member that both POST and PUT take
    ({"url": 1}, "invalid_url", "/url"),
    ({"url": None}, "invalid_url", "/url"),
    ({"url": ""}, "invalid_url", "/url"),
    ({"url": "your-server.com/webhook"}, "invalid_url", "/url"),
    ({"url": "ftp://a/"}, "invalid_url", "/url"),
    ({"url": "file:///etc/passwd"}, "invalid_url", "/url"),
    ({"url": "http://"}, "invalid_url", "/url"),
    ({"url": "http://user:password@a/"}, "invalid_url", "/url"),
    ({"url": "http://a/#f"}, "invalid_url", "/url"),
    ({"url": "http://a:0/"}, "invalid_url", "/url"),
    ({"url": "http://a/ b"}, "invalid_url", "/url"),
    ({"url": "http://a/\r\nX: y"}, "invalid_url", "/url"),
    ({"url": "http://[::1"}, "invalid_url", "/url"),
    ({"url": "http://a/" + "x" * 2040}, "invalid_url", "/url"),
    ({"events": []}, "invalid_events", "/events"),
    ({"events": "job.completed"}, "invalid_events", "/events"),
    ({"events": None}, "invalid_events", "/events"),
    ({"events": ["*"] * 33}, "invalid_events", "/events"),
    ({"events": ["job.completed", "job.done"]}, "invalid_events", "/events/1"),
    ({"events": [1]}, "invalid_events", "/events/0"),
    ({"events": ["jo*"]}, "invalid_events", "/events/0"),
    ({"events": ["Job.*"]}, "invalid_events", "/events/0"),
    ({"secret": 1}, "invalid_secret", "/secret"),
    ({"secret": "x" * 257}, "invalid_secret", "/secret"),
    ({"secret": "a\tb"}, "invalid_secret", "/secret"),
    ({"secret": "***"}, "invalid_secret", "/secret"),  # sent back as it was shown
    ({"secret": "\u00e4"}, "invalid_secret", "/secret"),
    ({"secret": "whsec_"}, "invalid_secret", "/secret"),
    ({"secret": "whsec_not base64!"}, "invalid_secret", "/secret"),
    ({"secret": "whsec_" + "A" * 28}, "invalid_secret", "/secret"),  # 21 bytes
    ({"secret": "whsec_" + "A" * 88}, "invalid_secret", "/secret"),  # 66 bytes
    ({"enabled": 1}, "invalid_enabled", "/enabled"),
    ({"enabled": None}, "invalid_enabled", "/enabled"),
    ({"id": "7"}, "unknown_member", "/id"),
    ({"a/b~": 7}, "unknown_member", "/a~1b~0"),
]


@pytest.mark.parametrize("members,code,pointer", BAD)
def test_refusals_name_the_member(service, members, code, pointer):
    webhook = create(service)
    before = service.get("/webhooks").json()
    for got in (service.post("/webhooks", {**GOOD, **members}), put(service, webhook, **members)):
        assert assert_error(got, 400, code)["details"]["pointer"] == pointer
        secret = members.get("secret")
        assert not isinstance(secret, str) or len(secret) < 7 or secret not in got.text
    assert service.get("/webhooks").json() == before, "something was changed"


@pytest.mark.parametrize("body,code,pointer", [
    ({}, "invalid_url", "/url"), ({"url": URL}, "invalid_events", "/events"),
    ({"events": ["*"]}, "invalid_url", "/url"),
    ({**GOOD, "secret": ""}, "invalid_secret", "/secret"),
])
def test_what_a_new_one_needs(service, body, code, pointer):
    assert assert_error(service.post("/webhooks", body), 400, code)["details"]["pointer"] == pointer


def test_unknown_events_list_what_is_known(service):
    error = service.post("/webhooks", {**GOOD, "events": ["x"]}).json()["error"]
    for name in EVENTS + ["job.*"]:
        assert name in error


def test_limits_are_told_as_numbers(service):
    for members, limit in (({"events": ["*"] * 33}, 32), ({"secret": "x" * 257}, 256),
                           ({"url": "http://a/" + "x" * 2040}, 2048)):
        assert service.post("/webhooks", {**GOOD, **members}).json()["details"]["limit"] == limit


@pytest.mark.parametrize("members", [
    {"url": "http://a/" + "x" * 2039}, {"url": "HTTPS://A:65535"}, {"url": "http://[::1]:8/?q"},
    {"events": ["*"] * 32}, {"secret": "x"}, {"secret": "~" * 256}, {"secret": "whsec"},
    {"secret": "whsec_" + "A" * 32}, {"secret": "whsec_" + "A" * 86 + "=="},
])
def test_at_the_limits(service, members):
    webhook = create(service, **members)
    if "url" in members:
        assert service.get(f"/webhooks/{webhook}").json()["webhook"]["url"] == members["url"]


def test_one_hundred_is_the_limit(service):
    ids = [create(service) for _ in range(100)]
    body = assert_error(service.post("/webhooks", GOOD), 422, "too_many_webhooks",
                        "At most 100 webhooks")
    assert body["details"] == {"limit": 100}
    assert service.get("/webhooks").json()["count"] == 100
    assert put(service, ids[0], enabled=False).status_code == 200
    assert service.delete(f"/webhooks/{ids[50]}").status_code == 200
    create(service)
    assert_error(service.post("/webhooks", GOOD), 422, "too_many_webhooks")


# ---- GET -------------------------------------------------------------------------------


def test_the_list_has_all_of_them_in_order(service):
    empty = service.get("/webhooks")
    assert empty.json() == {"success": True, "webhooks": [], "count": 0}
    ids = [create(service, secret=SECRET) for _ in range(5)]
    body = service.get("/webhooks").json()
    assert list(body) == ["success", "webhooks", "count"] and body["count"] == 5
    assert [webhook["id"] for webhook in body["webhooks"]] == ids
    for webhook in body["webhooks"]:
        assert webhook == service.get(f"/webhooks/{webhook['id']}").json()["webhook"]


@pytest.mark.parametrize("webhook", ["0", "01", "999999999", "abc", "1x", "-1",
                                     "18446744073709551616", "9" * 200])
def test_what_is_no_webhook_is_404(service, webhook):
    base = f"/webhooks/{webhook}"
    for method, path in (("GET", base), ("DELETE", base), ("GET", f"{base}/deliveries"),
                         ("POST", f"{base}/test"), ("POST", f"{base}/deliveries/1-1/redeliver")):
        assert_error(service.request(method, path), 404, "webhook_not_found", "Webhook not found")
    assert_error(put(service, webhook, enabled=True), 404, "webhook_not_found", "Webhook not found")


@pytest.mark.parametrize("path", ["/webhooks/", "/webhooks/1/", "/webhooks/1/x",
                                  "/webhooks/1/tests", "/webhooks/1/deliveries/1-1",
                                  "/webhooks/1/deliveries/redeliver",
                                  "/webhooks/1/deliveries/1-1/redeliver/x", "/webhooksx",
                                  "/webhooks//test", "/webhooks/1/deliveries//redeliver"])
def test_other_addresses_are_nowhere(service, path):
    assert_error(service.get(path), 404, "not_found")


@pytest.mark.parametrize("path", ["/webhooks", "/webhooks/{}", "/webhooks/{}/deliveries",
                                  "/webhooks/999999"])
def test_head_is_get_without_a_body(service, path):
    path = path.format(create(service))
    get, head = service.get(path), service.request("HEAD", path)
    assert head.status_code == get.status_code and head.content == b""
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


@pytest.mark.parametrize("path,wrong,allow", [
    ("/webhooks", ["PUT", "DELETE", "PATCH", "BREW", "TRACE"], {"GET", "HEAD", "POST"}),
    ("/webhooks/1", ["POST", "PATCH", "TRACE"], {"GET", "HEAD", "PUT", "DELETE"}),
    ("/webhooks/1/deliveries", ["POST", "PUT", "DELETE", "TRACE"], {"GET", "HEAD"}),
    ("/webhooks/1/test", ["GET", "HEAD", "PUT", "DELETE", "TRACE"], {"POST"}),
    ("/webhooks/1/deliveries/1-1/redeliver", ["GET", "PUT", "DELETE", "TRACE"], {"POST"}),
])
def test_wrong_method_names_the_right_ones(service, path, wrong, allow):
    for method in wrong:
        got = service.request(method, path)
        assert got.status_code == 405, (method, got.text)
        assert set(re.split(r",\s*", got.headers["Allow"])) == allow
        if method != "HEAD":
            assert_error(got, 405, "method_not_allowed")


def test_without_a_token_everything_is_401(service):
    session = service.new_session("x" * 64)
    for method, path in (("GET", "/webhooks"), ("POST", "/webhooks"), ("PUT", "/webhooks/1"),
                         ("DELETE", "/webhooks/1"), ("POST", "/webhooks/1/test"),
                         ("GET", "/webhooks/1/deliveries")):
        assert_error(session.request(method, service.base_url + path), 401, "unauthorized")


# ---- PUT -------------------------------------------------------------------------------


def test_put_changes_what_is_given_and_nothing_else(service):
    webhook = create(service, secret=SECRET)
    was = service.get(f"/webhooks/{webhook}").json()["webhook"]
    for members in ({}, {"url": "https://b.example/x"}, {"events": ["job.*", "ping"]},
                    {"enabled": False}, {"secret": "another"}, {"enabled": True, "url": URL}):
        got = put(service, webhook, **members)
        assert got.status_code == 200, got.text
        was = {**was, **members, "secret": "***"}
        assert got.json() == {"success": True, "webhook": was}
        assert service.get(f"/webhooks/{webhook}").json()["webhook"] == was


@pytest.mark.parametrize("nothing", [None, ""])
def test_put_takes_a_secret_away(service, nothing):
    webhook = create(service, secret=SECRET)
    got = put(service, webhook, secret=nothing).json()["webhook"]
    assert "secret" not in got
    assert put(service, webhook, enabled=True).json()["webhook"] == got
    assert put(service, webhook, secret="new").json()["webhook"]["secret"] == "***"


# ---- DELETE ----------------------------------------------------------------------------


def test_delete_removes_it(service):
    kept, webhook = create(service), create(service)
    got = service.delete(f"/webhooks/{webhook}")
    assert got.status_code == 200
    assert got.json() == {"success": True, "message": "Webhook deleted"}
    for method in ("GET", "DELETE"):
        assert_error(service.request(method, f"/webhooks/{webhook}"), 404, "webhook_not_found")
    assert [one["id"] for one in service.get("/webhooks").json()["webhooks"]] == [kept]


# ---- deliveries: what the routes say of them ---------------------------------------------


def test_a_new_one_has_no_history(service):
    got = service.get(f"/webhooks/{create(service)}/deliveries")
    assert got.status_code == 200
    assert got.json() == {"success": True, "deliveries": [], "count": 0, "total": 0}


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "", "1.5", "5&limit=5"])
def test_bad_limits_are_refused(service, limit):
    assert_error(service.get(f"/webhooks/{create(service)}/deliveries?limit={limit}"), 400,
                 "invalid_limit")


@pytest.mark.parametrize("delivery", ["1-1", "{}-1", "{}-999999", "x", "{}", "{}-", "{}-01",
                                      "99999999999999999999-1"])
def test_unknown_deliveries_are_404(service, delivery):
    webhook = create(service)
    assert_error(service.request("POST", f"/webhooks/{webhook}/deliveries/"
                                 f"{delivery.format(webhook)}/redeliver"),
                 404, "delivery_not_found", "Delivery not found")


def test_history_is_newest_first_and_bounded(service):
    with Receiver() as receiver:
        webhook = create(service, url=receiver.url())
        ids = []
        for _ in range(8):
            got = service.request("POST", f"/webhooks/{webhook}/test")
            ids.append(got.json()["delivery_id"])
            receiver.wait(len(ids))
            wait_until(lambda: history(service, webhook)["total"] == len(ids))
        for query, count in (("", 8), ("?limit=100", 8), ("?limit=3", 3), ("?limit=1", 1)):
            body = service.get(f"/webhooks/{webhook}/deliveries{query}").json()
            assert list(body) == ["success", "deliveries", "count", "total"]
            assert body["count"] == count and body["total"] == 8
            assert [one["id"] for one in body["deliveries"]] == ids[::-1][:count]
        one = history(service, webhook)["deliveries"][0]
        assert list(one) == ["id", "event", "timestamp", "success", "attempts", "message",
                             "payload_size"]
        last = receiver.of()[-1]
        assert one["event"] == "ping" and one["success"] is True and one["attempts"] == 1
        assert one["payload_size"] == len(last.body) and "200" in one["message"]
        shown = service.get(f"/webhooks/{webhook}").json()["webhook"]
        assert shown["delivery_count"] == 8 and shown["failure_count"] == 0
        assert shown["last_delivery"] == one["timestamp"] >= shown["created_at"]


def history(service, webhook):
    return service.get(f"/webhooks/{webhook}/deliveries?limit=100").json()


def test_one_hundred_ended_deliveries_are_kept(service):
    with Receiver() as receiver:
        webhook = create(service, url=receiver.url())
        for _ in range(105):
            assert service.request("POST", f"/webhooks/{webhook}/test").status_code == 202
        receiver.wait(105, 60)
        wait_until(lambda: service.get(f"/webhooks/{webhook}").json()["webhook"]
                   ["delivery_count"] == 105)
        assert history(service, webhook)["count"] == history(service, webhook)["total"] == 100
        assert service.get(f"/webhooks/{webhook}/deliveries").json()["count"] == 50


def test_ping_is_sent_whatever_the_events_are(service):
    with Receiver() as receiver:
        webhook = create(service, url=receiver.url(), events=["job.failed"])
        for body in ({}, {"data": b"not json"}, {"json": {"x": 1}}):
            got = service.request("POST", f"/webhooks/{webhook}/test", **body)
            assert got.status_code == 202, got.text
            assert list(got.json()) == ["success", "message", "delivery_id"]
            assert got.json()["success"] is True and got.json()["message"] == "Ping queued"
            assert re.fullmatch(f"{webhook}-[1-9][0-9]*", got.json()["delivery_id"])
            wait_until(lambda: got.json()["delivery_id"] in
                       [one.delivery for one in receiver.of(kind="ping")])


def test_redeliver_sends_the_same_event_again(service):
    with Receiver() as receiver:
        receiver.script("/", [answer(410)])
        webhook = create(service, url=receiver.url(), secret=SECRET)
        delivery = service.request("POST", f"/webhooks/{webhook}/test").json()["delivery_id"]
        wait_until(lambda: history(service, webhook)["total"] == 1)
        assert history(service, webhook)["deliveries"][0]["success"] is False
        assert put(service, webhook, enabled=True).status_code == 200
        got = service.request("POST", f"/webhooks/{webhook}/deliveries/{delivery}/redeliver")
        assert got.status_code == 202, got.text
        assert list(got.json()) == ["success", "message", "delivery_id"]
        assert got.json()["success"] is True and got.json()["delivery_id"] == delivery
        first, second = receiver.wait(2)
        assert first.delivery == second.delivery == delivery
        assert first.event["data"] == second.event["data"] and second.attempt == 1
        wait_until(lambda: history(service, webhook)["total"] == 1 and
                   history(service, webhook)["deliveries"][0]["success"])


def test_a_disabled_one_is_sent_nothing(service):
    with Receiver() as receiver:
        webhook = create(service, url=receiver.url())
        delivery = service.request("POST", f"/webhooks/{webhook}/test").json()["delivery_id"]
        wait_until(lambda: history(service, webhook)["total"] == 1)
        assert put(service, webhook, enabled=False).status_code == 200
        for path in ("test", f"deliveries/{delivery}/redeliver"):
            assert_error(service.request("POST", f"/webhooks/{webhook}/{path}"), 409,
                         "webhook_disabled")
        assert len(receiver.of()) == 1


# ---- secrets ---------------------------------------------------------------------------


def test_secrets_are_in_no_answer_and_no_log(own_service, project):
    """Not even when bodies with them are refused."""
    secrets = [f"{kind}-{n:040d}-tell-nobody" for n, kind in enumerate("abcdef")]
    with Receiver() as receiver:
        service = own_service(project=project, options=["log_level = debug"])
        texts = []
        webhook = create(service, url=receiver.url(), secret=secrets[0], events=["*"])
        texts += [put(service, webhook, secret=secrets[1]).text,
                  put(service, webhook, secret=secrets[2], x=1).text,
                  put(service, webhook, secret=secrets[3] * 9).text,
                  service.request("POST", "/webhooks", headers=JSON,
                                  data=f'{{"secret":"{secrets[4]}",'.encode()).text,
                  service.post("/webhooks", {"secret": secrets[5]}).text,
                  service.request("POST", f"/webhooks/{webhook}/test").text]
        receiver.wait(1)
        receiver.default = answer(500, body=b"no")
        service.submit("scene_preload", {"scene_paths": ["res://a.tscn"]})
        receiver.wait(2)
        texts += [service.get(path).text for path in
                  ("/webhooks", f"/webhooks/{webhook}", f"/webhooks/{webhook}/deliveries")]
        texts += [service.ctl("show").stdout, service.logs()]
        texts += [path.read_text(errors="replace") for path in (service.state / "log").iterdir()]
        for secret in secrets:
            assert not any(secret in text for text in texts), secret
        for arrived in receiver.of():
            assert not any(secret in f"{arrived.headers} {arrived.body}" for secret in secrets)
