"""What a decoder holds to, whatever the model says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DecodingParams:
    """A decoder's parameters, and the model's window.

    max_count (int): Mentions asked for a label of a document.
    max_mention_tokens (int): Tokens of a mention.
    max_positions (int | None): Positions of the model.
    count_slack (float | None): The number is the largest k with P(count >= k) above it; None for
        the likeliest number.
    tag_weight (float): Weight of what the text's tags say of a number.
    joint_starts (bool): Whether the first tokens of a label's mentions are chosen together.
    constrained (bool): Whether mentions can only be strings of the text.
    drafts (int): Most tokens copied from the text that are fed along with a mention's last one.
    pass_tokens (int): Tokens of a pass below which more of them cost next to nothing: drafts are
        fed up to this many.
    graphs (bool): Whether passes are replayed as CUDA graphs.
    """

    max_count: int
    max_mention_tokens: int
    max_positions: int | None
    count_slack: float | None = None
    tag_weight: float = 0.5
    joint_starts: bool = False
    constrained: bool = False
    drafts: int = 0
    pass_tokens: int = 0
    graphs: bool = False
