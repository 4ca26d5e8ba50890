"""A model with scripted answers, to test every path of a decoder and the prompts it builds."""

import numpy as np
import torch

from spacy_padellm.engine.language_model import LanguageModel
from spacy_padellm.engine.step import StepOutput
from spacy_padellm.prompts.tree import PADDING, Paths, visible

GARBAGE = "?"  # generated after a prompt that is not in the script


class _NoNetwork(torch.nn.Module):
    def get_output_embeddings(self):
        return None


class ScriptedModel(LanguageModel):
    """Reconstructs the prompt of each token by mask rule and cache, and returns its answer.

    codec (Codec): A tokenizer that gives one token a byte, or nearly.
    script (dict): For each text, for each label, the number and the mentions: texts, of which one
        that ends in "…" goes on for ever with its last letter.
    supports_tree_mask (bool): Whether to take trees, or one row per prompt.
    max_positions (int | None): Of the model.
    """

    device = torch.device("cpu")
    max_positions = None

    def __init__(self, codec, script, supports_tree_mask=True, max_positions=None):
        super().__init__(_NoNetwork().eval(), codec, supports_tree_mask)
        self.max_positions = max_positions
        self.passes = 0
        self.unknown = []
        self._next = {}
        for text, answers in script.items():
            for label, (number, mentions) in answers.items():
                self._learn(text, label, number, mentions)

    def _learn(self, text, label, number, mentions):
        encode, end = self.codec.encode, self.codec.end_id
        head = [*encode("text:\n"), *encode(text), *encode("\nentity type:\n"), *encode(label)]
        head += encode("\n\n<num>")
        digits = [self.codec.digit_ids[int(digit)] for digit in number]
        self._follow(head, [*digits, end])
        for k, mention in enumerate(mentions, 1):
            mention_ids = encode(mention.removesuffix("…"))
            tail = mention_ids[-1:] * 200 if mention.endswith("…") else [end]
            self._follow([*head, *digits, *encode(f"\n<mention {k}>")], [*mention_ids, *tail])

    def _follow(self, head, answer):
        for i, token in enumerate(answer):
            self._next[(*head, *answer[:i])] = token

    def forward(self, ids, query, key, logits_indices, cache, partial=None):
        self.passes += 1
        ids, query, key = ids.numpy(), *(Paths(*(p.numpy() for p in q)) for q in (query, key))
        written = torch.from_numpy(ids).float()[:, None, :, None]
        slots, _ = cache.update(written, written, 0)
        seen = visible(query, key)
        rows, columns = np.unravel_index(logits_indices.numpy(), ids.shape)
        prompts = []
        for row, column in zip(rows, columns, strict=True):
            assert query.tree[row, column] != PADDING
            at = np.flatnonzero(seen[row, column])
            at = at[np.argsort(key.position[row, at])]
            assert key.position[row, at].tolist() == list(range(len(at)))
            prompts.append(slots[row, 0, at, 0].long().tolist())
        return StepOutput(self._answer(prompts))

    def sequence_logits(self, sequences, sequence, index):
        self.passes += 1
        ends = zip(sequence, index, strict=True)
        return self._answer([sequences[i][: end + 1] for i, end in ends])

    def _answer(self, prompts):
        logits = torch.zeros(len(prompts), len(self.codec.tokenizer))
        (garbage,) = self.codec.encode(GARBAGE)
        for row, prompt in zip(logits, prompts, strict=True):
            if self.max_positions is not None:
                assert len(prompt) <= self.max_positions
            if tuple(prompt) not in self._next:
                self.unknown.append(self.codec.tokenizer.decode(prompt))
            # Different after each prompt, so that each prompt has its own log-probabilities.
            row[self._next.get(tuple(prompt), garbage)] = 6 + sum(prompt) % 97 / 40
        return logits

    def logprob(self, *pieces):
        """RETURNS (float): Log-probability of the answer's next token after pieces of a prompt."""
        prompt = [token for piece in pieces for token in self.codec.encode(piece)]
        logits = self._answer([prompt])[0]
        return float(logits.log_softmax(-1).max())
