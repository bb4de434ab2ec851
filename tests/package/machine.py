"""A Debian system that is really booted, and a client in a network of its own.

`base()` makes a root directory once, with apt's lists and what the package
depends on already downloaded; `Machine` boots a copy of it in systemd-nspawn.
The machine has no network but a cable to the client, who has none but that.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

HOST = "jobq-test"
NAME = "jobq-test.example"  # what the snakeoil certificate is made out to
ADDRESS, CLIENT_ADDRESS = "192.0.2.1", "192.0.2.2"
BASE_SECONDS, BOOT_SECONDS, STOP_SECONDS = 1200, 120, 120
INSIDE = ["systemd-sysv", "dbus", "ca-certificates", "logrotate", "procps", "curl",
          "python3-requests", "openssl", "dpkg-dev", "autopkgtest"]
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
               "DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_PAGER": "cat"}


class Cannot(Exception):
    """This machine cannot do what the test needs: no failure of the package."""


def apt_sources():
    """The files that say where this machine has its packages from."""
    folder = Path("/etc/apt/sources.list.d")
    files = [Path("/etc/apt/sources.list"), *sorted(folder.glob("*.list")),
             *sorted(folder.glob("*.sources"))]
    return [file for file in files
            if file.is_file() and re.search(r"^\s*(deb\s|URIs:)", file.read_text(), re.M)]


def base(work, packages):
    """A tarball of a root with `packages` downloaded but not installed; made when it is missing."""
    sources = apt_sources()
    acquire = "".join(f"{line}\n" for line in subprocess.run(
        ["apt-config", "dump", "--no-empty"], capture_output=True, text=True,
        check=True).stdout.splitlines() if line.startswith("Acquire::"))
    key = hashlib.sha256(json.dumps(
        [INSIDE, packages, acquire, *(file.read_text() for file in sources),
         Path(__file__).read_text()]).encode()).hexdigest()[:16]
    tarball = work / f"root-{key}.tar"
    if tarball.exists():
        return tarball
    for old in work.glob("root-*.tar"):
        old.unlink()
    conf = work / "apt-acquire.conf"
    conf.write_text(acquire)
    download = "chroot \"$1\" apt-get install -y -q --download-only " + " ".join(packages)
    command = [
        "mmdebstrap", "--quiet", "--mode=root", "--variant=required", "--format=tar",
        "--skip=cleanup/apt,cleanup/reproducible", f"--aptopt={conf}",
        "--aptopt=APT::Install-Recommends \"false\"",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        "--dpkgopt=path-exclude=/usr/share/man/*/man*",
        "--include=" + ",".join(INSIDE), f"--customize-hook={download}",
        f"--customize-hook=echo {HOST} >\"$1\"/etc/hostname",
        f"--customize-hook=echo '127.0.0.1 localhost\n{ADDRESS} {NAME} {HOST}' >\"$1\"/etc/hosts",
        "bookworm", f"{tarball}.new", *map(str, sources)]
    try:
        made = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              timeout=BASE_SECONDS)
    except subprocess.TimeoutExpired as late:
        raise Cannot(f"mmdebstrap made no Debian root within {late.timeout} s") from late
    if made.returncode != 0:
        raise Cannot(f"mmdebstrap made no Debian root; is there a way to the archive?\n"
                     f"{made.stderr[-2000:]}")
    os.rename(f"{tarball}.new", tarball)
    return tarball


def alone(name):
    """The one child of a process, or None."""
    try:
        found = Path(f"/proc/{name}/task/{name}/children").read_text().split()
    except OSError:
        return None
    return int(found[0]) if found else None


class Groups:
    """Control groups of this machine's own: systemd-nspawn uses those it is started in, and
    two booted systems in the same ones would take each other's processes for theirs."""

    def __init__(self):
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        paths = dict(line.split(":", 2)[1:] for line in
                     Path("/proc/self/cgroup").read_text().splitlines())
        self.folders = []
        for line in mounts:
            words, kind = line.split(" - ")[0].split(), line.split(" - ")[1].split()
            name = {"cgroup2": ""}.get(kind[0]) if kind[0] != "cgroup" else \
                "name=systemd" if "name=systemd" in kind[2].split(",") else None
            if name in paths:
                parent = Path(words[4] + paths[name])
                self.folders.append(parent / f"jobq-test-{os.getpid()}")
                self.end([old for old in parent.glob("jobq-test-*")
                          if not Path("/proc", old.name.rpartition("-")[2]).exists()])

    def enter(self):
        """In the process that becomes systemd-nspawn."""
        for folder in self.folders:
            with contextlib.suppress(OSError):
                folder.mkdir(exist_ok=True)
                (folder / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self):
        self.end(self.folders)

    @staticmethod
    def end(tops):
        """Kills what is in them still, as of a test that was killed itself, and removes them."""
        deadline = time.monotonic() + 20
        while any(top.exists() for top in tops):
            for folder in [folder for top in tops for folder, _, _ in os.walk(top, topdown=False)]:
                with contextlib.suppress(OSError):
                    for pid in Path(folder, "cgroup.procs").read_text().split():
                        os.kill(int(pid), signal.SIGKILL)
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
            if time.monotonic() > deadline:
                raise AssertionError(f"what was booted does not end: {[*map(str, tops)]}")
            time.sleep(0.1)


