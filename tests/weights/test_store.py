import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import spacy_padellm
from spacy_padellm.weights.store import MANIFEST, build_folder, find_faults, read_manifest

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(spacy_padellm.__file__).parents[1])}

# Builds a folder and kills itself at its n-th step; a step is a flush, a rename, or a part of the
# writing. Standard input gives a line when it may go on after its first file.
CHILD = """
import os, signal, sys
from pathlib import Path
from spacy_padellm.weights.store import build_folder

deadline, rebuild = int(sys.argv[2]), sys.argv[3] == "rebuild"
steps = 0

def step():
    global steps
    steps += 1
    if steps == deadline:
        os.kill(os.getpid(), signal.SIGKILL)

def stepping(function):
    def call(*args):
        step()
        result = function(*args)
        step()
        return result
    return call

def write(scratch, made):
    (scratch / "fetched").write_bytes(b"raw")
    (made / "weights").write_bytes(b"we")
    print("at work", flush=True)
    if deadline < 0:
        sys.stdin.readline()
    step()
    (made / "weights").write_bytes(b"weights of " + str(os.getpid()).encode())
    step()
    (made / "tokens").write_bytes(b"tokens")
    return {"name": "child"}

os.fsync, os.replace = stepping(os.fsync), stepping(os.replace)
build_folder(Path(sys.argv[1]), write, rebuild=rebuild, progress=True)
print("done", flush=True)
"""


def run_child(folder, deadline, rebuild="keep"):
    command = [sys.executable, "-c", CHILD, str(folder), str(deadline), rebuild]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=ENVIRONMENT, text=True, **pipes)


def write_two(scratch, made):
    (scratch / "fetched").write_bytes(b"raw")
    (made / "weights").write_bytes(b"weights")
    (made / "tokens").write_bytes(b"tokens")
    return {"name": "two"}


def listing(folder):
    return sorted(path.name for path in folder.parent.iterdir())


def test_whole_folder_has_manifest_and_nothing_else_is_left(tmp_path):
    folder = tmp_path / "cache" / "made"
    build_folder(folder, write_two, progress=False)
    assert find_faults(folder, checksums=True) == []
    assert read_manifest(folder)["name"] == "two"
    assert read_manifest(folder)["files"]["tokens"] == {
        "size": 6,
        "sha256": "c51e455b41df6c017327e16001dd064b8b6733faeaa69b23d9bd79c8079237d5",
    }
    assert listing(folder) == ["made", "made.lock"]
    assert folder.stat().st_mode == folder.parent.stat().st_mode


def test_faults_name_file_and_damage(tmp_path):
    folder = tmp_path / "made"
    assert str(folder / MANIFEST) in find_faults(folder)[0]
    build_folder(folder, write_two, progress=False)
    (folder / "weights").write_bytes(b"Weights")
    assert find_faults(folder) == []
    assert "weights has another sha256" in find_faults(folder, checksums=True)[0]
    (folder / "weights").write_bytes(b"we")
    (folder / "tokens").unlink()
    size, missing = find_faults(folder)
    assert "tokens is missing" in size + missing
    assert "weights has 2 bytes instead of 7" in size + missing
    (folder / MANIFEST).write_text("{", encoding="utf8")
    assert "no manifest" in find_faults(folder)[0]
    (folder / MANIFEST).write_text(json.dumps({"files": ["weights"]}), encoding="utf8")
    assert "no manifest" in find_faults(folder)[0]


def test_damaged_folder_is_replaced_and_a_whole_one_kept(tmp_path):
    folder = tmp_path / "made"
    build_folder(folder, write_two, progress=False)
    (folder / "weights").write_bytes(b"we")
    build_folder(folder, write_two, progress=False)
    assert (folder / "weights").read_bytes() == b"weights"

    def refuse(scratch, made):
        raise AssertionError("made again without need")

    build_folder(folder, refuse, progress=False)
    with pytest.raises(AssertionError):
        build_folder(folder, refuse, rebuild=True, progress=False)
    assert find_faults(folder, checksums=True) == []
    assert listing(folder) == ["made", "made.lock"]


def test_failed_write_leaves_nothing(tmp_path):
    folder = tmp_path / "made"

    def fail(scratch, made):
        (made / "weights").write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        build_folder(folder, fail, progress=False)
    assert listing(folder) == ["made.lock"]


@pytest.mark.parametrize("rebuild", ["keep", "rebuild"])
def test_kill_at_any_step_leaves_no_half_folder(tmp_path, rebuild):
    folder = tmp_path / "made"
    partial = 0
    for deadline in range(1, 100):
        if rebuild == "rebuild":
            build_folder(folder, write_two, progress=False)
        child = run_child(folder, deadline, rebuild)
        _, error = child.communicate(timeout=60)
        if child.returncode == 0:
            break
        assert child.returncode == -signal.SIGKILL, error
        partial += any(name.endswith(".partial") for name in listing(folder))
        if folder.exists():  # then it is the old one or the new one, and all of it
            assert find_faults(folder, checksums=True) == []
        build_folder(folder, write_two, progress=False)
        assert find_faults(folder, checksums=True) == []
        assert listing(folder) == ["made", "made.lock"]
        if rebuild == "keep":
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
    assert deadline > 10  # it was killed at more than ten steps
    assert partial > 10  # and left something to clear away
    assert (folder / "weights").read_bytes() == f"weights of {child.pid}".encode()


def test_two_processes_make_one_folder(tmp_path):
    folder = tmp_path / "made"
    first = run_child(folder, -1)
    assert first.stdout.readline() == "at work\n"
    second = run_child(folder, -1)
    assert "Another process is making" in second.stderr.readline()
    assert find_faults(folder)  # not there as long as the first is at work
    out, error = first.communicate("go on\n", timeout=60)
    assert (first.returncode, out) == (0, "done\n"), error
    out, error = second.communicate(timeout=60)
    assert (second.returncode, out) == (0, "done\n"), error  # without writing: it found the first's
    assert (folder / "weights").read_bytes() == f"weights of {first.pid}".encode()
    assert listing(folder) == ["made", "made.lock"]


def test_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"can't be written.*SPACY_PADELLM_CACHE"):
        build_folder(tmp_path / "file" / "made", write_two, progress=False)
