#!/usr/bin/python3
"""Compares `jobqctl scene check` with the ground truth of a corpus of real projects.

usage: corpus.py JOBQCTL

$JOBQ_CORPUS (default ../shared/scenes) holds corpus.tar.gz and truth/. Without
it the exit status is 77: skipped. Fails when agreement falls below LEAST.
"""
import collections
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile

# Agreement that has been reached: a smaller one is a step back.
LEAST = {"dev": 1.0, "mutants": 2937 / 2938, "micro 4": 430 / 433, "micro 5": 405 / 430}
SHOWN = 15

# Godot 4.1 and later put up with these at times; here a missing file always counts.
TOLERATED = ("ext_missing_file", "ext_missing_script", "ext_wrong_type")


def scenes_of(corpus, name):
    with open(os.path.join(corpus, "truth", name)) as file:
        return json.load(file)["scenes"]


def check(program, root, scenes):
    """Yields (truth, answer) for the scenes, all of one project."""
    paths = "".join(scene["path"] + "\n" for scene in scenes)
    run = subprocess.run([program, "scene", "check", "--json", "--project", root, "-"],
                         input=paths, capture_output=True, text=True)
    if run.returncode not in (0, 1):
        sys.exit(f"{program} {root}: status {run.returncode}\n{run.stderr[-4000:]}")
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    assert [answer["scene_path"] for answer in answers] == [scene["path"] for scene in scenes]
    return zip(scenes, answers)


def compare(program, top, scenes, expected, what):
    """Prints the agreement on `loads`, on the facts and on `valid`; returns all three."""
    projects = collections.defaultdict(list)
    for scene in scenes:
        projects[scene["project"]].append(scene)
    total = same = facts = facts_same = made = made_same = 0
    shown = []
    for project, members in projects.items():
        for scene, answer in check(program, os.path.join(top, project), members):
            total += 1
            want = expected(scene)
            if answer["loads"] == want:
                same += 1
            else:
                shown.append(f"{scene['file']}: loads {answer['loads']}, not {want}: "
                             f"{(answer['errors'] or [None])[0]} / {scene.get('error')}")
            if not (want and answer["loads"]) or scene["node_count"] is None:
                continue
            if scene.get("instances") is not None: # whether the engine made nodes of it
                made += 1
                made_same += answer["valid"] == scene["instances"]
                if answer["valid"] != scene["instances"]:
                    shown.append(f"{scene['file']}: valid {answer['valid']}, but the engine says "
                                 f"{scene.get('instance_error')}")
            facts += 1
            info = answer["scene_info"]
            wrong = [f"{key} {info[key]!r}, not {scene[key]!r}"
                     for key in ("node_count", "root_type", "root_name")
                     if info[key] != scene[key]]
            facts_same += not wrong
            if wrong:
                shown.append(f"{scene['file']}: {'; '.join(wrong)}")
    print(f"{what}: loads {same}/{total}, node count and root {facts_same}/{facts}, "
          f"valid {made_same}/{made}")
    for line in shown[:SHOWN]:
        print("  " + line)
    return same / total, facts_same / facts, made_same / made


def unpack(corpus, top):
    with tarfile.open(os.path.join(corpus, "corpus.tar.gz")) as archive:
        archive.extractall(top)
    # The mutants lie beside the projects that they are laid over.
    base = os.path.join(top, "mutants", "dev")
    if os.path.isdir(base):
        shutil.copytree(base, os.path.join(top, "dev"), dirs_exist_ok=True)


def micro_scenes(program, corpus, top, version, engine):
    """
    One construct a scene, judged by the engine of this config_version; the share
    of verdicts that agree. The others: Godot 4.1 and later put up with missing files,
    3.2.3 headless with missing pictures, both with paths that leave the project.
    """
    project = f"micro-{version}"
    with tarfile.open(os.path.join(corpus, "micro.tar.gz")) as archive:
        archive.extractall(os.path.join(top, "unpacked"))
    shutil.copytree(os.path.join(top, "unpacked", "micro"), os.path.join(top, project),
                    dirs_exist_ok=True)
    with open(os.path.join(top, project, "project.godot"), "w") as file:
        file.write(f"config_version={version}\n")
    scenes = [scene for scene in scenes_of(corpus, "micro.json")
              if scene["engine"] == engine and scene["path"].startswith("res://") and
              scene["path"].endswith(".tscn") and "./" not in scene["path"]]
    same, other = 0, []
    for scene, answer in check(program, os.path.join(top, project), scenes):
        if answer["loads"] == (scene["verdict"] == "loads"):
            same += 1
        else:
            other.append(f"{scene['path']}: loads {answer['loads']}: {(answer['errors'] or [''])[0]}")
    print(f"micro scenes, config_version={version}: loads {same}/{len(scenes)}")
    for line in other:
        print("  " + line)
    return same / len(scenes)


def main():
    program = os.path.abspath(sys.argv[1])
    corpus = os.environ.get("JOBQ_CORPUS", "../shared/scenes")
    if not os.path.exists(os.path.join(corpus, "corpus.tar.gz")):
        print(f"SKIPPED: no scene corpus at {corpus} (set JOBQ_CORPUS)", file=sys.stderr)
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="jobq-corpus-") as top:
        unpack(corpus, top)
        dev = compare(program, top, scenes_of(corpus, "dev.json"),
                      lambda scene: scene["expect"]["loads"], "real scenes")
        mutants = [scene for scene in scenes_of(corpus, "mutants_dev.json")
                   if scene["engine"].startswith("godot-3") or
                   scene["mutation"] not in TOLERATED]
        mutants = compare(program, top, mutants,
                          lambda scene: scene["verdict"] == "loads", "mutants")
        micro = {version: micro_scenes(program, corpus, top, version, engine)
                 for version, engine in ((4, "godot-3.2.3-server"), (5, "model-godot-4"))}
    small = all(share >= LEAST[f"micro {version}"] for version, share in micro.items())
    good = (small and dev[0] >= LEAST["dev"] and dev[1:] == (1.0, 1.0) and
            mutants[0] >= LEAST["mutants"] and mutants[1:] == (1.0, 1.0))
    print("agreement holds" if good else "AGREEMENT HAS FALLEN")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
