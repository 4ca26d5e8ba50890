"""AutoReg_Aug (arXiv 2402.04838, section 4): the text repeated with inline tags."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..documents.gold import Gold
from ..documents.spans import CharSpan
from ..prompts.tree_builder import TreeBuilder
from ..tokenization.codec import Codec, one_line
from .answer_form import (
    AnswerForm,
    ParsedAnswer,
    ParsedMention,
    WrittenAnswer,
    label_names,
    one_of,
)
from .autoregressive import AutoregressiveDecoder
from .decoder import decoder_factory
from .params import ResolvedParams

UNFIT_NAME = re.compile(r"[<>]|^[/\\]")


@dataclass
class _OpenTag:
    """An opened tag: its label, the start and end of its text, and the text's ranges in the
    line."""

    label: str
    start: int
    end: int | None = None
    ranges: list[CharSpan] = field(default_factory=list)


class TagForm(AnswerForm):
    r"""The text on one line, each mention between `<name>` and `</name>`, nested ones inside.

    Where the text itself holds such a tag, the answer writes it with one backslash more after its
    `<` or `</`: no text can spell a tag. A line break ends the answer.
    """

    cue = "\n\n<tags>\n"

    def __init__(self, codec: Codec, names: Mapping[str, str]):
        super().__init__(codec, names)
        if unfit := [name for name in self.labels if UNFIT_NAME.search(name)]:
            raise ValueError(
                f"The words of labels in the prompt can't be tags where they hold < or > "
                f"or start with a slash or a backslash: {unfit}. Give other words in "
                "label_definitions."
            )
        self._tag = re.compile(rf"<(/?)(\\*)({one_of(self.labels)})>")

    def write(self, gold: Gold) -> WrittenAnswer:
        """RETURNS (WrittenAnswer): The tagged text of a gold document; a mention that is blank or
        crosses one that starts before it is left out."""
        text = one_line(gold.text)
        spans = _nested(span for span in gold.spans if text[span[0] : span[1]].strip())
        # At one offset tags close inside out, before others open, the longest first.
        tags: list[tuple[int, int, int, int, str]] = []
        for order, (start, end, label) in enumerate(spans):
            tags += (start, 1, -end, order, label), (end, 0, -start, -order, label)
        pieces: list[str] = []
        at = 0
        for offset, opens, _, _, label in sorted(tags):
            before = self._escape(text[at:offset])
            tag = f"<{self.names[label]}>" if opens else f"</{self.names[label]}>"
            # A space goes with the tag after it, as most tokenizers have it before a word.
            if opens and before.endswith(" "):
                before, tag = before[:-1], " " + tag
            pieces += (before, tag)
            at = offset
        pieces.append(self._escape(text[at:]))
        return WrittenAnswer(
            tuple(piece for piece in pieces if piece), len(gold.spans) - len(spans)
        )

    def most_tokens(self, texts: Sequence[str], params: ResolvedParams) -> list[int]:
        """RETURNS (list[int]): Those of the text, and of tags around each of its tokens."""
        tags = self.codec.encode_texts([f" <{name}></{name}>" for name in self.labels])
        n_tags = max(map(len, tags)) + 1
        most = params.max_count * len(self.names)
        lengths = map(len, self.codec.encode_texts([one_line(text) for text in texts]))
        return [n_text + min(n_text, most) * n_tags for n_text in lengths]

    def has_ended(self, answer: str) -> bool:
        """RETURNS (bool): True: the first line break is the end."""
        return True

    def is_full(self, answer: str, params: ResolvedParams) -> bool:
        """RETURNS (bool): False: the text's length bounds its mentions."""
        return False

    def read(self, answer: str, text: str, *, ended: bool = True) -> ParsedAnswer:
        """RETURNS (ParsedAnswer): The mentions; faults are a closing tag that does not match the
        innermost open one, a tag that is never closed, a mention without text, and a text that is
        not the document's."""
        line = answer.split("\n", 1)[0]
        if not ended:
            line = self._without_begun_tag(line)
        plain = ""
        opened: list[_OpenTag] = []
        closed: list[_OpenTag] = []
        n_malformed = 0
        for start, end, tag in self._parts(line):
            if tag is None or tag[2]:
                plain += line[start:end] if tag is None else f"<{tag[1]}{tag[2][1:]}{tag[3]}>"
                for one in opened:
                    one.ranges.append((start, end))
            elif not tag[1]:
                opened.append(_OpenTag(self.labels[tag[3]], len(plain)))
            elif opened and opened[-1].label == self.labels[tag[3]]:
                one = opened.pop()
                one.end = len(plain)
                if plain[one.start :].strip():
                    closed.append(one)
                else:
                    n_malformed += 1
            else:
                n_malformed += 1
        if ended:
            n_malformed += len(opened)
        else:
            closed += opened
        n_malformed += self._differs(plain, text, ended)
        closed.sort(key=lambda one: (one.start, one.end or len(plain)))
        mentions = [
            ParsedMention(
                one.label,
                plain[one.start : one.end].strip(),
                _trimmed(line, one.ranges),
                one.end is not None,
            )
            for one in closed
        ]
        return ParsedAnswer(tuple(mentions), n_malformed)

    def _parts(self, line: str) -> Iterator[tuple[int, int, re.Match[str] | None]]:
        """YIELDS (tuple[int, int, re.Match[str] | None]): Start and end of each part of an answer,
        and the match of one in the form of a tag."""
        at = 0
        for match in self._tag.finditer(line):
            if at < match.start():
                yield at, match.start(), None
            yield *match.span(), match
            at = match.end()
        if at < len(line):
            yield at, len(line), None

    def _without_begun_tag(self, line: str) -> str:
        """RETURNS (str): An answer that was stopped, without the tag that it was stopped in."""
        start = line.rfind("<")
        tags = (f"<{slash}{name}>" for slash in ("", "/") for name in self.labels)
        begun = start >= 0 and any(tag.startswith(line[start:]) for tag in tags)
        return line[:start] if begun and not line.endswith(">") else line

    def _escape(self, text: str) -> str:
        return self._tag.sub(r"<\1\\\2\3>", text)

    def _differs(self, plain: str, text: str, ended: bool) -> bool:
        """RETURNS (bool): Whether the repeated text is not the document's, as the tokenizer decodes
        it and ignoring spaces; an answer that was stopped may be its beginning."""
        line, repeated = one_line(text), "".join(plain.split())
        for given in (line, self.codec.decode(self.codec.encode(line))):
            letters = "".join(given.split())
            if repeated == letters or (not ended and letters.startswith(repeated)):
                return False
        return True


