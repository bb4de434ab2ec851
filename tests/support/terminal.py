"""jobqctl in a terminal, and what one would see there."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
from pathlib import Path

from service import wait_until


class Terminal:
    """jobqctl in a terminal of a size; `screen()` is what one would see."""

    def __init__(self, *words, columns=100, rows=24, **environment):
        environment = {**os.environ, "TERM": "xterm-256color", **environment}
        self.master, slave = pty.openpty()
        self.columns, self.rows = columns, rows
        self.set_size(slave, columns, rows)
        self.process = subprocess.Popen(
            [Path(os.environ["JOBQ_BUILD"]) / "jobqctl", *map(str, words)],
            stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.output = ""

    @staticmethod
    def set_size(fd, columns, rows):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns, rows):
        self.set_size(self.master, columns, rows)  # the kernel sends SIGWINCH

    def read(self, seconds=0.05):
        if select.select([self.master], [], [], seconds)[0]:
            with contextlib.suppress(OSError):  # EIO: the other side is closed
                self.output += os.read(self.master, 65536).decode(errors="replace")
        return self.output

    def expect(self, pattern, timeout=30):
        try:
            wait_until(lambda: re.search(pattern, self.read()), timeout, pattern)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.output[-2000:]!r}") from None

    def keys(self, text):
        os.write(self.master, text.encode())

    def wait(self, timeout=60):
        wait_until(lambda: self.read() is not None and self.process.poll() is not None, timeout,
                   "the end")
        while select.select([self.master], [], [], 0.1)[0]:
            before = len(self.output)
            self.read()
            if len(self.output) == before:
                break
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *rest):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def screen(output):
    """The lines that are left when the escape sequences have been obeyed."""
    lines, row, column = [""], 0, 0
    for piece in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", output):
        if piece == "\n":
            row += 1
            while row >= len(lines):
                lines.append("")
        elif piece == "\r":
            column = 0
        elif piece.endswith("A") and piece[0] == "\x1b":
            row -= int(piece[2:-1])
            assert row >= 0, "above the first line"
        elif piece.endswith("J") and piece[0] == "\x1b":
            del lines[row + 1:]
            lines[row] = lines[row][:column]
        elif piece[0] != "\x1b":
            lines[row] = lines[row][:column] + piece + lines[row][column + len(piece):]
            column += len(piece)
    return [line.rstrip() for line in lines if line.strip()]
