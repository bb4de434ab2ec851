"""Fixtures of the crash tests: a project, and the daemons under the test's own hand."""

import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import powercut  # noqa: E402
from daemons import Daemons, make_project  # noqa: E402


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def daemons(project):
    """`daemons(options=[…], shim=True)` prepares a service; the test starts and kills it."""
    made = []

    def make(options=(), shim=False, settings=(), **arguments):
        state = Path(tempfile.mkdtemp(prefix="jobq-", dir="/tmp"))
        environment = {}
        if shim:
            more, environment = powercut.settings(state)
            settings = [*more, *settings]
        service = Daemons(
            state=state, project=project, settings=settings, environment=environment,
            preload=powercut.tool("powercut.so") if shim else None,
            options=["scene_cache_size = 8M", "drain_timeout = 0", *options], **arguments)
        service.own_state = True
        made.append(service)
        service.prepare()
        return service

    yield make
    for service in made:
        service.discard()
