"""Alignment of decoded mentions with the text of a Doc: strings to spans.

A mention that is not aligned is returned with the reason.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from operator import attrgetter

from spacy.tokens import Doc

from ..tokenization.codec import one_line
from .occurrences import DocText, WindowText
from .spans import CharSpan, Mention, ScoredSpan

MODES = ("expand", "drop")

DID_NOT_END = "a bound on its length stopped it before its end"
BLANK = "it is empty or blank"
NOT_IN_TEXT = "its string is not in the text"
TOO_OFTEN = "its label has its string more often than the text"
INSIDE_TOKEN = "it starts or ends inside a token"

# Mentions with the same key have the same occurrences: the string, and the decoder's char_spans.
Key = tuple[str, tuple[CharSpan, ...] | None]
# Mentions of one label in reading order: pairs of an index into the mentions and a key.
Queue = list[tuple[int, Key]]
# The occurrences of each string by rank, as `DocText.find` returns them.
Occurrences = dict[Key, list[list[CharSpan]]]


@dataclass(frozen=True, slots=True)
class Alignment:
    """The mentions of one Doc after alignment.

    spans (list[ScoredSpan]): Spans of the aligned mentions, in reading order.
    unaligned (list[tuple[Mention, str]]): The other mentions in input order, each with the reason.
    superseded (tuple[ScoredSpan, ...]): Spans that were dropped in favour of another window's
        prediction for the same text (`merging.align_windows`).
    """

    spans: list[ScoredSpan]
    unaligned: list[tuple[Mention, str]]
    superseded: tuple[ScoredSpan, ...] = ()


def align(
    doc: Doc | WindowText,
    mentions: Sequence[Mention],
    *,
    mode: str = "expand",
    ignore_case: bool = False,
) -> Alignment:
    """Assign an occurrence in the text to each mention, and find the tokens that it covers.

    A mention with char_spans from the decoder gets one of these; for the others the text is
    searched for their string.

    A newline or carriage return of the text matches a space, as the model is trained to generate a
    space. A string in other code points than the text's matches whole characters that are
    canonically equivalent (Unicode Standard, section 3.7), as some tokenizers normalise.

    Among several occurrences the reading order decides: a mention gets the first occurrence at or
    after its label's previous mention that its label has not used, preferably one that is not
    inside a longer mention of any label; if there is none after, the first one before. Occurrences
    with token boundaries at both ends come first, whatever their order: "US" is not aligned with
    the start of "USA" if it is a token elsewhere.

    doc (Doc | WindowText): The document, or a window of one. Only its text and tokens are read.
    mentions (Sequence[Mention]): The mentions that were decoded for this document.
    mode (str): Treatment of a mention that starts or ends inside a token: "expand" widens its span
        to whole tokens, as `Doc.char_span` does; "drop" leaves it unaligned.
    ignore_case (bool): Whether strings match up to case, for tokenizers that lower-case.
    RETURNS (Alignment): The spans, and the unaligned mentions with their reasons.
    RAISES (ValueError): An unknown mode, or a mention whose log-probability is not a number.
    """
    if mode not in MODES:
        raise ValueError(
            f"Unknown alignment mode {mode!r}. A mention that starts or ends inside a token can be "
            f"aligned by one of: {', '.join(MODES)}."
        )
    if not mentions:
        return Alignment([], [])
    text = DocText(doc, ignore_case=ignore_case)
    strings = {i: one_line(m.text).strip() for i, m in enumerate(mentions) if m.ended}
    keys: dict[int, Key] = {
        i: (text.fold(string), mentions[i].char_spans) for i, string in strings.items() if string
    }
    occurrences: Occurrences = {}
    for i, key in keys.items():
        if key not in occurrences:
            known = mentions[i].char_spans
            occurrences[key] = (
                text.find(strings[i]) if known is None else [_non_overlapping(known), [], [], []]
            )
    queues: dict[str, Queue] = {}
    for i in sorted(keys, key=lambda i: mentions[i].index):
        queues.setdefault(mentions[i].label, []).append((i, keys[i]))
    assigned = _assign(queues, occurrences)

    spans: list[ScoredSpan] = []
    unaligned: list[tuple[Mention, str]] = []
    for i, mention in enumerate(mentions):
        if not mention.ended:
            unaligned.append((mention, DID_NOT_END))
        elif i not in keys:
            unaligned.append((mention, BLANK))
        elif i not in assigned:
            unaligned.append((mention, TOO_OFTEN if any(occurrences[keys[i]]) else NOT_IN_TEXT))
        elif mode == "drop" and not text.at_tokens(assigned[i]):
            unaligned.append((mention, INSIDE_TOKEN))
        else:
            # The mention's string is stripped, so no whitespace token is at an edge of the span.
            start, end = text.expand(assigned[i])
            score, text_logprobs = _score(mention), mention.text_logprobs
            text_score = None
            if text_logprobs is not None:
                text_score = _probability(mention.count_logprob + math.fsum(text_logprobs))
            spans.append(
                ScoredSpan(start, end, *assigned[i], mention.label, score, strings[i], text_score)
            )
    spans.sort(key=attrgetter("start_char", "end_char"))
    return Alignment(spans, unaligned)


def _non_overlapping(char_spans: Sequence[CharSpan]) -> list[CharSpan]:
    """RETURNS (list[CharSpan]): The spans without those that overlap an earlier one."""
    kept: list[CharSpan] = []
    for char_span in char_spans:
        if not kept or char_span[0] >= kept[-1][1]:
            kept.append(char_span)
    return kept


def _score(mention: Mention) -> float:
    """RETURNS (float): P(count >= index) * P(mention), in [0, 1]."""
    logprob = mention.count_logprob + mention.logprob
    if math.isnan(logprob):
        raise ValueError(
            f"The log-probability of mention {mention.index} of label {mention.label!r}, "
            f"{mention.text!r}, is not a number. Look for NaN in the model's weights, or run the "
            f"model in a wider floating-point type."
        )
    return _probability(logprob)


def _probability(logprob: float) -> float:
    return math.exp(min(logprob, 0.0))  # rounding can lift a certain mention above 1


def _assign(queues: dict[str, Queue], occurrences: Occurrences) -> dict[int, CharSpan]:
    """Assign an occurrence of its string to each mention.

    Which occurrences are inside longer mentions depends on where these are, and that on this very
    assignment. Hence two rounds: the first avoids all occurrences of a longer mention's string, the
    second only those that were assigned in the first.

    queues (dict[str, Queue]): The mentions of each label.
    occurrences (Occurrences): The occurrences of each string by rank.
    RETURNS (dict[int, CharSpan]): The assigned occurrences, by index of the mention.
    """
    flat = {key: list(chain(*ranks)) for key, ranks in occurrences.items()}
    if all(len(char_spans) < 2 for char_spans in flat.values()):
        return _assign_unique(queues, flat)
    length = max(end for char_spans in flat.values() for _, end in char_spans)
    exact = (char_span for ranks in occurrences.values() for char_span in chain(*ranks[:2]))
    first_round = _assign_avoiding(_inside_longer(exact, length), queues, occurrences)
    return _assign_avoiding(_inside_longer(first_round.values(), length), queues, occurrences)


def _assign_unique(
    queues: dict[str, Queue], occurrences: dict[Key, list[CharSpan]]
) -> dict[int, CharSpan]:
    """RETURNS (dict[int, CharSpan]): As `_assign`, where each string occurs at most once: the first
    mention of each label gets the occurrence."""
    assigned: dict[int, CharSpan] = {}
    for queue in queues.values():
        first: dict[Key, int] = {}
        for i, key in queue:
            if first.setdefault(key, i) == i and occurrences[key]:
                assigned[i] = occurrences[key][0]
    return assigned


def _assign_avoiding(
    is_avoided: Callable[[CharSpan], bool], queues: dict[str, Queue], occurrences: Occurrences
) -> dict[int, CharSpan]:
    """One round of `_assign`. In each rank the avoided occurrences come last."""
    halves = {
        key: [half for rank in ranks for half in _partition(rank, is_avoided)]
        for key, ranks in occurrences.items()
    }
    assigned: dict[int, CharSpan] = {}
    for queue in queues.values():
        unused: dict[Key, list[list[CharSpan]]] = {}
        previous = 0
        for i, key in queue:
            if key not in unused:
                unused[key] = [list(half) for half in halves[key]]
            char_span = _pop_next(unused[key], previous)
            if char_span is not None:
                assigned[i] = char_span
                previous = char_span[0]
    return assigned


def _partition(
    rank: list[CharSpan], is_avoided: Callable[[CharSpan], bool]
) -> tuple[list[CharSpan], list[CharSpan]]:
    halves: tuple[list[CharSpan], list[CharSpan]] = ([], [])
    for char_span in rank:
        halves[is_avoided(char_span)].append(char_span)
    return halves


def _pop_next(unused: list[list[CharSpan]], previous: int) -> CharSpan | None:
    """Remove and return the best unused occurrence.

    unused (list[list[CharSpan]]): Unused occurrences, two halves per rank.
    previous (int): Start character of the label's previous mention.
    RETURNS (CharSpan | None): The occurrence; None if all are used.
    """
    for i in range(0, len(unused), 2):
        halves = unused[i : i + 2]
        for half in halves:
            after = bisect_left(half, (previous,))
            if after < len(half):
                return half.pop(after)
        for half in halves:
            if half:
                return half.pop(0)
    return None


def _inside_longer(char_spans: Iterable[CharSpan], length: int) -> Callable[[CharSpan], bool]:
    """RETURNS (Callable[[CharSpan], bool]): Whether a span is inside a longer one of `char_spans`,
    which end at most at `length`."""
    furthest = [0] * (length + 1)  # end of the longest span that starts at an offset
    for start, end in char_spans:
        furthest[start] = max(furthest[start], end)
    reach = list(accumulate(furthest, max))

    def is_inside(char_span: CharSpan) -> bool:
        start, end = char_span
        return reach[start] > end or (start > 0 and reach[start - 1] >= end)

    return is_inside
