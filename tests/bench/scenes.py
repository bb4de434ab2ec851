"""The scene engine alone: speed against memcpy and tree-sitter, memory, large and many scenes."""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from harness import program, run_program

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scene"))

import grammar  # noqa: E402

SMALL = 10000  # scenes that are warmed
HEAD = '[gd_scene format=3]\n\n'
ROOT = '[node name="R" type="Node"]\n'


# ---- the corpus ------------------------------------------------------------------


def unpack(directory):
    """The corpus's real projects; False when there is no corpus."""
    corpus = Path(os.environ.get("JOBQ_CORPUS", Path(__file__).resolve().parents[3] /
                                 "shared/scenes"))
    if not (corpus / "corpus.tar.gz").exists():
        print(f"  SKIPPED: NO SCENE CORPUS AT {corpus} (JOBQ_CORPUS names its directory)")
        return False
    with tarfile.open(corpus / "corpus.tar.gz") as archive:
        # Not the mutants: most of them break off early.
        archive.extractall(directory, [member for member in archive.getmembers()
                                       if member.name.startswith("dev/")])
    return True


def texts(directory):
    return sorted(path for suffix in ("tscn", "tres") for path in directory.rglob(f"*.{suffix}"))


def project_of(path, top):
    """The directory above a file that holds project.godot, or None."""
    return next((parent for parent in path.parents
                 if (parent / "project.godot").exists() and top in parent.parents), None)


