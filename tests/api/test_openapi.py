"""nginx/openapi.json: what it says of the service is what the service does, and all of it."""

import json
import os
import re
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import jsonschema
import pytest
from conftest import slow_job
from receiver import Receiver
from service import ROOT, Service, wait_until

FILE = ROOT / "nginx/openapi.json"
DOCUMENT = json.loads(FILE.read_text())
REDOCLY = "@redocly/cli@2.77.0"
RESOLVER = jsonschema.RefResolver("", DOCUMENT)
METHODS = ("get", "post", "put", "delete")


def resolve(part):
    while "$ref" in part:
        _, part = RESOLVER.resolve(part["$ref"])
    return part


def judge(schema, value):
    jsonschema.Draft202012Validator(schema, resolver=RESOLVER).validate(value)


def operations():
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def content(part):
    """The one kind of body that a request or a response has, and what is said of it."""
    [(kind, media)] = resolve(part)["content"].items()
    return kind, media


def examples(media):
    if "example" in media:
        yield "example", {"value": media["example"]}
    yield from media.get("examples", {}).items()


# ---- the document by itself --------------------------------------------------------


@pytest.mark.parametrize("name", sorted(DOCUMENT["components"]["schemas"]))
def test_schemas_are_schemas(name):
    jsonschema.Draft202012Validator.check_schema(DOCUMENT["components"]["schemas"][name])


def test_examples_meet_their_schemas():
    bodies = [operation["requestBody"] for _, _, operation in operations()
              if "requestBody" in operation]
    bodies += [response for _, _, operation in operations()
               for response in operation["responses"].values() if "content" in resolve(response)]
    bodies += [item["post"]["requestBody"] for item in DOCUMENT["webhooks"].values()]
    count = 0
    for body in bodies:
        _, media = content(body)
        for _, example in examples(media):
            judge(media["schema"], example["value"])
            count += 1
    assert count > 100


def test_redocly_finds_no_fault(tmp_path_factory):
    if not shutil.which("npm") or not shutil.which("npx"):
        pytest.skip("NOT LINTED: npm is not here")
    folder = tmp_path_factory.mktemp("redocly")
    environment = {**os.environ, "npm_config_fetch_retries": "0", "REDOCLY_TELEMETRY": "off",
                   "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    try:
        done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts",
                               "--prefix", folder, REDOCLY], capture_output=True, text=True,
                              timeout=300, env=environment)
    except subprocess.TimeoutExpired:
        pytest.skip("NOT LINTED: npm did not answer in time")
    if done.returncode != 0:
        pytest.skip(f"NOT LINTED: npm says {done.stderr[-300:]}")
    done = subprocess.run([folder / "node_modules/.bin/redocly", "lint", FILE,
                           "--format", "json"], cwd=folder, capture_output=True, text=True,
                          timeout=120, env=environment)
    totals = json.loads(done.stdout)["totals"]
    assert done.returncode == 0 and totals["errors"] == totals["warnings"] == 0, \
        done.stdout + done.stderr


# ---- the document and the sources --------------------------------------------------


def routes():
    source = (ROOT / "src/api/route.c").read_text()
    words = {"ID": "{id}", "DELIVERY": "{delivery}"}
    for method, pattern in re.findall(r'^\t\{"([A-Z]+)", (".*?), api_\w+', source, re.M):
        parts = re.findall(r'"([^"]*)"|(\w+)', pattern)
        yield method.lower(), "".join(text or words[word] for text, word in parts)


def test_routes_are_those_of_the_application():
    """And one that nginx serves by itself."""
    there = set(routes())
    assert len(there) > 15
    assert {(method, path) for method, path, _ in operations()} == \
        there | {("get", "/openapi.json")}


