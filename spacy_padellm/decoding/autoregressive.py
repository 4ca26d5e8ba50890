"""Autoregressive decoders, the baselines of PaDeLLM-NER (arXiv 2402.04838, section 4): one prompt
and one answer a document, said token by token."""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np
import torch

from ..documents.gold import Gold
from ..documents.prediction import Count, Prediction
from ..documents.spans import Mention
from ..engine.language_model import LanguageModel
from ..engine.prompt_rows import Feed, Run, feed_of
from ..prompts.tree import COUNT, Paths, PromptTree
from ..prompts.tree_builder import KnownIds, TreeBuilder
from ..tokenization.codec import Codec
from .answer_form import AnswerForm
from .decoder import Decoder
from .lattice import Passage
from .logits import check_finite, likeliest
from .params import DecodingParams
from .token_alignment import TokenAlignment

logger = logging.getLogger(__name__)

BRANCH = 1  # label path of the question and its answer


@dataclass
class Answer:
    """One answer, token by token.

    tree (int): Number of the document's tree in its batch.
    position (int): Position of the next token.
    most_tokens (int): Tokens after which a line of it is stopped.
    """

    tree: int
    position: int
    most_tokens: int
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    open: bool = True
    ended: bool = False
    n_line_tokens: int = 0

    def close(self, *, ended: bool) -> None:
        """Say no more."""
        self.open, self.ended = False, ended


