"""What the three job types do, on real files."""

import contextlib
import ctypes
import mmap
import os
import shutil

import pytest
from conftest import make_project
from service import ROOT, Service, wait_until


def run(service, kind, parameters):
    return service.wait_job(service.submit(kind, parameters))


def batch(service, *operations, mode=None):
    parameters = {"operations": [{"action": action, "scene_path": path}
                                 for action, path in operations]}
    if mode is not None:
        parameters["mode"] = mode
    return run(service, "batch_operations", parameters)


def test_preload_reports_each_scene(service):
    job = run(service, "scene_preload", {"scene_paths": [
        "res://a.tscn", "res://levels/one.tscn", "res://absent.tscn", "res://broken.tscn"]})
    assert job["status"] == "completed" and job["progress"] == 1.0
    result = job["result"]
    assert list(result) == ["scenes_loaded", "total_scenes", "scenes"]
    assert result["scenes_loaded"] == 2 and result["total_scenes"] == 4
    assert result["scenes"][0] == {"scene_path": "res://a.tscn", "success": True}
    assert result["scenes"][2] == {"scene_path": "res://absent.tscn", "success": False,
                                   "error": "Scene not found"}
    assert result["scenes"][3]["success"] is False and result["scenes"][3]["error"]


def test_batch_continues_by_default(service):
    job = batch(service, ("load", "res://a.tscn"), ("validate", "res://broken.tscn"),
                ("get_info", "res://absent.tscn"), ("get_info", "res://levels/one.tscn"))
    assert job["status"] == "completed"
    result = job["result"]
    assert list(result) == ["total", "message", "mode", "successful", "failed", "operations"]
    assert (result["total"], result["message"], result["mode"]) == \
        (4, "Batch operations completed", "continue")
    assert (result["successful"], result["failed"]) == (2, 2)
    for index, row in enumerate(result["operations"]):
        assert list(row)[:4] == ["index", "action", "scene_path", "success"]
        assert row["index"] == index
    assert result["operations"][2]["error"] == "Scene not found"


def test_validate_says_what_is_wrong(service):
    job = batch(service, ("validate", "res://a.tscn"), ("validate", "res://broken.tscn"),
                ("validate", "res://lacks.tscn"))
    good, broken, lacks = job["result"]["operations"]
    assert good["success"] is True
    assert list(good["result"]) == ["valid", "errors", "warnings", "scene_info"]
    assert good["result"]["valid"] is True and good["result"]["errors"] == []
    assert good["result"]["scene_info"] == {"node_count": 2, "root_type": "Node2D",
                                            "root_name": "A"}
    assert broken["success"] is False and broken["result"]["valid"] is False
    assert "line" in broken["result"]["errors"][0]
    assert lacks["success"] is False
    assert any("res://gone.png" in error and "res://lacks.tscn" in error
               for error in lacks["result"]["errors"])


def test_get_info_describes(service):
    row = batch(service, ("get_info", "res://levels/one.tscn"))["result"]["operations"][0]
    info = row["result"]
    assert list(info) == ["size", "modified", "format", "uid", "cached", "node_count",
                          "root_type", "root_name", "dependencies"]
    path = service.project / "levels/one.tscn"
    assert info["size"] == path.stat().st_size
    assert info["modified"] == int(path.stat().st_mtime)
    assert info["format"] == 3 and info["uid"] == "uid://b2n0lw5rwxy1a"
    assert (info["node_count"], info["root_type"], info["root_name"]) == (2, "Node3D", "One")
    assert info["dependencies"] == ["res://a.tscn"]


def test_load_puts_into_the_cache_and_validate_does_not(own_service):
    service = own_service()

    def cached(path):
        rows = batch(service, ("get_info", path))["result"]["operations"]
        return rows[0]["result"]["cached"]
    assert cached("res://levels/one.tscn") is False
    batch(service, ("validate", "res://levels/one.tscn"))
    assert cached("res://levels/one.tscn") is False
    batch(service, ("load", "res://levels/one.tscn"))
    assert cached("res://levels/one.tscn") is True
    assert cached("res://a.tscn") is True, "what a scene needs is cached with it"