def run_on(lines, *arguments):
    """Runs `scenes` with these lines as its input."""
    with tempfile.TemporaryFile("w+") as file:
        file.writelines(f"{line}\n" for line in lines)
        file.seek(0)
        done = subprocess.run([program("scenes"), *map(str, arguments)], stdin=file,
                              capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return {name: float(value) for name, value in map(str.split, done.stdout.splitlines())}


def find_grammar():
    """tree-sitter's shared object; `-` when it is not to be had."""
    try:
        return grammar.build(Path(os.environ["JOBQ_BUILD"]) / "tests/scene/tree-sitter")
    except grammar.Away as error:
        print(f"  tree-sitter: SKIPPED: {error}")
        return "-"


def measure_reader(directory, report, args):
    got = run_on(texts(directory), "read", args.rounds, find_grammar())
    print(f"  {got['files']:.0f} files, {got['bytes'] / 1e6:.1f} MB, {got['broken']:.0f} of them "
          f"broken; processor time, {args.rounds} rounds")
    # Bytes a microsecond are megabytes a second.
    report.add("scenes: full validation in memory", got["bytes"] / got["ours_us"], " MB/s",
               least=250)
    report.add("scenes: memcpy's speed / validation's", 1 / got["memcpy_ratio"])
    if "peer_us" in got:
        print(f"  tree-sitter: {got['bytes'] / got['peer_us']:.2f} MB/s")
        report.add("scenes: validation's speed / tree-sitter's", got["peer_ratio"], least=20)
    report.add("scenes: allocations a file", got["allocations"] / got["files"])


def measure_one(directory, report, args):
    lines = [f"{project}\tres://{path.relative_to(project)}" for path in directory.rglob("*.tscn")
             if (project := project_of(path, directory))]
    got = run_on(lines, "files", args.rounds)
    print(f"  {got['files']:.0f} scenes; opening, reading and closing one takes "
          f"{got['plain_us']:.1f} us, median")
    report.add("scenes: median scene read and understood, beyond reading it", got["look_us"],
               " us", most=10)
    report.add(f"scenes: loaded and validated, beyond reading it ({got['alone']:.0f} that need "
               "nothing)", got["load_us"], " us", most=10)


# ---- large scenes ------------------------------------------------------------------


def flat(count):
    yield HEAD + ROOT
    for i in range(count - 1):
        yield f'\n[node name="N{i}" type="Node" parent="."]\n'


def subs(count):
    yield HEAD
    for i in range(count):
        yield f'[sub_resource type="Resource" id="{i}"]\nresource_name = "r{i}"\n\n'
    yield ROOT


def exts(count):
    yield HEAD
    for i in range(count):
        yield f'[ext_resource path="res://leaf.tscn" type="PackedScene" id="{i}"]\n'
    yield "\n" + ROOT


LARGE = {
    "100,000 nodes": lambda: flat(100000),
    "1,000,000 nodes": lambda: flat(1000000),
    "a string of 50 MB": lambda: (HEAD, ROOT, 'x = "', "A" * 50000000, '"\n'),
    "10,000,000 numbers": lambda: (HEAD, ROOT, "x = PackedByteArray(",
                                   ", ".join(["255"] * 10000000), ")\n"),
    "100,000 sub_resources": lambda: subs(100000),
    "100,000 ext_resources of one file": lambda: exts(100000),
}
MOST_MS = {"100,000 nodes": 40, "a string of 50 MB": 40}


def new_project(directory):
    directory.mkdir()
    (directory / "project.godot").write_text("config_version=5\n")
    return directory


def measure_large(directory, report, args):
    project = new_project(directory / "large")
    (project / "leaf.tscn").write_text(HEAD + ROOT)
    a_node = {}
    for name, parts in LARGE.items():
        with open(project / "x.tscn", "w") as file:
            file.writelines(parts())
        got = run_program(program("scenes"), "large", max(2, args.rounds // 2), project,
                          "res://x.tscn")
        a_node[name] = got["load_us"] / got["nodes"]
        print(f"  {name}: {got['bytes'] / 1e6:.1f} MB, of which only reading takes "
              f"{got['plain_us'] / 1000:.1f} ms")
        report.add(f"scenes: {name}, loaded and validated", got["load_us"] / 1000, " ms",
                   most=MOST_MS.get(name))
        report.add(f"scenes: {name}, peak memory / file", got["peak_bytes"] / got["bytes"], most=2)
    report.add("scenes: time of a node, 1,000,000 / 100,000 nodes",
               a_node["1,000,000 nodes"] / a_node["100,000 nodes"], most=1.3)


# ---- many scenes -------------------------------------------------------------------


def small_scene(number):
    """About as large as the corpus's median scene."""
    children = "".join(f'\n[node name="N{i}" type="Sprite2D" parent="."]\n'
                       f'position = Vector2({i}, {number})\nmodulate = Color(1, 1, 0.5, 1)\n'
                       f'z_index = {i}\n' for i in range(14))
    return ('[gd_scene load_steps=2 format=3]\n\n[sub_resource type="RectangleShape2D" id="1"]\n'
            f'size = Vector2(16, 16)\n\n[node name="R{number}" type="Node2D"]\n{children}\n'
            '[node name="S" type="CollisionShape2D" parent="."]\nshape = SubResource("1")\n')


def measure_many(directory, report, args):
    project = new_project(directory / "many")
    paths = [f"d{number // 100}/s{number}.tscn" for number in range(SMALL)]
    for number, path in enumerate(paths):
        if number % 100 == 0:
            (project / path).parent.mkdir()
        (project / path).write_text(small_scene(number))
    os.sync()  # only what is on the disk can be dropped from memory
    lines = [f"res://{path}" for path in paths]
    for how in ("hot", "cold"):
        got = run_on(lines, "warm", max(2, args.rounds // 3), project, how)
        print(f"  {how}: {SMALL} scenes are read in {got['plain_us'] / 1000:.0f} ms, loaded in "
              f"{got['first_us'] / 1000:.0f} ms, loaded with a filled cache in "
              f"{got['again_us'] / 1000:.0f} ms")
        report.add(f"scenes: {SMALL} small ones warmed, {how} / only reading them",
                   got["first_ratio"], most=1.5)
        # Cold, this only asks for the pages and does not wait for them: no comparison.
        report.add(f"scenes: the same again, from the cache, {how} / only reading them",
                   got["again_ratio"], most=1.5 if how == "hot" else None)


def measure(directory, report, args):
    if "scenes" not in args.section:
        return
    print("\n==== scenes: the engine alone, one thread", flush=True)
    top = directory / "corpus"
    top.mkdir()
    if unpack(top):
        measure_reader(top, report, args)
        measure_one(top, report, args)
    measure_large(directory, report, args)
    measure_many(directory, report, args)
