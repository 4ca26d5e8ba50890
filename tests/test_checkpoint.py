import errno
import json
import os
import subprocess
import sys

import pytest
import spacy
from pipelines import GOLD, LORA, ROOT, blank_pipeline, example
from spacy.tokens import DocBin

from spacy_padellm import checkpoint
from spacy_padellm.checkpoint import make_whole_checkpoints, recover, write_checkpoint

pytest_plugins = ["pipeline_fixtures"]


class Killed(BaseException):
    """In the place of a kill, where the test itself is to live on."""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def writer(text, *, dies_with=None):
    """Like `Language.to_disk`: two files, and what may happen between them."""

    def to_disk(path, exclude=()):
        path.mkdir()
        (path / "one.txt").write_text(text)
        if dies_with is not None:
            raise dies_with
        (path / "two.txt").write_text(text)

    return to_disk


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


OLD = {"one.txt": "old", "two.txt": "old"}
NEW = {"one.txt": "new", "two.txt": "new"}


@pytest.fixture
def place(tmp_path):
    write_checkpoint(writer("old"), tmp_path / "model-last")
    return tmp_path / "model-last"


@pytest.fixture(params=["exchange", "two renames"])
def renaming(request, monkeypatch):
    """Both ways to put a folder in place."""
    if request.param == "two renames":
        monkeypatch.setattr(checkpoint, "_renameat2", lambda: None)
    elif not sys.platform.startswith("linux"):
        pytest.skip("folders are exchanged on Linux only")


def test_first_and_next_checkpoint(place, renaming):
    assert content(place) == OLD
    write_checkpoint(writer("new"), place)
    assert content(place) == NEW
    assert names(place.parent) == ["model-last"]


def test_what_the_new_one_has_not_is_gone(place, renaming):
    (place / "left-over").write_text("")
    write_checkpoint(writer("new"), place)
    assert content(place) == NEW


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="exchanged on Linux only")
def test_exchange_leaves_no_moment_without_a_checkpoint(place, monkeypatch):
    """The one call that touches the checkpoint is the exchange: no rename, no removal before it."""
    monkeypatch.setattr(os, "rename", None)
    write_checkpoint(writer("new"), place)
    assert content(place) == NEW


def test_file_system_without_exchange(place, monkeypatch):
    def refuses(*arguments):
        import ctypes

        ctypes.set_errno(errno.EINVAL)
        return -1

    monkeypatch.setattr(checkpoint, "_renameat2", lambda: refuses)
    write_checkpoint(writer("new"), place)
    assert content(place) == NEW


def test_killed_between_two_renames(place, monkeypatch):
    rename, calls = os.rename, []

    def rename_once(source, target):
        calls.append(source)
        if len(calls) == 2:
            raise Killed
        rename(source, target)

    monkeypatch.setattr(checkpoint, "_renameat2", lambda: None)
    monkeypatch.setattr(os, "rename", rename_once)
    with pytest.raises(Killed):
        write_checkpoint(writer("new"), place)
    monkeypatch.setattr(os, "rename", rename)
    assert names(place.parent) == ["model-last.old", "model-last.tmp"]
    assert content(place.parent / "model-last.tmp") == NEW
    assert recover(place)
    assert content(place) == OLD
    assert not recover(place)

    os.rename(place, place.parent / "model-last.old")
    with pytest.raises(Killed):  # the next save recovers by itself
        write_checkpoint(writer("newer", dies_with=Killed()), place)
    assert content(place) == OLD


def test_what_an_earlier_kill_left_is_removed(place, renaming):
    for name in ("model-last.tmp", "model-last.old"):
        (place.parent / name).mkdir()
        (place.parent / name / "half").write_text("")
    write_checkpoint(writer("new"), place)
    assert content(place) == NEW
    assert names(place.parent) == ["model-last"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()]
)
def test_failed_save_leaves_the_one_before(place, renaming, error):
    with pytest.raises(type(error)):
        write_checkpoint(writer("new", dies_with=error), place)
    assert content(place) == OLD
    assert names(place.parent) == ["model-last"]


