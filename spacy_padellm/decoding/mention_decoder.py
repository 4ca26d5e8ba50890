"""Selects the tokens of a batch's mentions: freely, or within the strings of their texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..documents.spans import Mention
from ..engine.transfer import on_device
from ..prompts.tree import ABSENT, PromptTree
from ..prompts.tree_builder import TreeBuilder
from ..tokenization.arrays import Float64s, Ints
from ..tokenization.token_bytes import TokenBytes
from .constraint import Constraint
from .counts import number_symbols
from .drafts import TextDrafts
from .host_constraint import HostConstraint
from .joint_starts import StartEdges
from .lattice import ConstraintText, Lattice, build_lattices
from .logits import Logits, TokenSubset, most_likely
from .mention_spans import find_char_spans
from .mentions import LocatedText, MentionBranches
from .params import ResolvedParams


class MentionDecoder:
    """Selects the next tokens of mentions.

    With `constrained` a mention can only be a string of its text, from the start of one of the
    document's tokens to the end of one. With `joint_starts` the first tokens of a label's mentions
    are chosen together: decoded in parallel, no mention depends on the others of its label, and two
    may be the same. A tokenizer whose tokens can't be read as bytes supports neither.

    With `drafts` tokens of the text are proposed and run along with the last generated one: where
    they are the selected ones, the tokens after them are selected in the same pass.

    trees (Sequence[PromptTree]): The documents' trees.
    texts (Sequence[ConstraintText]): Their texts.
    builder (TreeBuilder): Built the trees.
    params (ResolvedParams): The parameters of the run.
    device (torch.device): The device of the logits.
    on_host (bool): Whether logits are on the host, for mentions so few that each is handled alone.

    mentions (MentionBranches): The mentions.
    """

    def __init__(
        self,
        trees: Sequence[PromptTree],
        texts: Sequence[ConstraintText],
        builder: TreeBuilder,
        params: ResolvedParams,
        device: torch.device,
        on_host: bool = False,
    ):
        codec = builder.codec
        self._trees, self._texts, self._codec, self._params = trees, texts, codec, params
        needs_bytes = params.constrained or params.joint_starts
        token_bytes = builder.token_bytes if needs_bytes else None
        self.constrained = params.constrained and token_bytes is not None
        eos_id = codec.tokenizer.eos_token_id
        end_ids = [codec.end_id] if self.constrained else [codec.end_id, eos_id]
        self.mentions = MentionBranches(params, [end for end in end_ids if end is not None])
        self._next_byte = np.zeros(0, dtype=np.int64)
        self._start_edges: dict[int, StartEdges] = {}
        self._token_bytes = token_bytes
        self._lattices: list[Lattice] = []
        self._constraint: Constraint | HostConstraint | None = None
        self._text_drafts: TextDrafts | None = None
        if token_bytes is not None:
            self._build_tables(builder, token_bytes, device, on_host)

    def _build_tables(
        self, builder: TreeBuilder, token_bytes: TokenBytes, device: torch.device, on_host: bool
    ) -> None:
        params, end_id = self._params, self._codec.end_id
        ids = [tree.ids[builder.text_indices(tree)] for tree in self._trees]
        tokenized = [token_bytes.text(tokens.tolist()) for tokens in ids]
        texts = self._texts
        if not params.constrained:
            texts = [ConstraintText(text.text) for text in texts]
        lattices = build_lattices(texts, tokenized, token_bytes, params.max_mention_tokens)
        self._lattices = lattices
        if on_host:
            self._constraint = HostConstraint(lattices, end_id)
        else:
            self._constraint = Constraint(lattices, end_id, device)
        if params.drafts and self.constrained:
            self._text_drafts = TextDrafts(lattices, ids, token_bytes)

    def token_subset(self, device: torch.device) -> TokenSubset:
        """RETURNS (TokenSubset): The tokens whose logits are read: those of the texts, digits and
        the end."""
        tokens = [lattice.token for lattice in self._lattices]
        return TokenSubset(np.concatenate([*tokens, number_symbols(self._codec)]), device)

    def drafts(self, mentions: Ints) -> Ints:
        """Propose the next tokens of mentions.

        mentions (Ints): Open mentions.
        RETURNS (Ints): Tokens to run after the last one of each; ABSENT after a draft's end
            [mentions, steps].
        """
        most = self._max_drafts(len(mentions))
        if self._text_drafts is None or not most:
            return np.zeros((len(mentions), 0), dtype=np.int64)
        tree = self.mentions.tree[mentions]
        return self._text_drafts.after(tree, self._next_byte[mentions], most)

    def first_drafts(self, tree: Ints, label: Ints, begins: Sequence[NDArray[Any]] | None) -> Ints:
        """Propose the first tokens of mentions by the tags of their texts: for a label of n
        mentions the n text tokens at which one most probably begins.

        tree, label (Ints): Paths of mentions, all of each label, in order [mentions].
        begins (Sequence[NDArray] | None): For each text the probability that a mention of a label
            begins at each of its tokens [tokens, labels]; None without tags.
        RETURNS (Ints): Tokens to run after the head of each [mentions, steps].
        """
        most = self._max_drafts(len(tree)) if begins is not None else 0
        drafts = np.full((len(tree), most), ABSENT)
        if not most or begins is None or self._text_drafts is None:
            return drafts
        for group in _groups(tree, label):
            chances = begins[tree[group[0]]][:, label[group[0]] - 1]
            if len(group) <= len(chances):
                likely = np.argpartition(-chances, len(group) - 1)[: len(group)]
                document = int(tree[group[0]])
                drafts[group] = self._text_drafts.starting_at(document, np.sort(likely), most)
        return drafts

    def begin(
        self,
        tree: Ints,
        label: Ints,
        index: Ints,
        position: Ints,
        count_logprob: NDArray[np.floating],
        logits: Logits,
        rows: Ints,
        drafts: Ints,
    ) -> Ints:
        """Add mentions and select their first tokens.

        tree, label, index (Ints): Their paths, all of each label, in order [mentions].
        position (Ints): Positions of their first tokens [mentions].
        count_logprob (NDArray): Natural log of P(count >= index) of each [mentions].
        logits (Logits): The logits of a pass.
        rows (Ints): Rows of the logits: after the head of each, then after each token of its draft;
            ABSENT after its end [mentions, steps].
        drafts (Ints): Draft tokens that were run after the heads [mentions, steps - 1].
        RETURNS (Ints): Number of tokens selected for each, the end among them [mentions].
        """
        new = self.mentions.add(tree, label, index, position, count_logprob)
        self._next_byte = np.append(self._next_byte, np.full(len(new), -1))
        if self._constraint is not None and len(new):
            self._constraint.add(tree)
        is_joint = np.zeros(len(new), dtype=bool)
        if self._constraint is not None and self._params.joint_starts:
            is_joint = self._begin_jointly(self._constraint, new, logits, rows[:, 0])
        n_steps = np.ones(len(new), dtype=np.int64)
        single = np.flatnonzero(~is_joint)
        if len(single):
            n_steps[single] = self._select(new[single], logits, rows[single], drafts[single])
        if drafts.shape[1]:
            as_drafted = is_joint & self.mentions.is_open[new]
            as_drafted[as_drafted] = self.mentions.last(new[as_drafted]) == drafts[as_drafted, 0]
            if as_drafted.any():
                self.mentions.advance(new[as_drafted])
                n_steps[as_drafted] += self._select(
                    new[as_drafted], logits, rows[as_drafted, 1:], drafts[as_drafted, 1:]
                )
        self.mentions.cap_total_length(self._trees)
        return n_steps

    def extend(self, mentions: Ints, logits: Logits, rows: Ints, drafts: Ints) -> Ints:
        """Select the next tokens of open mentions.

        mentions (Ints): Open mentions, advanced past the token that was run last.
        logits (Logits): The logits of a pass.
        rows (Ints): Rows of the logits: after the last token of each, then after each token of its
            draft; ABSENT after its end [mentions, steps].
        drafts (Ints): Draft tokens that were run after the last ones [mentions, steps - 1].
        RETURNS (Ints): Number of tokens selected for each, the end among them [mentions].
        """
        n_steps = self._select(mentions, logits, rows, drafts)
        self.mentions.cap_total_length(self._trees)
        return n_steps

    def finish(self) -> list[list[Mention]]:
        """RETURNS (list[list[Mention]]): The mentions of each tree, with their character spans
        where these are known."""
        mentions = self.mentions
        found: dict[int, LocatedText] = {}
        ended = np.flatnonzero(mentions.ended & (mentions.n_tokens > 0))
        if self.constrained and len(ended):
            assert self._constraint is not None
            assert self._token_bytes is not None
            has_chars = [self._lattices[i].chars is not None for i in mentions.tree[ended]]
            located = ended[has_chars]
            ends = self._constraint.ends(located)
            args = self._lattices, self._texts, self._token_bytes
            found = find_char_spans(mentions, located, ends, *args)
        return mentions.mentions(self._trees, self._codec, found)

    def _max_drafts(self, n_mentions: int) -> int:
        """RETURNS (int): Most draft tokens for each of so many mentions."""
        if not n_mentions or not self.constrained:
            return 0
        return max(0, min(self._params.drafts, self._params.pass_tokens // n_mentions - 1))

    def _select(self, mentions: Ints, logits: Logits, rows: Ints, drafts: Ints) -> Ints:
        """RETURNS (Ints): Number of tokens selected for each mention [mentions]."""
        if not self.constrained:
            first = on_device(rows[:, 0].copy(), logits.values.device)
            tokens, logprobs = most_likely(logits.values[first])
            self.mentions.append(mentions, np.array(tokens), np.array(logprobs))
            return np.ones(len(mentions), dtype=np.int64)
        assert self._constraint is not None
        left = self.mentions.n_left(mentions)
        selected = self._constraint.select(mentions, logits, left, rows, drafts)
        for step in range(rows.shape[1]):
            goes_on = (selected.n_steps > step) & self.mentions.is_open[mentions]
            extended = mentions[goes_on]
            if not len(extended):
                break
            if step:  # the draft token before this one was run at the position of its own
                self.mentions.advance(extended)
            columns = (selected.token, selected.logprob, selected.text_logprob)
            self.mentions.append(extended, *(column[goes_on, step] for column in columns))
        self._next_byte[mentions] = selected.next_byte
        return selected.n_steps

    def _begin_jointly(
        self, constraint: Constraint | HostConstraint, new: Ints, logits: Logits, rows: Ints
    ) -> NDArray[np.bool_]:
        """RETURNS (NDArray[np.bool_]): Which mentions have begun: not those of labels with more
        mentions than the text has starts, nor the only mention of a label, which is free."""
        mentions = self.mentions
        groups = _groups(mentions.tree[new], mentions.label[new])
        if self.constrained:
            groups = [group for group in groups if len(group) > 1]
        begun = np.zeros(len(new), dtype=bool)
        if not groups:
            return begun
        grouped = np.concatenate(groups)
        logprobs = constraint.start_logprobs(new[grouped], logits, rows[grouped])
        nodes: list[Ints] = []
        chosen: list[tuple[Ints, Float64s, Float64s | None]] = []
        done = 0
        for group in groups:
            scores = np.stack(logprobs[done : done + len(group)])
            done += len(group)
            tree = int(mentions.tree[new[group[0]]])
            starts, dst = self._edges(tree), self._lattices[tree].dst
            edges = starts.viterbi(scores)
            if edges is None:
                continue
            begun[group] = True
            best = scores[np.arange(len(group)), edges]
            in_text = best - starts.logsumexp(scores) if self._params.constrained else None
            chosen.append((starts.token[edges], best, in_text))
            self._next_byte[new[group]] = dst[edges]
            nodes += [dst[alternatives] for alternatives in starts.alternatives(edges)]
        if chosen:
            entered = new[begun]  # groups are in the mentions' order
            tokens, best_scores, in_texts = zip(*chosen, strict=True)
            known = None if in_texts[0] is None else np.concatenate(in_texts)
            mentions.append(entered, np.concatenate(tokens), np.concatenate(best_scores), known)
            constraint.enter(entered.tolist(), nodes)
        return begun

    def _edges(self, tree: int) -> StartEdges:
        if (edges := self._start_edges.get(tree)) is None:
            lattice = self._lattices[tree]
            token = lattice.token[: len(lattice.start_byte)]
            edges = StartEdges(lattice.start_byte, token, lattice.distinct)
            self._start_edges[tree] = edges
        return edges


def _groups(tree: Ints, label: Ints) -> list[Ints]:
    """RETURNS (list[Ints]): The mentions of each label, which are neighbours."""
    if not len(tree):
        return []
    edges = 1 + np.flatnonzero((np.diff(tree) != 0) | (np.diff(label) != 0))
    return np.split(np.arange(len(tree)), edges)
