"""Estimate of the memory of a training pass, from the size of the network and of the pass."""

from __future__ import annotations

from .network_size import NetworkSize
from .training_passes import TrainingPasses

FORMULA = (
    "weights: parameters x b bytes, or, where all are trained, x 6 on a GPU and x 4 in float32; "
    "trained parameters x 16 with an adapter, x 12 without (float32 copy, gradient, Adam's two "
    "moments); kept for backward, per layer and token of the pass: b x (5 hidden + 4 heads + "
    "4 feed-forward + row length), + 8 hidden where b is 2, + 8 hidden where all weights are "
    "trained, + 4 x (9 hidden + feed-forward) for an adapter's dropout; logits: targets x "
    "vocabulary x (b + 8). b is 2 on a GPU (bfloat16) and 4 in float32"
)


def estimate_memory(
    size: NetworkSize, passes: TrainingPasses, row_tokens: int, half: bool
) -> dict[str, int]:
    """Estimate the memory of the largest training pass, by FORMULA.

    The formula counts what autograd keeps of a Llama-like layer without gradient checkpointing: 5
    vectors of the residual stream's width, queries, keys and values repeated for all heads, the
    attention's output, 4 vectors of the feed-forward block, and the attention mask. The context of
    CUDA, fragmentation and captured graphs are not included.

    size (NetworkSize): The network.
    passes (TrainingPasses): The passes of the corpus.
    row_tokens (int): Tokens of a row of trees.
    half (bool): Whether the pass computes in bfloat16, as on a GPU.
    RETURNS (dict[str, int]): Bytes by use ("weights", "gradients_and_optimizer",
        "kept_for_backward", "logits"), and "total".
    """
    n_bytes = 2 if half else 4
    row = max(row_tokens, passes.longest_tree)
    kept = n_bytes * (5 * size.hidden + 4 * size.heads + 4 * size.feed_forward + row)
    if half:
        kept += 8 * size.hidden  # norms compute in float32
    if not size.lora:
        kept += 8 * size.hidden  # inputs of the norms' weights
    if size.dropout:
        kept += 4 * (9 * size.hidden + size.feed_forward)
    # Weights that are all trained are float32, with a copy in bfloat16 under autocast.
    weights = n_bytes if size.lora else 4 + (n_bytes if half else 0)
    parts = {
        "weights": size.parameters * weights,
        "gradients_and_optimizer": size.trained * (16 if size.lora else 12),
        "kept_for_backward": size.layers * passes.tokens * kept,
        "logits": passes.targets * size.vocabulary * (n_bytes + 8),
    }
    return {**parts, "total": sum(parts.values())}
