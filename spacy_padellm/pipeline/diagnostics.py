"""Log messages about predictions: bounds that were reached, mentions without a span."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from spacy.tokens import Doc

from ..documents.alignment import DID_NOT_END, Alignment

if TYPE_CHECKING:
    from ..decoding.decoder import Decoder
    from ..documents.prediction import Prediction

MAX_QUOTED = 20  # documents that the message of an error names


class Diagnostics:
    """Logs each kind of bound once as a warning, further cases as debug.

    logger (logging.Logger): The logger.
    name (str): The component's name.
    """

    def __init__(self, logger: logging.Logger, name: str):
        self._logger = logger
        self._name = name
        self._warned: set[str] = set()

    def log(self, doc: Doc, prediction: Prediction, alignment: Alignment, decoder: Decoder) -> None:
        """Log the bounds that a document reached, and its mentions without a span.

        doc (Doc): The document.
        prediction (Prediction): Its counts and mentions.
        alignment (Alignment): The mentions after alignment.
        decoder (Decoder): Has the bounds.
        """
        for mention, reason in alignment.unaligned:
            self._logger.debug(
                "%s: no span for %r (%s): %s", self._name, mention.text, mention.label, reason
            )
            if reason == DID_NOT_END and mention.text:
                self._warn(
                    "%s: a mention of %r, %r…, has not ended within the decoder's "
                    "max_mention_tokens of %d, the model's window, or twice the text; it is left "
                    "out.",
                    *(mention.label, mention.text[:60], decoder.max_mention_tokens),
                )
        windows = [window_prediction for _, window_prediction in prediction.parts]
        counts = chain.from_iterable(part.counts for part in (prediction, *windows))
        bounded = [count for count in counts if count.bounded]
        text = doc.text[:60] if bounded else ""  # of a long document once, not per count
        for count in bounded:
            self._warn(
                "%s: the model counts %d or more mentions of %r in %r…; no more than the "
                "decoder's max_count of %d are decoded.",
                *(count.number, count.label, text, decoder.max_count),
            )

    def _warn(self, message: str, *arguments: Any) -> None:
        is_known = message in self._warned
        more = "" if is_known else " Further cases are logged as debug."
        level = logging.DEBUG if is_known else logging.WARNING
        self._logger.log(level, message + more, self._name, *arguments)
        self._warned.add(message)


def quote_texts(texts: Sequence[str]) -> str:
    """Quote the beginnings of documents, for the message of an error.

    texts (Sequence[str]): The texts.
    RETURNS (str): The first MAX_QUOTED, and how many more there are.
    """
    quoted = "; ".join(repr(text[:60]) for text in texts[:MAX_QUOTED])
    return f"{quoted}; and {len(texts) - MAX_QUOTED} more" if len(texts) > MAX_QUOTED else quoted
