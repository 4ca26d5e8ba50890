"""Decode passes as CUDA graphs: a shape of pass is captured once and launched as a whole."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from ..tree import PADDING, Ints
from .cache import BIN
from .row_memory import TREE, RowMemory
from .shapes import rounded_up

if TYPE_CHECKING:
    from .language_model import LanguageModel

MOST_GRAPHS = 256
MOST_BYTES = 1 << 30  # of all memories together; on a GPU a share of what it has
GPU_SHARE = 0.25
MOST_TOKENS = 16384  # of a captured pass: a larger one takes longer than its launches
CAPTURE_AT = 2  # the use of a shape that captures it; one that comes once is not worth it
SLOTS = 64  # capacities are multiples of so many slots
LEAST = 8  # tokens of a row, and wanted logits: fewer cost the same


class _Captured(NamedTuple):
    tokens: torch.Tensor  # int64 [7, rows, length]: ids, the parts of Paths, slots
    wanted: torch.Tensor  # int64 [n]
    logits: torch.Tensor  # [n, vocabulary]
    graph: torch.cuda.CUDAGraph | None


class StepGraphs:
    """Captured passes of one model, over memories that stay where they are.

    Passes are padded to one of few shapes. Graphs read the weights in place: updates are seen, and
    weights that were put elsewhere (a loaded checkpoint, another adapter) drop all graphs.

    Not on a GPU, the same shapes are run without capture, which is for tests.

    model (LanguageModel): The model, whose attention takes path masks.
    """

    def __init__(self, model: LanguageModel):
        self._model = model
        self._memories: OrderedDict[tuple[int, int], RowMemory] = OrderedDict()
        self._captured: OrderedDict[tuple[int, ...], _Captured] = OrderedDict()
        self._seen: Counter[tuple[int, ...]] = Counter()
        self._weights: object = None
        self._slot_bytes = 0
        self._pool: Any = None

    def __len__(self) -> int:
        return len(self._captured)

    def memory(self, n_rows: int, capacity: int) -> RowMemory:
        """An empty memory that stays where it is, until the next one of its shape is asked for.

        n_rows (int): Rows of the batch.
        capacity (int): Slots a row.
        RETURNS (RowMemory): With as many rows and slots, or some more.
        """
        self._check_weights()
        shape = rounded_up(n_rows), SLOTS * rounded_up(-(-capacity // SLOTS))
        memory = self._memories.get(shape)
        if memory is None:
            self._make_room(shape[0] * shape[1])
            memory = self._memories[shape] = RowMemory(self._model, *shape)
        else:
            memory.clear()
        self._memories.move_to_end(shape)
        return memory

    def _make_room(self, n_slots: int) -> None:
        """Let go of the memories that were not used for longest, and of their graphs."""
        held = [(memory.n_bytes, rows * slots) for (rows, slots), memory in self._memories.items()]
        for n_bytes, slots in held:
            self._slot_bytes = max(self._slot_bytes, n_bytes // slots)
        most = MOST_BYTES
        if self._model.device.type == "cuda":
            total = torch.cuda.get_device_properties(self._model.device).total_memory
            most = int(GPU_SHARE * total)
        while self._memories and self.n_bytes + n_slots * self._slot_bytes > most:
            gone, _ = self._memories.popitem(last=False)
            for key in [key for key in self._captured if key[:2] == gone]:
                del self._captured[key]

    @property
    def n_bytes(self) -> int:
        """RETURNS (int): Bytes of all memories."""
        return sum(memory.n_bytes for memory in self._memories.values())

    def run(self, memory: RowMemory, tokens: Ints, wanted: Ints, used: int) -> torch.Tensor:
        """One pass; as `RowMemory.run`, but over all slots where it is of a captured shape.

        memory (RowMemory): Of `memory`.
        tokens (Ints): [7, rows, length].
        wanted (Ints): [n].
        used (int): Slots in use.
        RETURNS (torch.Tensor): [n, vocabulary]; the next pass of this shape writes there again.
        """
        tensor = self._model.tensor
        length, n_wanted = _rounded(tokens.shape[2]), _rounded(len(wanted))
        n_rows, slots = memory.shape
        if n_rows * length > MOST_TOKENS:
            padded, places = self._padded(tokens, wanted, n_rows, tokens.shape[2], len(wanted))
            return memory.run(tensor(padded), tensor(places), used)
        padded, places = self._padded(tokens, wanted, n_rows, length, n_wanted)
        fused = self._model.fused_layers() is not None
        key = (n_rows, slots, length, n_wanted, fused)
        self._seen[key] += 1
        captured = self._captured.get(key)
        if captured is None:
            if self._seen[key] < CAPTURE_AT:
                return memory.run(tensor(padded), tensor(places), slots)[: len(wanted)]
            captured = self._capture(memory, key)
        self._captured.move_to_end(key)
        captured.tokens.copy_(tensor(padded))
        captured.wanted.copy_(tensor(places))
        if captured.graph is None:
            captured.logits.copy_(memory.run(captured.tokens, captured.wanted, slots))
        else:
            captured.graph.replay()
        return captured.logits[: len(wanted)]

    def _padded(
        self, tokens: Ints, wanted: Ints, n_rows: int, length: int, n_wanted: int
    ) -> tuple[Ints, Ints]:
        """RETURNS (tuple[Ints, Ints]): Tokens [7, n_rows, length], and wanted places among these
        [n_wanted]."""
        padded = self._padding(n_rows, length)
        padded[:, : tokens.shape[1], : tokens.shape[2]] = tokens
        row, column = np.divmod(wanted, tokens.shape[2])
        places = np.zeros(n_wanted, dtype=np.int64)
        places[: len(wanted)] = row * length + column
        return padded, places

    def _capture(self, memory: RowMemory, key: tuple[int, ...]) -> _Captured:
        n_rows, slots, length, n_wanted, _ = key
        while len(self._captured) >= MOST_GRAPHS:
            self._captured.popitem(last=False)
        device = self._model.device
        # Padding alone: what the memory holds stays as it is.
        tokens = self._model.tensor(self._padding(n_rows, length))
        wanted = torch.zeros(n_wanted, dtype=torch.long, device=device)
        if device.type != "cuda":
            captured = _Captured(tokens, wanted, memory.run(tokens, wanted, slots), None)
        else:
            stream = torch.cuda.Stream(device)
            stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(stream):
                # Libraries allocate and choose kernels at first use, which can't be captured.
                for _ in range(2):
                    memory.run(tokens, wanted, slots)
            torch.cuda.current_stream(device).wait_stream(stream)
            if not self._captured:  # without graphs a pool is given back
                self._pool = torch.cuda.graph_pool_handle()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool):
                logits = memory.run(tokens, wanted, slots)
            captured = _Captured(tokens, wanted, logits, graph)
        self._captured[key] = captured
        return captured

    def _check_weights(self) -> None:
        if self._model.placement != self._weights:
            self.drop()
            self._weights = self._model.placement

    def drop(self) -> None:
        """Forget all graphs and memories."""
        self._captured.clear()
        self._memories.clear()
        self._seen.clear()
        self._pool = None

    @staticmethod
    def _padding(n_rows: int, length: int) -> Ints:
        tokens = np.zeros((7, n_rows, length), dtype=np.int64)
        tokens[1 + TREE] = PADDING
        tokens[6] = BIN
        return tokens


def _rounded(number: int) -> int:
    """RETURNS (int): The next of 8, 12, 16, 24, 32, 48, …: two an octave."""
    size = LEAST
    while size < number:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size
