"""A folder that one worker of a test run builds and all workers read."""

import os
import shutil
from pathlib import Path

from filelock import FileLock


def shared_folder(tmp_path_factory, name, build):
    """Build a folder once per test run, whatever the number of workers (`pytest -n`).

    tmp_path_factory (pytest.TempPathFactory): Its base folder is new in each run. Those of a run's
        workers lie side by side (https://pytest-xdist.readthedocs.io/en/stable/how-to.html).
    name (str): Name of the folder, one per fixture.
    build (Callable[[Path], object]): Called with the path of the folder, which does not exist yet.
    RETURNS (Path): The folder. Tests leave it as it is.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = Path(base) / "shared" / name
    folder.parent.mkdir(exist_ok=True)
    finished = folder.with_suffix(".finished")
    with FileLock(folder.with_suffix(".lock")):
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)
            build(folder)
            finished.touch()
    return folder
