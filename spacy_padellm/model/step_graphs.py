"""Decode passes as CUDA graphs: a shape of pass is captured once and launched as a whole."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from ..tree import PADDING, Ints
from .cache import BIN
from .log_total import log_total
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
TOTALS = 256  # wanted logits up to which a captured pass finds their totals as well
LEAST = 8  # tokens of a row, and wanted logits: fewer cost the same


class _Captured(NamedTuple):
    given: torch.Tensor  # on the host, pinned: tokens, then wanted, int64
    inputs: torch.Tensor  # the same on the device
    logits: torch.Tensor  # [n, vocabulary]
    total: torch.Tensor | None  # float32 [n]
    graph: torch.cuda.CUDAGraph | None
    copied: torch.cuda.Event | None  # whether what was given last has been read


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

    def run(
        self, memory: RowMemory, tokens: Ints, wanted: Ints, used: int
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """One pass; as `RowMemory.run`, but over all slots where it is of a captured shape.

        memory (RowMemory): Of `memory`.
        tokens (Ints): [7, rows, length].
        wanted (Ints): [n].
        used (int): Slots in use.
        RETURNS (tuple[torch.Tensor, torch.Tensor | None]): Logits [n, vocabulary], and log of the
            sum of the exponentials of each row, float32 [n], where the pass has found it; the next
            pass of this shape writes there again.
        """
        length, n_wanted = _rounded(tokens.shape[2]), _rounded(len(wanted))
        n_rows, slots = memory.shape
        if n_rows * length > MOST_TOKENS:
            shape = _Shape(n_rows, tokens.shape[2], len(wanted))
            return memory.run(
                *shape.read(self._model.tensor(shape.filled(tokens, wanted))), used
            ), None
        shape = _Shape(n_rows, length, n_wanted)
        fused = self._model.fused_layers() is not None
        key = (n_rows, slots, length, n_wanted, fused)
        self._seen[key] += 1
        captured = self._captured.get(key)
        if captured is None:
            if self._seen[key] < CAPTURE_AT:
                inputs = self._model.tensor(shape.filled(tokens, wanted))
                return memory.run(*shape.read(inputs), slots)[: len(wanted)], None
            captured = self._capture(memory, key)
        self._captured.move_to_end(key)
        if captured.copied is not None:
            captured.copied.synchronize()
        shape.fill(captured.given.numpy(), tokens, wanted)
        captured.inputs.copy_(captured.given, non_blocking=True)
        if captured.copied is not None:
            captured.copied.record()
        if captured.graph is None:
            captured.logits.copy_(memory.run(*shape.read(captured.inputs), slots))
            total = _totals(captured.logits)
        else:
            captured.graph.replay()
            total = captured.total
        n = len(wanted)
        return captured.logits[:n], None if total is None else total[:n]

    def _capture(self, memory: RowMemory, key: tuple[int, ...]) -> _Captured:
        n_rows, slots, length, n_wanted, _ = key
        while len(self._captured) >= MOST_GRAPHS:
            self._captured.popitem(last=False)
        device = self._model.device
        shape = _Shape(n_rows, length, n_wanted)
        # Padding alone: what the memory holds stays as it is.
        given = torch.from_numpy(shape.padding())
        if device.type != "cuda":
            inputs = given.clone()
            logits = memory.run(*shape.read(inputs), slots)
            captured = _Captured(given, inputs, logits, None, None, None)
        else:
            given = given.pin_memory()
            inputs = given.to(device)
            stream = torch.cuda.Stream(device)
            stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(stream):
                # Libraries allocate and choose kernels at first use, which can't be captured.
                for _ in range(2):
                    _totals(memory.run(*shape.read(inputs), slots))
            torch.cuda.current_stream(device).wait_stream(stream)
            if not self._captured:  # without graphs a pool is given back
                self._pool = torch.cuda.graph_pool_handle()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool):
                logits = memory.run(*shape.read(inputs), slots)
                total = _totals(logits)
            captured = _Captured(given, inputs, logits, total, graph, torch.cuda.Event())
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


class _Shape(NamedTuple):
    """Of a pass: rows, tokens of each, wanted logits. Tokens and wanted places are one array, and
    so one copy."""

    rows: int
    length: int
    n_wanted: int

    def padding(self) -> Ints:
        """RETURNS (Ints): Tokens that nobody sees, and the first place again and again."""
        given = np.zeros(7 * self.rows * self.length + self.n_wanted, dtype=np.int64)
        self.fill(given, given[:0].reshape(7, 0, 0), given[:0])
        return given

    def filled(self, tokens: Ints, wanted: Ints) -> Ints:
        """RETURNS (Ints): Tokens [7, rows, length] or fewer, wanted places among these [n]."""
        given = np.empty(7 * self.rows * self.length + self.n_wanted, dtype=np.int64)
        self.fill(given, tokens, wanted)
        return given

    def fill(self, given: Ints, tokens: Ints, wanted: Ints) -> None:
        """Write them into an array; what it held is overwritten with padding."""
        padded = given[: len(given) - self.n_wanted].reshape(7, self.rows, self.length)
        padded[:] = 0
        padded[1 + TREE] = PADDING
        padded[6] = BIN
        padded[:, : tokens.shape[1], : tokens.shape[2]] = tokens
        places = given[len(given) - self.n_wanted :]
        places[:] = 0
        if len(wanted):
            row, column = np.divmod(wanted, tokens.shape[2])
            places[: len(wanted)] = row * self.length + column

    def read(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """RETURNS (tuple[torch.Tensor, torch.Tensor]): Tokens [7, rows, length], wanted [n]."""
        tokens = inputs[: len(inputs) - self.n_wanted].view(7, self.rows, self.length)
        return tokens, inputs[len(inputs) - self.n_wanted :]


def _totals(logits: torch.Tensor) -> torch.Tensor | None:
    return log_total(logits) if len(logits) <= TOTALS else None


def _rounded(number: int) -> int:
    """RETURNS (int): The next of 8, 12, 16, 24, 32, 48, …: two an octave."""
    size = LEAST
    while size < number:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size
