"""Autoregressive decoders, the baselines of PaDeLLM-NER (arXiv 2402.04838, section 4): one prompt
and one answer per document, generated token by token."""

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
from ..engine.runner import Runner
from ..engine.step import Run, StepInput
from ..prompts.tree import COUNT, Paths, PromptTree
from ..prompts.tree_builder import KnownIds, TreeBuilder
from ..tokenization.codec import Codec
from .answer_form import AnswerForm
from .decoder import Decoder
from .lattice import ConstraintText
from .logits import check_finite, most_likely
from .params import ResolvedParams
from .token_alignment import TokenAlignment

logger = logging.getLogger(__name__)

BRANCH = 1  # label path of the question and its answer


@dataclass
class Answer:
    """An answer while it is generated.

    tree (int): Number of the document's tree in its batch.
    position (int): Position of the next token.
    most_tokens (int): Tokens after which a line of it is stopped.
    ids, logprobs (list): Generated tokens and their natural-log probabilities.
    open, ended (bool): Whether it goes on; whether it came to its end.
    n_line_tokens (int): Tokens of its last line.
    """

    tree: int
    position: int
    most_tokens: int
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    open: bool = True
    ended: bool = False
    n_line_tokens: int = 0

    def advance(self) -> None:
        """Move to the position after the token that was run last."""
        self.position += 1

    def close(self, *, ended: bool) -> None:
        """Stop generating."""
        self.open, self.ended = False, ended


