#!/usr/bin/python3
"""Compares the engine's verdict on syntax with that of tree-sitter's grammar.

usage: differential.py SCENE_CHECK DIRECTORY

Takes every scene and resource of format 3 and 4 in the corpus that $JOBQ_CORPUS
names (default ../shared/scenes), and its mutants. DIRECTORY is where the grammar is
built. Where both take a file they must count the same nodes and ext_resources;
the engine does not tell of sub_resources and connections, so tree-sitter's counts
of these are compared with the corpus's record, as its other ones are.

A disagreement is listed and fails the test, unless it is a known one. Without
the corpus, npm or libtree-sitter-dev the exit status is 77: skipped.
"""
import collections
import os
import re
import sys
import tempfile

import corpus
import grammar

# Real files on which the two disagree, each looked at, and why we are right.
KNOWN = {
    "dev/godot-demo-projects-4/3d/platformer/player/player.tscn":
        "names of properties in quotes (from line 50 on), which the grammar does not have; Godot "
        "reads them as strings (TSCN_FACTS.md, section 2), and the record says that it loads",
}

# Why a mutant is refused that the grammar takes. It knows no meaning, nor the
# order of tags, and takes properties anywhere and any word for a value.
REFUSED = {
    r"nothing can be made of the class|there is no class": "classes are no matter of the grammar",
    r"no (ext|sub)_resource with the id .* is defined above": "an id that is not defined before",
    r"this \w+ has no `\w+`": "a field that the tag needs",
    r"this node's `parent` is no path": "an empty parent, on which Godot crashes",
    r"the file begins with neither gd_scene nor gd_resource": "not the first tag of a scene",
    r"the file begins with a byte order mark": "Godot 4.0 to 4.6 refuse it",
    r"the file is empty": "a scene is more than nothing",
    r"the file was saved with a newer format": "no format that there is",
    r"(a scene's first node|the resource tag) is expected here": "a tag out of its order",
    r"no such tag may stand behind a node": "a tag out of its order",
    r"the file ends within a sub_resource": "nothing uses the last sub_resource",
    r"a tag in brackets is expected here": "a property under a tag that has none",
    r"`.*` is no value": "a word for a value that means nothing",
    r"`\(` is expected here": "the name of a constructor without its arguments",
}

# Mutations that leave text which Godot passes over while it looks for the next
# `=` or `[` byte by byte (TSCN_FACTS.md, section 2), as the grammar does not.
PASSED_OVER = {"byte_flip", "delete_bracket", "delete_line", "extra_bracket", "garbage_block",
               "garbage_insert", "junk_end", "nul_insert", "truncate"}

FORMAT = re.compile(rb"^\[gd_\w+[^\n]*\bformat=[34]\b", re.M)
SYNTAX = re.compile(r"line \d+, column \d+: (.*)", re.S)


def skip(why):
    print(f"SKIPPED: differential: {why}", file=sys.stderr)
    sys.exit(77)


def record(directory):
    """What is recorded of the corpus's files, by path; of mutants with their mutation."""
    rows = {scene["file"]: scene for scene in corpus.scenes_of(directory, "dev.json")}
    for scene in corpus.scenes_of(directory, "mutants_dev.json"):
        rows[scene["file"].removeprefix("mutants/")] = scene
    return rows


def files_by_project(top, rows):
    """{project: [path relative to top]} of what is of format 3 or 4."""
    projects = collections.defaultdict(list)
    for directory, _, names in os.walk(os.path.join(top, "dev")):
        project = directory
        while not os.path.exists(os.path.join(project, "project.godot")) and project != top:
            project = os.path.dirname(project)
        for name in names:
            path = os.path.join(directory, name)
            if not name.endswith((".tscn", ".tres")) or project == top:
                continue
            with open(path, "rb") as file:
                new = FORMAT.search(file.read(4096))
            path = os.path.relpath(path, top)
            if new or rows.get(path, {}).get("engine") == "model-godot-4":
                projects[project].append(path)
    return projects


