"""Mentions of a batch while they speak: plainly, or within the strings of their texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from ..documents.spans import Mention
from ..engine.transfer import on_device
from ..prompts.tree import ABSENT, PromptTree
from ..prompts.tree_builder import TreeBuilder
from ..tokenization.arrays import Ints
from .constraint import Constraint
from .counts import symbols_of
from .drafts import TextDrafts
from .host_constraint import HostConstraint
from .joint_starts import Floats, Openings
from .lattice import Lattice, Passage, lattices
from .logits import Logits, TokenSubset, likeliest
from .mention_spans import find_places
from .mentions import MentionBranches
from .params import DecodingParams


class MentionDecoder:
    """Lets the mentions of a batch take their tokens.

    With `bounds.constrained` a mention can only be a string of its text, from the start of a token
    of the document to the end of one. With `bounds.joint_starts` the first tokens of a label's
    mentions are chosen together: said side by side, no mention knows of the others of its label,
    and two may be the same. A tokenizer whose tokens can't be read as bytes has neither.

    With `bounds.drafts` tokens of the text are proposed, to be fed along with what was said: where
    they are what is chosen, the tokens after them are chosen in the same pass.

    trees (Sequence[PromptTree]): The documents' trees.
    passages (Sequence[Passage]): Their texts.
    builder (TreeBuilder): Knows where the text is in a tree.
    bounds (DecodingParams): Where mentions stop.
    device (torch.device): Where logits are.
    few (bool): Whether they are on the host, of mentions so few that each is looked at alone.

    begins (Sequence[NDArray[np.floating]] | None): For each text how likely a mention of a label
        begins in each of its tokens [tokens, labels], where the text has tags.
    """

    def __init__(
        self,
        trees: Sequence[PromptTree],
        passages: Sequence[Passage],
        builder: TreeBuilder,
        bounds: DecodingParams,
        device: torch.device,
        few: bool = False,
    ):
        codec = builder.codec
        self._bounds = bounds
        wanted = bounds.constrained or bounds.joint_starts
        self._pieces = builder.token_bytes if wanted else None
        ends = [codec.end_id]
        if not self.constrained:
            ends += [codec.tokenizer.eos_token_id]
        self.mentions = MentionBranches(bounds, [end for end in ends if end is not None])
        self._trees = trees
        self._passages = passages
        self._builder = builder
        self._device = device
        self._few = few
        self.begins: Sequence[NDArray[np.floating]] | None = None
        self._node = np.zeros(0, dtype=np.int64)
        self._known_openings: dict[int, Openings] = {}

    def prepare(self) -> None:
        """Build what is read off the texts, which would else be built at first need."""
        if self._pieces is not None:
            _ = self._texts, self._bounds.drafts and self._text_drafts

    def narrowing(self, device: torch.device) -> TokenSubset:
        """RETURNS (TokenSubset): For what is read off logits on a device: the tokens of the texts,
        digits and the end."""
        tokens = [one.token for one in self._lattices]
        return TokenSubset(np.concatenate([*tokens, symbols_of(self._builder.codec)]), device)

    def drafts(self, which: Ints) -> Ints:
        """What mentions may say next.

        which (Ints): Open mentions.
        RETURNS (Ints): Tokens to be fed behind the last one of each, ABSENT behind a draft's end
            [mentions, steps].
        """
        most = self._most(len(which))
        if not most:
            return np.zeros((len(which), 0), dtype=np.int64)
        return self._text_drafts.after(self.mentions.tree[which], self._node[which], most)

    def opening_drafts(self, tree: Ints, label: Ints, index: Ints) -> Ints:
        """What mentions may say first, by the tags of their texts: of as many tokens as a label has
        mentions, those where one most likely begins.

        tree, label, index (Ints): Paths of mentions, all of each label, in order [mentions].
        RETURNS (Ints): Tokens to be fed behind the head of each [mentions, steps].
        """
        most = self._most(len(tree)) if self.begins is not None else 0
        found = np.full((len(tree), most), ABSENT)
        if not most or self.begins is None:
            return found
        for group in _groups(tree, label):
            begins = self.begins[tree[group[0]]][:, label[group[0]] - 1]
            if len(group) <= len(begins):
                likely = np.argpartition(-begins, len(group) - 1)[: len(group)]
                own = int(tree[group[0]])
                found[group] = self._text_drafts.opening(own, np.sort(likely), most)
        return found

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
        """Let mentions take their first tokens.

        tree, label, index (Ints): Their paths, all of each label, in order [mentions].
        position (Ints): Positions of their first tokens [mentions].
        count_logprob (NDArray): Natural-log of P(count >= index) of each [mentions].
        logits (Logits): Of a pass.
        rows (Ints): Rows of the logits: after the head of each, then after each token of its draft;
            ABSENT behind its end [mentions, steps].
        drafts (Ints): Tokens that were fed behind the heads [mentions, steps - 1].
        RETURNS (Ints): Steps that each took [mentions].
        """
        which = self.mentions.add(tree, label, index, position, count_logprob)
        self._node = np.append(self._node, np.full(len(which), -1))
        if self._pieces is not None and len(which):
            self._texts.add(tree)
        together = np.zeros(len(which), dtype=bool)
        if self._pieces is not None and self._bounds.joint_starts:
            together = self._begin_together(which, logits, rows[:, 0])
        n_steps = np.ones(len(which), dtype=np.int64)
        alone = np.flatnonzero(~together)
        if len(alone):
            n_steps[alone] = self._say(which[alone], logits, rows[alone], drafts[alone])
        if drafts.shape[1]:
            as_drafted = together & self.mentions.is_open[which]
            as_drafted[as_drafted] = self.mentions.last(which[as_drafted]) == drafts[as_drafted, 0]
            n_steps[as_drafted] += self._after_draft(
                which[as_drafted], logits, rows[as_drafted, 1:], drafts[as_drafted, 1:]
            )
        self.mentions.cap_total_length(self._trees)
        return n_steps

    def go_on(self, which: Ints, logits: Logits, rows: Ints, drafts: Ints) -> Ints:
        """Let mentions take their next tokens.

        which (Ints): Open mentions.
        logits (Logits): Of a pass.
        rows (Ints): Rows of the logits: after the last token of each, then after each token of its
            draft; ABSENT behind its end [mentions, steps].
        drafts (Ints): Tokens that were fed behind the last ones [mentions, steps - 1].
        RETURNS (Ints): Steps that each took [mentions].
        """
        n_steps = self._say(which, logits, rows, drafts)
        self.mentions.cap_total_length(self._trees)
        return n_steps

    def finish(self) -> list[list[Mention]]:
        """RETURNS (list[list[Mention]]): What was said of each tree, with its places where they are
        known."""
        mentions = self.mentions
        ended = np.flatnonzero(mentions.ended & (mentions.n_said > 0))
        if self.constrained and len(ended):
            assert self._pieces is not None
            found = ended[[self._lattices[i].chars is not None for i in mentions.tree[ended]]]
            ends = self._texts.ends(found)
            find_places(mentions, found, ends, self._lattices, self._passages, self._pieces)
        return mentions.said(self._trees, self._builder.codec)

    @property
    def constrained(self) -> bool:
        """RETURNS (bool): Whether mentions can only be strings of their texts."""
        return self._bounds.constrained and self._pieces is not None

    def _most(self, n_mentions: int) -> int:
        """RETURNS (int): Draft tokens for each of so many mentions."""
        if not n_mentions or not self.constrained:
            return 0
        return max(0, min(self._bounds.drafts, self._bounds.pass_tokens // n_mentions - 1))

    @cached_property
    def _text_ids(self) -> list[Ints]:
        return [tree.ids[self._builder.text_indices(tree)] for tree in self._trees]

    @cached_property
    def _lattices(self) -> list[Lattice]:
        assert self._pieces is not None
        read = [self._pieces.text(ids.tolist()) for ids in self._text_ids]
        free = [Passage(passage.text) for passage in self._passages]
        passages = self._passages if self._bounds.constrained else free
        return lattices(passages, read, self._pieces, self._bounds.max_mention_tokens)

    @cached_property
    def _texts(self) -> Constraint | HostConstraint:
        end = self._builder.codec.end_id
        if self._few:
            return HostConstraint(self._lattices, end)
        return Constraint(self._lattices, end, self._device)

    def _openings(self, tree: int) -> Openings:
        if (found := self._known_openings.get(tree)) is None:
            lattice = self._lattices[tree]
            token = lattice.token[: len(lattice.place)]
            found = Openings(lattice.place, token, lattice.once)
            self._known_openings[tree] = found
        return found

    @cached_property
    def _text_drafts(self) -> TextDrafts:
        assert self._pieces is not None
        return TextDrafts(self._lattices, self._text_ids, self._pieces)

    def _say(self, which: Ints, logits: Logits, rows: Ints, drafts: Ints) -> Ints:
        """RETURNS (Ints): Steps that each mention took [mentions]."""
        if not self.constrained:
            at = on_device(rows[:, 0].copy(), logits.values.device)
            tokens, logprobs = likeliest(logits.values[at])
            self.mentions.say(which, np.array(tokens), np.array(logprobs))
            return np.ones(len(which), dtype=np.int64)
        left = self.mentions.left(which)
        chosen = self._texts.choose(which, logits, left, rows, drafts)
        for step in range(rows.shape[1]):
            goes = (chosen.n_steps > step) & self.mentions.is_open[which]
            said = which[goes]
            if not len(said):
                break
            if step:
                self.mentions.position[said] += 1
            columns = (chosen.token, chosen.logprob, chosen.text_logprob)
            self.mentions.say(said, *(column[goes, step] for column in columns))
        self._node[which] = chosen.node
        return chosen.n_steps

    def _after_draft(self, which: Ints, logits: Logits, rows: Ints, drafts: Ints) -> Ints:
        """RETURNS (Ints): Steps taken after a draft's first token, which was chosen [mentions]."""
        if not len(which):
            return np.zeros(0, dtype=np.int64)
        self.mentions.position[which] += 1
        return self._say(which, logits, rows, drafts)

    def _begin_together(self, which: Ints, logits: Logits, rows: Ints) -> NDArray[np.bool_]:
        """RETURNS (NDArray[np.bool_]): Which mentions have begun so: not those of labels with more
        of them than the text has starts, nor one that is alone, which may say what it likes."""
        mentions = self.mentions
        groups = _groups(mentions.tree[which], mentions.label[which])
        if self.constrained:
            groups = [group for group in groups if len(group) > 1]
        begun = np.zeros(len(which), dtype=bool)
        if not groups:
            return begun
        asked = np.concatenate(groups)
        logprobs = self._texts.openings(which[asked], logits, rows[asked])
        nodes: list[Ints] = []
        said: list[tuple[Ints, Floats, Floats | None]] = []
        done = 0
        for group in groups:
            found = np.stack(logprobs[done : done + len(group)])
            done += len(group)
            tree = int(mentions.tree[which[group[0]]])
            openings, dst = self._openings(tree), self._lattices[tree].dst
            edges = openings.rising(found)
            if edges is None:
                continue
            begun[group] = True
            at_edge = found[np.arange(len(group)), edges]
            in_text = at_edge - openings.logsumexp_of(found) if self._bounds.constrained else None
            said.append((openings.token[edges], at_edge, in_text))
            self._node[which[group]] = dst[edges]
            nodes += [dst[window] for window in openings.windows(edges)]
        if said:
            entered = which[begun]  # groups are in the mentions' order
            tokens, at_edges, in_texts = zip(*said, strict=True)
            known = None if in_texts[0] is None else np.concatenate(in_texts)
            mentions.say(entered, np.concatenate(tokens), np.concatenate(at_edges), known)
            self._texts.enter(entered.tolist(), nodes)
        return begun


def _groups(tree: Ints, label: Ints) -> list[Ints]:
    """RETURNS (list[Ints]): The mentions of each label, which are neighbours."""
    if not len(tree):
        return []
    edges = 1 + np.flatnonzero((np.diff(tree) != 0) | (np.diff(label) != 0))
    return np.split(np.arange(len(tree)), edges)
