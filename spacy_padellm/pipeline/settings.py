"""The component's settings, checked where a pipeline is made."""

from __future__ import annotations

from typing import Any

from ..documents.alignment import MODES


def check_settings(
    *, spans_key: Any, threshold: Any, alignment_mode: Any, update_tokens: Any, deduplicate: Any
) -> None:
    """Check what a config gives; the arguments are those of PadellmNER.

    RAISES (ValueError): The first setting that can't be, with its value and what it may be.
    """
    if not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be a probability from 0 to 1, not {threshold!r}.")
    if not isinstance(spans_key, str) or not spans_key:
        raise ValueError(f"spans_key must be a key of doc.spans, a string, not {spans_key!r}.")
    is_number = isinstance(update_tokens, int) and not isinstance(update_tokens, bool)
    if update_tokens is not None and (not is_number or update_tokens < 1):
        raise ValueError(f"update_tokens must be an integer from 1 or null, not {update_tokens!r}.")
    if not callable(deduplicate):
        raise ValueError(
            "deduplicate must be a rule such as spacy-padellm.deduplicate_by_span.v1 "
            f"(keep_all for none), not {deduplicate!r}."
        )
    if alignment_mode not in MODES:
        raise ValueError(
            f"alignment_mode must be one of {', '.join(MODES)}, not {alignment_mode!r}."
        )
