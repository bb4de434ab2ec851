"""jobqctl and the service that is installed on its machine: whom it trusts with the first token."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from service import ROOT
from test_tls import Authority, openssl

OK, UNREACHABLE = 0, 4
TOKEN = "first-" + "t" * 40


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    """One that the machine trusts, and one that nobody knows."""
    directory = tmp_path_factory.mktemp("authorities")
    return Authority(directory, "known"), Authority(directory, "unknown")


@pytest.fixture
def machine(tmp_path, authorities):
    """Runs jobqctl where the package is installed with a certificate, and another is served."""
    etc = tmp_path / "etc"
    for name in ("jobq", "nginx/sites-enabled", "ssl/certs"):
        (etc / name).mkdir(parents=True)
    (etc / "hosts").write_text("127.0.0.1 localhost\n")
    (etc / "nginx/sites-enabled/jobq").write_text("server {\n    server_name jobs.example.org;\n}\n")
    (etc / "jobq/token.initial").write_text(f"{TOKEN}\n")
    known = authorities[0].pem
    digest = subprocess.run(["openssl", "x509", "-noout", "-hash", "-in", known], check=True,
                            capture_output=True, text=True).stdout.strip()
    shutil.copy(known, etc / f"ssl/certs/{digest}.0")
    shutil.copy(known, etc / "ssl/certs/ca-certificates.crt")
    words = ["unshare", "-n", "-m", "/usr/bin/python3", ROOT / "tests/support/machine_of_its_own.py",
             etc]
    if subprocess.run(["unshare", "-n", "-m", "mount", "--bind", etc, "/etc"],
                      capture_output=True).returncode != 0:
        pytest.skip("NOT CHECKED: unshare(1) and mount(8) are not allowed here")
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("JOBQ_URL", "JOBQ_TOKEN")}
    environment.update(HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path))

    def run(certificate, served, *more):
        (etc / "jobq/certificate.conf").write_text(f"ssl_certificate {certificate};\n")
        done = subprocess.run([*words, *served, Path(os.environ["JOBQ_BUILD"]) / "jobqctl",
                               "queue", *more], capture_output=True, text=True, timeout=90,
                              env=environment)
        assert done.returncode == 0, done.stderr
        return SimpleNamespace(**json.loads(done.stdout))
    run.etc = etc
    return run


def self_signed(directory):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", 1, "-subj", "/CN=some.other.name", "-keyout", directory / "own.key",
            "-out", directory / "own.pem")
    return directory / "own.pem", directory / "own.key"


def assert_served(done):
    assert (done.status, done.err) == (OK, "")
    assert done.out == "open: 0 queued, 0 of 3 slots busy\n" and done.tokens == [TOKEN]


def assert_distrusted(done, *words):
    assert (done.status, done.out) == (UNREACHABLE, "") and done.tokens == []
    for word in ("certificate", *words):
        assert word in done.err


def test_its_own_certificate_is_known(machine, tmp_path):
    """Whoever has signed it, and whatever name it is made out to."""
    own = self_signed(tmp_path)
    assert_served(machine(own[0], own))


def test_nobody_elses_certificate_will_do(machine, tmp_path, authorities):
    """Also of one whom an authority that everybody trusts has given one."""
    own = self_signed(tmp_path)
    for authority in authorities:
        stranger = authority.sign("stranger", "subjectAltName=DNS:stranger.example")
        assert_distrusted(machine(own[0], stranger), "/etc/jobq/certificate.conf", "nginx -s reload")


def test_a_chain_is_its_first_certificate(machine, tmp_path, authorities):
    """As certbot writes it; the same authority has signed others, too."""
    for authority in authorities:
        ours = authority.sign("ours", "subjectAltName=DNS:jobs.example.org")
        stranger = authority.sign("stranger", "subjectAltName=DNS:stranger.example")
        chain = tmp_path / "fullchain.pem"
        chain.write_text(ours[0].read_text() + authority.pem.read_text())
        assert_served(machine(chain, (chain, ours[1])))
        assert_distrusted(machine(chain, stranger), "nginx -s reload")


def test_a_certificate_that_cannot_be_read_is_checked_as_anybodys(machine, authorities):
    ours = authorities[0].sign("ours", "subjectAltName=DNS:jobs.example.org")
    stranger = authorities[0].sign("stranger", "subjectAltName=DNS:stranger.example")
    assert_served(machine("/no/such.pem", ours))
    assert_distrusted(machine("/no/such.pem", stranger), "--ca FILE")


def test_an_authority_that_is_named_counts_instead(machine, tmp_path, authorities):
    own, ca = self_signed(tmp_path), ("--ca", authorities[1].pem)
    ours = authorities[1].sign("ours", "subjectAltName=DNS:jobs.example.org")
    assert_served(machine(own[0], ours, *ca))
    assert_distrusted(machine(own[0], own, *ca), "--ca FILE")


@pytest.mark.parametrize("name", ["_", '"~^jobs"', "*.example.org", ".example.org", "$hostname"])
def test_names_that_are_patterns(machine, tmp_path, name):
    own = self_signed(tmp_path)
    (machine.etc / "nginx/sites-enabled/jobq").write_text(f"\tserver_name\t{name} more;\n")
    assert_served(machine(own[0], own))
