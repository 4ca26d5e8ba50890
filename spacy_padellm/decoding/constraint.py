"""The substring constraint: mentions that can only be strings of the text, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from ..tree import Ints
from .lattice import AFTER, FAR, START, Lattice

LOGIT_ROWS = 2048
END = 0  # the end of a mention among a document's own tokens
NONE_LEGAL = -1


class Chosen(NamedTuple):
    """What mentions take, one item a mention.

    token (list[int]): The token; the end's id, or NONE_LEGAL where the text allows nothing.
    logprob (list[float]): Its natural-log probability by the model.
    text_logprob (list[float]): The same among the tokens that the text allows.
    """

    token: list[int]
    logprob: list[float]
    text_logprob: list[float]


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
        n_bytes = max(len(one.is_end) for one in documents)
        self._start, self._after, self._trash = n_bytes, n_bytes + 1, n_bytes + 2
        owns = [np.unique(one.token, return_inverse=True) for one in documents]
        self._n_own = max(len(own) for own, _ in owns) + 1
        self._src = self._columns([self._nodes(one.src) for one in documents], self._trash)
        self._dst = self._columns([self._nodes(one.dst) for one in documents], self._trash)
        self._need = self._columns([one.need for one in documents], FAR)
        self._own = self._columns([number.ravel() + 1 for _, number in owns], self._n_own)
        self._tokens = self._columns([np.append(end_id, own) for own, _ in owns], end_id)
        self._opening = self._columns([one.token[: len(one.place)] for one in documents], end_id)
        is_end = pad_sequence([torch.from_numpy(one.is_end) for one in documents], batch_first=True)
        self._is_end = pad(is_end, (0, 3)).to(device)
        self._document = np.zeros(0, dtype=np.int64)
        self._reached = torch.zeros(0, n_bytes + 3, dtype=torch.bool, device=device)

    def add(self, documents: Sequence[int]) -> range:
        """Mentions that begin.

        documents (Sequence[int]): The document of each.
        RETURNS (range): Their numbers.
        """
        first = len(self._document)
        self._document = np.append(self._document, np.asarray(documents, dtype=np.int64))
        new = self._reached.new_zeros(len(documents), self._reached.shape[1])
        new[:, self._start] = True
        self._reached = torch.cat([self._reached, new])
        return range(first, len(self._document))

    def choose(self, mentions: Sequence[int], logits: torch.Tensor, left: Sequence[int]) -> Chosen:
        """Let mentions take the likeliest token of those that the text allows.

        mentions (Sequence[int]): Their numbers, at least one.
        logits (torch.Tensor): Of their next tokens [mentions, vocabulary], of any floating type.
        left (Sequence[int]): Tokens that each may still say.
        RETURNS (Chosen): One item a mention.
        """
        at = torch.tensor(mentions, device=self._device)
        document = torch.from_numpy(self._document[list(mentions)]).to(self._device)
        room = torch.tensor(left, device=self._device)
        parts = zip(
            at.split(LOGIT_ROWS),
            document.split(LOGIT_ROWS),
            room.split(LOGIT_ROWS),
            logits.split(LOGIT_ROWS),
            strict=True,
        )
        columns = [torch.cat(part) for part in zip(*(self._step(*p) for p in parts), strict=True)]
        token, logprob, text_logprob = (column.tolist() for column in columns)
        return Chosen(token, logprob, text_logprob)

    def _step(
        self, at: torch.Tensor, document: torch.Tensor, room: torch.Tensor, logits: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        reached, own = self._reached[at], self._own[document]
        live = reached.gather(1, self._src[document]) & (self._need[document] < room[:, None])
        legal = torch.zeros(len(at), self._n_own + 1, dtype=torch.bool, device=self._device)
        legal.scatter_(1, own.where(live, self._n_own), True)
        legal = legal[:, : self._n_own]
        legal[:, END] = (reached & self._is_end[document]).any(1)
        logits = logits.float()
        values = logits.gather(1, self._tokens[document]).masked_fill(~legal, -torch.inf)
        best, choice = values.max(1)
        none = best == -torch.inf
        moved = self._dst[document].where(live & (own == choice[:, None]), self._trash)
        there = torch.zeros_like(reached).scatter_(1, moved, True)
        there[:, self._trash] = False
        stays = (choice == END) | none
        self._reached[at] = reached.where(stays[:, None], there)
        token = self._tokens[document].gather(1, choice[:, None])[:, 0]
        return (
            token.masked_fill(none, NONE_LEGAL),
            best - logits.logsumexp(-1),
            best - values.logsumexp(-1),
        )

    def openings(self, mentions: Sequence[int], logits: torch.Tensor) -> list[NDArray[np.float64]]:
        """How likely mentions begin with each of the first tokens that their documents allow.

        mentions (Sequence[int]): Their numbers, at least one.
        logits (torch.Tensor): Of their first tokens [mentions, vocabulary].
        RETURNS (list[NDArray]): For each, natural-log probabilities [edges out of START].
        """
        documents = self._document[list(mentions)]
        opening = self._opening[torch.from_numpy(documents).to(self._device)]
        parts = zip(logits.split(LOGIT_ROWS), opening.split(LOGIT_ROWS), strict=True)
        logprobs = torch.cat(
            [
                part.gather(1, tokens).float() - part.float().logsumexp(-1, keepdim=True)
                for part, tokens in parts
            ]
        )
        rows = logprobs.double().cpu().numpy()
        return [
            row[: len(self._documents[d].place)] for row, d in zip(rows, documents, strict=True)
        ]

    def enter(self, mentions: Sequence[int], nodes: Sequence[Ints]) -> None:
        """Put mentions where their first tokens, chosen elsewhere, took them.

        mentions (Sequence[int]): Their numbers.
        nodes (Sequence[Ints]): Nodes that each has reached.
        """
        rows = np.repeat(np.asarray(mentions), [len(one) for one in nodes])
        columns = self._nodes(np.concatenate(nodes))
        self._reached[torch.tensor(mentions, device=self._device)] = False
        self._reached[self._tensor(rows), self._tensor(columns)] = True

    def ends(self, mentions: Sequence[int]) -> list[Ints]:
        """RETURNS (list[Ints]): Bytes, rising, before which the text has what each mention said,
        where a mention can end."""
        at = torch.tensor(mentions, dtype=torch.long, device=self._device)
        document = torch.from_numpy(self._document[list(mentions)]).to(self._device)
        rows, places = (self._reached[at] & self._is_end[document]).cpu().numpy().nonzero()
        return np.split(places, np.searchsorted(rows, np.arange(1, len(mentions))))

    def _nodes(self, nodes: Ints) -> Ints:
        known = np.where(nodes == START, self._start, nodes)
        return np.where(nodes == AFTER, self._after, known)

    def _columns(self, parts: Sequence[Ints], padding: int) -> torch.Tensor:
        tensors = [torch.from_numpy(np.asarray(part, dtype=np.int64)) for part in parts]
        return pad_sequence(tensors, batch_first=True, padding_value=padding).to(self._device)

    def _tensor(self, values: Ints) -> torch.Tensor:
        return torch.from_numpy(values).to(self._device)
