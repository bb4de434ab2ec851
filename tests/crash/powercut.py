"""What is on the disk after a power cut, made from what the shim powercut.c has kept."""

import os
import struct
import subprocess
from pathlib import Path

SECTOR = 512
CHANGE = struct.Struct("QQQ")


def tool(name):
    """A program of tests/crash in the build directory, made when it is not there."""
    build = Path(os.environ["JOBQ_BUILD"])
    done = subprocess.run(["make", "-s", "-C", build, f"tests/crash/{name}"],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return build / "tests/crash" / name


def changes(log):
    """(offset, bytes) of each write in a log, (offset, None) of each truncation."""
    at = 0
    while at + CHANGE.size <= len(log):
        offset, length, data = CHANGE.unpack_from(log, at)
        at += CHANGE.size
        if not data:
            yield offset, None
            continue
        if at + length > len(log):
            return  # its writer was killed in the middle
        yield offset, log[at:at + length]
        at += length


def read(path):
    return path.read_bytes() if path.exists() else b""


def content(shadow, inode, random, share):
    """What was synced, and of what was written since a share of the sectors."""
    kept = bytearray(read(shadow / f"{inode}.synced"))
    for offset, data in changes(read(shadow / f"{inode}.log")):
        if data is None:
            if random.random() < share:
                kept[offset:] = bytes(max(0, offset - len(kept)))
            continue
        first = offset // SECTOR
        for sector in range(first, (offset + len(data) - 1) // SECTOR + 1):
            if random.random() >= share:
                continue
            begin, end = max(offset, sector * SECTOR), min(offset + len(data),
                                                           (sector + 1) * SECTOR)
            kept.extend(bytes(max(0, end - len(kept))))
            kept[begin:end] = data[begin - offset:end - offset]
    return bytes(kept)


def read_names(shadow):
    lines = (shadow / "names").read_text().splitlines()
    return {name: int(inode) for inode, name in (line.split(" ", 1) for line in lines)}


def cut(directory, shadow, random, share):
    """Puts into `directory` what a disk could hold now. share 0: what was synced, no more."""
    safe = read_names(shadow)
    now = {path.name: path.stat().st_ino for path in directory.iterdir()
           if path.is_file() and not path.name.endswith("-shm")}
    files = {}
    for name in {*safe, *now}:
        late = share > 0 and random.random() < 0.5
        inode = (now if late else safe).get(name)
        if inode is not None:
            files[name] = content(shadow, inode, random, share)
    for path in [*directory.iterdir(), *shadow.iterdir()]:
        path.unlink()
    for name, data in files.items():
        (directory / name).write_bytes(data)
    return files


def settings(state):
    """Directories for the store and its shadow: (-o options, environment of jobqd)."""
    directory, shadow = state / "store", state / "shadow"
    for path in (directory, shadow):
        path.mkdir(parents=True, exist_ok=True)
    return ([f"store={directory}/jobq.db"],
            {"POWERCUT_DIR": str(directory), "POWERCUT_SHADOW": str(shadow),
             "POWERCUT_FAULT": str(state / "fault")})