class AutoregressiveDecoder(Decoder):
    """Asks once for all labels and lets the model say one answer, greedily, with a KV cache.

    The model is trained to give its answer in the same form. Of an answer all that is well-formed
    is kept and faults are counted (`Prediction.malformed`). An answer stops at the model's window
    and at a bound on its length (`AnswerForm.most_tokens`, `AnswerForm.is_full`); what a bound
    stops says so (`Prediction.ended`, `Mention.ended`, `Count.bounded`).
    """

    @abstractmethod
    def form(self, builder: TreeBuilder, labels: Sequence[str]) -> AnswerForm:
        """RETURNS (AnswerForm): The form of answers about these labels."""

    def gold_trees(self, builder: TreeBuilder, golds: Sequence[Gold]) -> list[PromptTree]:
        """RETURNS (list[PromptTree]): One question with its answer a document."""
        forms = {labels: self.form(builder, labels) for labels in {gold.labels for gold in golds}}
        written = [forms[gold.labels].write(gold) for gold in golds]
        questions = {labels: form.question for labels, form in forms.items()}
        pieces = {*questions.values(), *chain.from_iterable(one.pieces for one in written)}
        order = list(pieces)
        ids = dict(zip(order, builder.codec.encode_texts(order), strict=True))
        n_lost = sum(one.n_lost for one in written)
        if n_lost:
            logger.warning(
                "%d of %d gold mentions can't be written in the answers of %s (blank, or crossing "
                "another mention), so they are not learnt.",
                n_lost,
                sum(len(gold.spans) for gold in golds),
                type(self).__name__,
            )
        return builder.sequence_trees(
            [gold.text for gold in golds],
            [ids[questions[gold.labels]] for gold in golds],
            [[token for piece in one.pieces for token in ids[piece]] for one in written],
            [gold.spans if gold.complete else None for gold in golds],
            [gold.labels for gold in golds],
            builder.codec.end_id,
        )

    def ask(
        self,
        builder: TreeBuilder,
        texts: Sequence[str],
        labels: Sequence[str],
        ids: KnownIds = None,
    ) -> list[PromptTree]:
        """RETURNS (list[PromptTree]): One question a text."""
        if not texts:
            return []
        head = builder.codec.encode(self.form(builder, labels).question)
        trees = builder.sequence_trees(texts, [head] * len(texts), ids=ids)
        return [replace(tree, shape=replace(tree.shape, labels=tuple(labels))) for tree in trees]

    def most_text_tokens(self, builder: TreeBuilder, labels: Sequence[str]) -> int | None:
        """RETURNS (int | None): Most tokens of a text; its answer may be twice as long."""
        head = builder.codec.encode(self.form(builder, labels).question)
        free = builder.max_text_tokens([head])
        return None if free is None else free // 3

    def work(self, model: LanguageModel, tree: PromptTree) -> int:
        """RETURNS (int): Tokens of a tree's first pass."""
        return len(tree)

    def decode(
        self,
        model: LanguageModel,
        builder: TreeBuilder,
        trees: Sequence[PromptTree],
        passages: Sequence[Passage],
        bounds: DecodingParams,
    ) -> list[Prediction]:
        """RETURNS (list[Prediction]): One a tree, all of them decoded together."""
        form = self.form(builder, trees[0].labels)
        texts = [passage.text for passage in passages]
        answers = self.answer(model, form, trees, form.most_tokens(texts, bounds), bounds)
        return [
            self._prediction(form, answer, text, bounds)
            for answer, text in zip(answers, texts, strict=True)
        ]

    def answer(
        self,
        model: LanguageModel,
        form: AnswerForm,
        trees: Sequence[PromptTree],
        most_tokens: Sequence[int],
        bounds: DecodingParams,
    ) -> list[Answer]:
        """Let the model answer questions.

        model (LanguageModel): The model.
        form (AnswerForm): The form of the answers; says where one ends.
        trees (Sequence[PromptTree]): The questions, at least one.
        most_tokens (Sequence[int]): For each, the tokens after which a line is stopped.
        bounds (DecodingParams): Where answers stop.
        RETURNS (list[Answer]): One a tree.
        """
        answers = [
            Answer(i, int(tree.position.max()) + 1, most)
            for i, (tree, most) in enumerate(zip(trees, most_tokens, strict=True))
        ]
        longest = max(map(len, trees))
        rows = model.start_rows(len(trees), longest + longest // 2, bounds.graphs)
        runs: list[Run] = [(i, tree.ids, tree.paths(i)) for i, tree in enumerate(trees)]
        logits = rows.feed(feed_of(runs))
        live = held = answers  # held: one a row
        listen = _Listener(model.codec, form, bounds)
        while True:
            listen(live, logits)
            live = [answer for answer in live if answer.open]
            if not live:
                return answers
            row = [row for row, answer in enumerate(held) if answer.open]
            if 2 * len(live) <= len(held):
                rows.keep(row)
                held, row = live, list(range(len(live)))
            logits = rows.feed(_next_tokens(live, row))

    def _prediction(
        self, form: AnswerForm, answer: Answer, text: str, bounds: DecodingParams
    ) -> Prediction:
        spoken = TokenAlignment(form.codec, answer.ids)
        reading = form.read(spoken.text, text, ended=answer.ended)
        numbers = Counter(one.label for one in reading.mentions)
        mentions: dict[str, list[Mention]] = {label: [] for label in form.names}
        for one in reading.mentions:
            index = len(mentions[one.label]) + 1
            if index > bounds.max_count:
                continue
            tokens = spoken.tokens(one.ranges)
            ended, said = one.ended, one.text
            if len(tokens) > bounds.max_mention_tokens:
                tokens = tokens[: bounds.max_mention_tokens]
                ended, said = False, form.codec.decode([answer.ids[i] for i in tokens])
            logprobs = tuple(answer.logprobs[i] for i in tokens)
            mentions[one.label].append(Mention(one.label, index, said, logprobs, ended))
        if reading.n_malformed or not answer.ended:
            logger.debug(
                "%d faults in the answer about %r…, which %s: %r",
                reading.n_malformed,
                text[:60],
                "ended" if answer.ended else "was stopped by a bound",
                spoken.text,
            )
        return Prediction(
            tuple(
                # No number was said, so it has no probability.
                Count(label, numbers[label], math.nan, numbers[label] > bounds.max_count)
                for label in form.names
            ),
            tuple(chain.from_iterable(mentions.values())),
            reading.n_malformed,
            answer.ended,
        )


class _Listener:
    """Lets answers take their likeliest tokens, and closes those that have ended."""

    def __init__(self, codec: Codec, form: AnswerForm, bounds: DecodingParams):
        self._codec = codec
        self._form = form
        self._bounds = bounds
        self._breaks: dict[int, bool] = {}

    def __call__(self, answers: Sequence[Answer], logits: torch.Tensor) -> None:
        tokens, logprobs = likeliest(logits)
        check_finite(np.array(logprobs))
        for answer, token, logprob in zip(answers, tokens, logprobs, strict=True):
            self._take(answer, token, logprob)

    def _take(self, answer: Answer, token: int, logprob: float) -> None:
        if token == self._codec.tokenizer.eos_token_id:
            answer.close(ended=True)
            return
        answer.ids.append(token)
        answer.logprobs.append(logprob)
        answer.n_line_tokens += 1
        if self._breaks_line(token):
            answer.n_line_tokens = 0
            said = TokenAlignment(self._codec, answer.ids).text
            if self._form.has_ended(said):
                answer.close(ended=True)
                return
            if self._form.is_full(said, self._bounds):
                answer.close(ended=False)
        limit = self._bounds.max_positions
        at_limit = limit is not None and answer.position >= limit
        if at_limit or answer.n_line_tokens > answer.most_tokens:
            answer.close(ended=False)

    def _breaks_line(self, token: int) -> bool:
        if token not in self._breaks:
            self._breaks[token] = "\n" in self._codec.tokenizer.decode([token])
        return self._breaks[token]


def _next_tokens(answers: Sequence[Answer], row: Sequence[int]) -> Feed:
    """RETURNS (Feed): The last token of each answer, in the given rows."""
    n = len(answers)
    position = np.array([answer.position for answer in answers])
    tree = np.array([answer.tree for answer in answers])
    paths = Paths(tree, np.full(n, BRANCH), np.full(n, COUNT), position, position)
    ids = np.array([answer.ids[-1] for answer in answers])
    for answer in answers:
        answer.position += 1
    return Feed(np.array(row), ids, paths, np.arange(n))
