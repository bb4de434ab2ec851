"""What webhooks are sent, how often, in which order, and to whom never.

Most of it waits for the pauses between attempts (1, 5 and 15 s), so tests of
what fails have their webhooks fail at the same time.
"""

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from conftest import make_project, slow_job
from receiver import Receiver, answer, assert_signed, drip, flood, hang, make_certificate, reset
from service import Service, free_port, wait_until

SECRET = "webhook_secret"
STANDARD = "whsec_" + base64.b64encode(bytes(range(32))).decode()
GIVEN_UP = 60  # seconds within which four attempts have failed
MIB = 1 << 20


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def running(project, certificate):
    with Service(project=project, options=["drain_timeout = 0", f"webhook_ca = {certificate[1]}"],
                 tokens={"ci": "a" * 64, "other": "b" * 64}) as started:
        yield started


@pytest.fixture
def service(running):
    """Without webhooks."""
    for webhook in running.get("/webhooks").json()["webhooks"]:
        assert running.delete(f"/webhooks/{webhook['id']}").status_code == 200
    return running


@pytest.fixture
def receiver():
    with Receiver() as started:
        yield started


def create(service, url, events=("*",), **members):
    got = service.post("/webhooks", {"url": url, "events": list(events), **members})
    assert got.status_code == 201, got.text
    return got.json()["webhook_id"]


def webhook_of(service, webhook):
    return service.get(f"/webhooks/{webhook}").json()["webhook"]


def history(service, webhook):
    return service.get(f"/webhooks/{webhook}/deliveries?limit=100").json()["deliveries"]


def ping(service, webhook):
    got = service.request("POST", f"/webhooks/{webhook}/test")
    assert got.status_code == 202, got.text
    return got.json()["delivery_id"]


def ended(service, webhook, count=1, timeout=GIVEN_UP):
    """The history, once there is so much of it."""
    return wait_until(lambda: len(got := history(service, webhook)) >= count and got, timeout,
                      f"the end of {count} deliveries of webhook {webhook}")


def preload(service, path="res://a.tscn"):
    job = service.submit("scene_preload", {"scene_paths": [path]})
    service.wait_job(job)
    return job


# ---- what is sent ----------------------------------------------------------------------


def test_a_job_is_told_of_from_beginning_to_end(service, receiver):
    began = int(time.time())
    webhook = create(service, receiver.url("/hook?a=b"), ["job.queued", "job.started",
                                                          "job.completed"], secret=SECRET)
    job = preload(service)
    arrived = receiver.wait(3)
    assert [one.kind for one in arrived] == ["job.queued", "job.started", "job.completed"]
    for one in arrived:
        assert one.path == "/hook?a=b" and one.attempt == 1
        assert list(one.event) == ["event", "webhook_id", "timestamp", "data"]
        assert one.event["event"] == one.kind and one.event["webhook_id"] == webhook
        assert began - 1 <= one.event["timestamp"] <= time.time() + 1
        assert one.headers["content-type"].startswith("application/json")
        assert one.headers["x-webhook-id"] == webhook
        assert re.fullmatch(f"{webhook}-[1-9][0-9]*", one.delivery)
        assert one.event["data"]["job_id"] == one.event["data"]["id"] == job
        assert_signed(one, SECRET)
    assert len({one.delivery for one in arrived}) == 3
    data = [one.event["data"] for one in arrived]
    assert [one["status"] for one in data] == ["queued", "running", "completed"]
    assert data[0]["started_at"] is None and data[1]["started_at"] is not None
    shown = service.job(job)
    assert {name: data[2][name] for name in shown} == shown
    assert shown["result"]["scenes_loaded"] == 1


def test_without_a_secret_nothing_is_signed(service, receiver):
    ping(service, create(service, receiver.url()))
    headers = receiver.wait(1)[0].headers
    assert "x-webhook-signature" not in headers and "webhook-signature" not in headers
    assert "webhook-id" in headers and "webhook-timestamp" in headers


def test_secrets_of_standard_webhooks_are_decoded(service, receiver):
    ping(service, create(service, receiver.url(), secret=STANDARD))
    assert_signed(receiver.wait(1)[0], STANDARD)


