"""What systemd is to the daemons: sockets passed, $NOTIFY_SOCKET, the watchdog's variables."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

from service import wait_until

# Puts the sockets at descriptors 3, 4, … and becomes the program, whose pid it then has.
LAUNCH = """
import fcntl, os, sys
count = int(sys.argv[1])
high = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in sys.argv[2:2 + count]]
for at, fd in enumerate(high):
    os.dup2(fd, 3 + at)
    os.close(fd)
if count:
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count))
if "WATCHDOG_USEC" in os.environ:
    os.environ["WATCHDOG_PID"] = str(os.getpid())
os.execv(sys.argv[2 + count], sys.argv[2 + count:])
"""


class Manager:
    """Starts one program again and again with the same sockets, and listens to it."""

    def __init__(self, directory, name, config):
        self.directory, self.name, self.config = Path(directory), name, config
        self.log = self.directory / f"{name}.log"
        self.sockets, self.names, self.process = [], None, None
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(self.directory / f"{name}.notify"))
        self.heard = []

    def bind(self, path, kind=socket.SOCK_STREAM):
        """A socket to pass; `names` says what they are called."""
        made = socket.socket(socket.AF_UNIX, kind)
        made.bind(str(path))
        if kind == socket.SOCK_STREAM:
            made.listen(4096)
        self.sockets.append(made)

    def start(self, watchdog=None, **environment):
        variables = {name: value for name, value in os.environ.items()
                     if not name.startswith(("LISTEN_", "WATCHDOG_", "NOTIFY_"))}
        variables |= {"NOTIFY_SOCKET": self.notify.getsockname(), **environment}
        if self.names is not None:
            variables["LISTEN_FDNAMES"] = self.names
        if watchdog is not None:
            variables["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        fds = [each.fileno() for each in self.sockets]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LAUNCH, str(len(fds)), *map(str, fds),
                 Path(os.environ["JOBQ_BUILD"]) / self.name, "-c", self.config],
                stdin=subprocess.DEVNULL, stderr=log, pass_fds=fds, env=variables,
                start_new_session=True)
        return self.process

    def next_message(self):
        """The next one, or None; `heard` has all that were taken."""
        try:
            self.heard.append(self.notify.recv(4096, socket.MSG_DONTWAIT).decode())
        except BlockingIOError:
            return None
        return self.heard[-1]

    def messages(self):
        """All that have come, and were not taken yet."""
        return list(iter(self.next_message, None))

    def wait_for(self, pattern, timeout=60):
        """Takes messages up to the first that matches."""
        def look():
            assert self.process.poll() is None, self.log.read_text()
            return next((m for m in iter(self.next_message, None) if re.search(pattern, m, re.M)),
                        None)
        return wait_until(look, timeout, f"the message {pattern}")

    def ready(self, **keywords):
        self.start(**keywords)
        self.wait_for("^READY=1$")
        return self.process

    def stop(self, number=signal.SIGTERM, status=0):
        self.process.send_signal(number)
        assert self.process.wait(60) == status, self.log.read_text()

    def close(self):
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        for each in [self.notify, *self.sockets]:
            each.close()
