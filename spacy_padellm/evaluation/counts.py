"""Counts: how often the model says the right number of mentions, and which way it errs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

CAP = 5


@dataclass(frozen=True, slots=True)
class CountAnswer:
    """The answer to one count prompt beside the gold one.

    label (str): The label that was asked for.
    gold (int): Mentions of it in the gold document.
    said (int): Mentions of it as the model said.
    """

    label: str
    gold: int
    said: int


def count_scores(answers: Iterable[CountAnswer], *, cap: int = CAP) -> dict[str, Any]:
    """Score the counts, over all labels and for each.

    answers (Iterable[CountAnswer]): One a count prompt, that is a document and a label.
    cap (int): The last row and column of the confusion matrix hold this number and all above.
    RETURNS (dict[str, Any]): What `_summary` gives, with "confusion", see `confusion`, and
        "per_label", a summary for each label, sorted.
    RAISES (ValueError): A cap below 1.
    """
    answers = list(answers)
    labels = sorted({answer.label for answer in answers})
    return {
        **_summary(answers),
        "confusion": {"cap": cap, "gold_by_said": confusion(answers, cap=cap)},
        "per_label": {
            label: _summary([answer for answer in answers if answer.label == label])
            for label in labels
        },
    }


def confusion(answers: Iterable[CountAnswer], *, cap: int = CAP) -> list[list[int]]:
    """Count the prompts by gold and said number.

    answers (Iterable[CountAnswer]): One a count prompt.
    cap (int): The last row and column hold this number and all above.
    RETURNS (list[list[int]]): Numbers of prompts; rows are the gold number from 0 to cap, columns
        the said one.
    RAISES (ValueError): A cap below 1.
    """
    if cap < 1:
        raise ValueError(f"The cap of a count confusion must be 1 or more, not {cap}.")
    matrix = [[0] * (cap + 1) for _ in range(cap + 1)]
    for answer in answers:
        matrix[min(answer.gold, cap)][min(answer.said, cap)] += 1
    return matrix


def _summary(answers: Sequence[CountAnswer]) -> dict[str, Any]:
    """Score counts together.

    answers (Sequence[CountAnswer]): One a count prompt.
    RETURNS (dict[str, Any]): `n_prompts`; `accuracy`, the share of prompts whose said count equals
        the gold one; `accuracy_present`, the same where the gold count is above 0; `mean_under`
        and `mean_over`, mentions too few and too many in the mean over all prompts; `share_under`
        and `share_over`, of prompts with too few and too many; `lost`, the share of gold mentions
        that the counts leave no room for. None where there was nothing to count.
    """
    present = [answer for answer in answers if answer.gold]
    under = [max(answer.gold - answer.said, 0) for answer in answers]
    over = [max(answer.said - answer.gold, 0) for answer in answers]
    n = len(answers)
    return {
        "n_prompts": n,
        "accuracy": _ratio(sum(answer.gold == answer.said for answer in answers), n),
        "accuracy_present": _ratio(
            sum(answer.gold == answer.said for answer in present), len(present)
        ),
        "mean_under": _ratio(sum(under), n),
        "mean_over": _ratio(sum(over), n),
        "share_under": _ratio(sum(map(bool, under)), n),
        "share_over": _ratio(sum(map(bool, over)), n),
        "lost": _ratio(sum(under), sum(answer.gold for answer in answers)),
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