@pytest.mark.parametrize("secret", [SECRET, STANDARD])
def test_a_stock_client_verifies(service, receiver, tmp_path_factory, secret):
    """The npm package `standardwebhooks`, as its own documentation uses it."""
    ping(service, create(service, receiver.url(), secret=secret))
    one = receiver.wait(1)[0]
    folder = standardwebhooks(tmp_path_factory)
    script = """
        const { Webhook } = require("standardwebhooks");
        const { secret, raw, body, headers } = JSON.parse(require("fs").readFileSync(0));
        const webhook = new Webhook(secret, raw ? { format: "raw" } : undefined);
        console.log(JSON.stringify(webhook.verify(body, headers)));
        let forged = false;
        try { webhook.verify(body.replace("ping", "pong"), headers); forged = true; } catch {}
        if (forged) throw new Error("takes anything");
    """
    done = subprocess.run(["node", "-e", script], cwd=folder, capture_output=True, text=True,
                          timeout=60, input=json.dumps({
                              "secret": secret, "raw": not secret.startswith("whsec_"),
                              "body": one.body.decode(), "headers": one.headers}))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == one.event


def standardwebhooks(tmp_path_factory):
    """A folder in which node finds the package."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("NOT CHECKED against a stock client: npm or node is not here")
    folder = tmp_path_factory.getbasetemp() / "standardwebhooks"
    if not (folder / "node_modules/standardwebhooks").exists():
        folder.mkdir(exist_ok=True)
        try:
            done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts",
                                   "--prefix", folder, "standardwebhooks@1"],
                                  capture_output=True, text=True, timeout=120,
                                  env={**os.environ, "npm_config_fetch_retries": "0"})
        except subprocess.TimeoutExpired:
            pytest.skip("NOT CHECKED against a stock client: npm did not answer in time")
        if done.returncode != 0:
            pytest.skip(f"NOT CHECKED against a stock client: npm says {done.stderr[-300:]}")
    return folder


def test_scenes_are_told_of(own_service, receiver, tmp_path):
    project = make_project(tmp_path)
    service = own_service(project=project)
    create(service, receiver.url(), ["scene.loaded", "scene.validated"], secret=SECRET)
    create(service, receiver.url("/rest"), ["scene.failed", "scene.reloaded"])
    job = service.submit("batch_operations", {"operations": [
        {"action": "load", "scene_path": "res://a.tscn"},
        {"action": "validate", "scene_path": "res://a.tscn"},
        {"action": "load", "scene_path": "res://broken.tscn"}]})
    service.wait_job(job)
    loaded, validated = receiver.wait(2, path="/")
    failed, = receiver.wait(1, path="/rest")
    for one in (loaded, validated, failed):
        assert one.event["data"]["job_id"] == job
    assert_signed(loaded, SECRET)
    assert loaded.kind == "scene.loaded" and validated.kind == "scene.validated"
    assert failed.kind == "scene.failed" and failed.event["data"]["error"]
    assert failed.event["data"]["scene_path"] == "res://broken.tscn"
    data = loaded.event["data"]
    assert data["scene_path"] == "res://a.tscn" and data["node_count"] == 2
    assert data["root_type"] == "Node2D" and data["root_name"] == "A"
    assert validated.event["data"]["valid"] is True

    (project / "a.tscn").write_text((project / "b.tscn").read_text() +
                                    '\n[node name="More" type="Node" parent="."]\n')
    job = preload(service)
    reloaded = receiver.wait(2, path="/rest")[1]
    assert reloaded.kind == "scene.reloaded" and reloaded.event["data"]["job_id"] == job
    assert reloaded.event["data"]["node_count"] == 3
    assert [one.kind for one in receiver.wait(3, path="/")] == \
        ["scene.loaded", "scene.validated", "scene.loaded"]


def test_cancelled_failed_and_progress(service, receiver):
    create(service, receiver.url(), ["job.*"])
    running = [slow_job(service, 30) for _ in range(3)]
    queued = service.submit("cache_warming", {})
    assert service.delete(f"/jobs/{queued}").status_code == 200
    failing = service.submit("batch_operations", {"mode": "transactional", "operations": [
        {"action": "load", "scene_path": "res://broken.tscn"}]})
    for job in [*running, failing]:
        service.wait_job(job)

    def kinds(job):
        return [one.kind for one in receiver.of() if one.event["data"]["job_id"] == job]
    wait_until(lambda: kinds(queued) == ["job.queued", "job.cancelled"])
    wait_until(lambda: kinds(failing)[-1:] == ["job.failed"])
    wait_until(lambda: kinds(running[0])[-1:] == ["job.completed"])
    assert kinds(running[0])[:2] == ["job.queued", "job.started"]
    assert set(kinds(running[0])[2:-1]) <= {"job.progress"}
    told = [one.event["data"]["progress"] for one in receiver.of(kind="job.progress")
            if one.event["data"]["job_id"] == running[0]]
    assert told == sorted(told)


# ---- attempts --------------------------------------------------------------------------


def test_four_attempts_after_1_5_and_15_seconds(service, receiver, certificate, tmp_path):
    """And all that counts as a failure, told in the history."""
    stranger = make_certificate(tmp_path)[0]
    with Receiver(stranger) as wrong_tls:
        receiver.default = answer(500)
        receiver.script("/moved", [answer(302, {"Location": "/elsewhere"})] * 4)
        receiver.script("/reset", [reset] * 4)
        always = create(service, receiver.url("/always"), secret=SECRET)
        moved = create(service, receiver.url("/moved"))
        resets = create(service, receiver.url("/reset"))
        tls = create(service, wrong_tls.url())
        nobody = create(service, f"http://127.0.0.1:{free_port()}/")
        nowhere = create(service, "http://no-such-host.invalid/")
        began = time.monotonic()
        deliveries = {webhook: ping(service, webhook)
                      for webhook in (always, moved, resets, tls, nobody, nowhere)}
        arrived = receiver.wait(4, 40, "/always")
        pauses = [later.at - one.answered for one, later in zip(arrived, arrived[1:])]
        for pause, expected in zip(pauses, (1, 5, 15)):
            assert expected - 0.1 <= pause <= expected + 2, pauses
        assert [one.attempt for one in arrived] == [1, 2, 3, 4]
        assert {one.delivery for one in arrived} == {deliveries[always]}
        assert len({one.body for one in arrived}) == 1
        for one in arrived:
            assert one.headers["x-webhook-signature"] == arrived[0].headers["x-webhook-signature"]
        stamps = [int(one.headers["webhook-timestamp"]) for one in arrived]
        assert stamps == sorted(stamps) and 19 <= stamps[3] - stamps[0] <= 30

        said = {}
        for webhook in deliveries:
            one, = ended(service, webhook)
            assert one["id"] == deliveries[webhook] and one["event"] == "ping"
            assert one["success"] is False and one["attempts"] == 4
            said[webhook] = one["message"]
            shown = webhook_of(service, webhook)
            assert shown["delivery_count"] == 0 and shown["failure_count"] == 1
            assert shown["enabled"] is True and shown["last_delivery"] == one["timestamp"]
        assert time.monotonic() - began < GIVEN_UP
        assert "500" in said[always] and "302" in said[moved]
        assert re.search("certificate|SSL|TLS", said[tls], re.I), said
        assert re.search("refused|connect", said[nobody], re.I), said
        assert said[nowhere] and said[resets]
        assert len(receiver.of("/always")) == len(receiver.of("/moved")) == 4
        assert not receiver.of("/elsewhere"), "a redirect was followed"
        assert not wrong_tls.of(), "something was sent in spite of the certificate"


def test_a_retry_that_succeeds_is_a_success(service, receiver):
    receiver.script("/", [answer(500, {"Connection": "close"}), reset, answer(204)])
    webhook = create(service, receiver.url(), secret=SECRET)
    delivery = ping(service, webhook)
    arrived = receiver.wait(3, 30)
    assert [one.attempt for one in arrived] == [1, 2, 3]
    assert {one.delivery for one in arrived} == {delivery}
    assert_signed(arrived[2], SECRET)
    one, = ended(service, webhook)
    assert one["success"] is True and one["attempts"] == 3 and "204" in one["message"]
    assert webhook_of(service, webhook)["failure_count"] == 0


def test_what_met_a_connection_that_had_gone_is_another_attempt(service, receiver):
    """curl by itself would send it again at once, with the number of the first."""
    webhook = create(service, receiver.url())
    ping(service, webhook)
    ended(service, webhook)
    receiver.script("/", [reset])
    delivery = ping(service, webhook)
    _, lost, again = receiver.wait(3)
    assert lost.connection == 0 and again.connection > 0 and again.at - lost.at > 0.9
    assert lost.delivery == again.delivery == delivery
    assert (lost.attempt, again.attempt) == (1, 2)
    assert ended(service, webhook, 2)[0]["attempts"] == 2


def test_a_receiver_with_the_right_certificate_is_reached(service, certificate):
    with Receiver(certificate[0]) as receiver:
        webhook = create(service, receiver.url(), secret=SECRET)
        ping(service, webhook)
        assert_signed(receiver.wait(1)[0], SECRET)
        assert ended(service, webhook)[0]["success"] is True


def test_retry_after_is_kept(service, receiver):
    receiver.script("/", [answer(429, {"Retry-After": "3"}), answer(200)])
    webhook = create(service, receiver.url())
    ping(service, webhook)
    first, second = receiver.wait(2, 20)
    assert 2.5 <= second.at - first.answered <= 6
    assert ended(service, webhook)[0]["attempts"] == 2


def test_410_disables(service, receiver):
    receiver.script("/", [answer(410)])
    webhook = create(service, receiver.url(), ["job.*"])
    delivery = ping(service, webhook)
    one, = ended(service, webhook)
    assert one["success"] is False and one["attempts"] == 1 and "410" in one["message"]
    wait_until(lambda: webhook_of(service, webhook)["enabled"] is False)
    preload(service)
    with pytest.raises(AssertionError):
        receiver.wait(2, 3)
    assert service.request("PUT", f"/webhooks/{webhook}", json={"enabled": True}).status_code == 200
    preload(service)
    assert receiver.wait(2)[1].delivery != delivery


def test_slow_answers_end_after_ten_seconds(service, receiver):
    """A receiver that hangs, one that drips, and one that never stops."""
    receiver.script("/hang", [hang(60)])
    receiver.script("/drip", [drip(60)])
    receiver.script("/flood", [flood(100 * MIB)])
    paths = {path: create(service, receiver.url(path)) for path in ("/hang", "/drip", "/flood")}
    for webhook in paths.values():
        ping(service, webhook)
    for path in ("/hang", "/drip"):
        first, second = receiver.wait(2, 40, path)
        assert 10 <= second.at - first.at <= 16, path
        assert second.attempt == 2
    # What it says was 2xx, or was given up early; in no case was all of it read into memory.
    assert ended(service, paths["/flood"])[0]["attempts"] <= 2
    pid = service.pid("jobq-hook")
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])
    if "asan" not in os.environ["JOBQ_BUILD"]:
        assert peak < 80 * 1024, f"{peak} KiB"


# ---- many -------------------------------------------------------------------------------


def test_a_hanging_receiver_delays_nobody(service, receiver):
    receiver.script("/hang", [hang(9)] * 1000)
    create(service, receiver.url("/hang"), ["job.*"])
    create(service, receiver.url("/good"), ["job.completed"])
    began = time.monotonic()
    jobs = [service.submit("scene_preload", {"scene_paths": ["res://a.tscn"]}) for _ in range(20)]
    arrived = receiver.wait(20, 8, "/good")
    assert time.monotonic() - began < 8
    assert {one.event["data"]["job_id"] for one in arrived} == set(jobs)


def test_five_at_once_for_one_webhook(service, receiver):
    receiver.default = answer(200, after=0.4)
    webhook = create(service, receiver.url())
    for _ in range(20):
        ping(service, webhook)
    receiver.wait(20)
    ended(service, webhook, 20)
    assert receiver.most == 5


def test_connections_are_kept(service, receiver):
    webhook = create(service, receiver.url(), ["job.completed"])
    for _ in range(40):
        preload(service)
    ended(service, webhook, 40)
    assert receiver.connections <= 6


def test_events_of_one_job_keep_their_order(service, receiver):
    """Also while an early one has to be sent again; other jobs go on meanwhile."""
    seen = []

    def first_queued_fails(handler):
        one = receiver.of()[0]
        again = handler.headers["webhook-id"] == one.delivery and \
            handler.headers["X-Webhook-Attempt"] in ("1", "2")
        seen.append((handler.headers["webhook-id"], again))
        answer(503 if again else 200)(handler)
    receiver.default = first_queued_fails
    create(service, receiver.url(), ["job.queued", "job.started", "job.completed"])
    jobs = [preload(service) for _ in range(4)]
    arrived = receiver.wait(4 * 3 + 2, 30)

    def of(job):
        return [(one.kind, one.attempt) for one in arrived if one.event["data"]["job_id"] == job]
    rest = [("job.started", 1), ("job.completed", 1)]
    assert of(jobs[0]) == [("job.queued", n) for n in (1, 2, 3)] + rest
    for job in jobs[1:]:
        assert of(job) == [("job.queued", 1)] + rest
    failing = [one.at for one in arrived if one.event["data"]["job_id"] == jobs[0]][2]
    assert all(one.at < failing for one in arrived if one.event["data"]["job_id"] in jobs[1:])


def test_put_reaches_the_sender(service, receiver):
    webhook = create(service, receiver.url("/old"), ["job.completed"], secret=SECRET)
    base = f"/webhooks/{webhook}"
    preload(service)
    assert_signed(receiver.wait(1, path="/old")[0], SECRET)
    changes = ({"url": receiver.url("/new"), "secret": STANDARD}, {"events": ["job.queued"]},
               {"secret": None})
    for n, members in enumerate(changes, 1):
        assert service.request("PUT", base, json=members).status_code == 200
        preload(service)
        # Before the next change, which would hold for what still waits, too.
        wait_until(lambda: len(receiver.of("/new")) >= n)  # noqa: B023
    completed, queued, unsigned = receiver.of("/new")
    assert_signed(completed, STANDARD)
    assert completed.kind == "job.completed" and queued.kind == unsigned.kind == "job.queued"
    assert_signed(queued, STANDARD)
    assert "x-webhook-signature" not in unsigned.headers
    assert service.request("PUT", base, json={"enabled": False}).status_code == 200
    preload(service)
    with pytest.raises(AssertionError):
        receiver.wait(5, 2)
    assert len(receiver.of("/old")) == 1


def test_what_waits_survives_a_crash_of_everything(own_service, receiver):
    service = own_service()
    receiver.script("/", [answer(500), answer(500)])
    webhook = create(service, receiver.url(), ["job.completed"], secret=SECRET)
    job = preload(service)
    delivery = receiver.wait(2, 20)[1].delivery
    service.crash()
    service.start()
    last = receiver.wait(3, 40)[2]
    assert last.delivery == delivery and last.event["data"]["job_id"] == job
    assert_signed(last, SECRET)
    assert ended(service, webhook)[0]["success"] is True
    # Deliveries are made at least once: an outcome that was not stored is not known.
    assert {one.delivery for one in receiver.of()} == {delivery}


def listens(service):
    """Whether there is a jobq-hook that nginx can tell of refused requests."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        return s.connect_ex(str(service.state / "run/notice.sock")) == 0


