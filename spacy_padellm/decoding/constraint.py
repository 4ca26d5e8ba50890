"""The substring constraint: mentions that can only be strings of the text, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import pad

from ..engine.transfer import on_device
from ..prompts.tree import ABSENT
from ..tokenization.arrays import Ints
from .lattice import AFTER, FAR, START, Lattice
from .logits import Logits, check_finite
from .mentions import NOTHING

END = 0  # the end of a mention among a document's own tokens
# Edges times steps of the mentions that choose at once: what is held is some such tables.
CELLS = 1 << 22


class Chosen(NamedTuple):
    """What mentions take, token by token: arrays of one row a mention.

    token (Ints): The tokens [mentions, steps]; the end's id, or NOTHING where the text allows none.
    logprob (NDArray[np.float64]): Their natural-log probabilities by the model.
    text_logprob (NDArray[np.float64]): The same among the tokens that the text allows.
    n_steps (Ints): Steps that count: the first, and one more for each token of the draft that was
        chosen [mentions].
    node (Ints): The first byte that the text can go on with after them [mentions].
    """

    token: Ints
    logprob: NDArray[np.float64]
    text_logprob: NDArray[np.float64]
    n_steps: Ints
    node: Ints


def distinct(keys: Ints) -> tuple[Ints, Ints]:
    """As `np.unique` with `return_inverse`, which sorts indices: several times slower.

    keys (Ints): Not negative [n].
    RETURNS (tuple[Ints, Ints]): The keys, each once, rising; for each of `keys` its number there.
    """
    n_bits = len(keys).bit_length()
    if int(keys.max(initial=0)).bit_length() + n_bits > 62:
        found, number = np.unique(keys, return_inverse=True)
        return found, number.ravel()
    both = np.sort(keys << n_bits | np.arange(len(keys)))
    rising, at = both >> n_bits, both & ((1 << n_bits) - 1)
    is_new = np.diff(rising, prepend=-1) != 0
    number = np.empty(len(keys), dtype=np.int64)
    number[at] = np.cumsum(is_new) - 1
    return rising[is_new], number


class Constraint:
    """Where in their texts mentions can be, by what they have said so far.

    A mention that has said nothing is at START. A token takes it along every edge that bears it,
    so that it is at all the bytes before which the text has what was said.

    documents (Sequence[Lattice]): The documents of a batch.
    end_id (int): The token that ends a mention.
    device (torch.device): Where logits are.
    """

    def __init__(self, documents: Sequence[Lattice], end_id: int, device: torch.device):
        self._documents = documents
        self._device = device
        sizes, n_opening, n_bytes = (
            np.array([len(getattr(one, name)) for one in documents])
            for name in ("src", "place", "is_end")
        )
        self._start = int(n_bytes.max())
        self._after, self._trash = self._start + 1, self._start + 2
        src, dst, need, token, is_end = (
            np.concatenate([getattr(one, name) for one in documents])
            for name in ("src", "dst", "need", "token", "is_end")
        )
        document = np.repeat(np.arange(len(documents)), sizes)
        edge = np.arange(len(src)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        # A document's own tokens, numbered from 1.
        vocabulary = int(token.max(initial=0)) + 1
        own, number = distinct(document * vocabulary + token)
        n_own = np.bincount(own // vocabulary, minlength=len(documents))
        number += 1 - (np.cumsum(n_own) - n_own)[document]
        self._n_own = int(n_own.max(initial=0)) + 1
        self._src = self._columns(self._nodes(src), sizes, self._trash)
        self._dst = self._columns(self._nodes(dst), sizes, self._trash)
        self._need = self._columns(need, sizes, FAR)
        self._token = self._columns(token, sizes, ABSENT)
        self._own = self._columns(number, sizes, self._n_own)
        self._opening = self._columns(token[edge < n_opening[document]], n_opening, end_id)
        tokens = self._columns(own % vocabulary, n_own, end_id)
        self._tokens = pad(tokens, (1, 0), value=end_id)
        self._is_end = pad(self._columns(is_end, n_bytes, False), (0, 3))
        self._document = np.zeros(0, dtype=np.int64)
        n_nodes = self._is_end.shape[1]
        self._reached = torch.zeros(0, n_nodes, dtype=torch.bool, device=device)

    def add(self, documents: Ints) -> Ints:
        """Mentions that begin.

        documents (Ints): The document of each.
        RETURNS (Ints): Their numbers.
        """
        first = len(self._document)
        self._document = np.append(self._document, documents)
        new = self._reached.new_zeros(len(documents), self._reached.shape[1])
        new[:, self._start] = True
        self._reached = torch.cat([self._reached, new])
        return np.arange(first, len(self._document))

    def choose(
        self, mentions: Ints, logits: Logits, left: Ints, rows: Ints, drafts: Ints
    ) -> Chosen:
        """Let mentions take the likeliest of the tokens that the text allows, and go on as long as
        they take what their drafts say.

        mentions (Ints): Their numbers, at least one.
        logits (Logits): Where `device` is.
        left (Ints): Tokens that each may still say [mentions].
        rows (Ints): Rows of the logits: of the next token of each, then of the tokens after those
            of its draft; ABSENT behind its end [mentions, steps].
        drafts (Ints): Tokens that were fed [mentions, steps - 1]; ABSENT behind a draft's end.
        RETURNS (Chosen): What each took.
        """
        size = max(1, CELLS // max(1, self._src.shape[1] * rows.shape[1]))
        alone = np.stack([mentions, self._document[mentions], left], axis=1)
        asked = self._tensor(np.concatenate([alone, rows, drafts], axis=1))
        widths = [1, 1, 1, rows.shape[1], drafts.shape[1]]
        found = torch.cat(
            [self._choose(logits, *part.split(widths, 1)) for part in asked.split(size)]
        )
        # One copy from the device: float64 holds every token exactly.
        said = found.cpu().numpy()
        n = rows.shape[1]
        token, logprob, text_logprob = (said[:, i * n : i * n + n] for i in range(3))
        n_steps, node = said[:, 3 * n :].astype(np.int64).T
        return Chosen(token.astype(np.int64), logprob, text_logprob, n_steps, node)

    def _choose(
        self,
        logits: Logits,
        mentions: torch.Tensor,
        document: torch.Tensor,
        left: torch.Tensor,
        rows: torch.Tensor,
        drafts: torch.Tensor,
    ) -> torch.Tensor:
        """RETURNS (torch.Tensor): float64 [mentions, 3 * steps + 2]: the parts of Chosen."""
        n, n_steps = rows.shape
        mentions, document = mentions[:, 0], document[:, 0]
        states = [self._reached[mentions]]
        src, dst, token = self._src[document], self._dst[document], self._token[document]
        need = self._need[document]
        for step in range(n_steps - 1):
            live = states[-1].gather(1, src) & (need < left - step)
            states.append(self._moved(states[-1], dst, live & (token == drafts[:, step, None])))
        reached = torch.stack(states, 1)  # [mentions, steps, nodes]
        steps = torch.arange(n_steps, device=self._device)
        room = left - steps
        live = reached.gather(2, src[:, None].expand(-1, n_steps, -1))
        live &= need[:, None] < room[:, :, None]
        own = self._own[document][:, None].expand(-1, n_steps, -1)
        legal = torch.zeros(n, n_steps, self._n_own + 1, dtype=torch.bool, device=self._device)
        legal.scatter_(2, own.where(live, self._n_own), True)
        legal = legal[..., : self._n_own]
        legal[..., END] = (reached & self._is_end[document][:, None]).any(2)

        there = rows.clamp_min(0)
        values = logits.at(there[:, :, None], self._tokens[document][:, None])
        values = values.masked_fill(~legal, -torch.inf)
        best, choice = values.max(2)
        none = best == -torch.inf
        chosen = self._tokens[document].gather(1, choice).masked_fill(none, NOTHING)
        follows = (chosen[:, :-1] == drafts) & (drafts != ABSENT)
        n_taken = 1 + follows.int().cumprod(1).sum(1)

        end = (n_taken - 1)[:, None]
        last = choice.gather(1, end)
        state = reached.gather(1, end[:, :, None].expand(-1, -1, reached.shape[2]))[:, 0]
        live = live.gather(1, end[:, :, None].expand(-1, -1, live.shape[2]))[:, 0]
        moved = self._moved(state, dst, live & (self._own[document] == last))
        stays = (last == END) | none.gather(1, end)
        state = state.where(stays, moved)
        self._reached[mentions] = state
        return torch.cat(
            [
                chosen.double(),
                (best - logits.total[there]).double(),
                (best - values.logsumexp(2)).double(),
                n_taken[:, None].double(),
                state.int().argmax(1)[:, None].double(),
            ],
            1,
        )

    def _moved(self, reached: torch.Tensor, dst: torch.Tensor, taken: torch.Tensor) -> torch.Tensor:
        """RETURNS (torch.Tensor): bool [mentions, nodes]: where edges lead that were taken."""
        there = torch.zeros_like(reached).scatter_(1, dst.where(taken, self._trash), True)
        there[:, self._trash] = False
        return there

    def openings(self, mentions: Ints, logits: Logits, rows: Ints) -> list[NDArray[np.float64]]:
        """How likely mentions begin with each of the first tokens that their documents allow.

        mentions (Ints): Their numbers, at least one.
        logits (Logits): Where `device` is.
        rows (Ints): Rows of the logits: of the first token of each [mentions].
        RETURNS (list[NDArray]): For each, natural-log probabilities [edges out of START].
        RAISES (NotFiniteError): None of them is finite, or one is not a number.
        """
        documents = self._document[mentions]
        opening = self._opening[self._tensor(documents)]
        at = self._tensor(rows)
        logprobs = logits.at(at[:, None], opening) - logits.total[at, None]
        found = logprobs.double().cpu().numpy()
        if found.shape[1]:
            check_finite(found.max(1))
        return [
            row[: len(self._documents[d].place)] for row, d in zip(found, documents, strict=True)
        ]

    def enter(self, mentions: Sequence[int], nodes: Sequence[Ints]) -> None:
        """Put mentions where their first tokens, chosen elsewhere, took them.

        mentions (Sequence[int]): Their numbers.
        nodes (Sequence[Ints]): Nodes that each has reached.
        """
        rows = np.repeat(np.asarray(mentions), [len(one) for one in nodes])
        columns = self._nodes(np.concatenate(nodes))
        self._reached[self._tensor(np.asarray(mentions))] = False
        self._reached[self._tensor(rows), self._tensor(columns)] = True

    def ends(self, mentions: Ints) -> tuple[Ints, Ints]:
        """Where the text has what mentions said, where a mention can end.

        mentions (Ints): Their numbers.
        RETURNS (tuple[Ints, Ints]): Indices into `mentions`, and for each a byte before which the
            text has it; rising, each mention's bytes too [places].
        """
        at, document = self._tensor(mentions), self._tensor(self._document[mentions])
        of, place = (self._reached[at] & self._is_end[document]).cpu().numpy().nonzero()
        return of, place

    def _nodes(self, nodes: Ints) -> Ints:
        known = np.where(nodes == START, self._start, nodes)
        return np.where(nodes == AFTER, self._after, known)

    def _columns(self, values: NDArray[Any], sizes: Ints, padding: int) -> torch.Tensor:
        """RETURNS (torch.Tensor): A row a document: its values, then padding."""
        width = int(sizes.max())
        first = np.cumsum(sizes) - sizes
        dtype = bool if values.dtype == bool else np.int64
        table = np.full(len(sizes) * width, padding, dtype=dtype)
        shift = np.repeat(np.arange(len(sizes)) * width - first, sizes)
        table[np.arange(len(values)) + shift] = values
        return self._tensor(table.reshape(len(sizes), width))

    def _tensor(self, values: NDArray[Any]) -> torch.Tensor:
        return on_device(values, self._device)
