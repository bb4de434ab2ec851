"""`jobqctl token`, what nginx makes of the file, and what each token may do."""

import hashlib
import json
import os
import re
import sqlite3
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from service import Service, children, program, wait_until
from test_nginx import (INVALID, MIB, REALM, SECURITY, ask, assert_error, assert_refused, logged,
                        log_lines, reload)

JOB = b'{"type": "cache_warming", "parameters": {}}'
JSON = ["Content-Type: application/json"]
HOOK = b'{"url": "http://127.0.0.1:9/", "events": ["job.failed"], "enabled": false}'


@pytest.fixture(scope="module")
def service(project):
    with Service(project=project, options=["drain_timeout = 0"],
                 tokens={"ci": "c" * 64}) as running:
        yield running


@pytest.fixture
def file(tmp_path):
    """A tokens file of no nginx."""
    return tmp_path / "tokens.json"


def sha256(token):
    return hashlib.sha256(token.encode()).hexdigest()


def run(service, *words):
    return program("jobqctl", "-c", service.state / "etc/jobq.conf", "token", *words)


def change(service, *words):
    """The token that is made; `words` must succeed."""
    done = run(service, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.removesuffix("\n")


def alone(file, *words):
    return program("jobqctl", "token", *words, "--file", file, "--no-reload")


def listed(*words):
    done = program("jobqctl", *words, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def entries(file):
    return listed("token", "list", "--file", file, "--no-reload")


def status(service, token, method="GET", path="/jobs?limit=1", body=b""):
    return ask(service, method, path, token=token, body=body, headers=JSON).status


# ---- making, ending, replacing --------------------------------------------------------


def test_token_is_shown_once_and_counts_at_once(service):
    tokens = service.state / "etc/tokens.json"
    mode = tokens.stat().st_mode
    done = run(service, "add", "anna@example.org", "--scope", "submit", "--expires", "90d")
    token = done.stdout.removesuffix("\n")
    assert re.fullmatch(r"jobq_[A-Za-z0-9_-]{43}", token), "256 bits, alone"
    assert done.returncode == 0 and "anna@example.org" in done.stderr and token not in done.stderr
    assert status(service, token) == 200

    text = tokens.read_text()
    assert token not in text and token.removeprefix("jobq_") not in text
    entry = json.loads(text)[sha256(token)]
    assert list(entry) == ["name", "scope", "created", "expires"]
    assert (entry["name"], entry["scope"]) == ("anna@example.org", "submit")
    assert entry["expires"] - entry["created"] == 90 * 86400
    assert tokens.stat().st_mode == mode
    assert status(service, sha256(token)) == 401, "the hash is no token"
    assert status(service, service.token) == 200, "the others stay"


def test_token_names_its_requests_and_its_jobs(service):
    token = change(service, "add", "owner.1", "--scope", "submit")
    before = len(log_lines(service))
    answer = ask(service, "POST", token=token, body=JOB, headers=JSON)
    job_id = answer.json()["job_id"]
    assert logged(service, before, token="owner.1", status="202")["job"] == job_id
    with sqlite3.connect(f"file:{service.state}/jobq.db?mode=ro", uri=True) as store:
        assert store.execute("SELECT owner FROM jobs WHERE id = ?", (job_id,)).fetchall() in \
            ([("owner.1",)], [(b"owner.1",)])


def test_revoked_token_is_refused_at_once(service):
    for _ in range(5):
        token = change(service, "add", "short-lived")
        assert status(service, token) == 200
        assert change(service, "revoke", "short-lived") == ""
        assert_refused(ask(service, token=token), INVALID)
    done = run(service, "revoke", "short-lived")
    assert (done.returncode, done.stdout) == (1, "") and "none of this name" in done.stderr


def test_token_expires_by_itself(service):
    token = change(service, "add", "brief", "--expires", "2s")
    workers = children(service.pid("nginx"))
    assert status(service, token) == 200
    wait_until(lambda: status(service, token) == 401, 10, "the end of the token")
    assert_refused(ask(service, token=token), INVALID)
    assert children(service.pid("nginx")) == workers, "nobody has helped"
    assert [line["state"] for line in listed_here(service) if line["name"] == "brief"] == \
        ["expired"]
    change(service, "revoke", "brief")


def listed_here(service):
    return listed("-c", service.state / "etc/jobq.conf", "token", "list")


def test_rotation_overlaps(service):
    old = change(service, "add", "rotated", "--scope", "read", "--expires", "90d")
    new = change(service, "rotate", "rotated", "--overlap", "2s")
    assert old != new
    assert status(service, new) == 200
    before = len(log_lines(service))
    wait_until(lambda: status(service, old) == 401, 10, "the end of the old token")
    assert status(service, new) == 200
    logged(service, before, token="rotated", status="200")
    assert status(service, new, "POST", "/jobs", JOB) == 403, "it may no more than the old one"
    ends = [line["expires"] - line["created"] for line in listed_here(service)
            if line["name"] == "rotated" and line["hash"] == sha256(new)[:8]]
    assert ends == [90 * 86400], "it lives as long as the old one was to"
    newest = change(service, "rotate", "rotated", "--overlap", "0")
    assert status(service, newest) == 200
    assert_refused(ask(service, token=new), INVALID)
    assert len([line for line in listed_here(service) if line["name"] == "rotated"]) == 1


def test_rotation_leaves_an_earlier_end(file):
    alone(file, "add", "a", "--expires", "2h")
    for _ in range(3):
        assert alone(file, "rotate", "a", "--overlap", "7d", "--expires", "30d").returncode == 0
    lives = [line["expires"] - line["created"] for line in entries(file)]
    assert lives[0] == 2 * 3600
    assert all(abs(life - 7 * 86400) < 60 for life in lives[1:3]) and lives[3] == 30 * 86400


def test_rotation_of_what_is_not_there(file):
    done = alone(file, "rotate", "a")
    assert done.returncode == 1 and "none of this name" in done.stderr and done.stdout == ""
    file.write_text(json.dumps({sha256("x"): {"name": "a", "expires": 4000000000}}))
    done = alone(file, "rotate", "a")
    assert done.returncode == 1 and "--expires" in done.stderr
    assert alone(file, "rotate", "a", "--expires", "1d").returncode == 0
    assert len(entries(file)) == 2


# ---- what each may do -----------------------------------------------------------------

READ = [("GET", "/jobs?limit=1", b""), ("HEAD", "/jobs?limit=1", b""), ("GET", "/jobs", b""),
        ("GET", "/jobs/999999?wait=1", b""), ("GET", "/webhooks", b""),
        ("GET", "/jobs/999999/events", b"")]
SUBMIT = [("POST", "/jobs", JOB), ("DELETE", "/jobs/999999", b""),
          ("POST", "/jobs/999999/retry", b""), ("POST", "/jobs?wait=5", JOB)]
ADMIN = [("POST", "/webhooks", HOOK), ("PUT", "/webhooks/999999", HOOK),
         ("DELETE", "/webhooks/999999", b""), ("POST", "/webhooks/999999/test", b""),
         ("PUT", "/jobs", b""), ("PATCH", "/jobs/1", b""), ("POST", "/none", b""),
         ("BREW", "/jobs", b""), ("CREATE", "/jobsx", b"")]


@pytest.fixture(scope="module")
def scoped(service):
    return {scope: change(service, "add", f"scope-{scope}", "--scope", scope)
            for scope in ("read", "submit", "admin")}


@pytest.mark.parametrize("needed,requests", [("read", READ), ("submit", SUBMIT), ("admin", ADMIN)])
def test_scopes(service, scoped, needed, requests):
    order = list(scoped)
    for method, path, body in requests:
        for scope, token in scoped.items():
            answer = ask(service, method, path, token=token, body=body, headers=JSON)
            if order.index(scope) >= order.index(needed):
                assert answer.status not in (401, 403), (scope, method, path)
                continue
            assert_error(answer, 403, "insufficient_scope")
            assert answer.headers.get_all("WWW-Authenticate") == \
                [f'{REALM}, error="insufficient_scope", scope="{needed}"']
            assert answer.json() == {
                "success": False, "code": "insufficient_scope",
                "error": f"This token may not do that: it needs the scope {needed}"}
        assert_refused(ask(service, method, path, body=body), body=method != "HEAD")


def test_what_may_not_be_done_is_not_done(service, scoped):
    before = service.get("/jobs?limit=10000").json()["count"]
    lines = len(log_lines(service))
    assert status(service, scoped["read"], "POST", "/jobs", JOB) == 403
    assert status(service, scoped["read"], "DELETE", "/jobs/1") == 403
    assert service.get("/jobs?limit=10000").json()["count"] == before
    line = logged(service, lines, token="scope-read", status="403", request="POST /jobs")
    assert line["upstream_seconds"] == ""


@pytest.mark.parametrize("chunked", [False, True])
def test_large_bodies_are_forbidden_not_measured(service, scoped, chunked):
    answer = ask(service, "POST", token=scoped["read"], body=b"x" * 2 * MIB, chunked=chunked)
    assert_error(answer, 403, "insufficient_scope")


@pytest.mark.parametrize("path", ["//jobs", "/jobs/", "/jobs/./1", "/job%73"])
def test_what_is_nowhere_needs_no_scope(service, scoped, path):
    assert_error(ask(service, "POST", path, token=scoped["read"]), 404, "not_found")


def test_trace_needs_no_scope(service, scoped):
    assert_error(ask(service, "TRACE", token=scoped["read"]), 405, "method_not_allowed")
    answer = ask(service, "OPTIONS", token=scoped["read"], headers=JSON)
    assert answer.status == 405 and "POST" in answer.headers["Allow"]


def test_applications_403_is_its_own(service, scoped):
    """Only what nginx forbids is said to lack a scope."""
    for path in ("/healthz", "/jobs?limit=1"):
        answer = ask(service, path=path, token=scoped["read"])
        assert answer.status == 200 and "WWW-Authenticate" not in answer.headers
        assert all(answer.headers[name] == value for name, value in SECURITY.items())


def test_forbidden_requests_count_for_the_limit(own_service):
    service = own_service(rate="1r/s")
    token = change(service, "add", "reader", "--scope", "read")
    request = (f"POST /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
               "Content-Length: 0\r\n").encode()
    got = service.raw((request + b"\r\n") * 2200 + request + b"Connection: close\r\n\r\n")
    assert got.count(b"HTTP/1.1 403 ") >= 2000 and got.count(b"HTTP/1.1 429 ") > 100


# ---- what stands in the file ----------------------------------------------------------

FUTURE = 4000000000
IN_THE_FILE = [
    ("plain", "valid", "admin"), ({"name": "a"}, "valid", "admin"),
    ({"name": "a", "scope": "read"}, "valid", "read"),
    ({"name": "a", "scope": "submit", "expires": None, "more": [1]}, "valid", "submit"),
    ({"name": "a", "expires": FUTURE}, "valid", "admin"),
    ({"name": "a", "expires": FUTURE + 0.5}, "valid", "admin"),
    ({"name": "a", "expires": 1e17}, "valid", "admin"),
    ({"name": "a", "expires": 0}, "expired", None), ({"name": "a", "expires": 1}, "expired", None),
    ({"name": "a", "expires": 1700000000.9}, "expired", None),
    ({"name": "a", "expires": -1}, "unusable", None),
    ({"name": "a", "expires": "2099-01-01"}, "unusable", None),
    ({"name": "a", "expires": True}, "unusable", None),
    ({"name": "a", "expires": str(FUTURE)}, "unusable", None),
    ({"name": "a", "scope": "Read"}, "unusable", None),
    ({"name": "a", "scope": ""}, "unusable", None),
    ({"name": "a", "scope": None}, "unusable", None),
    ({"name": "a", "scope": ["admin"]}, "unusable", None),
    ({"name": "a", "scope": "read\n"}, "unusable", None),
    ({"name": "a", "scope": "read submit"}, "unusable", None),
    ({"name": "a b"}, "unusable", None), ({"name": "a\n"}, "unusable", None),
    ({"name": "\x1b[2J"}, "unusable", None), ({"name": ""}, "unusable", None),
    ({}, "unusable", None),
    ({"scope": "read"}, "unusable", None), (None, "unusable", None), (5, "unusable", None),
    ([], "unusable", None), (["a"], "unusable", None), (True, "unusable", None),
    ("", "unusable", None), ("n" * 64, "valid", "admin"), ("n" * 65, "unusable", None),
]


def test_jobqctl_and_nginx_judge_alike(own_service):
    service = own_service()
    tokens = service.state / "etc/tokens.json"
    tokens.write_text(json.dumps({sha256(f"token-{i}"): entry
                                  for i, (entry, *_) in enumerate(IN_THE_FILE)}))
    reload(service)
    lines = listed_here(service)
    assert [line["hash"] for line in lines] == \
        [sha256(f"token-{i}")[:8] for i in range(len(IN_THE_FILE))]
    for i, (line, (entry, state, scope)) in enumerate(zip(lines, IN_THE_FILE)):
        assert line["state"] == state, entry
        may = {"read": [200, 403, 403], "submit": [200, 404, 403], "admin": [200, 404, 404],
               None: [401] * 3}[scope]
        assert [status(service, f"token-{i}", *what) for what in (
            ("GET",), ("DELETE", "/jobs/99999"), ("DELETE", "/webhooks/99999"))] == may, entry
    for problem in ("no usable name", "no usable scope", "no usable expiry"):
        assert problem in service.logs()
    assert "token-" not in service.logs().replace(str(tokens), "")
    people = run(service, "list").stdout
    assert people.isascii() and re.fullmatch(r"[ -~\n]+", people)
    assert len({len(line) for line in people.splitlines()[1:-3]}) == 1, "columns"


def test_a_change_leaves_all_else(file):
    """Members and entries that jobqctl does not know, and their order."""
    kept = {sha256(f"t{i}"): entry for i, (entry, *_) in enumerate(IN_THE_FILE)}
    kept["note"] = "the names are those of machines"
    file.write_text(json.dumps(kept))
    assert alone(file, "add", "new").returncode == 0
    text = json.loads(file.read_text())
    assert list(text.items())[:-1] == list(kept.items())
    assert alone(file, "revoke", "new").returncode == 0
    assert json.loads(file.read_text()) == kept


@pytest.mark.parametrize("text,place", [
    ("", "line 1, column 0"), ("{", "line 1, column 1"), ("[]", "line 1, column 1"),
    ('{"a": "b",\n "a": "c"}', "line 2"), ('{"a":\n  x}', "line 2, column 3"),
    ('{"a": "\xff"}', "line 1"), ("{} {}", "line 1, column 4"), ("5", "line 1"),
], ids=repr)
@pytest.mark.parametrize("words", [("add", "a"), ("list",), ("revoke", "a"), ("rotate", "a")])
def test_broken_file_is_named_and_left_alone(file, text, place, words):
    file.write_bytes(text.encode("latin-1"))
    before = file.stat()
    done = alone(file, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{file}: {place}" in done.stderr
    assert file.read_bytes() == text.encode("latin-1") and file.stat().st_ino == before.st_ino
    assert os.listdir(file.parent) == [file.name]


def test_file_keeps_owner_mode_and_link(tmp_path):
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real/t.json", tmp_path / "link.json"
    link.symlink_to("real/t.json")
    real.write_text("{}")
    real.chmod(0o604)
    if os.getuid() == 0:
        os.chown(real, 12, 33)
    before = real.stat()
    (tmp_path / "real/.t.json.new").write_text("left behind by one that was killed")
    assert alone(link, "add", "a").returncode == 0
    after = real.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == \
        (before.st_mode, before.st_uid, before.st_gid)
    assert link.is_symlink() and os.listdir(real.parent) == ["t.json"]
    assert len(entries(link)) == 1


def test_new_file_is_not_everybodys(file):
    assert alone(file, "add", "a").returncode == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    done = alone(file.parent / "no/such.json", "add", "a")
    assert done.returncode == 1 and "No such file" in done.stderr
    assert alone(file.parent / "none.json", "list").returncode == 1
    assert alone(file.parent, "add", "a").returncode == 1


def test_changes_at_a_time_lose_none(file):
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda i: alone(file, "add", f"t{i}"), range(40)))
    assert [one.returncode for one in done] == [0] * 40
    assert {line["name"] for line in entries(file)} == {f"t{i}" for i in range(40)}
    assert {sha256(one.stdout.strip())[:8] for one in done} == \
        {line["hash"] for line in entries(file)}


# ---- what goes wrong ------------------------------------------------------------------


@pytest.mark.parametrize("words", [
    (), ("add",), ("add", ""), ("add", "a b"), ("add", "a" * 65), ("add", "ä"), ("add", "a", "b"),
    ("add", "a", "--expires", "90"), ("add", "a", "--expires", "0"),
    ("add", "a", "--expires", "0d"), ("add", "a", "--expires", ""),
    ("add", "a", "--expires", "-1d"), ("add", "a", "--expires", "1w"),
    ("add", "a", "--expires", "500ms"), ("add", "a", "--expires", "1.5h"),
    ("add", "a", "--expires", "36501d"), ("add", "a", "--expires", "99999999999999999999d"),
    ("add", "a", "--scope", "root"), ("add", "a", "--scope", ""), ("add", "a", "--overlap", "7d"),
    ("add", "a", "--json"), ("add", "a", "--none"), ("list", "a"), ("list", "--scope", "read"),
    ("revoke",), ("revoke", "a", "--overlap", "7d"), ("rotate", "a", "--scope", "read"),
    ("rotate", "a", "--overlap", "7"), ("forget", "a"), ("add", "a", "--expires"),
], ids=" ".join)
def test_wrong_command_lines_change_nothing(file, words):
    done = program("jobqctl", "token", *words, *(["--file", file, "--no-reload"] if words else []))
    assert (done.returncode, done.stdout) == (2, "") and done.stderr != ""
    assert not file.exists()


def test_second_of_a_name_is_refused(file):
    assert alone(file, "add", "a").returncode == 0
    before = file.read_bytes()
    done = alone(file, "add", "a")
    assert (done.returncode, done.stdout) == (1, "") and "rotate" in done.stderr
    assert file.read_bytes() == before


def test_nginx_that_cannot_be_told(service):
    """The status tells; the change stands in the file, and counts later."""
    done = run(service, "add", "untold", "--reload", "echo away; exit 7")
    token = done.stdout.removesuffix("\n")
    assert done.returncode == 3 and re.fullmatch(r"jobq_[\w-]{43}", token)
    assert "away" in done.stderr and "nginx -t" in done.stderr
    assert status(service, token) == 401
    change(service, "add", "told")
    assert status(service, token) == 200

    site = service.state / "etc/quickstart.conf"
    text = site.read_text()
    site.write_text(text + "nonsense;\n")
    try:
        done = run(service, "revoke", "untold")
        assert done.returncode == 3 and "nonsense" in done.stderr
        # So it is when nobody asks nginx before.
        pid = service.pid("nginx")
        done = run(service, "revoke", "told", "--reload", f"kill -HUP {pid}")
        assert done.returncode == 3 and "old workers" in done.stderr
    finally:
        site.write_text(text)
    assert status(service, token) == 200, "nginx has gone on with what it had"
    change(service, "add", "last")
    assert status(service, token) == 401


def test_token_that_cannot_be_shown(file):
    with open("/dev/full", "w") as full:
        done = subprocess.run([f"{os.environ['JOBQ_BUILD']}/jobqctl", "token", "add", "a", "--file",
                               file, "--no-reload"], stdout=full, stderr=subprocess.PIPE, text=True,
                              timeout=60)
    assert done.returncode == 1 and "could not be printed" in done.stderr
    assert alone(file, "revoke", "a").returncode == 0


def test_no_configuration_is_needed(file):
    """With both that it would be asked for on the command line."""
    words = ["token", "add", "a", "--file", file]
    assert program("jobqctl", "-c", "/no/such", *words, "--reload", "true").returncode == 0
    assert program("jobqctl", "-c", "/no/such", "token", "list").returncode == 78
    done = program("jobqctl", "-o", f"tokens_file={file}", "-o", "nginx_reload=exit 1", "token",
                   "revoke", "a")
    assert done.returncode == 3 and entries(file) == []