def test_a_killed_hook_goes_on(service, receiver):
    webhook = create(service, receiver.url(), ["job.completed"])
    jobs = []
    for _ in range(5):
        jobs += [service.submit("scene_preload", {"scene_paths": ["res://a.tscn"]})
                 for _ in range(10)]
        service.kill("jobq-hook")
    for job in jobs:
        service.wait_job(job)
    wait_until(lambda: {one.event["data"]["job_id"] for one in receiver.of()} == set(jobs), 30)
    wait_until(lambda: webhook_of(service, webhook)["delivery_count"] == len(jobs))
    wait_until(lambda: listens(service), what="a jobq-hook that takes notices again")


# ---- where nothing is sent -----------------------------------------------------------------


def spellings(port, port6):
    yield from (f"http://{host}:{port}/" for host in (
        "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1",
        "017700000001", "0x7f.0.0.0x1", "127.000.000.001", "localhost", "LOCALHOST", "localhost.",
        "127.0.0.1.", "0.0.0.0", "0", "127.255.255.254", "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]"))
    yield from (f"http://{host}:{port6}/" for host in ("[::1]", "[0:0:0:0:0:0:0:1]", "[::]"))


OTHERS = ["http://10.0.0.1/", "http://172.16.0.1/", "http://192.168.0.1/", "http://100.64.0.1/",
          "http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://[fc00::1]/",
          "http://[fd00:ec2::254]/", "http://224.0.0.1/", "http://255.255.255.255/",
          "https://127.0.0.1/"]


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def test_loopback_and_private_addresses_are_closed_by_default(own_service, receiver):
    # One that opens something else only: quickstart would open loopback.
    service = own_service(options=["webhook_allow = 192.0.2.0/24"])
    with Receiver(address="::1" if has_ipv6() else "127.0.0.1") as receiver6:
        urls = list(spellings(receiver.port, receiver6.port)) + OTHERS
        webhooks = {}
        for url in urls:
            got = service.post("/webhooks", {"url": url, "events": ["ping"]})
            if got.status_code == 201:  # some spellings are refused at once
                webhooks[got.json()["webhook_id"]] = url
            else:
                assert got.status_code == 400 and got.json()["code"] == "invalid_url", got.text
        assert len(webhooks) > len(urls) - 4
        for webhook in webhooks:
            ping(service, webhook)
        for webhook, url in webhooks.items():
            one = ended(service, webhook)[0]
            assert one["success"] is False, url
            # What the resolver does not take for an address is none.
            assert re.search("allow|public|resolve", one["message"], re.I), (url, one["message"])
            if re.search(r"//(127\.0\.0\.1[:/]|\[|localhost[:/]|10\.|192\.|169\.)", url):
                assert re.search("allow|public", one["message"], re.I), (url, one["message"])
        assert not receiver.of() and receiver.connections == 0
        assert not receiver6.of() and receiver6.connections == 0


