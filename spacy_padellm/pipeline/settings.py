"""Check and read the settings of the component, its `cfg`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import srsly

from ..documents.alignment import MODES
from .labels import check_labels


def check_settings(cfg: Mapping[str, Any], deduplicate: Any) -> dict[str, Any]:
    """Check settings as a config gives them.

    cfg (Mapping[str, Any]): The component's `cfg`; its keys are arguments of PadellmNER.
    deduplicate (Any): Should be a rule for spans found under several labels.
    RETURNS (dict[str, Any]): The settings, "labels" as a list of its own.
    RAISES (ValueError): The first invalid setting, with its value and what it may be.
    """
    threshold, spans_key = cfg["threshold"], cfg["spans_key"]
    if not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be a probability from 0 to 1, not {threshold!r}.")
    if not isinstance(spans_key, str) or not spans_key:
        raise ValueError(f"spans_key must be a key of doc.spans, a string, not {spans_key!r}.")
    update_tokens = cfg["update_tokens"]
    is_number = isinstance(update_tokens, int) and not isinstance(update_tokens, bool)
    if update_tokens is not None and (not is_number or update_tokens < 1):
        raise ValueError(f"update_tokens must be an integer from 1 or null, not {update_tokens!r}.")
    if not callable(deduplicate):
        raise ValueError(
            "deduplicate must be a rule such as spacy-padellm.deduplicate_by_span.v1 "
            f"(keep_all for none), not {deduplicate!r}."
        )
    mode = cfg["alignment_mode"]
    if mode not in MODES:
        raise ValueError(f"alignment_mode must be one of {', '.join(MODES)}, not {mode!r}.")
    return {**cfg, "labels": check_labels(cfg["labels"])}


def read_settings(path: Path, cfg: Mapping[str, Any], deduplicate: Any) -> dict[str, Any]:
    """Read the settings of a saved component.

    path (Path): The JSON file.
    cfg (Mapping[str, Any]): The settings where the file has none.
    deduplicate (Any): As in `check_settings`.
    RETURNS (dict[str, Any]): The settings.
    RAISES (ValueError): A file without a JSON object, or an invalid setting.
    """
    try:
        settings = {**cfg, **srsly.read_json(path)}
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is no JSON object: {error}. Save it again.") from error
    return check_settings(settings, deduplicate)
