"""The ways of finding entities that are compared."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from wasabi import msg

from spacy_padellm.decoding.augmented import make_autoregressive_aug_decoder
from spacy_padellm.decoding.decoder import Decoder
from spacy_padellm.decoding.replicated import make_replicated_decoder
from spacy_padellm.decoding.struct import make_autoregressive_struct_decoder
from spacy_padellm.decoding.tree_decoder import make_tree_decoder

FUSED = "fused"  # a lever of the model, not of its decoder
# Settings of a decoder with every lever off, as far as it has them.
PLAIN: dict[str, Any] = {
    "joint_starts": False,
    "constrained": False,
    "tag_weight": 0.0,
    "drafts": 0,
    "graphs": False,
}
NEEDS_CUDA = frozenset(["graphs", FUSED])
DRAFTS = 8
ALL_TOGETHER = 1 << 40  # token budget of a batch that is never split


@dataclass(frozen=True)
class Contender:
    """A way of finding entities.

    name (str): Its name in tables and results.
    make (Callable[..., Decoder]): Factory of its decoder.
    levers (dict[str, Any]): Settings of the decoder that are on; the factory must have them. FUSED
        is a setting of the model.
    plain (bool): Whether all other levers are off; else they are as shipped.
    generate (bool): Whether transformers' `generate` continues the decoder's prompts instead.
    """

    name: str
    make: Callable[..., Decoder]
    levers: dict[str, Any] = field(default_factory=dict)
    plain: bool = True
    generate: bool = False

    def lacks(self, device: torch.device) -> str | None:
        """RETURNS (str | None): Reason why it can't run on a device; None if it can."""
        known = inspect.signature(self.make).parameters
        if unknown := [name for name in self.levers if name not in {*known, FUSED}]:
            return f"its decoder has no setting {', '.join(unknown)}"
        if device.type != "cuda" and (cuda := NEEDS_CUDA.intersection(self.levers)):
            return f"{', '.join(cuda)} needs CUDA"
        return None

    def decoder(self, **params: Any) -> Decoder:
        """RETURNS (Decoder): The decoder, with further decoding parameters."""
        known = inspect.signature(self.make).parameters
        plain = {name: value for name, value in PLAIN.items() if self.plain and name in known}
        levers = {name: value for name, value in self.levers.items() if name != FUSED}
        return self.make(**{**plain, **levers, **params})

    @property
    def fuses(self) -> bool | None:
        """RETURNS (bool | None): Whether the model's layers are fused (`Runner`)."""
        return self.levers.get(FUSED, False if self.plain else None)


def _levers_in_turn() -> Iterator[Contender]:
    levers: dict[str, Any] = {}
    name = "tree"
    for lever, value in (
        ("constrained", True),
        ("joint_starts", True),
        ("tag_weight", 0.5),
        ("drafts", DRAFTS),
        ("graphs", True),
        (FUSED, True),
    ):
        levers = {**levers, lever: value}
        name = f"{name} + {lever}"
        yield Contender(name, make_tree_decoder, levers)


STRUCT_GENERATE = "struct, generate"
STRUCT = "struct"
REPLICATED = "replicated"
STRUCT_GRAPHS, REPLICATED_GRAPHS = "struct + graphs", "replicated + graphs"
STRUCT_FUSED, REPLICATED_FUSED = f"{STRUCT_GRAPHS} + fused", f"{REPLICATED_GRAPHS} + fused"
WITH_GRAPHS: dict[str, Any] = {"graphs": True}
FUSED_GRAPHS: dict[str, Any] = {"graphs": True, FUSED: True}
AGAINST = (
    STRUCT_GENERATE,
    STRUCT,
    STRUCT_GRAPHS,
    STRUCT_FUSED,
    REPLICATED,
    REPLICATED_GRAPHS,
    REPLICATED_FUSED,
)  # contenders that times are divided by
CONTENDERS = (
    Contender(STRUCT_GENERATE, make_autoregressive_struct_decoder, generate=True),
    Contender("aug, generate", make_autoregressive_aug_decoder, generate=True),
    Contender(STRUCT, make_autoregressive_struct_decoder),
    Contender("aug", make_autoregressive_aug_decoder),
    Contender(STRUCT_GRAPHS, make_autoregressive_struct_decoder, WITH_GRAPHS),
    Contender(STRUCT_FUSED, make_autoregressive_struct_decoder, FUSED_GRAPHS),
    Contender("aug + graphs", make_autoregressive_aug_decoder, WITH_GRAPHS),
    Contender("aug + graphs + fused", make_autoregressive_aug_decoder, FUSED_GRAPHS),
    Contender(REPLICATED, make_replicated_decoder),
    Contender(REPLICATED_GRAPHS, make_replicated_decoder, WITH_GRAPHS),
    Contender(REPLICATED_FUSED, make_replicated_decoder, FUSED_GRAPHS),
    Contender("tree", make_tree_decoder),
    *_levers_in_turn(),
    Contender("tree + graphs", make_tree_decoder, WITH_GRAPHS),
    Contender("tree + graphs + fused", make_tree_decoder, FUSED_GRAPHS),
    Contender("tree, as shipped", make_tree_decoder, plain=False),
)


def able(device: torch.device, names: Sequence[str] = ()) -> list[Contender]:
    """Select the contenders that can run; print why others can't.

    device (torch.device): The device.
    names (Sequence[str]): Names of contenders to select from; all if empty.
    RETURNS (list[Contender]): In the order of CONTENDERS.
    """
    known = [contender.name for contender in CONTENDERS]
    if unknown := set(names) - set(known):
        msg.fail(f"No contender {sorted(unknown)}", f"Known are: {'; '.join(known)}", exits=1)
    selected = []
    for contender in CONTENDERS:
        if names and contender.name not in names:
            continue
        if reason := contender.lacks(device):
            msg.warn(f"{contender.name}: left out, {reason}")
        else:
            selected.append(contender)
    return selected