def test_error_codes_are_those_of_the_sources():
    found = set()
    for path in [*ROOT.glob("src/api/*.c"), *ROOT.glob("src/job/*.c")]:
        text = path.read_text()
        found |= set(re.findall(r'api_reply_(?:error|unavailable)\(request, \w+, "(\w+)"', text))
        found |= set(re.findall(r'job_refuse\((?:check->)?why, "(\w+)"', text))
        found |= set(re.findall(r'\.code = "(\w+)"', text))
        found |= {f"invalid_{name}"
                  for name in re.findall(r'api_query_number\(request, "(\w+)"', text)}
        found |= set(re.findall(r'\\"code\\":\\"(\w+)\\"', text))
    for path in ROOT.glob("nginx/jobq-*.conf*"):
        found |= set(re.findall(r'"code": "(\w+)"', path.read_text()))
    assert set(DOCUMENT["components"]["schemas"]["Error"]["properties"]["code"]["enum"]) == found


def test_events_are_those_of_the_sources():
    found = re.findall(r'^\tX\(\w+, "([a-z._]+)"\)', (ROOT / "include/jobq/event.h").read_text(),
                       re.M)
    assert len(found) == 13
    assert set(DOCUMENT["webhooks"]) == set(found)
    for name in ("Delivery",):
        assert DOCUMENT["components"]["schemas"][name]["properties"]["event"]["enum"] == found


def test_types_and_statuses_are_those_of_the_sources():
    text = (ROOT / "include/jobq/job.h").read_text()
    schemas = DOCUMENT["components"]["schemas"]
    for table, name in (("TYPES", "JobType"), ("STATUSES", "JobStatus")):
        rows = re.search(rf"#define JOBQ_JOB_{table}\(X\)((?:.*\\\n)+.*)", text)[1]
        assert schemas[name]["enum"] == re.findall(r"X\(\w+, (\w+)[,)]", rows)
    assert list(schemas["Submission"]["discriminator"]["mapping"]) == schemas["JobType"]["enum"]


# ---- asking as the document says ---------------------------------------------------