def test_message_of_a_full_disk(place, tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match=r"not saved .*No space left.*before is whole") as raised:
        write_checkpoint(writer("new", dies_with=full), place)
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.filename == str(place)
    with pytest.raises(OSError, match="There is no earlier one"):
        write_checkpoint(writer("new", dies_with=full), tmp_path / "other")


def test_a_link_stays_a_link(place, tmp_path, renaming):
    (tmp_path / "link").symlink_to(place)
    write_checkpoint(writer("new"), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert content(place) == NEW


def test_callback_is_given_each_time(tiny_base, tmp_path):
    nlp = blank_pipeline(tiny_base, LORA)
    callback = make_whole_checkpoints()
    assert callback(nlp) is nlp
    to_disk = nlp.to_disk
    assert callback(nlp).to_disk is to_disk
    for _ in range(2):
        nlp.to_disk(tmp_path / "saved", exclude=["vocab"])
    assert names(tmp_path) == ["saved"]
    assert "vocab" not in names(tmp_path / "saved")


@pytest.fixture(scope="module")
def left_behind(tiny_base, tmp_path_factory):
    """What trainings left that died while they saved, by what they died of."""
    folder = tmp_path_factory.mktemp("killed")
    nlp = blank_pipeline(
        tiny_base,
        LORA,
        decoder={
            "@misc": "spacy-padellm.tree_decoder.v1",
            "max_count": 1,
            "max_mention_tokens": 2,
        },
    )
    docs = [example(nlp, text, entities).reference for text, entities in GOLD[:2]]
    DocBin(docs=docs).to_disk(folder / "gold.spacy")
    config = nlp.config
    config["paths"].update(train=str(folder / "gold.spacy"), dev=str(folder / "gold.spacy"))
    config["training"].update(
        max_steps=0,
        patience=0,
        eval_frequency=1,
        before_to_disk={"@callbacks": "spacy-padellm.whole_checkpoints.v1"},
    )
    config.to_disk(folder / "config.cfg")
    run = subprocess.run(
        [sys.executable, ROOT / "tests/killed_training.py", folder / "config.cfg", folder],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return folder, json.loads(run.stdout)


@pytest.mark.parametrize("number", range(5))
def test_killed_while_saving(left_behind, number):
    """SIGKILL at any moment of a save: model-last is the last or the one before, every byte."""
    folder, report = left_behind
    end = report[f"killed {number}"]
    assert end["killed"]
    assert len(end["saved"]) >= 3
    assert end["left"]["model-last"] in end["saved"][-2:]
    assert spacy.load(folder / f"killed{number}/model-last")("Bo likes Oslo.") is not None


def test_kills_came_while_saving(left_behind):
    """Most kills above came while a checkpoint was half written."""
    _, report = left_behind
    kills = [
        end for name, end in report.items() if name.startswith("killed ") and name[-1].isdigit()
    ]
    halves = [end["left"].get("model-last.tmp") not in [None, *end["saved"]] for end in kills]
    assert sum(halves) >= 3


def test_without_the_callback_half_a_checkpoint_is_left(left_behind):
    """What the callback is for; should spaCy come to write whole folders, it can go."""
    _, report = left_behind
    end = report["killed without the callback"]
    assert end["killed"]
    assert end["left"]["model-last"] not in end["saved"]


def test_killed_while_the_best_is_copied(left_behind):
    """spaCy copies model-last to model-best file by file: model-last is whole, and is that best."""
    _, report = left_behind
    end = report["killed in the copy to model-best"]
    assert end["killed"]
    assert end["left"]["model-last"] == end["saved"][-1]
    assert end["left"]["model-best"] not in end["saved"]


def test_disk_full_in_training(left_behind):
    """Writes that fail in the middle of a file, in spaCy's training loop."""
    folder, report = left_behind
    end = report["disk full"]
    assert not end["killed"]
    assert end["error"].startswith("OSError")
    assert "The checkpoint was not saved" in end["error"]
    assert "before is whole" in end["error"]
    assert end["left"]["model-last"] in end["saved"]
    assert "model-last.tmp" not in end["left"]
    assert spacy.load(folder / "full/model-last")("Bo likes Oslo.") is not None