class AutoregressiveAugDecoder(AutoregressiveDecoder):
    """The text repeated with inline tags around its mentions."""

    def form(self, builder: TreeBuilder, labels: Sequence[str]) -> TagForm:
        """RETURNS (TagForm): The form of answers about these labels."""
        return TagForm(builder.codec, label_names(builder, labels))


make_autoregressive_aug_decoder = decoder_factory(AutoregressiveAugDecoder)


def _nested(spans: Iterable[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """RETURNS (list[tuple[int, int, str]]): Spans that cross none before them, outer ones first."""
    kept: list[tuple[int, int, str]] = []
    ends: list[int] = []
    for start, end, label in sorted(spans, key=lambda span: (span[0], -span[1])):
        while ends and ends[-1] <= start:
            ends.pop()
        if not ends or end <= ends[-1]:
            kept.append((start, end, label))
            ends.append(end)
    return kept


def _trimmed(line: str, ranges: Sequence[CharSpan]) -> tuple[CharSpan, ...]:
    """RETURNS (tuple[CharSpan, ...]): Ranges of a line without the spaces at their ends, which some
    tokenizers add to each piece."""
    at = [i for start, end in ranges for i in range(start, end)]
    filled = [i for i in at if not line[i].isspace()]
    if not filled:
        return ()
    first, last = filled[0], filled[-1] + 1
    return tuple(
        (max(start, first), min(end, last)) for start, end in ranges if start < last and first < end
    )
