"""Scores of the generated mentions: how many there are, and why some have no span in the text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..documents.alignment import (
    BLANK,
    DID_NOT_END,
    INSIDE_TOKEN,
    NOT_IN_TEXT,
    TOO_OFTEN,
)
from .outcome import Outcome

REASONS = {
    "not_in_text": NOT_IN_TEXT,
    "too_often": TOO_OFTEN,
    "did_not_end": DID_NOT_END,
    "blank": BLANK,
    "inside_token": INSIDE_TOKEN,
}


def mention_scores(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Count the generated mentions and those that could not be aligned to the text.

    outcomes (Sequence[Outcome]): One per document.
    RETURNS (dict[str, Any]): Sums over the documents: `said`, the number of generated mentions;
        `unaligned`, for each of `REASONS` the number "n" and its "share" of the generated mentions,
        None without mentions; `superseded`, see `Alignment`; `malformed` and `unended`, see
        `Prediction`.
    """
    n_mentions = sum(len(outcome.prediction.mentions) for outcome in outcomes)
    reasons = Counter(reason for outcome in outcomes for _, reason in outcome.alignment.unaligned)
    return {
        "said": n_mentions,
        "unaligned": {
            key: {
                "n": reasons[reason],
                "share": reasons[reason] / n_mentions if n_mentions else None,
            }
            for key, reason in REASONS.items()
        },
        "superseded": sum(len(outcome.alignment.superseded) for outcome in outcomes),
        "malformed": sum(outcome.prediction.malformed for outcome in outcomes),
        "unended": sum(not outcome.prediction.ended for outcome in outcomes),
    }