def test_jobqctl_counts_the_cache(own_service):
    service = own_service()

    def numbers():
        done = service.ctl("cache")
        assert done.returncode == 0 and done.stderr == ""
        return {name: int(value) for name, value in map(str.split, done.stdout.splitlines())}
    empty = numbers()
    assert list(empty) == ["entries", "bytes", "room", "hits", "misses", "evictions", "resets"]
    assert empty["room"] > 0 and sum(empty.values()) == empty["room"]
    batch(service, ("load", "res://levels/one.tscn"))
    once = numbers()
    assert once == empty | {"entries": 2, "misses": 2, "bytes": once["bytes"]}
    assert 0 < once["bytes"] < once["room"]
    batch(service, ("load", "res://levels/one.tscn"))
    assert numbers() == once | {"hits": 2}


def test_transactional_stops_and_rolls_back(own_service):
    service = own_service()
    batch(service, ("load", "res://c.tscn"))
    job = batch(service, ("load", "res://b.tscn"), ("load", "res://c.tscn"),
                ("load", "res://absent.tscn"), ("load", "res://a.tscn"), mode="transactional")
    assert job["status"] == "failed" and job["progress"] < 1.0
    assert "operation 2" in job["error"] and "res://absent.tscn" in job["error"]
    result = job["result"]
    assert result["rollback"] is True and result["mode"] == "transactional"
    assert [row["success"] for row in result["operations"]] == [True, True, False]
    rows = batch(service, ("get_info", "res://b.tscn"),
                 ("get_info", "res://c.tscn"))["result"]["operations"]
    assert rows[0]["result"]["cached"] is False, "this job put it there"
    assert rows[1]["result"]["cached"] is True, "an earlier job put it there"


def test_transactional_completes_when_all_is_well(service):
    job = batch(service, ("load", "res://a.tscn"), ("validate", "res://b.tscn"),
                mode="transactional")
    assert job["status"] == "completed" and "rollback" not in job["result"]


def test_warming_takes_all_whitelisted_scenes(own_service, tmp_path):
    project = make_project(tmp_path)
    service = own_service(project=project, options=["blacklist = res://secret/"])
    result = run(service, "cache_warming", {})["result"]
    assert list(result) == ["cache_warmed", "message", "scenes_warmed", "scenes_failed", "files",
                            "bytes", "duration_ms"]
    assert result["cache_warmed"] is True and result["message"] == "Cache warming completed"
    # a b c levels/one slow are good; broken and lacks are not; links are not followed.
    assert result["scenes_warmed"] == 5
    assert result["scenes_failed"] in (2, 3)
    assert result["bytes"] >= (project / "slow.tscn").stat().st_size
    assert run(service, "cache_warming", {"scope": "stale"})["result"]["scenes_warmed"] == 0
    (project / "a.tscn").write_text((project / "a.tscn").read_text() + "\n")
    assert run(service, "cache_warming", {"scope": "stale"})["result"]["scenes_warmed"] >= 1
    assert run(service, "cache_warming", {"scope": "all"})["result"]["scenes_warmed"] == 5


def test_warming_uses_threads_that_stand_back(own_service, tmp_path):
    """As many as there may be, within the one slot, and of lower priority."""
    (tmp_path / "many").mkdir()
    project = make_project(tmp_path / "many")
    (project / "wide").mkdir()
    nodes = "".join(f'\n[node name="N{i}" type="Node" parent="."]' for i in range(40000))
    for number in range(60):  # half a second of work, in which somebody can look
        (project / "wide" / f"{number}.tscn").write_text(
            f'[gd_scene format=3]\n\n[node name="R{number}" type="Node"]{nodes}\n')
    service = own_service(project=project)
    workers = service.wait_workers()

    def niced():
        found = []
        for pid in workers:
            for task in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/stat") as stat:
                    found.append(int(stat.read().rpartition(")")[2].split()[16]))
        return found.count(10)
    job_id = service.submit("cache_warming", {})
    wait_until(lambda: niced() == 4, what="four threads that stand back")
    result = service.wait_job(job_id)["result"]
    assert result["scenes_warmed"] >= 65 and result["files"] >= 65
    assert niced() == 0
    again = run(service, "cache_warming", {"scope": "stale"})["result"]
    assert again["scenes_warmed"] == 0, "all of them are fresh"


def test_whitelist_has_exact_paths_directories_and_globs(own_service):
    service = own_service(options=["whitelist = res://b.tscn", "whitelist = res://levels/",
                                   "whitelist = res://?.tscn", "whitelist = res://br*.tscn"])

    def status(path):
        return service.post("/jobs", {"type": "scene_preload",
                                      "parameters": {"scene_paths": [path]}}).status_code
    assert [status(f"res://{name}.tscn") for name in ("b", "levels/one", "broken", "a", "c")] == \
        [202, 202, 202, 400, 400]


