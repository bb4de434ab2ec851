"""The site as it is reached over TLS: nginx/jobq-site.conf.in in a real nginx."""

import contextlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
from contextlib import contextmanager

import pytest
import requests
from conftest import slow_job
from service import ROOT, Service, free_port, program, wait_until
from test_nginx import (MIB, SECURITY, Answer, answers, compose, log_lines, logged, reload)

HSTS = "max-age=63072000"
SUITES = {  # Mozilla's "intermediate", but for those of DHE
    "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"}


# ---- certificates ---------------------------------------------------------------------


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)


class Authority:
    """Signs certificates for tests; files are DIR/NAME.pem and DIR/NAME.key."""

    def __init__(self, directory, name):
        self.directory, self.name = directory, name
        self.pem = directory / f"{name}.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", 2, "-subj", f"/CN={name}", "-keyout", directory / f"{name}.key",
                "-out", self.pem)

    def sign(self, name, *extensions):
        key, request = self.directory / f"{name}.key", self.directory / f"{name}.csr"
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                f"/CN={name}", "-keyout", key, "-out", request)
        more = self.directory / f"{name}.ext"
        more.write_text("\n".join(extensions) + "\n")
        openssl("x509", "-req", "-in", request, "-CA", self.pem, "-CAkey",
                self.directory / f"{self.name}.key", "-days", 1, "-extfile", more,
                "-out", self.directory / f"{name}.pem")
        return self.directory / f"{name}.pem", key


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"), "authority")


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.sign("localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1")


def render(template, **values):
    return subprocess.run([ROOT / "nginx/render", ROOT / "nginx" / f"{template}.conf.in",
                           *(f"{name}={value}" for name, value in values.items())], check=True,
                          capture_output=True, text=True, timeout=20).stdout


def add_site(service, certificate, more=""):
    """Puts the site beside quickstart's own server."""
    etc = service.state / "etc"
    service.http, service.https = free_port(), free_port()
    shutil.copy(ROOT / "nginx/jobq-answers.conf", etc)
    (service.state / "acme/.well-known/acme-challenge").mkdir(parents=True)
    service.certificate = etc / "certificate.conf"
    service.plain = render("certificate", CERTIFICATE=certificate[0],
                           CERTIFICATE_KEY=certificate[1])
    service.certificate.write_text(service.plain + more)
    (etc / "jobq-site.conf").write_text(render(
        "jobq-site", HTTP_PORT=service.http, HTTPS_PORT=service.https, SERVER_NAME="localhost",
        HTTPS_HOST=f"$host:{service.https}", NGINX_DIR=etc, ACME_ROOT=service.state / "acme",
        ACCESS_LOG=service.state / "log/access.log", CERTIFICATE_CONF=service.certificate))
    whole = etc / "quickstart.conf"
    text, count = re.subn(r"\n\}\s*$", f"\n    include {etc}/jobq-site.conf;\n}}\n",
                          whole.read_text())
    assert count == 1
    whole.write_text(text)
    reload(service)


@pytest.fixture(scope="module")
def site(project, authority, certificate):
    with Service(project=project, options=["drain_timeout = 0"],
                 tokens={"ci": "c" * 64}) as running:
        add_site(running, certificate)
        running.authority = authority.pem
        yield running


# ---- asking ---------------------------------------------------------------------------


def context(service, *protocols, client=None, **settings):
    made = ssl.create_default_context(cafile=service.authority)
    if protocols:
        made.set_alpn_protocols(list(protocols))
    if client:
        made.load_cert_chain(*client)
    for name, value in settings.items():
        setattr(made, name, value)
    return made


def connect(service, made=None):
    plain = socket.create_connection(("127.0.0.1", service.https), 20)
    return (made or context(service)).wrap_socket(plain, server_hostname="localhost")


def ask(service, *arguments, made=None, **keywords):
    with connect(service, made) as s:
        s.sendall(compose(*arguments, **keywords))
        return Answer(s, arguments[0] if arguments else "GET")


def plain(port, data, method="GET"):
    """Sends bytes without TLS; the one answer."""
    with socket.create_connection(("127.0.0.1", port), 20) as s:
        s.sendall(data)
        got = b""
        while part := s.recv(65536):
            got += part
    found, = answers(got, method)
    return found


