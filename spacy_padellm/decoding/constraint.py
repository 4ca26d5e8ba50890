"""The substring constraint: mentions can only be strings of the text, as tensor operations."""

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
# Edges times steps of the mentions that are selected at once: memory is some such tables.
CELLS = 1 << 22


class Selected(NamedTuple):
    """The next tokens of mentions, arrays of one row per mention.

    token (Ints): The tokens [mentions, steps]; the end's id, or NOTHING where the text allows none.
    logprob (NDArray[np.float64]): Their natural-log probabilities by the model.
    text_logprob (NDArray[np.float64]): The same among the tokens that the text allows.
    n_steps (Ints): Number of valid steps: the first, and one more for each accepted draft token
        [mentions].
    next_byte (Ints): The first byte offset at which the text goes on after them [mentions].
    """

    token: Ints
    logprob: NDArray[np.float64]
    text_logprob: NDArray[np.float64]
    n_steps: Ints
    next_byte: Ints


def distinct(keys: Ints) -> tuple[Ints, Ints]:
    """Compute `np.unique` with `return_inverse`, several times faster: no indices are sorted.

    keys (Ints): Not negative [n].
    RETURNS (tuple[Ints, Ints]): The distinct keys, rising; the index of each of `keys` among them.
    """
    n_bits = len(keys).bit_length()
    if int(keys.max(initial=0)).bit_length() + n_bits > 62:
        unique, number = np.unique(keys, return_inverse=True)
        return unique, number.ravel()
    both = np.sort(keys << n_bits | np.arange(len(keys)))
    rising, at = both >> n_bits, both & ((1 << n_bits) - 1)
    is_new = np.diff(rising, prepend=-1) != 0
    number = np.empty(len(keys), dtype=np.int64)
    number[at] = np.cumsum(is_new) - 1
    return rising[is_new], number