def test_ports_can_be_closed(own_service, receiver):
    with Receiver() as other:
        service = own_service(options=["webhook_allow = 127.0.0.0/8",
                                       f"webhook_ports = {receiver.port}"])
        open_one, closed = create(service, receiver.url()), create(service, other.url())
        ping(service, open_one)
        ping(service, closed)
        assert ended(service, open_one)[0]["success"] is True
        one = ended(service, closed)[0]
        assert one["success"] is False and "port" in one["message"]
        assert other.connections == 0


# ---- refused requests ------------------------------------------------------------------------


def told(receiver, path):
    """Of how many refusals the events tell."""
    return sum(1 + one.event["data"].get("suppressed", 0) for one in receiver.of(path))


def settled(receiver, path, expected):
    """Waits until that many are told of, or nothing more comes; datagrams may be lost."""
    deadline = time.monotonic() + 20
    while told(receiver, path) < expected and time.monotonic() < deadline:
        time.sleep(0.2)
    return told(receiver, path)


def flood_with(service, token, count):
    """Sends so many requests; the status codes, and how long it took."""
    session = service.new_session(token)
    began = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda _: session.get(f"{service.base_url}/jobs/1", timeout=30)
                              .status_code, range(count)))
    return codes, time.monotonic() - began


def test_one_bad_token_is_told_of(service, receiver):
    create(service, receiver.url("/refused"), ["auth.failed"])
    assert requests.get(f"{service.base_url}/jobs", timeout=30).status_code == 401
    one, = receiver.wait(1, path="/refused")
    assert one.kind == "auth.failed"
    assert one.event["data"]["client"] == "127.0.0.1"
    assert one.event["data"].get("suppressed", 0) == 0


