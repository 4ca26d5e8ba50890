"""Decode documents as text segments, a whole text or a window each, in groups of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from spacy.tokens import Doc

from ..documents.occurrences import token_bounds
from ..documents.prediction import Prediction
from ..documents.windows import WindowedDocs
from ..tokenization.arrays import Ints

if TYPE_CHECKING:
    from ..decoding.decoder import Decoder
    from ..engine.runner import Runner
    from ..prompts.tree_builder import TreeBuilder

# Of the segments in one decoder call, which builds the prompt trees of all of them first.
MAX_CHARACTERS = 1 << 18


class TextSegment(NamedTuple):
    """A text that is decoded on its own: a whole document, or one of its windows.

    doc_index (int): Index of its document.
    text (str): The text.
    token_bounds (Ints): Start and end character of each spaCy token in it [tokens, 2].
    token_ids (list[int] | None): The model's token ids of the text, where known.
    """

    doc_index: int
    text: str
    token_bounds: Ints
    token_ids: list[int] | None


def decode_documents(
    decoder: Decoder,
    runner: Runner,
    builder: TreeBuilder,
    labels: Sequence[str],
    docs: Sequence[Doc],
    divided: WindowedDocs,
) -> list[Prediction]:
    """Decode documents, each as a whole or by its windows.

    decoder (Decoder): Generates counts and mentions.
    runner (Runner): Runs the model.
    builder (TreeBuilder): Builds the prompt trees.
    labels (Sequence[str]): The labels, in the order of the prompts.
    docs (Sequence[Doc]): The documents.
    divided (WindowedDocs): Their windows.
    RETURNS (list[Prediction]): One prediction per document, in input order.
    RAISES (ValueError, MemoryError): See `Decoder.__call__`.
    """
    by_doc: list[list[Prediction]] = [[] for _ in docs]
    for group in group_segments(text_segments(docs, divided)):
        doc_indices, texts, bounds, ids = map(list, zip(*group, strict=True))
        predictions = decoder(runner, builder, texts, labels, bounds, ids)
        for i, prediction in zip(doc_indices, predictions, strict=True):
            by_doc[i].append(prediction)
    return [
        predictions[0] if windows is None else Prediction.of_windows(windows, predictions)
        for windows, predictions in zip(divided.windows, by_doc, strict=True)
    ]


def text_segments(docs: Sequence[Doc], divided: WindowedDocs) -> Iterator[TextSegment]:
    """The segments of documents. A window has the bounds of its whole tokens only: a mention can't
    start or end where the window cuts a token.

    docs (Sequence[Doc]): The documents.
    divided (WindowedDocs): Their windows.
    YIELDS (TextSegment): One segment per window, or per document that has no windows.
    """
    for i, (doc, windows, ids) in enumerate(zip(docs, *divided, strict=True)):
        text, bounds = doc.text, token_bounds(doc)
        if windows is None:
            yield TextSegment(i, text, bounds, ids)
            continue
        starts, ends = bounds[:, 0], bounds[:, 1]
        for start, end in windows:
            first, last = starts.searchsorted(start), ends.searchsorted(end, "right")
            whole = bounds[first : max(first, last)] - start
            yield TextSegment(i, text[start:end], whole, None)


def group_segments(segments: Iterable[TextSegment]) -> Iterator[list[TextSegment]]:
    """Group consecutive segments up to MAX_CHARACTERS; a longer one is a group of its own.

    segments (Iterable[TextSegment]): The segments.
    YIELDS (list[TextSegment]): One group per decoder call.
    """
    group: list[TextSegment] = []
    n_characters = 0
    for segment in segments:
        if group and n_characters + len(segment.text) > MAX_CHARACTERS:
            yield group
            group, n_characters = [], 0
        group.append(segment)
        n_characters += len(segment.text)
    if group:
        yield group