class Client:
    """Asks the service, and judges each answer by what the document says of it."""

    def __init__(self, service):
        self.service = service
        self.seen = set()

    def ask(self, method, template, ids=(), query="", body=None, headers=None, **arguments):
        path = re.sub(r"\{\w+\}", lambda _, left=iter(ids): left.__next__(), template)
        headers = dict(headers or {})
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
            arguments["data"] = body if isinstance(body, bytes) else json.dumps(body)
        got = self.service.request(method.upper(), path + ("?" + query if query else ""),
                                   headers=headers, **arguments)
        operation = DOCUMENT["paths"][template][method]
        self.judge_answer(operation, got, arguments.get("stream", False))
        self.seen.add((method, template, str(got.status_code)))
        return got

    def judge_answer(self, operation, got, stream):
        responses = operation["responses"]
        status = str(got.status_code)
        key = next(key for key in (status, f"{status[0]}XX", "default") if key in responses)
        assert key != "default" or status in ("404", "405"), f"{status} is not described"
        response = resolve(responses[key])
        for name, header in response.get("headers", {}).items():
            header = resolve(header)
            assert name in got.headers or not header.get("required"), name
            if name in got.headers:
                value = got.headers[name]
                judge(header["schema"],
                      int(value) if header["schema"].get("type") == "integer" else value)
        if "content" not in response:
            assert got.content == b""
            return
        kind, media = content(response)
        assert got.headers["Content-Type"].partition(";")[0] == kind
        if kind == "application/json" and not stream:
            judge(media["schema"], got.json())


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A copy of the sample project, and what a few of the tests need beside it."""
    root = tmp_path_factory.mktemp("sample") / "project"
    shutil.copytree(ROOT / "packaging/sample-project", root)
    (root / "secret").mkdir()
    (root / "secret/plan.tscn").write_text('[gd_scene format=3]\n\n[node name="P" type="Node"]\n')
    nodes = "".join(f'\n[node name="N{i}" type="Node" parent="."]\n' for i in range(60000))
    (root / "slow.tscn").write_text('[gd_scene format=3]\n\n[node name="R" type="Node"]\n' + nodes)
    return root


@pytest.fixture(scope="module")
def running(sample):
    with Service(project=sample, tokens={"ci": "c" * 64, "other": "o" * 64},
                 options=["blacklist = res://secret/", "webhook_allow = 127.0.0.0/8",
                          "drain_timeout = 0"]) as service:
        yield service


@pytest.fixture(scope="module")
def client(running):
    return Client(running)


def requests_of_the_document():
    for method, path, operation in operations():
        if "requestBody" not in operation:
            continue
        good = next(status for status in operation["responses"] if status.startswith("2"))
        for name, example in examples(content(operation["requestBody"])[1]):
            yield pytest.param(method, path, example["value"], good, id=f"{path}-{name}")


def refusals_of_the_document():
    for method, path, operation in operations():
        for status, response in operation["responses"].items():
            if "content" not in resolve(response):
                continue
            for name, example in examples(content(response)[1]):
                if "x-request" in example:
                    yield pytest.param(method, path, status, example, id=f"{method} {path}-{name}")


def ids_for(client, path):
    """Of a job or a webhook that there is."""
    if "{id}" not in path:
        return ()
    if path.startswith("/jobs"):
        job_id = client.service.submit("cache_warming", {})
        if path.endswith("/retry"):
            client.service.wait_job(job_id)
        return (job_id,)
    made = client.service.post("/webhooks", {"url": "http://127.0.0.1:9/", "events": ["ping"]})
    return (made.json()["webhook_id"],)


@pytest.mark.parametrize("method,path,body,status", requests_of_the_document())
def test_request_examples_are_accepted(client, method, path, body, status):
    got = client.ask(method, path, ids_for(client, path), body=body)
    assert str(got.status_code) == status
    if path == "/jobs":
        job_id = got.json()["job_id"]
        client.service.wait_job(job_id)
        job = client.ask("get", "/jobs/{id}", [job_id]).json()["job"]
        assert job["status"] == ("failed" if "none.tscn" in json.dumps(body) else "completed"), job
        # Its result is that of its type, not only of any.
        result = {"scene_preload": "PreloadResult", "batch_operations": "BatchResult",
                  "cache_warming": "WarmingResult"}[job["type"]]
        judge({"$ref": f"#/components/schemas/{result}"}, job["result"])
    if path.startswith("/webhooks"):
        answered = got.json()["webhook"]
        for name in set(body) - {"secret"}:
            assert answered[name] == body[name]


@pytest.mark.parametrize("method,path,status,example", refusals_of_the_document())
def test_refusal_examples_are_refused_so(client, method, path, status, example):
    got = client.ask(method, path, ids_for(client, path), **example["x-request"])
    assert str(got.status_code) == status
    assert got.json() == example["value"], "not a word less, nor another one"


def test_every_other_answer(client):
    """Whatever status a route is said to have, it has, and nothing else."""
    service, ask = client.service, client.ask
    ask("get", "/healthz")
    ask("get", "/metrics")
    assert ask("get", "/openapi.json").json() == DOCUMENT
    key = {"Idempotency-Key": "k"}
    warm = {"type": "cache_warming", "parameters": {}}
    ask("post", "/jobs", body=warm, headers=key)
    assert ask("post", "/jobs", body=warm, headers=key).headers["Idempotent-Replayed"] == "true"
    ask("post", "/jobs", body={**warm, "parameters": {"scope": "all"}}, headers=key)  # 422
    ask("post", "/jobs", body={"type": "scene_preload", "parameters": {
        "scene_paths": ["res://secret/plan.tscn"]}})
    ask("post", "/jobs", body=b"x" * (1 << 20) + b"x")
    ask("post", "/webhooks", body=b"x" * (1 << 20) + b"x")
    [hook] = ids_for(client, "/webhooks/{id}")
    ask("put", "/webhooks/{id}", [hook], body=b"x" * (1 << 20) + b"x")

    done = service.submit("scene_preload", {"scene_paths": ["res://vr_main.tscn"]})
    tag = ask("get", "/jobs/{id}", [done], query="wait=20").headers["ETag"]
    ask("get", "/jobs/{id}", [done], headers={"If-None-Match": tag})
    ask("delete", "/jobs/{id}", [done])  # 400
    whole = ask("get", "/jobs/{id}/events", [done]).text
    last = re.findall(r"^id: (\S+)$", whole, re.M)[-1]
    ask("get", "/jobs/{id}/events", [done], headers={"Last-Event-ID": last})  # 204
    ask("get", "/events", stream=True).close()
    ask("get", "/jobs/{id}/log", [done])
    ask("post", "/jobs/{id}/cancel", [done])  # 400
    ask("post", "/jobs/{id}/retry", [done], body={"only": "failed"})  # 400
    ask("post", "/jobs/{id}/retry", [done], body=b"x" * (1 << 20) + b"x")
    ask("post", "/jobs/{id}/retry", [done], body={}, headers={"Idempotency-Key": "again"})
    ask("post", "/jobs/{id}/retry", [done], body={}, headers={"Idempotency-Key": "k"})  # 422
    stopped = service.submit("batch_operations", {"operations": [
        {"action": "validate", "scene_path": "res://slow.tscn"}] * 2000})
    wait_until(lambda: service.job(stopped)["status"] == "running", 60, "a running job")
    ask("post", "/jobs/{id}/cancel", [stopped])  # 202
    service.wait_job(stopped, 120)
    ask("get", "/queue")
    for verb in ("drain", "pause"):
        ask("post", f"/queue/{verb}")
    waits = service.submit("cache_warming", {})
    assert ask("get", "/jobs/{id}", [waits]).json()["queue_position"] == 1
    ask("post", "/jobs/{id}/cancel", [waits])
    ask("post", "/queue/resume")
    running = [service.submit("batch_operations", {"operations": [
        {"action": "validate", "scene_path": "res://slow.tscn"}] * 200}) for _ in range(3)]
    ask("delete", "/jobs/{id}", [service.submit("cache_warming", {})])
    assert "Retry-After" in ask("get", "/jobs/{id}", [running[0]]).headers
    for query in ("", "status=queued", "type=cache_warming&limit=2", "limit=1&after=1"):
        ask("get", "/jobs", query=query)

    ask("get", "/webhooks")
    ask("get", "/webhooks/{id}", [hook])
    sent = ask("post", "/webhooks/{id}/test", [hook]).json()["delivery_id"]
    wait_until(lambda: service.get(f"/webhooks/{hook}/deliveries").json()["count"] == 1, 60,
               "a delivery that has ended")
    ask("get", "/webhooks/{id}/deliveries", [hook], query="limit=1")
    again = "/webhooks/{id}/deliveries/{delivery}/redeliver"
    ask("post", again, [hook, sent])
    ask("post", again, [hook, f"{hook}-4711"])
    ask("put", "/webhooks/{id}", [hook], body={"enabled": False})
    ask("post", again, [hook, sent])  # 409
    ask("post", "/webhooks/{id}/test", [hook])
    ask("delete", "/webhooks/{id}", [hook])
    for method, path, _ in operations():  # 404
        if "{id}" in path:
            ask(method, path, ["4711", "4711-1"], body={} if method == "put" else None)
    for number in range(101):  # 422
        got = ask("post", "/webhooks", body={"url": "http://127.0.0.1:9/", "events": ["ping"]})
        assert number < 100 or got.status_code == 422
    for method, path, _ in operations():  # 401
        if path != "/healthz":
            ask(method, path, ["1", "1-1"], headers={"Authorization": "Bearer wrong"})
    for job in running:
        service.wait_job(job, 120)

    described = {(method, path, status) for method, path, operation in operations()
                 for status in operation["responses"] if status not in ("default", "4XX")}
    # Those with a 400 are judged above; the others below, where the service is ill or has a limit.
    elsewhere = {one for one in described if one[2] in ("429", "503")} | \
        {tuple(refusal.values[:3]) for refusal in refusals_of_the_document()}
    assert described - client.seen <= elsewhere
    assert client.seen <= described | {one for one in client.seen if one[2] in ("404", "405")}


def test_unavailable_is_described(own_service):
    """A listener too many; and the service without its supervisor."""
    service = own_service(options=["event_listeners = 1", "submit_timeout = 1s"])
    client = Client(service)
    with client.ask("get", "/events", stream=True):
        assert client.ask("get", "/events").status_code == 503
    quickstart, jobqd = service.process.pid, service.pid("jobqd")
    os.kill(quickstart, signal.SIGSTOP)  # or it is started again
    os.kill(jobqd, signal.SIGKILL)
    try:
        wait_until(lambda: not service.healthy(), 20, "an ill service")
        assert client.ask("get", "/healthz").status_code == 503
        got = client.ask("post", "/jobs", body={"type": "cache_warming", "parameters": {}})
        assert got.status_code == 503
    finally:
        os.kill(quickstart, signal.SIGCONT)
    service.wait_healthy()


def test_the_limit_is_described(own_service):
    client = Client(own_service(rate="1r/s"))
    with ThreadPoolExecutor(20) as pool:
        got = list(pool.map(lambda _: client.ask("get", "/jobs/{id}", ["1"]).status_code,
                            range(2200)))
    assert set(got) == {404, 429}


# ---- what webhooks are sent --------------------------------------------------------


def judge_delivery(arrived):
    operation = DOCUMENT["webhooks"][arrived.kind]["post"]
    kind, media = content(operation["requestBody"])
    assert arrived.headers["content-type"] == kind
    judge(media["schema"], arrived.event)
    for parameter in map(resolve, operation["parameters"]):
        name, schema = parameter["name"].lower(), resolve(parameter["schema"])
        assert name in arrived.headers, name  # the signatures, too: there is a secret
        value = arrived.headers[name]
        judge(schema, int(value) if schema.get("type") == "integer" else value)


def test_webhooks_are_sent_what_is_described(own_service, tmp_path):
    shutil.copytree(ROOT / "packaging/sample-project", tmp_path / "project")
    scene = tmp_path / "project/vr_main.tscn"
    service = own_service(project=tmp_path / "project", rate="1r/s",
                          options=["webhook_allow = 127.0.0.0/8"])
    with Receiver() as receiver:
        made = service.post("/webhooks", {"url": receiver.url("/a"), "events": ["*"],
                                          "secret": "s"}).json()["webhook_id"]
        service.post(f"/webhooks/{made}/test", None)
        load = {"action": "load", "scene_path": "res://vr_main.tscn"}
        for extra in ("", "\n"):  # one that has just been written is not kept in the cache
            if extra:
                scene.write_text(scene.read_text() + extra)
            service.wait_job(service.submit("batch_operations", {"operations": [
                load, dict(load, action="validate"), dict(load, scene_path="res://none.tscn")]}))
        failed = service.submit("batch_operations", {"mode": "transactional", "operations": [
            dict(load, scene_path="res://none.tscn")]})
        assert service.wait_job(failed)["status"] == "failed"
        nodes = "".join(f'\n[node name="N{i}" type="Node" parent="."]\n' for i in range(60000))
        (scene.parent / "slow.tscn").write_text(
            '[gd_scene format=3]\n\n[node name="R" type="Node"]\n' + nodes)
        running = [slow_job(service, 30) for _ in range(3)]
        cancelled = service.submit("cache_warming", {})
        assert service.delete(f"/jobs/{cancelled}").status_code == 200
        for job in running:
            service.wait_job(job, 60)
        service.get("/jobs", headers={"Authorization": "Bearer wrong"})
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda _: service.get("/jobs/1"), range(2200)))
        for kind in DOCUMENT["webhooks"]:
            receiver.wait(1, kind=kind)
        for arrived in receiver.of():
            judge_delivery(arrived)
