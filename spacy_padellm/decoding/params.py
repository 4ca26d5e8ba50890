"""The parameters of decoders."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch

CPU_BATCH_TOKENS = 2048
GPU_BATCH_TOKENS = 32768
# Below so many tokens a pass takes as long as reading the weights, or as launching it.
CPU_PASS_TOKENS = 128
GPU_PASS_TOKENS = 1024
MAX_DRAFTS = 8


@dataclass(frozen=True)
class DecodingParams:
    """The parameters that all decoders share; a decoder ignores those that don't apply to it.

    max_count (int): Most mentions per label and document.
    max_mention_tokens (int): Most tokens of a mention.
    batch_tokens (int | None): Most prompt tokens decoded together; None chooses by device. A
        single document is never split.
    count_slack (float | None): Hedges the counts: a label has as many mentions as the largest k
        with P(count >= k) above this, between 0 and 1. Less finds more mentions, less precisely.
        None takes the likeliest number, as the paper does (arXiv 2402.04838). Autoregressive
        decoders ignore it.
    tag_weight (float): Where the prompt has `tag_text`, the weight of the text's tags in the
        counts, from 0 (none) to 1 (all): their share in the mean of log-probabilities.
    joint_starts (bool): Whether the first tokens of a label's mentions are chosen together, at
        rising byte offsets of the text, so that no two mentions are the same occurrence.
        Autoregressive decoders ignore it.
    constrained (bool): Whether mentions can only be strings of the text, from the start of one of
        the document's tokens to the end of one. Autoregressive decoders ignore it.
    drafts (int | None): Most tokens copied from the text that are verified in the same pass as a
        mention's last token: fewer passes, the same mentions. None chooses by device and batch, 0
        disables drafts. Only for the tree decoder, and where mentions are constrained.
    graphs (bool | None): Whether passes are captured as CUDA graphs, by their shapes, and replayed;
        None does so on a GPU.
    RAISES (ValueError): A parameter out of its range.
    """

    max_count: int = 99
    max_mention_tokens: int = 64
    batch_tokens: int | None = None
    count_slack: float | None = None
    tag_weight: float = 0.5
    joint_starts: bool = True
    constrained: bool = True
    drafts: int | None = None
    graphs: bool | None = None

    def __post_init__(self) -> None:
        for name in ("max_count", "max_mention_tokens", "batch_tokens"):
            value = getattr(self, name)
            if value is None and name == "batch_tokens":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"The decoder's {name} must be an integer from 1, not {value!r}.")
        drafts = self.drafts
        if drafts is not None and (type(drafts) is not int or drafts < 0):
            raise ValueError(
                f"The decoder's drafts must be null or an integer from 0, not {drafts!r}."
            )
        slack = self.count_slack
        if slack is not None and not (isinstance(slack, float) and 0 < slack < 1):
            raise ValueError(
                "The decoder's count_slack must be null or a probability between 0 and 1, "
                f"not {slack!r}."
            )
        if not 0 <= self.tag_weight <= 1:
            raise ValueError(
                f"The decoder's tag_weight must be from 0 to 1, not {self.tag_weight!r}."
            )

    def as_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The parameters by name."""
        return {field.name: getattr(self, field.name) for field in fields(DecodingParams)}

    def resolve(self, device: torch.device, max_positions: int | None) -> ResolvedParams:
        """Choose what is left to the device.

        device (torch.device): The network's device.
        max_positions (int | None): The model's number of positions, None for any number.
        RETURNS (ResolvedParams): The parameters of a run.
        """
        on_cpu = device.type == "cpu"
        pass_tokens = CPU_PASS_TOKENS if on_cpu else GPU_PASS_TOKENS
        return ResolvedParams(
            **{
                **self.as_dict(),
                "batch_tokens": self.batch_tokens
                or (CPU_BATCH_TOKENS if on_cpu else GPU_BATCH_TOKENS),
                "drafts": MAX_DRAFTS if self.drafts is None else self.drafts,
                "graphs": not on_cpu if self.graphs is None else self.graphs,
            },
            pass_tokens=pass_tokens if self.drafts is None else 1 << 62,
            max_positions=max_positions,
        )


@dataclass(frozen=True)
class ResolvedParams(DecodingParams):
    """Parameters of which none is left to the device, and the model's window.

    pass_tokens (int): Tokens of a pass below which more tokens cost next to nothing: drafts are
        verified up to this number.
    max_positions (int | None): Positions of the model, None for any number.
    """

    batch_tokens: int = CPU_BATCH_TOKENS
    drafts: int = 0
    graphs: bool = False
    pass_tokens: int = 0
    max_positions: int | None = None
