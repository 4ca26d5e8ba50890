"""Scores of the predicted counts: accuracy, too few and too many mentions, confusion matrix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

CAP = 5


@dataclass(frozen=True, slots=True)
class CountAnswer:
    """Gold and predicted number of mentions of one count prompt.

    label (str): Label of the prompt.
    gold (int): Number of mentions in the gold document.
    predicted (int): Number of mentions that the model predicted.
    """

    label: str
    gold: int
    predicted: int


def count_scores(answers: Iterable[CountAnswer], *, cap: int = CAP) -> dict[str, Any]:
    """Score the counts over all labels and for each label.

    answers (Iterable[CountAnswer]): One per count prompt, that is per document and label.
    cap (int): The last row and column of the confusion matrix hold this number and all above.
    RETURNS (dict[str, Any]): The keys of `_summary` over all labels; "confusion", see `confusion`;
        "per_label", a summary for each label, sorted by label.
    RAISES (ValueError): The cap is below 1.
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
    """Count the prompts by gold and predicted number.

    answers (Iterable[CountAnswer]): One per count prompt.
    cap (int): The last row and column hold this number and all above.
    RETURNS (list[list[int]]): Numbers of prompts [cap + 1, cap + 1]; rows are the gold numbers from
        0 to cap, columns the predicted numbers.
    RAISES (ValueError): The cap is below 1.
    """
    if cap < 1:
        raise ValueError(f"The cap of a count confusion must be 1 or more, not {cap}.")
    matrix = [[0] * (cap + 1) for _ in range(cap + 1)]
    for answer in answers:
        matrix[min(answer.gold, cap)][min(answer.predicted, cap)] += 1
    return matrix


def _summary(answers: Sequence[CountAnswer]) -> dict[str, Any]:
    """Score a set of count prompts.

    answers (Sequence[CountAnswer]): One per count prompt.
    RETURNS (dict[str, Any]): `n_prompts`; `accuracy`, the share of prompts whose predicted count
        equals the gold count; `accuracy_present`, the same over prompts with a gold count above 0;
        `mean_under` and `mean_over`, missing and surplus mentions in the mean over all prompts;
        `share_under` and `share_over`, the shares of prompts with too small and too large a count;
        `lost`, the share of gold mentions that exceed the predicted counts. None if there are no
        prompts, or no gold mentions.
    """
    present = [answer for answer in answers if answer.gold]
    under = [max(answer.gold - answer.predicted, 0) for answer in answers]
    over = [max(answer.predicted - answer.gold, 0) for answer in answers]
    n = len(answers)
    return {
        "n_prompts": n,
        "accuracy": _ratio(sum(answer.gold == answer.predicted for answer in answers), n),
        "accuracy_present": _ratio(
            sum(answer.gold == answer.predicted for answer in present), len(present)
        ),
        "mean_under": _ratio(sum(under), n),
        "mean_over": _ratio(sum(over), n),
        "share_under": _ratio(sum(map(bool, under)), n),
        "share_over": _ratio(sum(map(bool, over)), n),
        "lost": _ratio(sum(under), sum(answer.gold for answer in answers)),
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
