"""Bases from the Hugging Face hub, offline after the first time."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from .folder import CONFIG, INDEX, WEIGHTS, find_code, find_missing, weight_files
from .progress import print_status

# Configuration and tokenizer files in a repository's root.
SMALL_FILES = ["*.json", "*.txt", "*.jinja", "*.model", "*.tiktoken"]
SUBFOLDERS = ["*/*"]
TIMEOUT = 5.0  # seconds to wait for an answer of the hub


def fetch_snapshot(name: str, *, download: bool, refresh: bool, progress: bool) -> Path:
    """Get a base from the hub's cache, else from the hub.

    name (str): `owner/name`.
    download (bool): Whether the hub may be contacted.
    refresh (bool): Download the base even if it is in the hub's cache.
    progress (bool): Print a status line and let huggingface_hub draw its bars.
    RETURNS (Path): The complete snapshot.
    RAISES (OSError): A base that can't be downloaded.
    RAISES (ValueError): An invalid name, a base without safetensors, or one with code of its own.
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
    status = f"Base model {name!r} is not on this machine: fetching it, once."
    print_status(status, progress=progress)
    return _download(name, refresh, progress)


def _find_cached(name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(name, CONFIG)
    # An interrupted download, or another tool's, leaves an incomplete snapshot.
    if not isinstance(config, str) or find_missing(Path(config).parent):
        return None
    return Path(config).parent


def _download(name: str, refresh: bool, progress: bool) -> Path:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        api = HfApi()
        info = _call_with_timeout(lambda: api.model_info(name, timeout=TIMEOUT), TIMEOUT)
        files = {file.rfilename for file in info.siblings or []}
        if not files & {WEIGHTS, INDEX}:
            raise ValueError(
                f"Base model {name!r} has neither {WEIGHTS} nor {INDEX} on the hub, and only "
                "safetensors are read. Choose a base that has them, or convert it by "
                "save_pretrained and give the folder."
            )
        with _progress_bars(progress):
            # The weights come last: a snapshot that has them is complete.
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
            f"The hub has no base model {name!r}, or not for your account. Check the spelling; "
            "if it is private, log in by `huggingface-cli login`."
        ) from error
    except Exception as error:  # of requests or httpx, depending on the version of huggingface_hub
        raise OSError(
            f"Base model {name!r} can't be fetched from the hub ({_root_cause(error)}). "
            f"{_remedy(name)}"
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
            etag_timeout=TIMEOUT,
            force_download=refresh,
        )
    )


def _call_with_timeout(call: Callable[[], Any], seconds: float) -> Any:
    # A connection's own time limit starts anew for each address of the host. The thread is a
    # daemon: a call that still waits doesn't keep the process from ending.
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


def _root_cause(error: BaseException) -> str:
    """RETURNS (str): Type and message of the first error of the chain; the later ones repeat it."""
    inner = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return _root_cause(inner) if inner else f"{type(error).__name__}: {error}"


@contextmanager
def _progress_bars(progress: bool) -> Iterator[None]:
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
