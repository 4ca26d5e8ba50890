"""AutoReg_Struct (arXiv 2402.04838, section 4): one list of all labels and mentions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ..documents.gold import Gold
from ..prompts.tree_builder import TreeBuilder
from ..tokenization.codec import Codec, one_line
from .answer_form import AnswerForm, ParsedAnswer, ParsedMention, WrittenAnswer, label_names, one_of
from .autoregressive import AutoregressiveDecoder
from .decoder import decoder_factory
from .params import ResolvedParams

SEPARATOR = ":"


class ListForm(AnswerForm):
    """One line per mention, in reading order: the label's name, a colon, a space, the mention.
    An empty line ends the answer; the answer for a text without mentions is the empty line alone.

    A name may hold a colon and a space, as long as no other name precedes them.
    """

    cue = "\n\n<list>\n"

    def __init__(self, codec: Codec, names: Mapping[str, str]):
        super().__init__(codec, names)
        for name in self.labels:
            for other in self.labels:
                if other != name and re.match(re.escape(name) + rf"\s*{SEPARATOR}", other):
                    raise ValueError(
                        f"In a list, the label with the words {other!r} can't be distinguished "
                        f"from a mention of the label {name!r}. Give one of them other words in "
                        "label_definitions."
                    )
        self._line = re.compile(rf"\s*({one_of(self.labels)})\s*{SEPARATOR}(.*)", re.DOTALL)

    def write(self, gold: Gold) -> WrittenAnswer:
        """RETURNS (WrittenAnswer): The list of a gold document."""
        pieces: list[str] = []
        n_lost = 0
        for start, end, label in gold.spans:
            mention = one_line(gold.text[start:end]).strip()
            if mention:
                # The space belongs to the mention: most tokenizers have one token for it and a
                # word.
                pieces += (self.names[label] + SEPARATOR, " " + mention, "\n")
            else:
                n_lost += 1
        return WrittenAnswer(tuple(pieces), n_lost)

    def most_tokens(self, texts: Sequence[str], params: ResolvedParams) -> list[int]:
        """RETURNS (list[int]): Most tokens of one line: the longest label name, then the longest
        mention with its space."""
        heads = self.codec.encode_texts([name + SEPARATOR for name in self.labels])
        return [max(map(len, heads)) + 1 + params.max_mention_tokens] * len(texts)

    def has_ended(self, answer: str) -> bool:
        """RETURNS (bool): Whether there is an empty line."""
        return answer.startswith("\n") or "\n\n" in answer

    def is_full(self, answer: str, params: ResolvedParams) -> bool:
        """RETURNS (bool): Whether a label has more mentions than `max_count`; malformed lines count
        together."""
        lines = [self._line.fullmatch(line) for _, line in _lines(answer.rpartition("\n")[0])]
        numbers = Counter(line and line[1] for line in lines)
        return max(numbers.values(), default=0) > params.max_count

    def read(self, answer: str, text: str, *, ended: bool = True) -> ParsedAnswer:
        """RETURNS (ParsedAnswer): The mentions; a line that has no name, separator or mention is a
        fault."""
        mentions: list[ParsedMention] = []
        n_malformed = 0
        for offset, line in _lines(answer):
            match = self._line.fullmatch(line)
            mention = match[2].strip() if match else ""
            if not match or not mention:
                n_malformed += 1
                continue
            start = offset + match.start(2) + match[2].index(mention)
            span = (start, start + len(mention))
            cut = not ended and offset + len(line) == len(answer)
            mentions.append(ParsedMention(self.labels[match[1]], mention, (span,), not cut))
        return ParsedAnswer(tuple(mentions), n_malformed)


class AutoregressiveStructDecoder(AutoregressiveDecoder):
    """One structured list of all labels and mentions."""

    def form(self, builder: TreeBuilder, labels: Sequence[str]) -> ListForm:
        """RETURNS (ListForm): The form of answers about these labels."""
        return ListForm(builder.codec, label_names(builder, labels))


make_autoregressive_struct_decoder = decoder_factory(AutoregressiveStructDecoder)


def _lines(answer: str) -> Iterator[tuple[int, str]]:
    """YIELDS (tuple[int, str]): Offset and text of each line before the empty one."""
    offset = 0
    for line in answer.split("\n"):
        if not line:
            return
        yield offset, line
        offset += len(line) + 1