def test_links_do_not_lead_out_nor_around(service):
    job = run(service, "scene_preload", {"scene_paths": [
        "res://link.tscn", "res://linked/one.tscn"]})
    assert job["status"] == "completed"
    assert [scene["success"] for scene in job["result"]["scenes"]] == [False, False]
    assert os.uname().nodename not in str(job["result"])


def test_blacklisted_dependency_is_missing(own_service, tmp_path):
    project = make_project(tmp_path)
    (project / "uses.tscn").write_text(
        '[gd_scene load_steps=2 format=3]\n\n'
        '[ext_resource type="PackedScene" path="res://secret/s.tscn" id="1"]\n\n'
        '[node name="U" type="Node"]\n\n[node name="S" parent="." instance=ExtResource("1")]\n')
    service = own_service(project=project, options=["blacklist = res://secret/"])
    row = batch(service, ("validate", "res://uses.tscn"))["result"]["operations"][0]
    assert row["success"] is False
    assert any("res://secret/s.tscn" in error for error in row["result"]["errors"])


@pytest.mark.parametrize("path", ["res://vr_main.tscn", "res://node_3d.tscn",
                                  "res://test_scene.tscn"])
def test_sample_project_serves_the_quick_start(tmp_path, path):
    copy = tmp_path / "sample"
    shutil.copytree(ROOT / "packaging/sample-project", copy)
    with Service(project=copy) as service:
        row = batch(service, ("validate", path))["result"]["operations"][0]
        assert row["result"]["errors"] == [] and row["result"]["valid"] is True


class Pages:
    """Which pages of files are in the page cache: mincore(2) and posix_fadvise(2)."""

    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int,
                          ctypes.c_int, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]

    @classmethod
    def resident(cls, path):
        """The share of its pages that are in memory."""
        size = path.stat().st_size
        pages = (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE
        vector = ctypes.create_string_buffer(pages)
        with open(path, "rb") as file:
            address = cls.libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
            assert address not in (None, ctypes.c_void_p(-1).value)
            try:
                assert cls.libc.mincore(address, size, vector) == 0
            finally:
                cls.libc.munmap(address, size)
        return sum(byte & 1 for byte in vector.raw) / pages

    @staticmethod
    def evict(path):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@pytest.mark.parametrize("kind,parameters", [
    ("scene_preload", {"scene_paths": ["res://page/top.tscn"]}), ("cache_warming", {})])
def test_preload_brings_pages_in(own_service, tmp_path, kind, parameters):
    """Of the scene and of every file that it needs, whatever reads them or does not."""
    (tmp_path / "project").mkdir()
    project = make_project(tmp_path / "project")
    folder = project / "page"
    folder.mkdir()
    (folder / "child.tscn").write_text(
        '[gd_scene format=3]\n\n[ext_resource type="Script" path="res://page/big.gd" id="1"]\n'
        '[node name="Child" type="Node"]\nscript = ExtResource("1")\n')
    (folder / "top.tscn").write_text(
        '[gd_scene format=3]\n\n[ext_resource type="PackedScene" path="res://page/child.tscn" '
        'id="1"]\n[ext_resource type="Texture2D" path="res://page/p.png" id="2"]\n'
        '[node name="Top" type="Node"]\n[node name="C" parent="." instance=ExtResource("1")]\n')
    (folder / "big.gd").write_text("# 0123456789abcdef\n" * 20000)
    (folder / "p.png.import").write_text('[remap]\nimporter="texture"\npath="res://page/p.ctex"\n')
    (folder / "p.ctex").write_bytes(os.urandom(3 << 20))
    files = sorted(folder.iterdir())
    other = project / "unrelated.bin"
    other.write_bytes(os.urandom(1 << 20))
    for path in (*files, other):
        Pages.evict(path)
    if any(Pages.resident(path) > 0 for path in (*files, other)):
        pytest.skip("this file system keeps its files in memory")
    job = run(own_service(project=project), kind, parameters)
    assert job["status"] == "completed", job
    wait_until(lambda: all(Pages.resident(path) == 1 for path in files), 20,
               f"the pages of {[(p.name, Pages.resident(p)) for p in files]}")
    assert Pages.resident(other) == 0
