"""Mentions as strings → spans of a Doc. Nothing is invented: a mention without a place says why."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from operator import attrgetter

from spacy.tokens import Doc

from .occurrences import DocText, Piece, Place, as_read
from .spans import Mention, ScoredSpan

MODES = ("expand", "drop")

DID_NOT_END = "a bound on its length stopped it before its end"
BLANK = "it is empty or blank"
NOT_IN_TEXT = "its string is not in the text"
TOO_OFTEN = "its label said its string more often than the text holds it"
INSIDE_TOKEN = "it starts or ends inside a token"

# A key of a mention's places: its string, and its places where the decoder knows them.
Key = tuple[str, tuple[Place, ...] | None]
# Mentions of one label in reading order: pairs of a number and a key.
Queue = list[tuple[int, Key]]


@dataclass(frozen=True, slots=True)
class Alignment:
    """The mentions of one Doc after alignment.

    spans (list[ScoredSpan]): Those with a place in the text, in reading order.
    unaligned (list[tuple[Mention, str]]): The others in the order given, each with its reason.
    superseded (tuple[ScoredSpan, ...]): Of a document that was read in windows, spans that gave
        way to what another window says of their place (`merging.align_windows`).
    """

    spans: list[ScoredSpan]
    unaligned: list[tuple[Mention, str]]
    superseded: tuple[ScoredSpan, ...] = ()


def align(
    doc: Doc | Piece,
    mentions: Sequence[Mention],
    *,
    mode: str = "expand",
    ignore_case: bool = False,
) -> Alignment:
    """Find the place of each mention in the text, and the tokens that it covers.

    A mention whose places the decoder knows is at one of those; the others are sought by their
    strings.

    A newline or carriage return of the text matches a space, as the model is trained to say one. A
    string in other code points than the text's matches whole characters that are canonically
    equivalent (Unicode Standard, section 3.7), as some tokenizers normalise.

    Of equal strings the reading order decides: a mention takes the first place at or after its
    label's previous mention that its label has not used, preferably one not inside a longer
    mention of any label; where there is none after, the first one before. Places from the start of
    a token to the end of one come first, whatever their order: "US" is not sought in "USA" while
    it stands alone elsewhere.

    doc (Doc | Piece): The document, or a piece of one. Only its text and tokens are read.
    mentions (Sequence[Mention]): What the decoder said for this document.
    mode (str): What becomes of a mention that starts or ends inside a token: "expand" widens its
        span to whole tokens, as `Doc.char_span` does; "drop" leaves it unaligned.
    ignore_case (bool): Whether strings match up to case, for tokenizers that lower-case.
    RETURNS (Alignment): The spans, and the unaligned mentions with their reasons.
    RAISES (ValueError): If the mode is unknown, or a mention's log-probability is not a number.
    """
    if mode not in MODES:
        raise ValueError(
            f"Unknown alignment mode {mode!r}. A mention that starts or ends inside a token can be "
            f"aligned by one of: {', '.join(MODES)}."
        )
    if not mentions:
        return Alignment([], [])
    text = DocText(doc, ignore_case=ignore_case)
    strings = {i: as_read(m.text).strip() for i, m in enumerate(mentions) if m.ended}
    keys: dict[int, Key] = {
        i: (text.fold(string), mentions[i].char_spans) for i, string in strings.items() if string
    }
    places: dict[Key, list[list[Place]]] = {}
    for i, key in keys.items():
        if key not in places:
            known = mentions[i].char_spans
            places[key] = text.find(strings[i]) if known is None else [_apart(known), [], [], []]
    queues: dict[str, Queue] = {}
    for i in sorted(keys, key=lambda i: mentions[i].index):
        queues.setdefault(mentions[i].label, []).append((i, keys[i]))
    chosen = _choose(queues, places)

    spans: list[ScoredSpan] = []
    unaligned: list[tuple[Mention, str]] = []
    for i, mention in enumerate(mentions):
        if not mention.ended:
            unaligned.append((mention, DID_NOT_END))
        elif i not in keys:
            unaligned.append((mention, BLANK))
        elif i not in chosen:
            unaligned.append((mention, TOO_OFTEN if any(places[keys[i]]) else NOT_IN_TEXT))
        elif mode == "drop" and not text.at_tokens(chosen[i]):
            unaligned.append((mention, INSIDE_TOKEN))
        else:
            # No whitespace token is at an edge of the span, as there is no space at the mention's.
            start, end = text.expand(chosen[i])
            score, in_text = _score(mention), mention.text_logprobs
            asked = mention.count_logprob
            text_score = None if in_text is None else _probability(asked + math.fsum(in_text))
            spans.append(
                ScoredSpan(start, end, *chosen[i], mention.label, score, strings[i], text_score)
            )
    spans.sort(key=attrgetter("start_char", "end_char"))
    return Alignment(spans, unaligned)


def _apart(places: Sequence[Place]) -> list[Place]:
    """RETURNS (list[Place]): Places that do not overlap, the first of those that do."""
    apart: list[Place] = []
    for place in places:
        if not apart or place[0] >= apart[-1][1]:
            apart.append(place)
    return apart


def _score(mention: Mention) -> float:
    logprob = mention.count_logprob + mention.logprob
    if math.isnan(logprob):
        raise ValueError(
            f"The log-probability of mention {mention.index} of label {mention.label!r}, "
            f"{mention.text!r}, is not a number. Look for NaN in the model's weights, or run the "
            f"model in a wider floating-point type."
        )
    return _probability(logprob)


def _probability(logprob: float) -> float:
    return math.exp(min(logprob, 0.0))  # rounding can lift a sure mention above 1


def _choose(queues: dict[str, Queue], places: dict[Key, list[list[Place]]]) -> dict[int, Place]:
    """Choose among equal strings.

    Which places lie inside longer mentions depends on where those are, and that on this very rule.
    Hence two rounds: the first shuns every occurrence of a longer mention's string, the second only
    the places that the first has chosen.

    queues (dict[str, Queue]): The mentions of each label.
    places (dict[Key, list[list[Place]]]): The places of each string by rank, as `DocText.find`
        gives them.
    RETURNS (dict[int, Place]): The chosen places, by the numbers of the mentions.
    """
    known = {key: list(chain(*ranks)) for key, ranks in places.items()}
    if all(len(found) < 2 for found in known.values()):  # there is no choice
        return _only_places(queues, known)
    length = max(end for found in known.values() for _, end in found)
    occurrences = (place for ranks in places.values() for place in chain(*ranks[:2]))
    first_round = _choose_outside(_inside_longer(occurrences, length), queues, places)
    return _choose_outside(_inside_longer(first_round.values(), length), queues, places)


def _only_places(queues: dict[str, Queue], known: dict[Key, list[Place]]) -> dict[int, Place]:
    """RETURNS (dict[int, Place]): As `_choose`, where each string has one place or none: it is the
    first mention's of each label."""
    chosen: dict[int, Place] = {}
    for queue in queues.values():
        first: dict[Key, int] = {}
        for i, key in queue:
            if first.setdefault(key, i) == i and known[key]:
                chosen[i] = known[key][0]
    return chosen


