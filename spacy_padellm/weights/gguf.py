"""Conversion of a GGUF file to the folder that transformers loads quickly."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .progress import progress_bar

MAGIC = b"GGUF"
SPLIT = re.compile(r"-\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)


def check_gguf(path: Path) -> None:
    """Check that a file is one whole GGUF file, before any conversion.

    path (Path): The file.
    RAISES (OSError): A file that doesn't exist.
    RAISES (ValueError): A file that isn't GGUF, or one part of a split GGUF file.
    """
    if not path.is_file():
        raise OSError(f"There is no GGUF file {path}. Give the path of an existing file.")
    with path.open("rb") as file:
        magic = file.read(len(MAGIC))
    if magic != MAGIC:
        raise ValueError(
            f"{path} is no GGUF file: it begins with {magic!r} instead of {MAGIC!r}. "
            "Fetch it again, or give a folder with config.json and model.safetensors."
        )
    if SPLIT.search(path.name):
        raise ValueError(
            f"{path} is one part of a split GGUF file. "
            "Merge the parts first (`llama-gguf-split --merge`) and give the merged file."
        )


def converted_folder(sha256: str, cache: Path) -> Path:
    """Path of the folder with a converted GGUF file.

    Each major version of transformers has a folder of its own: version 4 can't load the tokenizer
    that version 5 writes, and doesn't find the rope_theta in its config.

    sha256 (str): Checksum of the GGUF file.
    cache (Path): The cache folder.
    RETURNS (Path): The folder, which may not exist yet.
    """
    major = version("transformers").partition(".")[0]
    return cache / "converted" / f"{sha256[:16]}-transformers-{major}"


def convert_gguf(source: Path, folder: Path, *, progress: bool = True) -> dict[str, Any]:
    """Write the weights of a GGUF file as bfloat16 safetensors, with its tokenizer.

    source (Path): The GGUF file.
    folder (Path): An existing, empty folder.
    progress (bool): Show a bar.
    RETURNS (dict[str, Any]): Versions of transformers, torch and gguf.
    RAISES (ValueError): A file that transformers can't convert, or only a part of it.
    RAISES (OSError): A folder that can't be written.
    """
    import torch
    import transformers
    from packaging.version import Version
    from transformers import AutoModelForCausalLM, AutoTokenizer

    file = {"gguf_file": source.name}
    dtype = "dtype" if Version(transformers.__version__) >= Version("4.56") else "torch_dtype"
    settings: dict[str, Any] = {**file, dtype: torch.bfloat16, "output_loading_info": True}
    if hasattr(transformers, "GgufConfig"):  # later versions keep GGUF blocks, which can't be saved
        settings["quantization_config"] = transformers.GgufConfig(dequantize=True)
    with _quiet(progress), progress_bar(3, "step", "Converting", progress=progress) as bar:
        try:
            tokenizer = AutoTokenizer.from_pretrained(source.parent, **file)
            _drop_unset_bos(tokenizer, source)
            bar.update()
            model, report = AutoModelForCausalLM.from_pretrained(source.parent, **settings)
        except Exception as error:  # transformers passes on the errors of its parsers
            raise ValueError(
                f"transformers {transformers.__version__} can't convert {source}: {error} "
                "Give the base as a folder with config.json and model.safetensors instead."
            ) from error
        bar.update()
        if report["missing_keys"]:
            raise ValueError(
                f"{source} lacks weights that its architecture needs: "
                f"{', '.join(sorted(report['missing_keys']))}. "
                "Give the base as a folder with config.json and model.safetensors instead."
            )
        _save(model, tokenizer, folder)
        bar.update()
    return {name: version(name) for name in ("transformers", "torch", "gguf")}


def _drop_unset_bos(tokenizer: Any, source: Path) -> None:
    # transformers 4 writes a beginning-of-sequence token even if the file sets add_bos_token to
    # false, 5 does not. An adapter must get the same prompts under both.
    from gguf import GGUFReader

    field = GGUFReader(source).get_field("tokenizer.ggml.add_bos_token")
    if field is not None and not field.contents():
        tokenizer.add_bos_token = False


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except Exception as error:  # safetensors raises its own type for a full disk
        raise OSError(f"The weights can't be written to {folder}: {error}") from error
    for weights in folder.glob(
        "*.safetensors"
    ):  # safetensors makes them readable by the owner only
        weights.chmod((folder / "config.json").stat().st_mode)


@contextmanager
def _quiet(progress: bool) -> Iterator[None]:
    """Suppress transformers' warnings, and without `progress` its bars."""
    # transformers' bar for GGUF tensors can't be switched off; its warnings concern other uses.
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with nullcontext() if progress else redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