def disagreement(answer, error, verdict):
    """In what the two disagree, or None. `error` is ours about the text itself."""
    if error is None and verdict.broken:
        return f"we take it, tree-sitter does not (line {verdict.line})"
    if error is not None:
        return None if verdict.broken else f"tree-sitter takes it, we do not: {error}"
    info = answer["scene_info"]
    ours = info["node_count"], len(info["dependencies"])
    its = verdict.nodes, verdict.exts
    return None if ours == its else f"nodes and ext_resources: we count {ours}, tree-sitter {its}"


def explained(path, row, error, verdict):
    """Why a disagreement is none to mind; None when it is."""
    if path in KNOWN:
        return KNOWN[path]
    mutation = row.get("mutation")
    if mutation is None:
        return None
    if error is not None and row["verdict"] != "loads":
        return next((why for text, why in REFUSED.items() if re.match(text, error, re.S)), None)
    if error is None and verdict.broken and row["verdict"] == "loads" and mutation in PASSED_OVER:
        return "text that Godot passes over"
    return None


def against_record(row, verdict):
    """What tree-sitter counts otherwise than it is recorded of a file that loads."""
    keys = {"node_count": "nodes", "ext_count": "exts", "sub_count": "subs",
            "conn_count": "connections"}
    if verdict.broken or not row.get("loads") or "mutation" in row:
        return None
    wrong = [f"{key} {row[key]}, tree-sitter {getattr(verdict, name)}"
             for key, name in keys.items() if row.get(key, 0) != getattr(verdict, name)]
    return "recorded " + "; ".join(wrong) if wrong else None


def compare(program, top, rows, peer):
    """Returns the number of files, {reason: [path]} and the disagreements to mind."""
    total, known, wrong = 0, collections.defaultdict(list), []
    for project, paths in sorted(files_by_project(top, rows).items()):
        scenes = [{"path": "res://" + os.path.relpath(os.path.join(top, path), project),
                   "file": path} for path in sorted(paths)]
        for scene, answer in corpus.check(program, project, scenes):
            path, row = scene["file"], rows.get(scene["file"], {})
            with open(os.path.join(top, path), "rb") as file:
                verdict = peer.judge(file.read())
            first = "" if answer["loads"] else answer["errors"][0]
            found = SYNTAX.fullmatch(first)
            error = found and found[1]
            total += 1
            what = disagreement(answer, error, verdict)
            why = explained(path, row, error, verdict) if what else None
            if why:
                known[why].append(path)
            elif what := what or against_record(row, verdict):
                wrong.append(f"{path}: {what}")
    return total, known, wrong


def main():
    program, directory = os.path.abspath(sys.argv[1]), sys.argv[2]
    where = os.environ.get("JOBQ_CORPUS", "../shared/scenes")
    if not os.path.exists(os.path.join(where, "corpus.tar.gz")):
        skip(f"no scene corpus at {where} (set JOBQ_CORPUS)")
    try:
        peer = grammar.Peer(directory)
    except grammar.Away as error:
        skip(error)
    with tempfile.TemporaryDirectory(prefix="jobq-corpus-") as top:
        corpus.unpack(where, top)
        total, known, wrong = compare(program, top, record(where), peer)
    for why, paths in known.items():
        names = paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
        print(f"  known: {names}: {why}")
    # What is known and no longer so would hide what comes in its place.
    gone = [path for path in KNOWN if path not in sum(known.values(), [])]
    wrong += [f"{path}: known as a disagreement, but there is none" for path in gone]
    for line in wrong:
        print("  " + line)
    print(f"tree-sitter: {total} files, {sum(map(len, known.values()))} known disagreements, "
          f"{len(wrong)} others")
    sys.exit(1 if wrong or total == 0 else 0)


if __name__ == "__main__":
    main()