def _choose_outside(
    shunned: Callable[[Place], bool], queues: dict[str, Queue], places: dict[Key, list[list[Place]]]
) -> dict[int, Place]:
    """One round of `_choose`. In each rank, places that are shunned come after the others."""
    halved = {
        key: [half for rank in ranks for half in _halves(rank, shunned)]
        for key, ranks in places.items()
    }
    chosen: dict[int, Place] = {}
    for queue in queues.values():
        unused: dict[Key, list[list[Place]]] = {}
        previous = 0
        for i, key in queue:
            if key not in unused:
                unused[key] = [list(half) for half in halved[key]]
            place = _take(unused[key], previous)
            if place is not None:
                chosen[i] = place
                previous = place[0]
    return chosen


def _halves(rank: list[Place], shunned: Callable[[Place], bool]) -> tuple[list[Place], list[Place]]:
    halves: tuple[list[Place], list[Place]] = ([], [])
    for place in rank:
        halves[shunned(place)].append(place)
    return halves


def _take(unused: list[list[Place]], previous: int) -> Place | None:
    """Take the best place out of the unused ones, two halves a rank, given the start of the label's
    previous mention."""
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


def _inside_longer(places: Iterable[Place], length: int) -> Callable[[Place], bool]:
    """RETURNS (Callable[[Place], bool]): Whether a place lies inside a longer one of `places`."""
    furthest = [0] * (length + 1)  # the end of the longest place that starts at an offset
    for start, end in places:
        furthest[start] = max(furthest[start], end)
    reach = list(accumulate(furthest, max))

    def inside(place: Place) -> bool:
        start, end = place
        return reach[start] > end or (start > 0 and reach[start - 1] >= end)

    return inside