def test_a_flood_of_bad_tokens_is_no_flood_of_webhooks(service, receiver):
    create(service, receiver.url("/flood"), ["auth.failed"])
    bad = "not-the-token-of-anybody-here"
    codes, took = flood_with(service, bad, 300)
    assert set(codes) == {401}
    # Ten datagrams wait at the most (net.unix.max_dgram_qlen); a busy machine loses some.
    assert 20 < settled(receiver, "/flood", 300) <= 300
    events = receiver.of("/flood")
    assert len(events) <= 5 * (took + 2) + 5, f"{len(events)} events in {took} s"
    assert not any(bad in one.body.decode() for one in events), "shows what was tried"


def test_refusing_does_not_need_the_hook(own_service, receiver):
    service = own_service()
    webhook = create(service, receiver.url(), ["ping"])
    bad = service.new_session("x" * 64)
    for _ in range(5):
        service.kill("jobq-hook")
        for _ in range(20):
            got = bad.get(f"{service.base_url}/jobs", timeout=30)
            assert got.status_code == 401 and got.json()["code"] == "unauthorized"
    ping(service, webhook)
    receiver.wait(1, 30)


def test_the_rate_limit_is_told_of(own_service, receiver):
    tokens = {"ci": "a" * 64, "other": "b" * 64}
    service = own_service(rate="1r/s", tokens=tokens)
    create(service, receiver.url("/limited"), ["rate_limit.exceeded"])
    codes, took = flood_with(service, tokens["other"], 2200)  # 2000 may come at once
    limited = codes.count(429)
    assert set(codes) == {404, 429} and 50 <= limited <= 200
    # A busy machine loses some, as above.
    assert 20 < settled(receiver, "/limited", limited) <= limited
    events = receiver.of("/limited")
    assert {one.kind for one in events} == {"rate_limit.exceeded"}
    assert len(events) <= 5 * (took + 2) + 5
    assert events[0].event["data"]["token"] == "other"
    assert not any(tokens["other"] in one.body.decode() for one in events)
