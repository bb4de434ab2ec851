"""What nginx answers by itself: tokens, limits, errors; its log, and what it passes on."""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path

import pytest
from service import BEGIN, END, PARAMS, ROOT, STDIN, STDOUT, Service, children, record, wait_until

MIB = 1048576
BURST = 2000  # of both limits
REALM = 'Bearer realm="jobqueue"'
INVALID = REALM + ', error="invalid_token"'
REFUSED = {"success": False, "error": "Authentication required", "code": "unauthorized"}


# ---- asking by hand: requests would tidy up what these tests send ----------------


class Tape(io.BytesIO):
    """Bytes that came, in the place of a socket."""

    def makefile(self, *_):
        return self

    def close(self):
        pass


class Answer:
    def __init__(self, source, method="GET"):
        response = HTTPResponse(source, method=method)
        response.begin()
        self.status, self.headers = response.status, response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)


def answers(data, method="GET"):
    """Takes apart what came over one connection."""
    tape, found = Tape(data), []
    while tape.tell() < len(data):
        found.append(Answer(tape, method))
    return found


def compose(method="GET", path="/jobs", headers=(), token=None, body=b"", chunked=False,
            version="HTTP/1.1", close=True):
    lines = [f"{method} {path} {version}", "Host: localhost", *headers]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if chunked:
        lines.append("Transfer-Encoding: chunked")
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    elif body:
        lines.append(f"Content-Length: {len(body)}")
    if close:
        lines.append("Connection: close")
    return "\r\n".join(lines + ["", ""]).encode("latin-1") + body


def send(service, data, method="GET"):
    """Sends bytes, wants exactly one answer."""
    got = service.raw(data)
    found = answers(got, method)
    assert len(found) == 1, got
    return found[0]


def ask(service, method="GET", path="/jobs", headers=(), **arguments):
    return send(service, compose(method, path, headers, **arguments), method)


def connect(service):
    return socket.create_connection(("127.0.0.1", service.port), 20)