class Machine:
    def __init__(self, work, tarball):
        self.work = work
        self.root = work / "root"
        self.console = work / "console"
        self.nspawn = self.client = self.init = None
        self.boots = 0
        self.groups = Groups()
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        self.console.write_text("")
        subprocess.run(["tar", "--numeric-owner", "-C", self.root, "-xf", tarball], check=True)

    # ---- life -----------------------------------------------------------------

    def boot(self):
        """Boots; returns how many seconds it took until all units had started."""
        began = time.monotonic()
        with open(self.console, "ab") as console:
            self.nspawn = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit",
                 "--private-network", "-b", "-D", self.root, "--hostname=" + HOST, "--console=pipe",
                 "--system-call-filter=@memlock landlock_create_ruleset landlock_add_rule "
                 "landlock_restrict_self"],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
                preexec_fn=self.groups.enter)
        state, deadline = "", time.monotonic() + BOOT_SECONDS
        while state not in ("running", "degraded"):
            self.init = alone(self.nspawn.pid)
            if self.nspawn.poll() is not None or time.monotonic() > deadline:
                said = self.console.read_text(errors="replace")[-2000:]
                self.stop()
                problem = f"systemd-nspawn did not boot a system here ({state}):\n{said}"
                raise Cannot(problem) if self.boots == 0 else AssertionError(problem)
            if self.init:
                state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
            time.sleep(0.1)
        self.boots += 1
        took = time.monotonic() - began
        self.connect()
        return took

    def connect(self):
        """Lays a cable between the machine and a new client, who knows its name."""
        hosts = self.work / "hosts"
        hosts.write_text(f"127.0.0.1 localhost\n{ADDRESS} {NAME}\n")
        self.client = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "-n", "-m", "sh", "-c",
             "mount --bind \"$1\" /etc/hosts && echo ready && exec sleep infinity", "sh", hosts],
            stdout=subprocess.PIPE, text=True, start_new_session=True)
        if self.client.stdout.readline() != "ready\n":
            raise Cannot("this machine gives no network namespaces")
        there = f"nsenter -t {self.init} -n ip"
        here = f"nsenter -t {self.client.pid} -n ip"
        for command in (
                f"ip link add jobq0 netns {self.init} type veth "
                f"peer name jobq1 netns {self.client.pid}",
                f"{there} addr add {ADDRESS}/24 dev jobq0", f"{there} link set jobq0 up",
                f"{here} addr add {CLIENT_ADDRESS}/24 dev jobq1", f"{here} link set jobq1 up",
                f"{here} link set lo up"):
            subprocess.run(command.split(), check=True)

    def stop(self):
        """Shuts the machine down as its power button would."""
        if self.client:
            self.client.kill()
            self.client.wait()
            self.client = None
        if self.nspawn and self.nspawn.poll() is None:
            if self.init:
                os.kill(self.init, signal.SIGRTMIN + 4)
            try:
                self.nspawn.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.nspawn.kill()
                self.nspawn.wait()
                raise AssertionError(f"the machine did not shut down within {STOP_SECONDS} s")
        self.nspawn = self.init = None

    def discard(self):
        if self.nspawn and self.nspawn.poll() is None:
            if self.init:
                os.kill(self.init, signal.SIGKILL)
            self.nspawn.kill()
            self.nspawn.wait()
        if self.client:
            self.client.kill()
            self.client.wait()
        self.groups.remove()

    # ---- what to do in it -----------------------------------------------------

    def command(self, *words):
        return ["nsenter", "-t", str(self.init), *"-m -u -i -n -p -C -r -w".split(), *map(str, words)]

    def run(self, *words, check=True, timeout=180, **keywords):
        """Runs a command in the machine."""
        done = subprocess.run(self.command(*words), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=timeout,
                              env=ENVIRONMENT, stdin=subprocess.DEVNULL, **keywords)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, words))}: status {done.returncode}\n"
                                 f"{done.stdout[-4000:]}")
        return done

    def sh(self, script, **keywords):
        return self.run("sh", "-ec", script, **keywords).stdout

    def as_client(self, *words, **environment):
        """A command line that runs on the client, who trusts the snakeoil certificate."""
        self.certificate = self.root / "etc/ssl/certs/ssl-cert-snakeoil.pem"
        trust = {name: self.certificate
                 for name in ("CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")}
        return ["nsenter", "-t", str(self.client.pid), "-n", "-m", "env", "-i",
                *(f"{name}={value}" for name, value in
                  {**ENVIRONMENT, **trust, **environment}.items()), *map(str, words)]
