"""Atomic checkpoints: spaCy's training saves to a folder beside, which then replaces the old one.

`Language.to_disk` writes file by file, so a process killed inside it leaves half of the new
checkpoint over half of the old one. With this callback a checkpoint X is written to `X.tmp`,
flushed to the disk, and then replaces X:

- no X yet: one rename, which is atomic;
- Linux: X and `X.tmp` are exchanged in one step (renameat2 with RENAME_EXCHANGE), so X is whole at
  every moment; the old checkpoint, then `X.tmp`, is removed;
- elsewhere, or where the file system does not support the exchange: X is moved to `X.old`, then
  `X.tmp` to X. If the process is killed between these two renames, X is absent and both others are
  whole. `recover` moves `X.old` back, and the next save starts with that.

An `X.tmp` that a killed process left is removed by the next save.

Where training stops by an error, such as a loss that is not a number, model-last remains the
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
# Errors of a kernel or a file system without the exchange.
NO_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM}


def make_whole_checkpoints() -> Callable[[Language], Language]:
    """Registered as `spacy-padellm.whole_checkpoints.v1` in spaCy's `callbacks` registry, for
    `[training.before_to_disk]`.

    RETURNS (Callable[[Language], Language]): `save_whole_checkpoints`.

    DOCS: https://spacy.io/api/data-formats#config-training
    """
    return save_whole_checkpoints


def save_whole_checkpoints(nlp: Language) -> Language:
    """Replace a pipeline's `to_disk` by one that writes atomic checkpoints. Where the save fails,
    or training stops by an error, the earlier checkpoint is kept.

    nlp (Language): The pipeline; may have been passed before.
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
    """Write a checkpoint, but keep model-last where training stops by an error.

    spaCy then saves model-last once more, in a `finally`: weights that were not evaluated, and that
    may have made the loss not a number.
    """
    folder = Path(path)
    error = sys.exc_info()[1]
    stopped = error is not outer and isinstance(error, Exception)  # Ctrl+C is none
    if stopped and folder.name == DIR_MODEL_LAST and folder.exists():
        logger.warning("%s is kept as it was saved after its evaluation.", folder)
    else:
        write_checkpoint(to_disk, folder, exclude=exclude)


def write_checkpoint(
    to_disk: Callable[..., None], path: str | Path, *, exclude: Iterable[str] = ()
) -> None:
    """Save a pipeline so that the folder is whole at any moment.

    to_disk (Callable[..., None]): `Language.to_disk` of the pipeline.
    path (str | Path): The folder; replaced as a whole.
    exclude (Iterable[str]): Names of components or fields to leave out.
    RAISES (OSError): A disk that is full or can't be written. The folder is unchanged, and the
        incomplete new one is removed.
    """
    folder = Path(path).resolve()  # a link stays a link
    new = folder.with_name(f"{folder.name}.tmp")
    try:
        recover(folder)
        _remove(new)
        to_disk(new, exclude=exclude)
        _flush_all(new)
    except BaseException as error:
        shutil.rmtree(new, ignore_errors=True)
        if isinstance(error, OSError | SafetensorError):
            kept = f"The checkpoint that was there before is whole: {folder}."
            raise OSError(
                getattr(error, "errno", None) or errno.EIO,
                f"The checkpoint was not saved ({error}), and what was half written of it was "
                f"removed. {kept if folder.exists() else 'There is no earlier one.'} The disk must "
                "have room for two checkpoints while one is written, and for model-best",
                str(folder),
            ) from error
        raise
    _replace(new, folder)
    flush(folder.parent)
    # After an exchange this is the old checkpoint. If it can't be removed, the next save does so.
    shutil.rmtree(new, ignore_errors=True)


def recover(path: str | Path) -> bool:
    """Restore a checkpoint from `X.old`, where a process was killed between two renames.

    path (str | Path): The checkpoint's folder.
    RETURNS (bool): Whether a checkpoint was restored.
    """
    folder = Path(path)
    old = _old(folder)
    if folder.exists():
        _remove(old)  # killed after both renames
        return False
    if not old.exists():
        return False
    os.rename(old, folder)
    return True


def _replace(new: Path, folder: Path) -> None:
    if not folder.exists():
        os.rename(new, folder)
    elif not _exchange(new, folder):
        os.rename(folder, _old(folder))
        os.rename(new, folder)
        shutil.rmtree(_old(folder), ignore_errors=True)


def _exchange(new: Path, folder: Path) -> bool:
    """RETURNS (bool): Whether two paths were exchanged in one step; False where that is not
    supported."""
    renameat2 = _renameat2()
    if renameat2 is None:
        return False
    if renameat2(AT_FDCWD, os.fsencode(new), AT_FDCWD, os.fsencode(folder), RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(new), None, str(folder))


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


def _old(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.old")


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _flush_all(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            flush(Path(parent, name))
        flush(Path(parent))
