"""Fixtures of the black-box tests: a project to work on, and the service on it."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from service import Service, program  # noqa: E402

SMALL = """[gd_scene load_steps=2 format=3]

[ext_resource type="Script" path="res://thing.gd" id="1_s"]

[node name="{name}" type="Node2D"]
script = ExtResource("1_s")

[node name="Child" type="Node" parent="."]
"""


def big_scene(nodes):
    """A scene whose validation takes some milliseconds."""
    lines = ["[gd_scene format=3]\n", '[node name="Root" type="Node2D"]']
    lines += [f'\n[node name="N{i}" type="Node2D" parent="."]\nposition = Vector2({i}, {i + 1})'
              for i in range(nodes)]
    return "\n".join(lines) + "\n"


def make_project(root):
    (root / "project.godot").write_text('config_version=5\n\n[application]\nconfig/name="t"\n')
    (root / "thing.gd").write_text("extends Node2D\n")
    for name in ("a", "b", "c"):
        (root / f"{name}.tscn").write_text(SMALL.format(name=name.upper()))
    (root / "levels").mkdir()
    (root / "levels/one.tscn").write_text(
        '[gd_scene load_steps=2 format=3 uid="uid://b2n0lw5rwxy1a"]\n\n'
        '[ext_resource type="PackedScene" path="res://a.tscn" id="1"]\n\n'
        '[node name="One" type="Node3D"]\n\n[node name="A" parent="." instance=ExtResource("1")]\n')
    (root / "broken.tscn").write_text('[gd_scene format=3]\n\n[node name="X" type=\n')
    (root / "lacks.tscn").write_text(
        '[gd_scene load_steps=2 format=3]\n\n'
        '[ext_resource type="Texture2D" path="res://gone.png" id="1"]\n\n'
        '[node name="Lacks" type="Sprite2D"]\ntexture = ExtResource("1")\n')
    (root / "slow.tscn").write_text(big_scene(60000))
    (root / "secret").mkdir()
    (root / "secret/s.tscn").write_text(SMALL.format(name="S"))
    (root / "link.tscn").symlink_to("/etc/hostname")
    (root / "linked").symlink_to(root / "levels")
    return root


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def service(project):
    """One service for all tests that do it no harm."""
    with Service(project=project, options=["blacklist = res://secret/", "drain_timeout = 0"],
                 tokens={"ci": "a" * 60 + "Zz09", "other": "b" * 64}) as running:
        yield running


@pytest.fixture
def own_service(project):
    """A service for one test: `own_service(options=[…], …)` starts it."""
    started = []

    def start(**arguments):
        arguments.setdefault("project", project)
        arguments.setdefault("options", []).append("drain_timeout = 0")
        running = Service(**arguments)
        running.__enter__()
        started.append(running)
        return running

    yield start
    for running in started:
        running.__exit__(None, None, None)


def slow_job(service, operations=10000):
    """A job that runs for long: it validates a large scene again and again."""
    return service.submit("batch_operations", {"operations": [
        {"action": "validate", "scene_path": "res://slow.tscn"}] * operations})


def quick_job(service, **arguments):
    return service.submit("scene_preload", {"scene_paths": ["res://a.tscn"]}, **arguments)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """No settings but those that a test makes."""
    for name in ("JOBQ_URL", "JOBQ_TOKEN", "NO_COLOR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def client(service, home, monkeypatch):
    """Runs jobqctl as a client of the service: `client("list", …)`."""
    monkeypatch.setenv("JOBQ_URL", service.base_url)
    monkeypatch.setenv("JOBQ_TOKEN", service.token)

    def run(*words, **keywords):
        return program("jobqctl", *words, **keywords)
    return run
