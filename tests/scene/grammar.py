"""
tree-sitter's grammar for Godot's text format, from npm, built as a shared object
with tree_sitter.c. Nothing of it is kept but in the build directory.
"""

import ctypes
import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE = "tree-sitter-godot-resource"
VERSION = "0.7.0"
SHA256 = "57555cdd283c2dd920c813dfa985d9652753a8b65aa0fb4d823ae3ef34791b8a"


class Away(Exception):
    """The grammar is not to be had here; the text says for want of what."""


class Verdict(ctypes.Structure):
    """struct peer_verdict of tree_sitter.c."""
    _fields_ = [(name, ctypes.c_uint32)
                for name in ("broken", "line", "nodes", "exts", "subs", "connections")]


def fetch(directory):
    """The package's tarball, fetched at most once."""
    tarball = directory / f"{PACKAGE}-{VERSION}.tgz"
    if not tarball.exists():
        if shutil.which("npm") is None:
            raise Away("npm is not installed")
        try:
            done = subprocess.run(
                ["npm", "pack", f"{PACKAGE}@{VERSION}", "--pack-destination", str(directory),
                 "--fetch-retries=1", "--fetch-timeout=20000"],
                cwd=directory, capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired as error:
            raise Away("npm does not answer") from error
        if done.returncode != 0 or not tarball.exists():
            said = (done.stderr.strip() or "it does not say why").splitlines()[0]
            raise Away(f"npm has not fetched {PACKAGE}: {said}")
    if hashlib.sha256(tarball.read_bytes()).hexdigest() != SHA256:
        tarball.unlink()
        raise AssertionError(f"{tarball} is not the {PACKAGE} {VERSION} that is known")
    return tarball


def build(directory):
    """The path of the shared object in `directory`, made when it is not there or old."""
    if not Path("/usr/include/tree_sitter/api.h").exists():
        raise Away("the Debian package libtree-sitter-dev is not installed")
    directory = Path(directory).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    source, made = HERE / "tree_sitter.c", directory / "grammar.so"
    if made.exists() and made.stat().st_mtime > source.stat().st_mtime:
        return made
    with tarfile.open(fetch(directory)) as archive:
        archive.extractall(directory)
    grammar = directory / "package/src"
    # -O2 for all of it, so that speed is compared like with like.
    done = subprocess.run(
        [os.environ.get("CC", "cc"), "-O2", "-w", "-shared", "-fPIC", f"-I{grammar}", str(source),
         str(grammar / "parser.c"), "-o", str(made), "-ltree-sitter"],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return made


class Peer:
    """The parser, to be asked for its verdict on one file at a time."""

    def __init__(self, directory):
        self.library = ctypes.CDLL(str(build(directory)))
        self.library.peer_new.restype = ctypes.c_void_p
        self.parser = ctypes.c_void_p(self.library.peer_new())
        assert self.parser, "this libtree-sitter does not take the grammar's version"

    def judge(self, data):
        verdict = Verdict()
        self.library.peer_judge(self.parser, data, len(data), ctypes.byref(verdict))
        return verdict
