"""Tags of a text's tokens: start of a mention of a label, inside a mention, or outside of all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, count

from ..tokenization.codec import Codec


def tag_token_ids(codec: Codec, heads: Iterable[Sequence[int]]) -> list[int]:
    """Select a token id for each tag.

    Outside of mentions this is the end token, inside a mention "-", and at a mention's start the
    first token of its label's head that is not yet the id of another tag; failing that the first
    such digit, or token of the vocabulary.

    codec (Codec): The tokenizer.
    heads (Iterable[Sequence[int]]): Token ids of each label's count prompt, its words first.
    RETURNS (list[int]): Token ids of the tags outside, inside, then start of each label; all
        different [2 + labels].
    """
    ids = [codec.end_id, codec.encode("-")[-1]]
    for head in heads:
        candidates = chain(head, codec.digit_ids, count())
        ids.append(next(token for token in candidates if token not in ids))
    return ids


def tags_of_text(
    codec: Codec,
    text: str,
    spans: Sequence[tuple[int, int, str]],
    labels: Sequence[str],
    token_ids: Sequence[int],
) -> list[int]:
    """Tag the tokens of a gold text.

    codec (Codec): The tokenizer.
    text (str): The text.
    spans (Sequence[tuple[int, int, str]]): Start and end character and label of each mention.
    labels (Sequence[str]): The labels of the prompts, in order.
    token_ids (Sequence[int]): Token ids of the tags, from `tag_token_ids` [2 + labels].
    RETURNS (list[int]): Token id of each token's tag [text tokens].
    """
    outside, inside, *start_ids = token_ids
    start_id = dict(zip(labels, start_ids, strict=True))
    tags = []
    started: set[tuple[int, int, str]] = set()
    for start, end in codec.token_offsets(text):
        new = [span for span in spans if span[0] < end and span not in started]
        if new:
            started.add(new[0])
            tags.append(start_id[new[0][2]])
        else:
            is_inside = any(span[0] < end and start < span[1] for span in spans)
            tags.append(inside if is_inside else outside)
    return tags
