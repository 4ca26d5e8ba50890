"""Bases from the Hugging Face hub, offline after the first time."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from .folder import CONFIG, INDEX, WEIGHTS, find_code, find_missing, weight_files
from .progress import say

# what a repository's root holds beside weights: configuration and tokenizer
SMALL_FILES = ["*.json", "*.txt", "*.jinja", "*.model", "*.tiktoken"]
SUBFOLDERS = ["*/*"]
PATIENCE = 5.0  # seconds until a hub that doesn't answer counts as out of reach


def fetch_snapshot(name: str, *, download: bool, refresh: bool, progress: bool) -> Path:
    """Get a base from the hub's cache, else from the hub.

    name (str): `owner/name`.
    download (bool): Whether the hub may be asked.
    refresh (bool): Ask the hub even if the base is in its cache.
    progress (bool): Say so, and let huggingface_hub draw its bars.
    RETURNS (Path): The snapshot, whole.
    RAISES (OSError): If it can't be got.
    RAISES (ValueError): If the name is none of the hub's, or the base has no safetensors.
    """
    from huggingface_hub.errors import HFValidationError

    try:
        cached = None if refresh else _find_cached(name)
    except HFValidationError as error:
        raise ValueError(f"Base model {name!r} is no name of the hub: {error}") from error
    if cached is not None:
        return cached
    if not download:
        raise OSError(f"Base model {name!r} is not on this machine. {_remedy(name)}")
    say(f"Base model {name!r} is not on this machine: fetching it, once.", progress=progress)
    return _download(name, refresh, progress)


def _find_cached(name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(name, CONFIG)
    # an interrupted download, or another tool's, leaves a snapshot of some of the files
    if not isinstance(config, str) or find_missing(Path(config).parent):
        return None
    return Path(config).parent


def _download(name: str, refresh: bool, progress: bool) -> Path:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        api = HfApi()
        info = _answer(lambda: api.model_info(name, timeout=PATIENCE), PATIENCE)
        files = {file.rfilename for file in info.siblings or []}
        if not files & {WEIGHTS, INDEX}:
            raise ValueError(
                f"Base model {name!r} has neither {WEIGHTS} nor {INDEX} on the hub, and only "
                "safetensors are read. Choose a base that has them, or convert it by "
                "save_pretrained and give the folder."
            )
        with _bars(progress):
            # weights last: a snapshot that has them has the rest too
            folder = _fetch_files(name, SMALL_FILES, refresh)
            if code := find_code(folder):
                raise ValueError(f"Base model {name!r} can't be used. {code}")
            shards = [path.name for path in weight_files(folder)]
            _fetch_files(name, [WEIGHTS] if WEIGHTS in files else shards, refresh)
    except ValueError:
        raise
    except GatedRepoError as error:
        raise OSError(
            f"Base model {name!r} is gated: accept its terms on https://huggingface.co/{name}, "
            "and log in by `huggingface-cli login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise OSError(
            f"The hub has no base model {name!r} for you. Check the spelling; if it is private, "
            "log in by `huggingface-cli login`."
        ) from error
    except Exception as error:  # of requests or of httpx, as the version of huggingface_hub goes
        raise OSError(
            f"Base model {name!r} can't be fetched from the hub ({_root(error)}). {_remedy(name)}"
        ) from error
    missing = find_missing(folder)
    if missing:
        raise OSError(f"Base model {name!r} from the hub is not whole. {missing} {_remedy(name)}")
    return folder


def _fetch_files(name: str, patterns: list[str], refresh: bool) -> Path:
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            name,
            allow_patterns=patterns,
            ignore_patterns=SUBFOLDERS,
            etag_timeout=PATIENCE,
            force_download=refresh,
        )
    )


def _answer(call: Callable[[], Any], seconds: float) -> Any:
    # A connection's own time limit counts anew for each address of the host. The thread is a
    # daemon, so that one that still waits doesn't hold up the end of the process.
    future: Future[Any] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except Exception as error:
            future.set_exception(error)

    Thread(target=work, daemon=True).start()
    try:
        return future.result(timeout=seconds)
    except FutureTimeout:
        raise TimeoutError(f"no answer within {seconds:.0f} seconds") from None


def _root(error: BaseException) -> str:
    # the layers above repeat it, each with more words
    inner = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return _root(inner) if inner else f"{type(error).__name__}: {error}"


@contextmanager
def _bars(progress: bool) -> Iterator[None]:
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if progress or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _remedy(name: str) -> str:
    return (
        f"With a network, run `python -m spacy padellm download {name}`; without one, copy the "
        "hub's cache folder (HF_HOME) of a machine that has it, or give a folder that holds a base."
    )
