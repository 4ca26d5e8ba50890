import contextlib
import errno
import os
import sys

import pytest
import spacy
from support.pipelines import LORA, blank_pipeline

from spacy_padellm.training import checkpoint
from spacy_padellm.training.checkpoint import make_whole_checkpoints, recover, write_checkpoint

pytest_plugins = ["support.pipeline_fixtures"]


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


def saved_when(error, nlp, place):
    """Save as spaCy's training does when it ends, by an error or not."""
    with contextlib.suppress(type(error)):
        try:
            if error is not None:
                raise error
        finally:
            nlp.to_disk(place)


@pytest.mark.parametrize(
    ("error", "name", "kept"),
    [
        (None, "model-last", False),
        (ValueError("The loss is nan"), "model-last", True),
        (OSError(errno.ENOSPC, "No space left on device"), "model-last", True),
        (KeyboardInterrupt(), "model-last", False),
        (ValueError("The loss is nan"), "mine", False),
    ],
)
def test_checkpoint_of_a_training_that_stops(tiny_base, tmp_path, caplog, error, name, kept):
    nlp = make_whole_checkpoints()(blank_pipeline(tiny_base, LORA))
    saved_when(error, nlp, tmp_path / name)  # there is no other: it is written in any case
    nlp.meta["version"] = "9.9.9"
    saved_when(error, nlp, tmp_path / name)
    assert (spacy.load(tmp_path / name).meta["version"] != "9.9.9") == kept
    assert ("is kept" in caplog.text) == kept


def test_training_inside_the_handling_of_an_error(tiny_base, tmp_path):
    """An error of the caller's own is not one of the training."""
    nlp = blank_pipeline(tiny_base, LORA)
    try:
        raise ValueError
    except ValueError:
        make_whole_checkpoints()(nlp).to_disk(tmp_path / "model-last")
        nlp.meta["version"] = "9.9.9"
        nlp.to_disk(tmp_path / "model-last")
    assert spacy.load(tmp_path / "model-last").meta["version"] == "9.9.9"
