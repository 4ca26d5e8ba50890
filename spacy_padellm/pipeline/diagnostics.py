"""What a user is told of what was said: bounds that were met, mentions that have no place."""

from __future__ import annotations

import logging
from itertools import chain
from typing import TYPE_CHECKING, Any

from spacy.tokens import Doc

from ..documents.alignment import DID_NOT_END, Alignment

if TYPE_CHECKING:
    from ..decoding.decoder import Decoder
    from ..documents.prediction import Prediction


class Diagnostics:
    """Warns of each kind of bound once; further cases are logged as debug.

    logger (logging.Logger): Where to.
    name (str): The component's name.
    """

    def __init__(self, logger: logging.Logger, name: str):
        self._logger = logger
        self._name = name
        self._warned: set[str] = set()

    def __call__(
        self, doc: Doc, prediction: Prediction, alignment: Alignment, decoder: Decoder
    ) -> None:
        """Tell of a document.

        doc (Doc): The document.
        prediction (Prediction): What was said of it.
        alignment (Alignment): Where that is.
        decoder (Decoder): Its bounds.
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
        parts = [said for _, said in prediction.parts]
        counts = chain.from_iterable(one.counts for one in (prediction, *parts))
        bounded = [count for count in counts if count.bounded]
        text = doc.text[:60] if bounded else ""  # of a book not for each
        for count in bounded:
            self._warn(
                "%s: the model says %d or more mentions of %r in %r…; no more than the "
                "decoder's max_count of %d are decoded.",
                *(count.number, count.label, text, decoder.max_count),
            )

    def _warn(self, message: str, *arguments: Any) -> None:
        known = message in self._warned
        more = "" if known else " Further cases are logged as debug."
        level = logging.DEBUG if known else logging.WARNING
        self._logger.log(level, message + more, self._name, *arguments)
        self._warned.add(message)
