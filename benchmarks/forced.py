"""Models that compute their passes in full and then say what they are told: the gold answers.

A random network of some shape takes as long as a trained one, but says nothing of use. Here the
logits after each place are overwritten, so that greedy decoding says the gold counts and mentions,
or the gold answer of an autoregressive decoder, and every way does the work of a perfect model.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from spacy_padellm.engine.language_model import LanguageModel
from spacy_padellm.engine.prompt_rows import CachedRows, Feed, RecomputedRows
from spacy_padellm.prompts.tree import COUNT, NO_TARGET, TRUNK, Paths, PromptTree
from spacy_padellm.tokenization.arrays import Ints
from spacy_padellm.tokenization.codec import Codec

FORCED = 1e4  # far above any logit, and float16 still holds it
POSITION_BITS, MENTION_BITS, LABEL_BITS = 20, 10, 10
TREE_SHIFT = POSITION_BITS + MENTION_BITS + LABEL_BITS


@dataclass
class Work:
    """What a run made the model do.

    passes (list[tuple[int, int]]): For each forward pass its tokens, padding left out, and the
        places whose logits were wanted.
    forcing (float): Seconds on the host that went into overwriting logits.
    unforced (int): Places whose logits were left as they were.
    """

    passes: list[tuple[int, int]] = field(default_factory=list)
    forcing: float = 0.0
    unforced: int = 0


@dataclass(frozen=True)
class _Table:
    """Tokens that must follow in one tree: codes of places, rising [n], and tokens [n]."""

    codes: Ints
    tokens: Ints


class Script:
    """Which token must follow each place of the prompts of some documents.

    A place is a label path, a mention path and a position in a document. The document is known by
    its trunk, which a decoder feeds first; a mention prompt that stands alone in its row, all of it
    trunk (the replicated decoder), by its ids.

    trees (Sequence[PromptTree]): Gold trees of a decoder (`Decoder.gold_trees`).
    """

    def __init__(self, trees: Sequence[PromptTree]):
        self._trees = trees
        self._tables: dict[bytes, _Table] = {}
        for tree in trees:
            key = tree.ids[tree.label == TRUNK].tobytes()
            self._tables[key] = _table(tree.label, tree.mention, tree.position, tree.target)
            for label, mention in tree.branches():
                if mention != COUNT:
                    prompt = tree.prompt(label, mention)
                    head = int(np.flatnonzero(prompt.target != NO_TARGET)[0]) + 1
                    alone = np.zeros_like(prompt.ids)
                    self._tables[prompt.ids[:head].tobytes()] = _table(
                        alone, alone, prompt.position, prompt.target
                    )
        self._current: dict[int, _Table] = {}
        self._codes = self._tokens = np.zeros(0, dtype=np.int64)

    def following(self, ids: Ints, query: Paths, wanted: Ints) -> tuple[Ints, Ints]:
        """What must follow in a pass under the mask rule.

        ids (Ints): Token ids [tokens].
        query (Paths): Their paths, arrays of shape [tokens].
        wanted (Ints): Indices of the places [n].
        RETURNS (tuple[Ints, Ints]): Indices into `wanted` of the places that are told, and the
            token after each.
        """
        if ((query.position == 0) & (query.label == TRUNK) & (query.tree >= 0)).any():
            self._read_trunks(ids, query)
        tree, label, mention, position = (part.ravel()[wanted] for part in query[:4])
        codes = (tree << TREE_SHIFT) | _codes(label, mention, position)
        if not len(self._codes):
            return codes[:0], codes[:0]
        at = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        told = np.flatnonzero(self._codes[at] == codes)
        return told, self._tokens[at[told]]

    def following_prompts(self, prompts: Sequence[Ints]) -> tuple[Ints, Ints]:
        """RETURNS (tuple[Ints, Ints]): The same for prompts that are given as a whole."""
        found = [self._by_prompt.get(np.asarray(one, np.int64).tobytes()) for one in prompts]
        told = [i for i, token in enumerate(found) if token is not None]
        return np.array(told, dtype=np.int64), np.array([found[i] for i in told], dtype=np.int64)

    def _read_trunks(self, ids: Ints, query: Paths) -> None:
        """Learn which documents the trees of a batch are. A batch starts with its tree 0."""
        at = np.flatnonzero((query.label.ravel() == TRUNK) & (query.tree.ravel() >= 0))
        trees = query.tree.ravel()[at]
        order = np.argsort(trees, kind="stable")
        numbers, first = np.unique(trees[order], return_index=True)
        if numbers[0] == 0:
            self._current.clear()
        parts = np.split(ids.ravel()[at[order]], first[1:])
        for number, part in zip(numbers.tolist(), parts, strict=True):
            if (table := self._tables.get(part.tobytes())) is not None:
                self._current[number] = table
        if self._current:
            tables = sorted(self._current.items())
            self._codes = np.concatenate([(n << TREE_SHIFT) | one.codes for n, one in tables])
            self._tokens = np.concatenate([one.tokens for _, one in tables])

    @cached_property
    def _by_prompt(self) -> dict[bytes, int]:
        """Every prompt with each beginning of its answer, and the token that follows."""
        found: dict[bytes, int] = {}
        for tree in self._trees:
            for prompt in tree.prompts():
                for end in np.flatnonzero(prompt.target != NO_TARGET):
                    found[prompt.ids[: end + 1].tobytes()] = int(prompt.target[end])
        return found


class ForcedModel(LanguageModel):
    """A language model that counts its passes and says what a script tells it.

    network (torch.nn.Module): A causal LM, random or trained.
    codec (Codec): Its tokenizer.
    supports_tree_mask (bool): As of `LanguageModel`.
    """

    def __init__(self, network: Any, codec: Codec, supports_tree_mask: bool = True):
        super().__init__(network, codec, supports_tree_mask)
        self.script: Script | None = None
        self.work = Work()
        # On the device: a number from the host would wait for all that was launched before.
        self._forced = torch.tensor(FORCED, dtype=self.base.dtype, device=self.device)

    def start_rows(
        self, n_rows: int, capacity: int, graphs: bool = False
    ) -> CachedRows | RecomputedRows:
        """RETURNS (CachedRows | RecomputedRows): As of `LanguageModel`; what is told is said."""
        if self.supports_tree_mask:
            return _ForcedRows(self, n_rows, capacity, graphs)
        return super().start_rows(n_rows, capacity)

    def plain_logits(
        self, sequences: Sequence[Sequence[int] | Ints], where: Ints, ends: Ints
    ) -> torch.Tensor:
        """RETURNS (torch.Tensor): As of `LanguageModel`, those that are told overwritten."""
        self.work.passes.append((sum(map(len, sequences)), len(where)))
        place = None
        if self.script is not None:
            script = self.script
            asked = zip(where, ends, strict=True)
            prompts = [np.asarray(sequences[i][: end + 1]) for i, end in asked]
            place = self.place(lambda: script.following_prompts(prompts), len(where))
        return self.forced(super().plain_logits(sequences, where, ends), place)

    def place(
        self, look_up: Callable[[], tuple[Ints, Ints]], n_wanted: int
    ) -> tuple[torch.Tensor, ...]:
        start = time.perf_counter()
        told, tokens = look_up()
        place = self.tensor(np.stack([told, tokens])).unbind()
        self.work.unforced += n_wanted - len(told)
        self.work.forcing += time.perf_counter() - start
        return place

    def forced(self, logits: torch.Tensor, place: tuple[torch.Tensor, ...] | None) -> torch.Tensor:
        if place is not None:
            start = time.perf_counter()
            with torch.inference_mode():
                logits.index_put_(place, self._forced.to(logits.dtype))
            self.work.forcing += time.perf_counter() - start
        return logits


class _ForcedRows(CachedRows):
    """Rows whose logits are overwritten after each pass, outside of what a graph replays."""

    def feed(self, feed: Feed) -> torch.Tensor:
        """RETURNS (torch.Tensor): As of `CachedRows`, those that are told overwritten."""
        model = self._model
        assert isinstance(model, ForcedModel)
        model.work.passes.append((len(feed.row), len(feed.wanted)))
        place = glance = None
        if (script := model.script) is not None:
            place = model.place(
                lambda: script.following(feed.ids, feed.paths, feed.wanted), len(feed.wanted)
            )
            if feed.glances is not None:
                glance = model.place(lambda: _glance(script, feed), len(feed.glances))
        logits = super().feed(feed)
        if self.glanced is not None:
            model.forced(self.glanced, glance)
        if self.total is not None and place is not None:
            with torch.inference_mode():
                self.total.index_fill_(0, place[0], FORCED)
        return model.forced(logits, place)


def _glance(script: Script, feed: Feed) -> tuple[Ints, Ints]:
    """RETURNS (tuple[Ints, Ints]): Glances that are told what follows, and of each the column of
    that."""
    assert feed.glances is not None
    assert feed.columns is not None
    told, tokens = script.following(feed.ids, feed.paths, feed.glances)
    row, column = np.nonzero(tokens[:, None] == feed.columns)
    return told[row], column


class Dictation:
    """A logits processor for transformers' `generate`: answers token by token.

    answers (Sequence[Sequence[int]]): Token ids of each row's answer.
    filler (int): Said by rows whose answer has ended.
    prompt_tokens (int): Tokens of all prompts, padding left out.
    work (Work): Where passes and time are counted.
    device (torch.device): Where scores are.
    """

    def __init__(
        self,
        answers: Sequence[Sequence[int]],
        filler: int,
        prompt_tokens: int,
        work: Work,
        device: torch.device,
    ):
        self.n_steps = max(map(len, answers))
        padded = [[*one, *[filler] * (self.n_steps - len(one))] for one in answers]
        self._tokens = torch.tensor(padded, device=device)
        self._rows = torch.arange(len(answers), device=device)
        self._fed = prompt_tokens
        self._work = work
        self._step = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """RETURNS (torch.Tensor): The scores [rows, vocabulary], the answers' next tokens first."""
        start = time.perf_counter()
        self._work.passes.append((self._fed, len(scores)))
        self._fed = len(scores)
        scores[self._rows, self._tokens[:, self._step]] = FORCED
        self._step += 1
        self._work.forcing += time.perf_counter() - start
        return scores


def _codes(label: Ints, mention: Ints, position: Ints) -> Ints:
    return ((label << MENTION_BITS | mention) << POSITION_BITS) | position


def _table(label: Ints, mention: Ints, position: Ints, target: Ints) -> _Table:
    at = np.flatnonzero(target != NO_TARGET)
    codes = _codes(label[at], mention[at], position[at])
    order = np.argsort(codes)
    return _Table(codes[order], target[at][order])