def statuses(service, request, count):
    """Sends a request so often, pipelined over some connections; counts the answers."""
    each = 250
    assert count % each == 0
    last = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with ThreadPoolExecutor(4) as pool:
        got = pool.map(lambda _: answers(service.raw(request * (each - 1) + last)),
                       range(count // each))
        found = [answer for part in got for answer in part]
    assert len(found) == count
    return Counter(answer.status for answer in found), found


SECURITY = {
    "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
}


def assert_plain(answer):
    """What holds for each and every answer."""
    for name, value in SECURITY.items():
        assert answer.headers.get_all(name) == [value]
    assert answer.headers.get_all("Cache-Control") == ["no-store"]
    assert answer.headers.get_all("Server") == ["nginx"], "no version"
    assert answer.headers.get_all("Content-Type") == ["application/json"]


def assert_error(answer, status, code):
    assert answer.status == status, answer.body
    assert_plain(answer)
    body = answer.json()
    assert list(body)[:3] == ["success", "error", "code"]
    assert set(body) <= {"success", "error", "code", "details"}
    assert body["success"] is False and body["code"] == code
    assert isinstance(body["error"], str) and len(body["error"]) > 5
    assert ("WWW-Authenticate" in answer.headers) == (status in (401, 403))
    return body


def assert_refused(answer, challenge=REALM, body=True):
    assert answer.status == 401, answer.body
    assert_plain(answer)
    assert answer.headers.get_all("WWW-Authenticate") == [challenge]
    if body:
        assert answer.json() == REFUSED and list(answer.json()) == list(REFUSED)
    else:
        assert answer.body == b""


def reload(service):
    """Has nginx read its files again; waits until only that serves."""
    nginx = service.pid("nginx")
    before = set(children(nginx))
    os.kill(nginx, signal.SIGHUP)
    wait_until(lambda: not before & set(children(nginx)), 20, "the end of nginx's old workers")


def log_lines(service):
    return (service.state / "log/access.log").read_bytes().splitlines()


def logged(service, before, **wanted):
    """A line of the log, behind the first `before`, that has these members."""
    def find():
        return [line for line in map(json.loads, log_lines(service)[before:])
                if wanted.items() <= line.items()]
    return wait_until(find, 20, f"a line of log with {wanted}")[0]


def wait_logged(service, count):
    wait_until(lambda: len(log_lines(service)) >= count, 20, f"{count} lines of log")


# ---- an application in the place of jobq-api -------------------------------------


def parameters(data):
    """The name-value pairs of FastCGI."""
    found, at = {}, 0
    while at < len(data):
        lengths = []
        for _ in range(2):
            wide = data[at] >> 7
            lengths.append(struct.unpack_from("!I", data, at)[0] & 0x7fffffff if wide
                           else data[at])
            at += 4 if wide else 1
        name, value = data[at:at + lengths[0]], data[at + lengths[0]:at + sum(lengths)]
        assert name not in found
        found[name.decode("latin-1")] = value.decode("latin-1")
        at += sum(lengths)
    return found


class StandIn:
    """Listens on a FastCGI socket, keeps what is asked, and answers `self.answer`."""

    OK = b"Status: 200 OK\r\nContent-Type: application/json\r\n\r\n{}"
    SILENT = None

    def __init__(self, path):
        self.path = Path(path)
        self.real = self.path.with_suffix(".real")
        self.path.rename(self.real)
        self.listener = None
        self.reset()

    def reset(self):
        if self.listener is None:
            self.listen()
        self.answer, self.raw, self.asked = self.OK, False, []

    def listen(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(64)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def hide(self, leave_file=False):
        listener, self.listener = self.listener, None
        listener.shutdown(socket.SHUT_RDWR)  # wakes accept(), which closes it
        if not leave_file:
            self.path.unlink()

    def give_back(self):
        if self.listener is not None:
            self.hide()
        self.real.rename(self.path)

    def accept(self, listener):
        with listener:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rb") as stream:
            names, body, done = b"", b"", False
            while not done:
                head = stream.read(8)
                if len(head) < 8:
                    return
                _, kind, _, length, padding, _ = struct.unpack("!BBHHBB", head)
                content = stream.read(length + padding)[:length]
                assert kind in (BEGIN, PARAMS, STDIN)
                names += content if kind == PARAMS else b""
                body += content if kind == STDIN else b""
                done = kind == STDIN and not content
            self.asked.append(dict(parameters(names), body=body))
            if self.answer is self.SILENT:
                stream.read()  # until nginx has had enough
            elif self.raw:
                connection.sendall(self.answer)
            else:
                connection.sendall(record(STDOUT, self.answer) + record(STDOUT) +
                                   record(END, b"\0" * 8))


@contextmanager
def stood_in(service):
    """Both of jobq-api's sockets taken over."""
    taken = {name: StandIn(service.socket_path(name)) for name in ("api", "wait")}
    try:
        reload(service)  # drops what nginx keeps open to jobq-api
        yield taken
    finally:
        for one in taken.values():
            one.give_back()


@pytest.fixture(scope="module")
def with_stand_in(project):
    """A service whose application is ours, and whose nginx is soon impatient."""
    with Service(project=project, options=["drain_timeout = 0"],
                 tokens={"ci": "c" * 64}) as running:
        site = running.state / "etc/jobq-server.conf"
        text, changes = re.subn(r"(?m)^((fastcgi_read|client_body|client_header)_timeout) 30s;",
                                r"\1 1s;", site.read_text())
        assert changes == 3
        site.write_text(text)
        with stood_in(running) as taken:
            running.api, running.wait = taken["api"], taken["wait"]
            yield running
        reload(running)
        running.wait_healthy()


@pytest.fixture
def staged(with_stand_in):
    with_stand_in.api.reset()
    with_stand_in.wait.reset()
    return with_stand_in


# ---- tokens ----------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
@pytest.mark.parametrize("spaces", [" ", "   "])
def test_scheme_in_any_case_is_accepted(service, scheme, spaces):
    answer = ask(service, headers=[f"Authorization: {scheme}{spaces}{service.token}"])
    assert answer.status == 200
    assert_plain(answer)
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize("value,sent", [
    (None, False), ("", False), ("Bearer", False), ("Bearer ", False),
    ("Basic Y2k6eA==", False), ("Basic {token}", False), ("{token}", False),
    ("Bearer{token}", False), ("Token {token}", False), ("XBearer {token}", False),
    ("Bearer {wrong}", True), ("bearer {wrong}", True), ("BEARER   {wrong}", True),
    ("Bearer {upper}", True), ("Bearer {lower}", True),
    ("Bearer {cut}", True), ("Bearer {token}x", True), ("Bearer {token}=", True),
    ("Bearer {token} x", True), ("Bearer {token},", True), ("Bearer {token}, Bearer {token}", True),
    ("Bearer x {token}", True), ('Bearer "{token}"', True), ("Bearer {token}\t{token}", True),
    ("Bearer {hash}", True), ("Bearer {long}", True), ("Bearer ../../etc/passwd", True),
    ("Bearer {token}\xe4", True), ("Bearer __proto__", True), ("Bearer ci", True),
])
def test_other_tokens_are_refused(service, value, sent):
    token = service.token
    headers = [] if value is None else ["Authorization: " + value.format(
        token=token, wrong="f" * 64, upper=token.upper(), lower=token.lower(), cut=token[:-1],
        hash=hashlib.sha256(token.encode()).hexdigest(), long="a" * 600)]
    assert_refused(ask(service, headers=headers), INVALID if sent else REALM)


def test_both_tokens_are_accepted_and_named_in_the_log(service):
    before = len(log_lines(service))
    assert len(service.tokens) == 2
    for name, token in service.tokens.items():
        assert ask(service, path=f"/jobs/{len(name)}00000", token=token).status == 404
        logged(service, before, token=name, request=f"GET /jobs/{len(name)}00000")


@pytest.mark.parametrize("first,second", [(0, 0), (0, 1), (1, 0), (1, 1), (0, "Basic eA==")])
def test_two_authorization_headers_are_no_request(service, first, second):
    values = [f"Bearer {service.token}", "Bearer " + "f" * 64]
    headers = [f"Authorization: {value if isinstance(value, str) else values[value]}"
               for value in (first, second)]
    assert_error(ask(service, headers=headers), 400, "bad_request")


@pytest.mark.parametrize("place", [
    "/jobs?access_token={0}", "/jobs?token={0}", "/jobs/{0}", "/{0}/jobs"])
def test_tokens_elsewhere_do_not_count(service, place):
    assert_refused(ask(service, path=place.format(service.token)))
    assert_refused(ask(service, headers=[f"X-Authorization: Bearer {service.token}",
                                         f"Proxy-Authorization: Bearer {service.token}",
                                         f"Cookie: token={service.token}"]))


def test_tokens_file_is_read_again_on_reload(own_service):
    """Names as plain strings and in objects; what has no usable name is no token."""
    service = own_service()
    good = {"plain": "plain.1", "object": {"name": "o@b-j_1"}, "more": {"name": "m", "x": 1},
            "longest": "n" * 64}
    bad = {"space": "a b", "none": "", "long": {"name": "n" * 65}, "quote": {"name": 'a"b'},
           "null": None, "number": 5, "list": ["a"], "empty": {}, "nested": {"name": {"name": "a"}},
           "newline": "a\nb"}

    def hashed(entries):
        return {hashlib.sha256(f"tok-{key}".encode()).hexdigest(): value
                for key, value in entries.items()}
    tokens = service.state / "etc/tokens.json"
    tokens.write_text(json.dumps({**hashed(good), **hashed(bad)}))
    reload(service)
    before = len(log_lines(service))
    for key in good:
        assert ask(service, token=f"tok-{key}").status == 200, key
    for name in ("plain.1", "o@b-j_1", "m", "n" * 64):
        logged(service, before, token=name, status="200")
    for key in bad:
        assert_refused(ask(service, token=f"tok-{key}"), INVALID)
    assert_refused(ask(service, token=service.token), INVALID)
    wait_until(lambda: service.logs().count("no usable name") >= len(bad))
    assert not re.search(r"tok-\w+", service.logs()), "a token in the error log"

    # A broken file is noticed by nginx -t, and does no harm without.
    tokens.write_text("{")
    command = ["nginx", "-t", "-e", "stderr", "-p", f"{service.state}/",
               "-c", service.state / "etc/quickstart.conf"]
    path = "/usr/sbin:" + os.environ["PATH"]
    assert subprocess.run(command, env=dict(os.environ, PATH=path), capture_output=True,
                          timeout=20).returncode == 1
    os.kill(service.pid("nginx"), signal.SIGHUP)
    assert ask(service, token="tok-plain").status == 200
    tokens.write_text(json.dumps(hashed({"later": "l"})))
    reload(service)
    assert ask(service, token="tok-later").status == 200
    assert_refused(ask(service, token="tok-plain"), INVALID)


# ---- without a token: 401 to everything ------------------------------------------

EVERYWHERE = ["/dashboard", "/dashboard/", "/dashboard/none.js", "/dashboard/index.html",
              "/dashboard/./main.js", "/index.html/", "/jobs", "/jobs/1", "/jobs?limit=1", "/jobs?wait=1", "/jobs/1?wait=60", "/none",
              "//jobs", "/jobs/", "/jobs/./1", "/job%73", "/jobs/%2e%2e", "/healthz/", "/healthzz",
              "/HEALTHZ", "//healthz", "/jobs/../healthz", "/%68ealthz", "/healthz%20",
              "/openapi.json", "/webhooks", "/events", "/jobs/1/events",
              "/_jobq/401", "/_jobq/refuse", "/_jobq/wait", "/index.html", "/jobs.gif",
              "/jobs/1.jpg", "/jobs#healthz",
              "/.git/config", "/" + "x" * 8000, "http://localhost/jobs",
              "http://localhost/none"]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND",
           "BREW"]


@pytest.mark.parametrize("path", EVERYWHERE, ids=lambda path: path[:20])
def test_every_path_is_refused(service, path):
    assert_refused(ask(service, path=path))
    assert_refused(ask(service, "DELETE", path, token="wrong"), INVALID)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", ["/jobs", "/none", "/jobs/"])
def test_every_method_is_refused(service, method, path):
    assert_refused(ask(service, method, path))
    assert_refused(ask(service, method, path, body=b"{}"))


@pytest.mark.parametrize("method,path", [("POST", "/jobs"), ("POST", "/none"), ("GET", "/jobs"),
                                         ("PUT", "/jobs/"), ("TRACE", "/jobs"),
                                         ("POST", "/jobs?wait=1")])
@pytest.mark.parametrize("chunked", [False, True])
def test_large_bodies_are_refused_not_measured(service, method, path, chunked):
    assert_refused(ask(service, method, path, body=b"x" * 2 * MIB, chunked=chunked))


@pytest.mark.parametrize("path", ["/jobs", "/none", "/jobs/", "/jobs?wait=1"])
def test_refusals_of_head_have_no_body(service, path):
    answer = ask(service, "HEAD", path)
    assert_refused(answer, body=False)
    assert int(answer.headers["Content-Length"]) == len(ask(service, path=path).body)


def test_refusals_ask_for_no_body(service):
    with connect(service) as s:
        s.sendall(compose("POST", headers=["Expect: 100-continue", "Content-Length: 5000000"]))
        first = s.recv(65536)
    assert first.startswith(b"HTTP/1.1 401 "), first


@pytest.mark.parametrize("headers", [
    ["If-Match: x"], ["If-None-Match: *"], ["If-Unmodified-Since: Sat, 29 Oct 1994 19:43:31 GMT"],
    ["Range: bytes=0-1"], ["Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"],
    ["Accept: text/html"], ["Jobq-Token-Name: ci"], ["JOBQ_TOKEN_NAME: ci"],
    ["X-Forwarded-For: 127.0.0.1"], ["X-Original-URL: /healthz"],
])
def test_headers_change_nothing_about_it(service, headers):
    assert_refused(ask(service, headers=headers))


@pytest.mark.parametrize("headers", [[], ["Authorization: Bearer wrong"],
                                     ["Authorization: Basic eA=="]])
@pytest.mark.parametrize("path", ["/healthz", "/healthz?x=1"])
def test_health_needs_no_token(service, headers, path):
    answer = ask(service, path=path, headers=headers)
    assert answer.status == 200 and answer.json()["status"] == "ok"
    assert_plain(answer)


# ---- the dashboard ---------------------------------------------------------------

DASHBOARD = ROOT / "nginx/dashboard"
PARTS = {"/": "index.html"} | {f"/dashboard/{path.name}": path.name for path in DASHBOARD.iterdir()
                               if path.name != "index.html"}
KIND = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


@pytest.mark.parametrize("path,name", PARTS.items(), ids=PARTS.values())
@pytest.mark.parametrize("headers", [[], ["Authorization: Bearer wrong"]], ids=["none", "wrong"])
def test_the_dashboard_is_for_everybody(staged, path, name, headers):
    text = (DASHBOARD / name).read_bytes()
    answer = ask(staged, path=path, headers=headers)
    assert answer.status == 200 and answer.body == text
    assert answer.headers.get_all("Content-Type") == \
        [f"{KIND[(DASHBOARD / name).suffix]}; charset=utf-8"]
    assert answer.headers.get_all("X-Content-Type-Options") == ["nosniff"]
    assert answer.headers.get_all("Cache-Control") == ["no-cache"]
    assert answer.headers.get_all("Referrer-Policy") == ["no-referrer"]
    assert "WWW-Authenticate" not in answer.headers
    policy, = answer.headers.get_all("Content-Security-Policy")
    assert ("script-src" in policy) == (path == "/")
    head = ask(staged, "HEAD", path, headers=headers)
    assert head.status == 200 and head.body == b"" and \
        head.headers["Content-Length"] == str(len(text))
    kept = ask(staged, path=path, headers=[*headers, f"If-None-Match: {answer.headers['ETag']}"])
    assert kept.status == 304 and kept.headers.get_all("Cache-Control") == ["no-cache"]
    assert len(ask(staged, path=path, headers=["Accept-Encoding: gzip"]).body) < len(text) * 0.6
    assert staged.api.asked == staged.wait.asked == []


FILES = ["/", "/dashboard/main.js", "/openapi.json"]


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("header", ['If-Match: "another"',
                                    "If-Unmodified-Since: Sat, 29 Oct 1994 19:43:31 GMT"])
def test_preconditions_of_files_fail_in_json(service, path, header):
    answer = ask(service, path=path, headers=[header], token=service.token)
    assert_error(answer, 412, "precondition_failed")


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("ranges", ["0-1", "999999999-", "0-1,5-6", "nonsense"])
def test_files_are_always_sent_whole(service, path, ranges):
    """As RFC 9110 section 14.2 allows; a refusal of nginx's own would be HTML."""
    whole = ask(service, path=path, token=service.token)
    answer = ask(service, path=path, headers=[f"Range: bytes={ranges}"], token=service.token)
    assert answer.status == 200 and answer.body == whole.body
    assert "Accept-Ranges" not in answer.headers
    assert len(answer.headers.get_all("Content-Security-Policy")) == 1


@pytest.mark.parametrize("path", ["/", "/dashboard/main.js", "/dashboard/style.css"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_the_dashboard_is_only_read(service, path, method):
    assert_refused(ask(service, method, path))
    answer = ask(service, method, path, token=service.token)
    assert_error(answer, 405, "method_not_allowed")
    assert answer.headers.get_all("Allow") == ["GET, HEAD"]


def test_the_dashboards_policy_is_strict(service):
    policy = dict(part.split(" ", 1) for part in
                  ask(service, path="/").headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == \
        policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert not any("unsafe" in sources or "*" in sources for sources in policy.values())
    assert policy["require-trusted-types-for"] == "'script'"


def test_the_dashboard_brings_all_it_needs():
    """Nothing comes from elsewhere, and nothing in it asks for what the policy forbids."""
    page = (DASHBOARD / "index.html").read_text()
    assert set(re.findall(r'(?:src|href)="(/[^"]+)"', page)) <= set(PARTS)
    assert not re.search(r"\sstyle=|\son[a-z]+=|<script>|<style", page)
    for name in PARTS.values():
        text = (DASHBOARD / name).read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)
        assert set(re.findall(r'from "\./([^"]+)"', text)) <= set(PARTS.values())
        foreign = re.findall(r"https?://[^\s'\"]+", text)
        assert set(foreign) <= {"http://www.w3.org/2000/svg", "https://example.com/hook"}, name


# ---- nginx's own errors ----------------------------------------------------------


@pytest.mark.parametrize("data", [
    b"\0\1\2\r\n\r\n", b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"<html>\r\n\r\n", b"get /jobs HTTP/1.1\r\n\r\n", b"GET jobs HTTP/1.1\r\n\r\n",
    b"GET /jobs HTTX/1.1\r\n\r\n", b"GET /jobs 1 HTTP/1.1\r\n\r\n", b"GET /jobs\0 HTTP/1.1\r\n\r\n",
    b"GET /%zz HTTP/1.1\r\n\r\n", b"GET /jobs%00 HTTP/1.1\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\n\r\n", b"OPTIONS * HTTP/1.1\r\n\r\n",
    b"CONNECT a.test:443 HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\1" * MIB,
], ids=lambda data: repr(data[:16]))
def test_what_is_no_request_is_400(service, data):
    assert_error(send(service, data), 400, "bad_request")


@pytest.mark.parametrize("header", [
    "X: a\0b", ": a", "X y: a", "X: a\r\n b", "no colon", "Host: a\r\nHost: b", "Host: a b",
    "Content-Length: 3\r\nContent-Length: 3", "Content-Length: -3", "Content-Length: 3, 3",
    "Content-Length: 0x3", "Content-Length: 99999999999999999999",
    "Content-Length: 3\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 3",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
])
def test_bad_headers_are_400(service, header):
    data = compose("POST", headers=header.split("\r\n"), token=service.token) + b"{}\n"
    assert_error(send(service, data), 400, "bad_request")


def test_http_1_1_without_host_is_400(service):
    data = f"GET /jobs HTTP/1.1\r\nAuthorization: Bearer {service.token}\r\n\r\n".encode()
    assert_error(send(service, data), 400, "bad_request")


@pytest.mark.parametrize("chunk", [b"zz\r\n{}\r\n0\r\n\r\n", b"2\r\n{}xx0\r\n\r\n",
                                   b"ffffffffffffffffff\r\n{}"])
def test_bad_chunks_are_400(service, chunk):
    head = compose("POST", token=service.token, headers=["Content-Type: application/json",
                                                         "Transfer-Encoding: chunked"])
    assert_error(send(service, head + chunk), 400, "bad_request")


@pytest.mark.parametrize("path", [
    "/none", "/dashboard", "/dashboard/", "/dashboard/index.html", "/dashboard/none.js",
    "/dashboard/main.css", "/dashboard//main.js", "//", "/style.css", "/job", "/jobss", "/jobs/", "//jobs", "/jobs//1", "/jobs/./1", "/./jobs",
    "/jobs/../jobs", "/jobs/1/", "/jobs/1/.", "/jobs%2F1", "/jobs/%2e%2e", "/jobs/%2e%2e/jobs",
    "/job%73", "/jobs/1%20", "/jobs;x=1", "/jobs/1;x", "/jobs\\1", "/jobs/1:2",
    "/JOBS", "/jobs#x", "/jobs/\xe4", "/healthz/", "/healthz/x", "/healthz.json", "/jobs.json",
    "/%68ealthz", "/_jobq/400", "/_jobq/refuse", "/_jobq/wait", "/_jobq/wait?wait=1", "/index.html",
    "/jobs.gif", "/none.jpg", "/openapi.jso", "http://localhost/jobs/",
])
def test_what_is_nowhere_is_404(service, path):
    for method in ("GET", "POST", "DELETE"):
        assert_error(ask(service, method, path, token=service.token), 404, "not_found")
    head = ask(service, "HEAD", path, token=service.token)
    assert head.status == 404 and head.body == b""
    assert_plain(head)


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
@pytest.mark.parametrize("body", [b"", b"x" * 2 * MIB], ids=len)
def test_trace_is_405(service, method, body):
    answer = ask(service, method, token=service.token, body=body,
                 headers=["X-Secret: echo-me-not"])
    assert_error(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD, POST"
    assert b"echo-me-not" not in answer.body


@pytest.mark.parametrize("path,allow", [
    ("/jobs/1", "GET, HEAD, DELETE"), ("/healthz", "GET, HEAD"), ("/openapi.json", "GET, HEAD"),
    ("/metrics", "GET, HEAD"), ("/jobs/1/2", None), ("/x", None),
])
def test_trace_knows_the_routes(service, path, allow):
    answer = ask(service, "TRACE", path, token=service.token)
    if allow is None:
        assert_error(answer, 404, "not_found")
    else:
        assert_error(answer, 405, "method_not_allowed")
    assert answer.headers.get("Allow") == allow


def test_allow_is_said_once(service):
    answer = ask(service, "PUT", token=service.token)
    assert len(answer.headers.get_all("Allow")) == 1


@pytest.mark.parametrize("size", [MIB + 1, 5000000])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", ["/jobs", "/jobs/1"])
def test_too_large_is_413_and_can_be_read(service, size, chunked, path):
    body = assert_error(ask(service, "POST", path, token=service.token, body=b"x" * size,
                            chunked=chunked, headers=["Content-Type: application/json"]),
                        413, "payload_too_large")
    assert body["error"] == "Payload too large"
    assert body["details"] == {"max_bytes": MIB}


def test_413_comes_before_the_body(service):
    with connect(service) as s:
        s.sendall(compose("POST", token=service.token,
                          headers=["Expect: 100-continue", f"Content-Length: {MIB + 1}"]))
        assert s.recv(65536).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("length", [8300, MIB])
@pytest.mark.parametrize("known", [False, True])
def test_long_addresses_are_414(service, length, known):
    answer = ask(service, path="/jobs?x=" + "x" * length, token=service.token if known else None)
    assert_error(answer, 414, "uri_too_long")


@pytest.mark.parametrize("headers", [["X: " + "x" * 8300], ["X: " + "x" * MIB],
                                     [f"X{i}: {'x' * 7000}" for i in range(6)],
                                     ["Authorization: Bearer " + "a" * 9000]],
                         ids=["9k", "1M", "6x7k", "token"])
def test_large_headers_are_431(service, headers):
    assert_error(ask(service, headers=headers, token=service.token), 431, "headers_too_large")


def test_headers_below_the_limit_pass(service):
    headers = [f"X{i}: {'x' * 7000}" for i in range(3)]
    assert ask(service, headers=headers, token=service.token).status == 200


@pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "identity", "chunked, chunked", "x"])
def test_other_transfer_codings_are_501(service, coding):
    answer = ask(service, "POST", token=service.token, headers=[f"Transfer-Encoding: {coding}"])
    assert_error(answer, 501, "not_implemented")


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/3.0", "HTTP/9.9"])
def test_other_versions_are_505(service, version):
    answer = ask(service, token=service.token, version=version)
    assert_error(answer, 505, "http_version_not_supported")


@pytest.mark.parametrize("data,status", [
    (compose("POST", headers=["Content-Length: 3"], chunked=True, body=b"x" * MIB), 400),
    (compose("POST", headers=["Transfer-Encoding: gzip"]) + b"x" * MIB, 501),
    (compose("POST", version="HTTP/3.0") + b"x" * MIB, 505),
    (compose("PUT", "/jobs/", body=b"x" * MIB), 401),
], ids=["400", "501", "505", "401"])
def test_errors_can_be_read_while_the_client_still_sends(service, data, status):
    assert send(service, data).status == status


# ---- nginx's own errors, as they are written -------------------------------------

SITE = (ROOT / "nginx/jobq-answers.conf").read_text()
ROUTES = (ROOT / "nginx/jobq-server.conf.in").read_text()
PAGES = re.findall(r"^location (?:@|= /_)jobq[_/](\d+) \{\n(.*?)^\}", SITE, re.M | re.S)
RETURNED = re.compile(r"\breturn (\d+)(?: '([^']*)')?;")


@pytest.mark.parametrize("status,text", PAGES, ids=[status for status, _ in PAGES])
def test_error_pages_are_json(status, text):
    found = RETURNED.findall(text)
    assert found and found[-1][0] == status, "the last one is the page's own"
    for code, body in found:
        assert code in (status, "401", "404")
        if code == "404" and not body:
            continue  # goes on to that one's page
        parsed = json.loads(body)
        assert list(parsed)[:3] == ["success", "error", "code"]
        assert parsed["success"] is False and len(parsed["error"]) > 5
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", parsed["code"])


def test_every_error_has_its_page_and_every_page_its_error():
    used = {}
    for codes, page in re.findall(r"^error_page ([\d =]+?) (?:= )?(\S+);", SITE, re.M):
        for code in re.findall(r"(?<!=)\b\d+", codes):
            assert code not in used
            used[code] = re.search(r"\d+$", page)[0]
    assert {"400", "401", "403", "404", "405", "408", "413", "414", "429", "494", "500", "502",
            "503", "504"} <= set(used)
    assert {status for status, _ in PAGES} == set(used.values())
    assert used["494"] == "431"
    slugs = [json.loads(RETURNED.findall(text)[-1][1])["code"] for _, text in PAGES]
    assert len(set(slugs)) == len(slugs) == len(PAGES) >= 14


def test_no_location_drops_the_headers():
    """An add_header within a location takes all of the server's away."""
    assert re.findall(r"^[ \t]*add_header", ROUTES, re.M) == []
    assert re.findall(r"^[ \t]+add_header", SITE, re.M) == []
    assert len(re.findall(r"^add_header .* always;$", SITE, re.M)) == \
        len(re.findall(r"\badd_header ", re.sub(r"#.*", "", SITE)))


# ---- connections -----------------------------------------------------------------


def test_connections_are_kept_across_errors(service):
    """One after the other on one connection, whatever the answers."""
    wanted = [(compose(close=False), 401), (compose(token=service.token, close=False), 200),
              (compose(path="/none", token=service.token, close=False), 404),
              (compose("POST", body=b"x" * 100000, close=False), 401),
              (compose("POST", body=b"x" * 100000, chunked=True, close=False), 401),
              (compose("PUT", "/jobs", token=service.token, body=b"x" * 1000, close=False), 405),
              (compose("DELETE", "/jobs/", token=service.token, body=b"x", close=False), 404),
              (compose(path="/healthz", close=False), 200)]
    with connect(service) as s:
        for data, status in wanted * 3:
            s.sendall(data)
            answer = Answer(s)
            assert answer.status == status
            assert answer.headers["Connection"] == "keep-alive"
            assert_plain(answer)


def test_pipelined_requests_are_answered_in_order(service):
    part = compose(token=service.token, path="/jobs?limit=1", close=False) + \
        compose(close=False) + compose(token="wrong", close=False) + \
        compose(path="/none", token=service.token, close=False)
    got = answers(service.raw(part * 10 + compose(path="/healthz")))
    assert [answer.status for answer in got] == [200, 401, 401, 404] * 10 + [200]


@pytest.mark.parametrize("known,status", [(False, 401), (True, 200)])
@pytest.mark.parametrize("kept", [False, True])
def test_http_1_0_works(service, known, status, kept):
    data = b"GET /jobs?limit=1 HTTP/1.0\r\n"
    if known:
        data += f"Authorization: Bearer {service.token}\r\n".encode()
    data += b"Connection: keep-alive\r\n" * kept + b"\r\n"
    if kept:
        with connect(service) as s:
            for _ in range(3):
                s.sendall(data)
                answer = Answer(s)
                assert answer.status == status and answer.headers["Connection"] == "keep-alive"
    else:
        answer = send(service, data)
        assert answer.status == status and answer.headers["Connection"] == "close"
    assert_plain(answer)
    assert "Transfer-Encoding" not in answer.headers


@pytest.mark.parametrize("method,path,body,status", [
    ("GET", "/jobs", b"", 200), ("GET", "/jobs/999999", b"", 404), ("PUT", "/jobs", b"", 405),
    ("POST", "/jobs", b"{", 400), ("GET", "/jobs?limit=0", b"", 400),
    ("POST", "/jobs", b'{"type": "cache_warming", "parameters": {}}', 202),
])
def test_the_applications_answers_have_the_headers_too(service, method, path, body, status):
    answer = ask(service, method, path, body=body, token=service.token,
                 headers=["Content-Type: application/json"])
    assert answer.status == status
    assert_plain(answer)


# ---- what the application gets ---------------------------------------------------

FORGED = ["Jobq-Token-Name: root", "JOBQ_TOKEN_NAME: root", "Jobq_Token_Name: root",
          "Token-Name: root", "Document-Uri: /x", "Request-Method: DELETE", "Request-Id: forged",
          "Query-String: x=1", "Proxy: http://evil.test/"]


def test_application_gets_the_name_and_never_the_token(staged):
    answer = ask(staged, "POST", "/jobs?x=%20&y", token=staged.token, body=b"abc",
                 headers=FORGED + ["Content-Type: text/x", "Idempotency-Key: k"])
    assert answer.status == 200 and answer.body == b"{}"
    [got] = staged.api.asked
    assert got["JOBQ_TOKEN_NAME"] == "ci"
    assert got["REQUEST_METHOD"] == "POST" and got["DOCUMENT_URI"] == "/jobs"
    assert got["QUERY_STRING"] == "x=%20&y"
    assert got["CONTENT_TYPE"] == "text/x" and got["CONTENT_LENGTH"] == "3"
    assert got["HTTP_IDEMPOTENCY_KEY"] == "k"
    assert got["body"] == b"abc"
    assert re.fullmatch(r"[0-9a-f]{32}", got["REQUEST_ID"])
    assert got.get("HTTP_AUTHORIZATION", "") == "" and got.get("HTTP_PROXY", "") == ""
    assert not any(staged.token in str(value) for value in got.values())
    assert staged.wait.asked == []


@pytest.mark.parametrize("headers", [FORGED, ["Authorization: Bearer wrong"], []])
def test_nobody_has_no_name(staged, headers):
    assert ask(staged, path="/healthz", headers=headers).status == 200
    [got] = staged.api.asked
    assert got["JOBQ_TOKEN_NAME"] == "" and got.get("HTTP_AUTHORIZATION", "") == ""
    assert got["DOCUMENT_URI"] == "/healthz" and got["REQUEST_METHOD"] == "GET"


def test_request_id_is_the_logs(staged):
    before = len(log_lines(staged))
    ask(staged, token=staged.token, path="/jobs/1", headers=["X-Request-Id: forged"])
    logged(staged, before, request_id=staged.api.asked[-1]["REQUEST_ID"])


@pytest.mark.parametrize("method,path,pool", [
    ("GET", "/jobs?limit=5", "api"), ("GET", "/jobs?status=queued&limit=5", "api"),
    ("GET", "/jobs", "wait"), ("HEAD", "/jobs", "wait"), ("GET", "/jobs?status=queued", "wait"),
    ("GET", "/jobs?limit=", "wait"), ("GET", "/jobs?LIMIT=5", "wait"),
    ("GET", "/jobs?xlimit=5", "wait"), ("GET", "/jobs?x=limit=5", "wait"),
    ("GET", "/jobs?l%69mit=5", "wait"), ("POST", "/jobs", "api"), ("PUT", "/jobs", "api"),
    ("GET", "/jobs/1", "api"), ("GET", "/jobs/1?wait=5", "wait"), ("DELETE", "/jobs/1", "api"),
    ("HEAD", "/jobs/1?wait=5", "wait"), ("DELETE", "/jobs/1?wait=5", "api"),
    ("GET", "/jobs/1?x=1&wait=5", "wait"), ("GET", "/jobs/1?wait=", "api"),
    ("GET", "/jobs/1?xwait=5", "api"), ("GET", "/healthz", "api"),
    ("GET", "/healthz?wait=5", "api"), ("GET", "/events", "wait"),
    ("GET", "/jobs/1/events", "wait"), ("GET", "/jobs?limit=5&wait=5", "wait"),
    ("GET", "/metrics", "wait"), ("POST", "/metrics", "api"),
    ("GET", "http://localhost/jobs/1?wait=5", "wait"),
])
def test_slow_requests_have_a_pool_of_their_own(staged, method, path, pool):
    assert ask(staged, method, path, token=staged.token).status == 200
    got = {name: [one["DOCUMENT_URI"] for one in getattr(staged, name).asked]
           for name in ("api", "wait")}
    bare = path.removeprefix("http://localhost").partition("?")[0]
    assert got == {"api": [], "wait": [], pool: [bare]}
    [asked] = getattr(staged, pool).asked
    assert asked["QUERY_STRING"] == path.partition("?")[2], "the rewriting shows"


@pytest.mark.parametrize("data", [
    compose(), compose("POST", body=b"{}"), compose(token="wrong"), compose("TRACE"),
    compose(path="/jobs?wait=1"), compose(path="/events"),
    compose(path="/metrics", headers=["X-Forwarded-For: 192.0.2.1"]),
    compose(version="HTTP/1.0"), b"GET /jobs\r\n", b"GET /jobs/1?wait=60\r\n", b"GET /events\r\n",
    compose(headers=["Expect: 100-continue"], body=b"{}"),
], ids=lambda data: repr(data[:24]))
def test_nothing_refused_reaches_the_application(staged, data):
    got = staged.raw(data)
    found = answers(got)[0].json() if got.startswith(b"HTTP/") else json.loads(got)
    assert found == REFUSED
    assert staged.api.asked == staged.wait.asked == []


@pytest.mark.parametrize("path", ["//jobs", "/job%73", "/jobs/./1", "/none", "/_jobq/wait", "/dashboard/x.js"])
def test_nothing_that_is_nowhere_reaches_the_application(staged, path):
    assert_error(ask(staged, path=path, token=staged.token), 404, "not_found")
    assert staged.api.asked == staged.wait.asked == []


def test_the_applications_errors_pass_as_they_are(staged):
    for status, extra in ((400, b""), (401, b""), (404, b""), (405, b"Allow: GET\r\n"), (413, b""),
                          (422, b""), (429, b"Retry-After: 7\r\n"), (500, b""),
                          (503, b"Retry-After: 7\r\n"), (504, b"Cache-Control: max-age=5\r\n")):
        staged.api.answer = b"Status: %d X\r\nContent-Type: application/json\r\n%s\r\n{%d}" % (
            status, extra, status)
        answer = ask(staged, path="/jobs/1", token=staged.token)
        assert answer.status == status and answer.body == b"{%d}" % status
        given = answer.headers.get_all("Retry-After")
        assert given == (["7"] if b"Retry" in extra else ["2"] if status == 504 else None)
        assert answer.headers.get_all("Cache-Control") == \
            (["max-age=5"] if b"Cache" in extra else ["no-store"])
        assert answer.headers["WWW-Authenticate"] == (INVALID if status == 401 else None)
        assert answer.headers["Allow"] == ("GET" if b"Allow" in extra else None)


# ---- the application is away -----------------------------------------------------


@pytest.mark.parametrize("pool,path", [("api", "/jobs/1"), ("wait", "/jobs/1?wait=5")])
@pytest.mark.parametrize("how", ["gone", "refusing", "hanging up", "dead", "babbling", "half"])
def test_no_application_is_502(staged, pool, path, how):
    stand_in = getattr(staged, pool)
    if how in ("gone", "refusing"):
        stand_in.hide(leave_file=how == "refusing")
    else:
        stand_in.raw = True
        stand_in.answer = {"hanging up": b"", "dead": record(END, b"\0" * 8),
                           "babbling": b"HTTP/1.1 200 OK\r\n\r\nhello",
                           "half": record(STDOUT, b"Status: 200 O")}[how]
    try:
        answer = ask(staged, path=path, token=staged.token)
        assert_error(answer, 502, "bad_gateway")
        assert answer.headers.get_all("Retry-After") == ["2"]
        head = ask(staged, "HEAD", path, token=staged.token)
        assert head.status == 502 and head.body == b""
        assert_refused(ask(staged, path=path))
        assert_error(ask(staged, path="/none", token=staged.token), 404, "not_found")
    finally:
        if how == "refusing":
            stand_in.path.unlink()
    stand_in.reset()
    assert ask(staged, path=path, token=staged.token).status == 200, "it is back"


def test_silent_application_is_504(staged):
    staged.api.answer = StandIn.SILENT
    answer = ask(staged, path="/jobs/1", token=staged.token)
    assert_error(answer, 504, "gateway_timeout")
    assert answer.headers.get_all("Retry-After") == ["2"]
    assert len(staged.api.asked) == 1, "asked once only"


@pytest.mark.parametrize("data", [
    b"GET /jobs HTTP/1.1\r\nHo", b"",
    compose("POST", token="c" * 64, headers=["Content-Length: 10"]) + b"{",
], ids=["header", "nothing", "body"])
def test_silent_clients_are_let_go(staged, data):
    got = staged.raw(data)  # until nginx closes it
    assert got == b"" or assert_error(answers(got)[0], 408, "request_timeout")
    assert staged.api.asked == []


# ---- limits ----------------------------------------------------------------------


def test_each_token_has_a_limit(own_service):
    service = own_service(rate="1r/s", tokens={"ci": "c" * 64, "other": "o" * 64})
    request = compose(path="/jobs/1", token=service.token, close=False)
    counts, found = statuses(service, request, BURST + 500)
    assert set(counts) == {404, 429}
    assert BURST + 1 <= counts[404] <= BURST + 30, "the burst, and one a second"
    for answer in found:
        if answer.status == 429:
            assert_error(answer, 429, "rate_limited")
            assert answer.headers.get_all("Retry-After") == ["1"]
        else:
            assert "Retry-After" not in answer.headers
    head = ask(service, "HEAD", "/jobs/1", token=service.token)
    assert (head.status, head.body) == (429, b"")
    assert ask(service, "POST", token=service.token, body=b"x" * MIB).status == 429
    assert ask(service, path="/jobs/1?wait=60", token=service.token).status == 429
    # Others do not feel it, and after a while neither does this one.
    assert ask(service, path="/jobs/1", token=service.tokens["other"]).status == 404
    assert ask(service, path="/healthz").status == 200
    assert_refused(ask(service))
    wait_until(lambda: ask(service, path="/jobs/1", token=service.token).status == 404,
               10, "a request within the rate")
    limited = [line for line in map(json.loads, log_lines(service)) if line["status"] == "429"]
    assert len(limited) >= 400
    assert all(line["upstream_seconds"] == "" and line["token"] == "ci" for line in limited)


def test_refusals_have_a_limit_of_their_own(own_service):
    """A flood of wrong tokens is nothing to the application and to those with right ones."""
    service = own_service(rate="1r/s")
    before = service.logs()
    with ThreadPoolExecutor(1) as pool:
        flood = pool.submit(statuses, service, compose(token="wrong", close=False), BURST * 2)
        plain = [ask(service, path="/jobs/1", token=service.token).status for _ in range(50)]
        counts, found = flood.result()
    assert plain == [404] * 50
    assert set(counts) == {401, 429}
    assert counts[401] > BURST and counts[429] > 100
    for answer in found:
        if answer.status == 401:
            assert_refused(answer, INVALID)
        else:
            assert_error(answer, 429, "rate_limited")
            assert answer.headers.get_all("Retry-After") == ["1"]
    assert ask(service, path="/healthz").status == 200
    assert ask(service, path="/jobs/1", token=service.token).status == 404
    refused = [line for line in map(json.loads, log_lines(service)) if line["token"] == "" and
               line["request"] == "GET /jobs"]
    assert len(refused) >= BURST * 2 - 10
    assert all(line["upstream_seconds"] == line["upstream_connect_seconds"] == ""
               for line in refused)
    assert service.logs().removeprefix(before).count("\n") < 20, "nor is it the error log's"


# ---- the access log --------------------------------------------------------------

MEMBERS = ["time", "request_id", "client", "token", "request", "job", "status", "bytes_in",
           "bytes_out", "seconds", "upstream_seconds", "upstream_connect_seconds", "connection",
           "connection_requests"]


@pytest.mark.parametrize("method,path,known,status,request_logged", [
    ("GET", "/jobs?limit=1&x=secret", True, 200, "GET /jobs"),
    ("GET", "/jobs/123456", True, 404, "GET /jobs/123456"),
    ("DELETE", "/jobs/18446744073709551615", True, 404, "DELETE /jobs/18446744073709551615"),
    ("GET", "/openapi.json", False, 401, "GET /openapi.json"),
    ("PROPFIND", "/jobs/1/events", False, 401, "PROPFIND /jobs/1/events"),
    ("TRACE", "/jobs", True, 405, "TRACE /jobs"), ("GET", "/?token=secret", False, 200, "GET /"),
    ("GET", "/dashboard/main.js", False, 200, "GET /dashboard/main.js"),
    ("GET", "/" + "x" * 9000, False, 414, "GET -"), ("DELETE", "//jobs", True, 404, "DELETE -"),
    ("GET", "/Jobs?x=1", True, 404, "GET -"), ("GET", "http://localhost/none", True, 404, "-"),
], ids=lambda value: str(value)[:20])
def test_log_is_one_object_a_line(service, method, path, known, status, request_logged):
    before = len(log_lines(service))
    answer = ask(service, method, path, token=service.token if known else None)
    assert answer.status == status
    line = logged(service, before, status=str(status), request=request_logged)
    assert list(line) == MEMBERS
    assert line["client"] == "127.0.0.1"
    assert line["job"] == (re.findall(r"^/jobs/(\d+)", path) or [""])[0]
    assert line["token"] == ("ci" if known else "")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+\d\d:\d\d", line["time"])
    assert re.fullmatch(r"[0-9a-f]{32}", line["request_id"])
    assert float(line["seconds"]) >= 0 and int(line["bytes_out"]) > len(answer.body)
    asked = known and path.startswith("/jobs") and method != "TRACE"
    assert bool(line["upstream_seconds"]) == asked


def test_log_tells_which_job_was_made(service):
    before = len(log_lines(service))
    body = b'{"type": "cache_warming", "parameters": {}}'
    headers = ["Content-Type: application/json", "Idempotency-Key: logged"]
    made = ask(service, "POST", token=service.token, body=body, headers=headers).json()["job_id"]
    assert ask(service, "POST", token=service.token, body=body, headers=headers).json()[
        "job_id"] == made
    ask(service, "POST", token=service.token, body=b"{}", headers=headers)
    ask(service, path=f"/jobs/{made}/events?x=1", version="HTTP/1.0")
    wait_logged(service, before + 4)
    # In any order: a worker may be late with what its client has long had.
    assert sorted(json.loads(line)["job"] for line in log_lines(service)[before:]) == \
        ["", made, made, made]


@pytest.mark.parametrize("data", [
    b"GET /jobs/\xc3\x28 HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b'GET /"} HTTP/1.1\r\nHost: x\r\n\r\n', b"GET /\\u0000\\ HTTP/1.1\r\nHost: x\r\n\r\n",
    b'GET /?"\xff HTTP/1.1\r\nHost: x\r\n\r\n', b'"\xff\r\n\r\n', b"GET /\x7f\r\n",
    b'GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "\xff\r\n\r\n',
])
def test_log_is_json_whatever_is_sent(service, data):
    before = len(log_lines(service))
    with connect(service) as s:
        s.sendall(data)
        assert s.recv(65536)
    wait_logged(service, before + 1)
    assert all(list(json.loads(line)) == MEMBERS for line in log_lines(service)[before:])


def test_log_is_rotated(service, tmp_path):
    """With packaging/logrotate, on the log and the nginx of this test."""
    if not shutil.which("logrotate", path="/usr/sbin:/usr/bin"):
        pytest.skip("logrotate is not installed")
    log = service.state / "log/access.log"
    text = (ROOT / "packaging/logrotate").read_text()
    text = text.replace("/var/log/jobq/*.log", str(log)).replace(
        "/run/nginx.pid", str(service.state / "tmp/nginx.pid"))
    if os.getuid() != 0:
        text = text.replace("create 0640 www-data adm", "create 0640")
    (tmp_path / "conf").write_text(text)
    (tmp_path / "conf").chmod(0o644)
    log.parent.chmod(0o755)
    ask(service, token=service.token, path="/jobs/424242")
    wait_logged(service, 1)
    subprocess.run(["/usr/sbin/logrotate", "-f", "-s", tmp_path / "state", tmp_path / "conf"],
                   check=True, timeout=20)
    assert b"/jobs/424242" in log.with_suffix(".log.1").read_bytes()

    def fresh():
        ask(service, token=service.token, path="/jobs/434343")
        return any(b"/jobs/434343" in line for line in log_lines(service))
    wait_until(fresh, 20, "a line in the new log")
    assert log.stat().st_mode & 0o777 == 0o640


def test_no_token_is_ever_logged(service):
    """Neither by nginx nor by the application, wherever clients put it."""
    token, before = service.token, len(log_lines(service))
    good = f"Authorization: Bearer {token}"
    requests = [
        compose(token=token), compose(token=token + "x"), compose(token=token[:-1]),
        compose(headers=[good, good]), compose(headers=[f"Authorization: {token}"]),
        compose(headers=[f"Authorization Bearer {token}"]), compose(headers=[f"Bearer: {token}"]),
        compose(headers=[f"{token}: x"]), compose(headers=[token]),
        compose(headers=[f"Host: {token}"]), compose(headers=[f"X: {token}\0"]),
        compose(headers=[f"Cookie: {token}", f"Referer: http://x/?token={token}",
                         f"User-Agent: {token}"]),
        compose(path=f"/jobs?token={token}"), compose(path=f"/jobs/1?wait=0&token={token}"),
        compose(path=f"/jobs?token={token}", token=token),
        compose(path=f"/{token}"), compose(path=f"/jobs/{token}"),
        compose(path=f"/jobs/{token}", token=token), compose(path=f"/jobs/{token}/events"),
        compose(path=f"/{token}", token=token), compose(path=f"//{token}", token=token),
        compose(path=f"/jobs/x.{token}"), compose(path=f"/jobs;{token}"),
        compose(path=f"/jobs#{token}"), compose(path=f"/jobs%3Ftoken={token}"),
        compose(path=f"http://{token}@localhost/jobs"), compose(path=f"http://{token}/jobs"),
        compose(path=f"/jobs {token}"), compose(path=f"/jobs?token={token} x"),
        compose(method=token), compose(method="Bearer", path=token),
        compose(method="TRACE", path=f"/{token}"), compose(version=token),
        compose(version="HTTP/3.0", path=f"/{token}"), f"{token}\r\n\r\n".encode(),
        f"GET /{token}\r\n".encode(), compose(path=f"/{token}" + "x" * 9000),
        compose(path=f"/{token}", headers=["X: " + "x" * 9000]),
        compose("POST", body=f'{{"token": "{token}"}}'.encode(), token=token),
        compose("POST", headers=["Transfer-Encoding: gzip"], path=f"/{token}"),
    ]
    for request in requests:
        assert service.raw(request)
    wait_logged(service, before + len(requests))
    assert all(list(json.loads(line)) == MEMBERS for line in log_lines(service))
    for text in (b"\n".join(log_lines(service)).decode("latin-1"), service.logs()):
        assert [line for line in text.splitlines()
                if re.search(re.escape(token[:-1]), line, re.I)] == []