def curl(service, *words):
    done = subprocess.run(["curl", "-sS", "--cacert", service.authority, *map(str, words)],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_secured(answer, hsts=HSTS):
    for name, value in SECURITY.items():
        assert answer.headers.get_all(name) == [value]
    assert answer.headers.get_all("Strict-Transport-Security") == (hsts and [hsts])
    assert answer.headers.get_all("Server") == ["nginx"]
    assert answer.headers.get_all("Content-Type") == ["application/json"]


def assert_error(answer, status, code, hsts=HSTS):
    assert answer.status == status
    assert_secured(answer, hsts)
    body = answer.json()
    assert list(body)[:3] == ["success", "error", "code"]
    assert body["success"] is False and body["code"] == code


# ---- a job ----------------------------------------------------------------------------


def test_job_over_https(site):
    """As the reference writes it, with requests."""
    common = {"headers": {"Authorization": f"Bearer {site.token}"}, "timeout": 60,
              "verify": str(site.authority)}  # in the session the environment would win
    base = f"https://localhost:{site.https}"
    before = len(log_lines(site))
    with requests.Session() as session:
        answer = session.post(f"{base}/jobs", **common, json={
            "type": "scene_preload", "parameters": {"scene_paths": ["res://a.tscn"]}})
        assert answer.status_code == 202
        job_id = answer.json()["job_id"]
        assert answer.headers["Location"] == f"/jobs/{job_id}"
        job = session.get(f"{base}/jobs/{job_id}?wait=30", **common).json()["job"]
        assert job["status"] == "completed" and job["result"]["scenes_loaded"] == 1
    line = logged(site, before, token="ci", status="202")
    assert line["job"] == job_id and line["request"] == "POST /jobs"


def test_http_2(site):
    base = f"https://localhost:{site.https}"
    token = ["-H", f"Authorization: Bearer {site.token}"]
    version = ["-o", "/dev/null", "-w", "%{http_version} %{http_code}"]
    before = len(log_lines(site))
    assert curl(site, *version, *token, f"{base}/jobs?limit=1") == "2 200"
    assert curl(site, *version, f"{base}/jobs?limit=1") == "2 401"
    assert curl(site, *version, *token, "--http1.1", f"{base}/jobs?limit=1") == "1.1 200"
    big = ["-X", "POST", "--data-binary", f"@{ROOT}/README.md"]
    assert curl(site, *version, *big, f"{base}/jobs") == "2 401"
    assert '"invalid_content_type"' in curl(site, *token, *big, f"{base}/jobs")
    for wanted in ({"request": "GET /jobs", "status": "200"},
                   {"request": "POST /jobs", "status": "401"}):
        logged(site, before, **wanted)


@pytest.mark.parametrize("http", ["--http2", "--http1.1"])
def test_too_large_over_tls(site, tmp_path, http):
    (tmp_path / "body").write_bytes(b"x" * 3 * MIB)
    got = curl(site, http, "-w", "%{http_code}", "-H", f"Authorization: Bearer {site.token}",
               "--data-binary", f"@{tmp_path}/body", f"https://localhost:{site.https}/jobs")
    assert json.loads(got[:-3])["code"] == "payload_too_large" and got[-3:] == "413"


# ---- the command line ---------------------------------------------------------------


@pytest.fixture
def ctl(site, home, monkeypatch):
    """jobqctl as a client of the site; it trusts whom the test says."""
    monkeypatch.setenv("JOBQ_URL", f"https://localhost:{site.https}")
    monkeypatch.setenv("JOBQ_TOKEN", site.token)

    def run(*words):
        return program("jobqctl", *words)
    return run


def test_jobqctl_over_tls(site, ctl):
    ca = ["--ca", site.authority]
    done = ctl(*ca, "submit", "preload", "a.tscn", "--wait")
    assert (done.returncode, done.stderr) == (0, "")
    job, *_, last = done.stdout.splitlines()
    assert re.fullmatch(rf"{job} scene_preload completed 100% in \d:\d\d: 1 of 1 scenes", last)
    slow = slow_job(site, 12)
    done = ctl("watch", slow, job, *ca)
    assert (done.returncode, done.stderr) == (0, "")
    assert len([line for line in done.stdout.splitlines() if line.startswith(f"{slow} ")]) > 2, \
        "what a stream tells"
    assert ctl("list", *ca).returncode == 0
    assert ctl("top", "--once", "--interval", "1", *ca).stdout.startswith("status ok\n")


def test_jobqctl_finds_the_authority_in_its_file(site, ctl, home):
    (home / ".config/jobq").mkdir(parents=True)
    (home / ".config/jobq/client.conf").write_text(f"ca = {site.authority}\n")
    assert ctl("list").returncode == 0


@pytest.mark.parametrize("words", [
    ["list"], ["submit", "warm", "--wait"], ["watch", "1"], ["watch", "--all"], ["top"],
    ["queue", "pause"]], ids=" ".join)
def test_jobqctl_trusts_no_stranger(site, ctl, clients, words):
    before = len(log_lines(site))
    for more in ([], ["--ca", clients["ca"]], ["--ca", "/no/such"]):
        done = ctl(*words, *more)
        assert (done.returncode, done.stdout) == (4, "")
        assert "certificate" in done.stderr.splitlines()[0]
        assert "--ca FILE" in done.stderr.splitlines()[1]
    assert "is not trusted" in ctl(*words).stderr
    assert len(log_lines(site)) == before, "nothing was asked, and no token shown"


def test_jobqctl_trusts_no_other_name(site, ctl):
    done = ctl("list", "--ca", site.authority, "--url", f"https://127.0.0.2:{site.https}")
    assert done.returncode == 4 and "127.0.0.2" in done.stderr.splitlines()[0]
    assert "certificate is not trusted" in done.stderr


# ---- headers --------------------------------------------------------------------------


def test_every_answer_is_secured(site):
    token = site.token
    answer = ask(site, path="/jobs?limit=1", token=token)
    assert answer.status == 200
    assert_secured(answer)
    assert_secured(ask(site, "HEAD", "/healthz"))
    assert_error(ask(site), 401, "unauthorized")
    assert_error(ask(site, path="/none", token=token), 404, "not_found")
    assert_error(ask(site, path="/jobs/999999", token=token), 404, "job_not_found")
    assert_error(ask(site, "TRACE", token=token), 405, "method_not_allowed")
    assert_error(ask(site, "POST", token=token, body=b"x" * 2 * MIB), 413, "payload_too_large")
    assert_error(ask(site, path="/" + "x" * 9000), 414, "uri_too_long")
    assert_error(ask(site, headers=["X: " + "x" * 9000]), 431, "headers_too_large")
    assert_error(ask(site, headers=["Host: a b"]), 400, "bad_request")
    assert_error(ask(site, "POST", headers=["Transfer-Encoding: x"]), 501, "not_implemented")
    assert_error(ask(site, version="HTTP/3.0"), 505, "http_version_not_supported")


def test_absent_application_is_secured(site):
    path = site.state / "run/api.sock"
    path.rename(path.with_suffix(".away"))
    try:
        reload(site)  # drops what nginx keeps open
        assert_error(ask(site, path="/jobs/1", token=site.token), 502, "bad_gateway")
    finally:
        path.with_suffix(".away").rename(path)
    site.wait_healthy()


# ---- TLS ------------------------------------------------------------------------------


def test_versions_of_tls(site):
    for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        with connect(site, context(site, minimum_version=version, maximum_version=version)) as s:
            assert s.version() == name
    for old in ("-tls1", "-tls1_1"):
        done = subprocess.run(["openssl", "s_client", old, "-cipher", "ALL:@SECLEVEL=0", "-connect",
                               f"127.0.0.1:{site.https}"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=20)
        assert done.returncode != 0 and "protocol version" in done.stderr


@pytest.mark.parametrize("offered,taken", [(["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"),
                                           ([], None)])
def test_alpn(site, offered, taken):
    with connect(site, context(site, *offered)) as s:
        assert s.selected_alpn_protocol() == taken


def test_suites(site):
    """All that openssl knows is offered; one after the other is taken, until none is left."""
    made = context(site, maximum_version=ssl.TLSVersion.TLSv1_2)
    left, taken = {one["name"] for one in made.get_ciphers()}, set()
    names = subprocess.run(["openssl", "ciphers", "-tls1_2", "-s", "ALL:@SECLEVEL=0"],
                           capture_output=True, text=True, check=True).stdout.strip().split(":")
    left |= set(names)
    while left:
        made.set_ciphers(":".join(sorted(left)) + ":@SECLEVEL=0")
        try:
            with connect(site, made) as s:
                taken.add(s.cipher()[0])
                left.discard(s.cipher()[0])
        except ssl.SSLError:
            break
    assert {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"} <= taken <= SUITES


@pytest.mark.parametrize("curve,good", [("prime256v1", True), ("secp384r1", True),
                                        ("secp521r1", False)])
def test_curves(site, curve, good):
    made = context(site, minimum_version=ssl.TLSVersion.TLSv1_3)
    made.set_ecdh_curve(curve)
    if good:
        connect(site, made).close()
    else:
        with pytest.raises(ssl.SSLError):
            connect(site, made)


def test_sessions_are_kept_without_tickets(site):
    made = context(site, maximum_version=ssl.TLSVersion.TLSv1_2)
    with connect(site, made) as s:
        session = s.session
        assert session.id and not session.has_ticket
    plain_socket = socket.create_connection(("127.0.0.1", site.https), 20)
    with made.wrap_socket(plain_socket, server_hostname="localhost", session=session) as s:
        assert s.session_reused


# ---- HTTP -----------------------------------------------------------------------------


@pytest.mark.parametrize("method,path,body", [
    ("GET", "/jobs?limit=1&x=%20", b""), ("POST", "/jobs", b"{}"), ("DELETE", "/jobs/1", b""),
    ("GET", "/", b""), ("PUT", "/none//x/../y", b"x" * 2 * MIB), ("BREW", "/jobs", b""),
    ("GET", "/healthz", b""), ("GET", "/.well-known/acme", b""),
])
@pytest.mark.parametrize("known", [False, True])
def test_http_leads_to_https(site, method, path, body, known):
    data = compose(method, path, token=site.token if known else None, body=body)
    answer = plain(site.http, data)
    assert answer.headers.get_all("Location") == [f"https://localhost:{site.https}{path}"]
    assert_error(answer, 308, "https_required", hsts=None)


def test_redirect_is_followed_with_its_body(site):
    got = curl(site, "-L", "--location-trusted", "-H", f"Authorization: Bearer {site.token}",
               "-H", "Content-Type: application/json", "-d",
               '{"type": "cache_warming", "parameters": {}}', f"http://localhost:{site.http}/jobs")
    assert json.loads(got)["success"] is True


def test_http_answers_its_own_errors(site):
    answer = plain(site.http, compose("HEAD"), "HEAD")
    assert answer.status == 308 and answer.headers["Location"].startswith("https://localhost:")
    for data, status, code in (
            (b"hello\r\n\r\n", 400, "bad_request"),
            (compose(path="/" + "x" * 9000), 414, "uri_too_long"),
            (compose(headers=["X: " + "x" * 9000]), 431, "headers_too_large"),
            (compose("TRACE"), 401, "unauthorized"),
            (compose(path="/_jobq/400"), 404, "not_found")):
        answer = plain(site.http, data)
        assert_error(answer, status, code, hsts=None)
        assert "Location" not in answer.headers


def test_acme_challenges_are_served_over_http(site):
    challenge = site.state / "acme/.well-known/acme-challenge/token_1-x"
    challenge.write_text("token_1-x.thumbprint")
    answer = plain(site.http, compose(path="/.well-known/acme-challenge/token_1-x"))
    assert answer.status == 200 and answer.body == b"token_1-x.thumbprint"
    for path in ("/.well-known/acme-challenge/none", "/.well-known/acme-challenge/",
                 "/.well-known/acme-challenge/../../jobq.db"):
        assert plain(site.http, compose(path=path)).status in (308, 404)
    assert ask(site, path="/.well-known/acme-challenge/token_1-x").status == 401


@pytest.mark.parametrize("data", [compose(), compose("POST", "/none", body=b"{}"),
                                  compose(token="c" * 64)])
def test_http_on_the_port_of_https(site, data):
    assert_error(plain(site.https, data), 400, "https_expected")


# ---- certbot, against an ACME server of our own ---------------------------------------


@contextmanager
def pebble(site, certificate, directory):
    """Let's Encrypt's test server, and the names that it looks up: all are this machine."""
    ports = [free_port() for _ in range(4)]
    where = [f"127.0.0.1:{port}" for port in ports]
    (directory / "pebble.json").write_text(json.dumps({"pebble": {
        "listenAddress": where[0], "managementListenAddress": where[1],
        "certificate": str(certificate[0]), "privateKey": str(certificate[1]),
        "httpPort": site.http, "tlsPort": site.https}}))
    with contextlib.ExitStack() as stack:
        for words in (["pebble-challtestsrv", "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1",
                       "-http01", "", "-https01", "", "-tlsalpn01", "", "-dns01", where[2],
                       "-management", where[3]],
                      ["pebble", "-config", directory / "pebble.json", "-dnsserver", where[2]]):
            one = stack.enter_context(subprocess.Popen(
                words, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
                env=dict(os.environ, PEBBLE_VA_NOSLEEP="1", PEBBLE_WFE_NONCEREJECT="0")))
            stack.callback(one.kill)
        url = f"https://localhost:{ports[0]}/dir"
        wait_until(lambda: listens(ports[0]) and listens(ports[1]), 20, "pebble")
        yield url, f"https://localhost:{ports[1]}/roots/0"


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_certbot(site, certificate, tmp_path):
    """What README says: certonly, two lines, and the reload that comes with a renewal."""
    if not shutil.which("certbot") or not shutil.which("pebble"):
        pytest.skip("certbot or pebble is not installed")
    nginx = f"/usr/sbin/nginx -e stderr -p {site.state}/ -c {site.state}/etc/quickstart.conf"
    places = [f"--{kind}-dir={tmp_path}/{kind}" for kind in ("config", "work", "logs")]

    def certbot(*words):
        done = subprocess.run(["certbot", *words, "-n", *places], capture_output=True, text=True,
                              timeout=120, env=dict(os.environ, REQUESTS_CA_BUNDLE=str(
                                  site.authority)))
        assert done.returncode == 0, done.stdout + done.stderr

    def serial():
        return ssl.get_server_certificate(("127.0.0.1", site.https))

    with pebble(site, certificate, tmp_path) as (url, root):
        certbot("certonly", "--webroot", "-w", f"{site.state}/acme", "-d", "jobs.example.org",
                "--server", url, "--agree-tos", "--register-unsafely-without-email",
                "--deploy-hook", f"{nginx} -s reload")
        live = tmp_path / "config/live/jobs.example.org"
        site.certificate.write_text(render("certificate", CERTIFICATE=live / "fullchain.pem",
                                           CERTIFICATE_KEY=live / "privkey.pem"))
        try:
            reload(site)
            (tmp_path / "root.pem").write_text(curl(site, root))
            assert '"status":"ok"' in curl(
                site, "--cacert", tmp_path / "root.pem", "--resolve",
                f"jobs.example.org:{site.https}:127.0.0.1",
                f"https://jobs.example.org:{site.https}/healthz")
            before = serial()
            certbot("renew", "--force-renewal", "--no-random-sleep-on-renew")
            wait_until(lambda: serial() != before, 20, "the renewed certificate")
        finally:
            site.certificate.write_text(site.plain)
            reload(site)


# ---- client certificates --------------------------------------------------------------


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    ours = Authority(tmp_path_factory.mktemp("clients"), "ours")
    theirs = Authority(tmp_path_factory.mktemp("others"), "theirs")
    return {"ca": ours.pem, "good": ours.sign("machine"), "wrong": theirs.sign("stranger")}


@pytest.fixture(params=["on", "optional"])
def mutual(request, site, clients):
    """As the lines of certificate.conf say it, with their # taken away."""
    text = site.plain.replace("#ssl_", "ssl_").replace("/etc/jobq/clients.pem", str(clients["ca"]))
    text, count = re.subn("ssl_verify_client on;", f"ssl_verify_client {request.param};", text)
    assert count == 1
    site.certificate.write_text(text)
    reload(site)
    yield request.param
    site.certificate.write_text(site.plain)
    reload(site)


def test_client_certificates(site, clients, mutual):
    def asked(client, **keywords):
        return ask(site, path="/jobs?limit=1", made=context(site, client=client), **keywords)
    assert asked(clients["good"], token=site.token).status == 200
    assert_error(asked(clients["good"]), 401, "unauthorized")
    assert_error(asked(clients["wrong"], token=site.token), 400, "client_certificate_required")
    none = asked(None, token=site.token)
    if mutual == "on":
        assert_error(none, 400, "client_certificate_required")
    else:
        assert none.status == 200
    assert_error(plain(site.https, compose()), 400, "https_expected")


# ---- as it is installed ---------------------------------------------------------------


def test_templates_are_filled_in_completely():
    for name in ("jobq-site", "certificate"):
        text = (ROOT / f"nginx/{name}.conf.in").read_text()
        names = set(re.findall(r"@([A-Z_]+)@", re.sub(r"(?m)^#.*", "", text)))
        rendered = render(name, **{one: "x" for one in names})
        assert not re.search(r"(?m)^[^#\n]*@[A-Z]", rendered)


def test_certificate_is_two_lines():
    """One for the certificate, one for its key, wherever they are."""
    text = (ROOT / "nginx/certificate.conf.in").read_text()
    assert re.findall(r"^(ssl_\w+)", text, re.M) == ["ssl_certificate", "ssl_certificate_key",
                                                     "ssl_stapling"]
