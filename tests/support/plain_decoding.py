"""Reference implementation of the paper's decoding: one prompt at a time, without a KV cache, with
the tokenizer and network of transformers only. The tests compare the decoders with it.
"""

from typing import NamedTuple

import torch

# Switches off what the decoders add to the paper's decoding.
PLAIN = {"joint_starts": False, "constrained": False}


class LabelMentions(NamedTuple):
    """The generated number of a label, its log-probability, and its mentions.

    mentions (list[tuple[str, list[float]]]): Text and log-probabilities of its tokens.
    """

    number: int
    logprob: float
    mentions: list[tuple[str, list[float]]]


def encode(tokenizer, *pieces):
    """RETURNS (list[int]): Ids of pieces, each tokenised by itself, special tokens as text."""
    options = {"add_special_tokens": False, "split_special_tokens": True}
    return [token for piece in pieces for token in tokenizer(piece, **options)["input_ids"]]


def generate_greedily(network, prompt, n):
    """RETURNS (list[int]): The n tokens that transformers generates after a prompt."""
    ids = torch.tensor([prompt])
    with torch.inference_mode():
        generated = network.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=n,
            pad_token_id=0,
        )
    return generated[0, len(prompt) :].tolist()


def answer_logprobs(network, prompt, answer):
    """RETURNS (list[float]): Log-probability of each token of an answer, in one forward pass."""
    ids = torch.tensor([prompt + answer])
    with torch.inference_mode():
        logits = network(input_ids=ids, use_cache=False).logits[0].float()
    logprobs = logits[len(prompt) - 1 : -1].log_softmax(-1)
    return [float(row[token]) for row, token in zip(logprobs, answer, strict=True)]


@torch.inference_mode()
def next_logprobs(network, ids):
    """RETURNS (torch.Tensor): Log-probabilities of the token after a sequence [vocabulary]."""
    return (
        network(input_ids=torch.tensor([ids]), use_cache=False)
        .logits[0, -1]
        .float()
        .log_softmax(-1)
    )


def decode_plainly(network, tokenizer, text, label, max_count, max_mention_tokens):
    """RETURNS (LabelMentions): Number and mentions of one label in a text, by English prompts."""
    head = encode(tokenizer, "text:\n", text, "\nentity type:\n", label, "\n\n<num>")
    digits = [encode(tokenizer, digit)[0] for digit in "0123456789"]
    (end,) = encode(tokenizer, "\n")
    number, logprob = "", 0.0
    while number != "0":
        scores = next_logprobs(network, [*head, *(digits[int(digit)] for digit in number)])
        allowed = [*digits, end] if number else digits
        best = max(range(len(allowed)), key=lambda i: scores[allowed[i]])
        if int(number or 0) > max_count and best < 10:
            break
        logprob += float(scores[allowed[best]])
        if best == 10:
            break
        number += str(best)
    prompt = [*head, *(digits[int(digit)] for digit in number)]
    mentions = []
    for k in range(1, min(int(number), max_count) + 1):
        ids, logprobs = [], []
        mention_prompt = [*prompt, *encode(tokenizer, f"\n<mention {k}>")]
        while len(ids) < max_mention_tokens:
            scores = next_logprobs(network, [*mention_prompt, *ids])
            token = int(scores.argmax())
            if token in (end, tokenizer.eos_token_id):
                break
            ids.append(token)
            logprobs.append(float(scores[token]))
        mentions.append((tokenizer.decode(ids).strip(" "), logprobs))
    return LabelMentions(int(number), logprob, mentions)
