"""Checkpoints that are whole: spaCy's training saves to a folder beside, then puts it in place.

`Language.to_disk` writes file by file, so a process killed inside it leaves half of the new
checkpoint over half of the old one. With this callback a checkpoint X is written to `X.tmp`, waits
until that is on the disk, and then takes the place of X:

- no X yet: one rename, which the operating system does whole or not at all;
- Linux: X and `X.tmp` are exchanged in one step (renameat2 with RENAME_EXCHANGE), so X is whole at
  every moment, and what is then in `X.tmp` is removed;
- elsewhere, or where the file system knows no exchange: X is moved to `X.old`, then `X.tmp` to X.
  Killed between these two renames, X is not there and both others are whole. `recover` puts `X.old`
  back; the next save does so first.

Whatever lies in `X.tmp` after a kill is nobody's: the next save removes it.

Where training stops by an error, such as a loss that is not a number, model-last stays the
checkpoint that was evaluated last.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path

from safetensors import SafetensorError
from spacy.language import Language
from spacy.training.loop import DIR_MODEL_LAST

from ..weights.store import flush

logger = logging.getLogger(__name__)

RENAME_EXCHANGE = 2  # linux/fs.h
AT_FDCWD = -100  # fcntl.h: paths are relative to the working directory
# A kernel or a file system that cannot exchange.
NO_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM}


def make_whole_checkpoints() -> Callable[[Language], Language]:
    """Registered as `spacy-padellm.whole_checkpoints.v1` in spaCy's `callbacks` registry, for
    `[training.before_to_disk]`.

    RETURNS (Callable[[Language], Language]): Takes the pipeline that is about to be saved, and lets
        its `to_disk` write whole checkpoints from then on.

    DOCS: https://spacy.io/api/data-formats#config-training
    """
    return save_whole_checkpoints


def save_whole_checkpoints(nlp: Language) -> Language:
    """Let a pipeline's `to_disk` put a whole folder in place, or leave what was there: where the
    save fails, and where training stops by an error.

    nlp (Language): The pipeline; the same one may be given again.
    RETURNS (Language): The pipeline.
    """
    if not isinstance(vars(nlp).get("to_disk"), partial):
        outer = sys.exc_info()[1]  # of a caller that trains while it handles an error
        nlp.to_disk = partial(_write_or_keep, nlp.to_disk, outer)  # type: ignore[method-assign]
    return nlp


def _write_or_keep(
    to_disk: Callable[..., None],
    outer: BaseException | None,
    path: str | Path,
    *,
    exclude: Iterable[str] = (),
) -> None:
    """Write a checkpoint, but keep the last one of a training that stops by an error.

    spaCy then saves model-last once more, in a `finally`: weights that nobody has evaluated, and
    that may be what made the loss not a number.
    """
    place = Path(path)
    error = sys.exc_info()[1]
    stopped = error is not outer and isinstance(error, Exception)  # Ctrl+C is no fault
    if stopped and place.name == DIR_MODEL_LAST and place.exists():
        logger.warning("%s is kept as it was saved after its evaluation.", place)
    else:
        write_checkpoint(to_disk, place, exclude=exclude)


def write_checkpoint(
    to_disk: Callable[..., None], path: str | Path, *, exclude: Iterable[str] = ()
) -> None:
    """Save a pipeline so that the folder is whole at any moment.

    to_disk (Callable[..., None]): `Language.to_disk` of the pipeline.
    path (str | Path): The folder; replaced by the new one, with all that is in it.
    exclude (Iterable[str]): Names of components or fields to leave out.
    RAISES (OSError): A disk that is full or can't be written. What lay at the path is as it was,
        and what was half written is removed.
    """
    place = Path(path).resolve()  # a link keeps pointing where it points
    new = place.with_name(f"{place.name}.tmp")
    try:
        recover(place)
        _remove(new)
        to_disk(new, exclude=exclude)
        _flush_all(new)
    except BaseException as error:
        shutil.rmtree(new, ignore_errors=True)
        if isinstance(error, OSError | SafetensorError):
            kept = f"The checkpoint that was there before is whole: {place}."
            raise OSError(
                getattr(error, "errno", None) or errno.EIO,
                f"The checkpoint was not saved ({error}), and what was half written of it was "
                f"removed. {kept if place.exists() else 'There is no earlier one.'} The disk must "
                "have room for two checkpoints while one is written, and for model-best",
                str(place),
            ) from error
        raise
    _put(new, place)
    flush(place.parent)
    # The new one is in place: what is left of the old one is removed now or by the next save.
    shutil.rmtree(new, ignore_errors=True)


def recover(path: str | Path) -> bool:
    """Put a checkpoint back that was moved aside when the process was killed.

    path (str | Path): The checkpoint's folder.
    RETURNS (bool): Whether there was one to put back.
    """
    place = Path(path)
    old = _old(place)
    if place.exists():
        _remove(old)  # killed after both renames
        return False
    if not old.exists():
        return False
    os.rename(old, place)
    return True


def _put(new: Path, place: Path) -> None:
    if not place.exists():
        os.rename(new, place)
    elif not _exchange(new, place):
        os.rename(place, _old(place))
        os.rename(new, place)
        shutil.rmtree(_old(place), ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """RETURNS (bool): Whether two paths were exchanged in one step; False where that is unknown."""
    renameat2 = _renameat2()
    if renameat2 is None:
        return False
    if renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


@cache
def _renameat2() -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = [
            ctypes.c_int,
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_char_p,
            ctypes.c_uint,
        ]
    return function


def _old(place: Path) -> Path:
    return place.with_name(f"{place.name}.old")


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _flush_all(folder: Path) -> None:
    for place, _, names in os.walk(folder):
        for name in names:
            flush(Path(place, name))
        flush(Path(place))