class AutoregressiveDecoder(Decoder):
    """Generates one answer for all labels, greedily, with a KV cache.

    The model is trained on answers of the same form. The well-formed parts of an answer are kept,
    and its faults are counted (`Prediction.malformed`). An answer stops at the model's window and
    at a bound on its length (`AnswerForm.most_tokens`, `AnswerForm.is_full`); `Prediction.ended`,
    `Mention.ended` and `Count.bounded` record where a bound stopped it.
    """

    @abstractmethod
    def form(self, builder: TreeBuilder, labels: Sequence[str]) -> AnswerForm:
        """RETURNS (AnswerForm): The form of answers about these labels."""

    def gold_trees(self, builder: TreeBuilder, golds: Sequence[Gold]) -> list[PromptTree]:
        """RETURNS (list[PromptTree]): One question with its answer per document."""
        forms = {labels: self.form(builder, labels) for labels in {gold.labels for gold in golds}}
        written = [forms[gold.labels].write(gold) for gold in golds]
        questions = {labels: form.question for labels, form in forms.items()}
        pieces = {*questions.values(), *chain.from_iterable(a.pieces for a in written)}
        order = list(pieces)
        ids = dict(zip(order, builder.codec.encode_texts(order), strict=True))
        n_lost = sum(answer.n_lost for answer in written)
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
            [[token for piece in answer.pieces for token in ids[piece]] for answer in written],
            [gold.spans if gold.complete else None for gold in golds],
            [gold.labels for gold in golds],
            builder.codec.end_id,
        )

    def question_trees(
        self,
        builder: TreeBuilder,
        texts: Sequence[str],
        labels: Sequence[str],
        ids: KnownIds = None,
    ) -> list[PromptTree]:
        """RETURNS (list[PromptTree]): One question per text."""
        if not texts:
            return []
        head = builder.codec.encode(self.form(builder, labels).question)
        trees = builder.sequence_trees(texts, [head] * len(texts), ids=ids)
        return [replace(tree, shape=replace(tree.shape, labels=tuple(labels))) for tree in trees]

    def max_text_tokens(self, builder: TreeBuilder, labels: Sequence[str]) -> int | None:
        """RETURNS (int | None): Most tokens of a text; its answer may be twice as long."""
        head = builder.codec.encode(self.form(builder, labels).question)
        free = builder.max_text_tokens([head])
        return None if free is None else free // 3

    def n_prefill_tokens(self, runner: Runner, tree: PromptTree) -> int:
        """RETURNS (int): Tokens of the first pass over a tree."""
        return len(tree)

    def decode(
        self,
        runner: Runner,
        builder: TreeBuilder,
        trees: Sequence[PromptTree],
        texts: Sequence[ConstraintText],
        params: ResolvedParams,
    ) -> list[Prediction]:
        """RETURNS (list[Prediction]): One prediction per tree, all of them decoded together."""
        form = self.form(builder, trees[0].labels)
        plain = [text.text for text in texts]
        answers = self.generate(runner, form, trees, form.most_tokens(plain, params), params)
        return [
            self._prediction(form, answer, text, params)
            for answer, text in zip(answers, plain, strict=True)
        ]

    def generate(
        self,
        runner: Runner,
        form: AnswerForm,
        trees: Sequence[PromptTree],
        most_tokens: Sequence[int],
        params: ResolvedParams,
    ) -> list[Answer]:
        """Generate the answers of questions.

        runner (Runner): Runs the model.
        form (AnswerForm): The form of the answers, which defines where one ends.
        trees (Sequence[PromptTree]): The questions, at least one.
        most_tokens (Sequence[int]): For each, the tokens after which a line is stopped.
        params (ResolvedParams): Where answers stop.
        RETURNS (list[Answer]): One answer per tree.
        """
        answers = [
            Answer(i, int(tree.position.max()) + 1, most)
            for i, (tree, most) in enumerate(zip(trees, most_tokens, strict=True))
        ]
        longest = max(map(len, trees))
        rows = runner.start_rows(len(trees), longest + longest // 2, params.graphs)
        runs: list[Run] = [(i, tree.ids, tree.paths(i)) for i, tree in enumerate(trees)]
        output = rows.forward(StepInput.of_runs(runs))
        open_answers = answer_of_row = answers  # answer_of_row: one per row
        selection = _Selection(runner.model.codec, form, params)
        while True:
            selection.append(open_answers, output.logits)
            open_answers = [answer for answer in open_answers if answer.open]
            if not open_answers:
                return answers
            row = [row for row, answer in enumerate(answer_of_row) if answer.open]
            if 2 * len(open_answers) <= len(answer_of_row):
                rows.keep(row)
                answer_of_row, row = open_answers, list(range(len(open_answers)))
            output = rows.forward(_last_tokens(open_answers, row))
            for answer in open_answers:
                answer.advance()

    def _prediction(
        self, form: AnswerForm, answer: Answer, text: str, params: ResolvedParams
    ) -> Prediction:
        alignment = TokenAlignment(form.codec, answer.ids)
        reading = form.read(alignment.text, text, ended=answer.ended)
        numbers = Counter(mention.label for mention in reading.mentions)
        mentions: dict[str, list[Mention]] = {label: [] for label in form.names}
        for read in reading.mentions:
            index = len(mentions[read.label]) + 1
            if index > params.max_count:
                continue
            tokens = alignment.tokens(read.ranges)
            ended, string = read.ended, read.text
            if len(tokens) > params.max_mention_tokens:
                tokens = tokens[: params.max_mention_tokens]
                ended, string = False, form.codec.decode([answer.ids[i] for i in tokens])
            logprobs = tuple(answer.logprobs[i] for i in tokens)
            mentions[read.label].append(Mention(read.label, index, string, logprobs, ended))
        if reading.n_malformed or not answer.ended:
            logger.debug(
                "%d faults in the answer about %r…, which %s: %r",
                reading.n_malformed,
                text[:60],
                "ended" if answer.ended else "was stopped by a bound",
                alignment.text,
            )
        return Prediction(
            tuple(
                # No number was generated, so it has no probability.
                Count(label, numbers[label], math.nan, numbers[label] > params.max_count)
                for label in form.names
            ),
            tuple(chain.from_iterable(mentions.values())),
            reading.n_malformed,
            answer.ended,
        )


class _Selection:
    """Appends the likeliest tokens to answers, and closes those that have ended."""

    def __init__(self, codec: Codec, form: AnswerForm, params: ResolvedParams):
        self._codec = codec
        self._form = form
        self._params = params
        self._breaks: dict[int, bool] = {}

    def append(self, answers: Sequence[Answer], logits: torch.Tensor) -> None:
        tokens, logprobs = most_likely(logits)
        check_finite(np.array(logprobs))
        for answer, token, logprob in zip(answers, tokens, logprobs, strict=True):
            self._append_token(answer, token, logprob)

    def _append_token(self, answer: Answer, token: int, logprob: float) -> None:
        if token == self._codec.tokenizer.eos_token_id:
            answer.close(ended=True)
            return
        answer.ids.append(token)
        answer.logprobs.append(logprob)
        answer.n_line_tokens += 1
        if self._breaks_line(token):
            answer.n_line_tokens = 0
            text = TokenAlignment(self._codec, answer.ids).text
            if self._form.has_ended(text):
                answer.close(ended=True)
                return
            if self._form.is_full(text, self._params):
                answer.close(ended=False)
        limit = self._params.max_positions
        at_limit = limit is not None and answer.position >= limit
        if at_limit or answer.n_line_tokens > answer.most_tokens:
            answer.close(ended=False)

    def _breaks_line(self, token: int) -> bool:
        if token not in self._breaks:
            self._breaks[token] = "\n" in self._codec.tokenizer.decode([token])
        return self._breaks[token]


def _last_tokens(answers: Sequence[Answer], row: Sequence[int]) -> StepInput:
    """RETURNS (StepInput): The last token of each answer, in the given rows."""
    n = len(answers)
    position = np.array([answer.position for answer in answers])
    tree = np.array([answer.tree for answer in answers])
    paths = Paths(tree, np.full(n, BRANCH), np.full(n, COUNT), position, position)
    ids = np.array([answer.ids[-1] for answer in answers])
    return StepInput(np.array(row), ids, paths, np.arange(n))