class Constraint:
    """The nodes that mentions have reached in the lattices of their texts.

    A mention without tokens is at START. A token moves it along every edge of that token, so that
    it is at all byte offsets before which the text has the tokens generated so far.

    documents (Sequence[Lattice]): The documents of a batch.
    end_id (int): The token that ends a mention.
    device (torch.device): The device of the logits.
    """

    def __init__(self, documents: Sequence[Lattice], end_id: int, device: torch.device):
        self._documents = documents
        self._device = device
        sizes, n_first, n_bytes = (
            np.array([len(getattr(lattice, name)) for lattice in documents])
            for name in ("src", "start_byte", "is_end")
        )
        self._start = int(n_bytes.max())
        self._after, self._trash = self._start + 1, self._start + 2
        src, dst, need, token, is_end = (
            np.concatenate([getattr(lattice, name) for lattice in documents])
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
        self._first_tokens = self._columns(token[edge < n_first[document]], n_first, end_id)
        tokens = self._columns(own % vocabulary, n_own, end_id)
        self._tokens = pad(tokens, (1, 0), value=end_id)
        self._is_end = pad(self._columns(is_end, n_bytes, False), (0, 3))
        self._document = np.zeros(0, dtype=np.int64)
        n_nodes = self._is_end.shape[1]
        self._reached = torch.zeros(0, n_nodes, dtype=torch.bool, device=device)

    def add(self, documents: Ints) -> Ints:
        """Add mentions without tokens.

        documents (Ints): The document of each.
        RETURNS (Ints): Their numbers.
        """
        first = len(self._document)
        self._document = np.append(self._document, documents)
        new = self._reached.new_zeros(len(documents), self._reached.shape[1])
        new[:, self._start] = True
        self._reached = torch.cat([self._reached, new])
        return np.arange(first, len(self._document))

    def select(
        self, mentions: Ints, logits: Logits, left: Ints, rows: Ints, drafts: Ints
    ) -> Selected:
        """Select the likeliest of the tokens that the text allows, and go on as long as they equal
        the draft tokens.

        mentions (Ints): Their numbers, at least one.
        logits (Logits): On `device`.
        left (Ints): Tokens that each may still generate [mentions].
        rows (Ints): Rows of the logits: of the next token of each, then of the tokens after those
            of its draft; ABSENT after its end [mentions, steps].
        drafts (Ints): Draft tokens [mentions, steps - 1]; ABSENT after a draft's end.
        RETURNS (Selected): The tokens of each.
        """
        size = max(1, CELLS // max(1, self._src.shape[1] * rows.shape[1]))
        columns = np.stack([mentions, self._document[mentions], left], axis=1)
        inputs = self._tensor(np.concatenate([columns, rows, drafts], axis=1))
        widths = [1, 1, 1, rows.shape[1], drafts.shape[1]]
        parts = [self._select(logits, *part.split(widths, 1)) for part in inputs.split(size)]
        # One copy from the device: float64 holds every token exactly.
        table = torch.cat(parts).cpu().numpy()
        n = rows.shape[1]
        token, logprob, text_logprob = (table[:, i * n : i * n + n] for i in range(3))
        n_steps, next_byte = table[:, 3 * n :].astype(np.int64).T
        return Selected(token.astype(np.int64), logprob, text_logprob, n_steps, next_byte)

    def _select(
        self,
        logits: Logits,
        mentions: torch.Tensor,
        document: torch.Tensor,
        left: torch.Tensor,
        rows: torch.Tensor,
        drafts: torch.Tensor,
    ) -> torch.Tensor:
        """RETURNS (torch.Tensor): float64 [mentions, 3 * steps + 2]: the parts of Selected."""
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

        row = rows.clamp_min(0)
        values = logits.gather(row[:, :, None], self._tokens[document][:, None])
        values = values.masked_fill(~legal, -torch.inf)
        best, choice = values.max(2)
        none = best == -torch.inf
        chosen = self._tokens[document].gather(1, choice).masked_fill(none, NOTHING)
        follows = (chosen[:, :-1] == drafts) & (drafts != ABSENT)
        n_selected = 1 + follows.int().cumprod(1).sum(1)

        end = (n_selected - 1)[:, None]
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
                (best - logits.logsumexp[row]).double(),
                (best - values.logsumexp(2)).double(),
                n_selected[:, None].double(),
                state.int().argmax(1)[:, None].double(),
            ],
            1,
        )

    def _moved(self, reached: torch.Tensor, dst: torch.Tensor, taken: torch.Tensor) -> torch.Tensor:
        """RETURNS (torch.Tensor): bool [mentions, nodes]: the nodes that the taken edges lead
        to."""
        moved = torch.zeros_like(reached).scatter_(1, dst.where(taken, self._trash), True)
        moved[:, self._trash] = False
        return moved

    def start_logprobs(
        self, mentions: Ints, logits: Logits, rows: Ints
    ) -> list[NDArray[np.float64]]:
        """Compute the log-probabilities of the first tokens that the documents allow.

        mentions (Ints): Their numbers, at least one.
        logits (Logits): On `device`.
        rows (Ints): Rows of the logits: of the first token of each [mentions].
        RETURNS (list[NDArray]): For each, natural-log probabilities [edges out of START].
        RAISES (NotFiniteError): None of them is finite, or one is not a number.
        """
        documents = self._document[mentions]
        tokens = self._first_tokens[self._tensor(documents)]
        row = self._tensor(rows)
        logprobs = logits.gather(row[:, None], tokens) - logits.logsumexp[row, None]
        table = logprobs.double().cpu().numpy()
        if table.shape[1]:
            check_finite(table.max(1))
        return [
            scores[: len(self._documents[document].start_byte)]
            for scores, document in zip(table, documents, strict=True)
        ]

    def enter(self, mentions: Sequence[int], nodes: Sequence[Ints]) -> None:
        """Set the nodes that mentions have reached by first tokens that were chosen jointly.

        mentions (Sequence[int]): Their numbers.
        nodes (Sequence[Ints]): The nodes of each.
        """
        rows = np.repeat(np.asarray(mentions), [len(one) for one in nodes])
        columns = self._nodes(np.concatenate(nodes))
        self._reached[self._tensor(np.asarray(mentions))] = False
        self._reached[self._tensor(rows), self._tensor(columns)] = True

    def ends(self, mentions: Ints) -> tuple[Ints, Ints]:
        """Find the byte offsets at which the occurrences of mentions end.

        mentions (Ints): Their numbers.
        RETURNS (tuple[Ints, Ints]): Indices into `mentions`, rising, and for each the byte offset
            after an occurrence, rising for each mention [occurrences].
        """
        number, document = self._tensor(mentions), self._tensor(self._document[mentions])
        ends = self._reached[number] & self._is_end[document]
        index, byte_offset = ends.cpu().numpy().nonzero()
        return index, byte_offset

    def _nodes(self, nodes: Ints) -> Ints:
        known = np.where(nodes == START, self._start, nodes)
        return np.where(nodes == AFTER, self._after, known)

    def _columns(self, values: NDArray[Any], sizes: Ints, padding: int) -> torch.Tensor:
        """RETURNS (torch.Tensor): One row per document: its values, then padding."""
        width = int(sizes.max())
        first = np.cumsum(sizes) - sizes
        dtype = bool if values.dtype == bool else np.int64
        table = np.full(len(sizes) * width, padding, dtype=dtype)
        shift = np.repeat(np.arange(len(sizes)) * width - first, sizes)
        table[np.arange(len(values)) + shift] = values
        return self._tensor(table.reshape(len(sizes), width))

    def _tensor(self, values: NDArray[Any]) -> torch.Tensor:
        return on_device(values, self._device)
