"""The windows of gold documents, and the gold answers of each window."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spacy.training import Example

from ..documents.gold import Gold
from ..documents.windows import DocWindows, Windows, count_uncovered, window_golds

if TYPE_CHECKING:
    from ..tokenization.codec import Codec

logger = logging.getLogger(__name__)


def gold_windows(
    examples: Sequence[Example], windows: Windows, codec: Codec, max_tokens: int | None
) -> list[DocWindows]:
    """Divide gold documents into the windows that training uses.

    The predicted document of an example is divided: it has the tokens, and the sentences of an
    annotating component, by which windows are found in prediction too. Where its text is not that
    of the reference, the reference is divided.

    examples (Sequence[Example]): The gold documents.
    windows (Windows): Divides documents.
    codec (Codec): The tokenizer of the model.
    max_tokens (int | None): Most tokens of a text that the model has room for, None for any number.
    RETURNS (list[DocWindows]): The windows of each document.
    RAISES (ValueError): A span getter that gives other than the documents' spans.
    """
    docs = [
        eg.predicted if eg.predicted.text == eg.reference.text else eg.reference for eg in examples
    ]
    return windows.split(docs, codec, max_tokens).windows


def checked_window_golds(gold: Gold, windows: DocWindows, name: str) -> list[Gold]:
    """The gold answers of each window of a document, with a warning of mentions that no window
    holds whole.

    gold (Gold): The answers of the document.
    windows (DocWindows): Its windows.
    name (str): The component's name, for the warning.
    RETURNS (list[Gold]): The answers of each window, in reading order.
    """
    golds = window_golds(gold, windows)
    if n_lost := count_uncovered(gold, golds, windows):
        logger.warning(
            "%s: %d of the %d mentions of a gold document lie whole in no window, so they are "
            "not learnt: %r… Let windows overlap (window_overlap, get_spans).",
            name,
            n_lost,
            len(gold.spans),
            gold.text[:60],
        )
    return golds
