"""transformers' `generate` with forced output."""

import time
from collections.abc import Sequence

import torch

from spacy_padellm.prompts.tree import PromptTree

from .forced import FORCED, ForcedModel, Work


class ForcedTokens:
    """A logits processor for transformers' `generate` that forces given answers.

    answers (Sequence[Sequence[int]]): Token ids of each row's answer.
    filler (int): Token id of rows whose answer has ended.
    prompt_tokens (int): Number of tokens of all prompts without padding.
    work (Work): Passes and time are added to it.
    device (torch.device): Device of the scores.
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
        padded = [[*ids, *[filler] * (self.n_steps - len(ids))] for ids in answers]
        self._tokens = torch.tensor(padded, device=device)
        self._rows = torch.arange(len(answers), device=device)
        self._n_input = prompt_tokens
        self._work = work
        self._step = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """RETURNS (torch.Tensor): The scores [rows, vocabulary]; each answer's next token is the
        highest."""
        start = time.perf_counter()
        self._work.passes.append((self._n_input, len(scores)))
        self._n_input = len(scores)
        scores[self._rows, self._tokens[:, self._step]] = FORCED
        self._step += 1
        self._work.forcing += time.perf_counter() - start
        return scores


def generate(
    model: ForcedModel, trees: Sequence[PromptTree], answers: Sequence[Sequence[int]]
) -> list[list[int]]:
    """Greedy `generate` of transformers, prompts padded on the left.

    model (ForcedModel): The model.
    trees (Sequence[PromptTree]): The prompts.
    answers (Sequence[Sequence[int]]): Token ids to generate, the end token included.
    RETURNS (list[list[int]]): Generated token ids, as many as the answer has.
    """
    from transformers import LogitsProcessorList

    longest = max(map(len, trees))
    ids = torch.zeros(len(trees), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, tree in enumerate(trees):
        ids[row, longest - len(tree) :] = torch.from_numpy(tree.ids)
        mask[row, longest - len(tree) :] = 1
    forced = ForcedTokens(
        answers, model.codec.end_id, sum(map(len, trees)), model.work, model.device
    )
    with torch.inference_mode():
        generated = model.model.network.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=forced.n_steps,
            do_sample=False,
            use_cache=True,
            pad_token_id=model.codec.tokenizer.eos_token_id or 0,
            logits_processor=LogitsProcessorList([forced]),
        )
    rows = generated[:, longest:].tolist()
    return [row[: len(answer)] for row, answer in zip(rows, answers, strict=True)]
