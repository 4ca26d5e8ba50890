"""Decode passes as CUDA graphs: a shape of pass is captured once and launched as a whole."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from ..prompts.tree import PADDING
from ..tokenization.arrays import Ints
from .buckets import rounded_up
from .kv_cache import PAD_SLOT
from .kv_rows import TREE, RowMemory
from .logsumexp import logsumexp
from .partial_logits import Glance

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


class Passed(NamedTuple):
    """What came of a pass; the next pass of its shape writes there again.

    logits (torch.Tensor): [n, vocabulary], in the network's dtype.
    total (torch.Tensor | None): Natural log of the sum of the exponentials of each row, float32
        [n], where the pass has found it.
    glanced (torch.Tensor | None): Few logits of other places, float32 [places, columns].
    """

    logits: torch.Tensor
    total: torch.Tensor | None
    glanced: torch.Tensor | None

    def copy_(self, other: Passed) -> None:
        """Write over it what came of another pass of its shape."""
        for here, there in zip(self, other, strict=True):
            if here is not None and there is not None:
                here.copy_(there)

    def first(self, n: int, n_glanced: int, n_columns: int) -> Passed:
        """RETURNS (Passed): Without what came of padding."""
        glanced = self.glanced
        return Passed(
            self.logits[:n],
            None if self.total is None else self.total[:n],
            None if glanced is None else glanced[:n_glanced, :n_columns],
        )


class _Captured(NamedTuple):
    given: torch.Tensor  # on the host, pinned: tokens, wanted, glances and columns, int64
    inputs: torch.Tensor  # the same on the device
    passed: Passed
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
            # Where memories push each other out by turns, no shape is worth a capture each time.
            for key in [key for key in self._seen if key[:2] == gone]:
                self._captured.pop(key, None)
                del self._seen[key]

    @property
    def n_bytes(self) -> int:
        """RETURNS (int): Bytes of all memories."""
        return sum(memory.n_bytes for memory in self._memories.values())

    def run(
        self,
        memory: RowMemory,
        tokens: Ints,
        wanted: Ints,
        used: int,
        glances: tuple[Ints, Ints] | None = None,
    ) -> Passed:
        """One pass; as `RowMemory.run`, but over all slots where it is of a captured shape.

        memory (RowMemory): Of `memory`.
        tokens (Ints): [7, rows, length].
        wanted (Ints): [n].
        used (int): Slots in use.
        glances (tuple[Ints, Ints] | None): Places of which few logits are wanted, and which
            [places], [columns].
        RETURNS (Passed): What came.
        """
        places, columns = glances or (wanted[:0], wanted[:0])
        given = tokens, wanted, places, columns
        sizes = len(wanted), len(places), len(columns)
        n_rows, slots = memory.shape
        length = _rounded(tokens.shape[2])
        if n_rows * length > MOST_TOKENS:
            shape = _Shape(n_rows, tokens.shape[2], *sizes)
            return _passed(memory, shape, self._model.tensor(shape.filled(*given)), used)
        shape = _Shape(n_rows, length, *(_rounded(n) if n else 0 for n in sizes))
        fused = self._model.fused_layers() is not None
        key = (n_rows, slots, *shape[1:], fused)
        self._seen[key] += 1
        captured = self._captured.get(key)
        if captured is None:
            if self._seen[key] < CAPTURE_AT:
                inputs = self._model.tensor(shape.filled(*given))
                return _passed(memory, shape, inputs, slots).first(*sizes)
            captured = self._capture(memory, key, shape)
        self._captured.move_to_end(key)
        if captured.copied is not None:
            captured.copied.synchronize()
        shape.fill(captured.given.numpy(), *given)
        captured.inputs.copy_(captured.given, non_blocking=True)
        if captured.copied is not None:
            captured.copied.record()
        if captured.graph is None:
            captured.passed.copy_(_passed(memory, shape, captured.inputs, slots, True))
        else:
            captured.graph.replay()
        return captured.passed.first(*sizes)

    def _capture(self, memory: RowMemory, key: tuple[int, ...], shape: _Shape) -> _Captured:
        slots = memory.shape[1]
        while len(self._captured) >= MOST_GRAPHS:
            key_of_oldest, _ = self._captured.popitem(last=False)
            del self._seen[key_of_oldest]
        device = self._model.device
        # Padding alone: what the memory holds stays as it is.
        given = torch.from_numpy(shape.padding())
        if device.type != "cuda":
            inputs = given.clone()
            passed = _passed(memory, shape, inputs, slots, True)
            captured = _Captured(given, inputs, passed, None, None)
        else:
            given = given.pin_memory()
            inputs = given.to(device)
            stream = torch.cuda.Stream(device)
            stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(stream):
                # Libraries allocate and choose kernels at first use, which can't be captured.
                for _ in range(2):
                    _passed(memory, shape, inputs, slots, True)
            torch.cuda.current_stream(device).wait_stream(stream)
            if not self._captured:  # without graphs a pool is given back
                self._pool = torch.cuda.graph_pool_handle()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool):
                passed = _passed(memory, shape, inputs, slots, True)
            captured = _Captured(given, inputs, passed, graph, torch.cuda.Event())
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
    """Of a pass: rows, tokens of each, wanted logits, glances and their columns. All that is given
    is one array, and so one copy."""

    rows: int
    length: int
    n_wanted: int
    n_glances: int
    n_columns: int

    def padding(self) -> Ints:
        """RETURNS (Ints): Tokens that nobody sees, and the first place again and again."""
        none = np.zeros(0, dtype=np.int64)
        return self.filled(none.reshape(7, 0, 0), none, none, none)

    def filled(self, *given: Ints) -> Ints:
        """RETURNS (Ints): Tokens [7, rows, length] or fewer, wanted places among these [n], places
        of glances [places], their columns [columns]."""
        size = 7 * self.rows * self.length + self.n_wanted + self.n_glances + self.n_columns
        whole = np.empty(size, dtype=np.int64)
        self.fill(whole, *given)
        return whole

    def fill(self, whole: Ints, tokens: Ints, wanted: Ints, glances: Ints, columns: Ints) -> None:
        """Write them into an array; what it held is overwritten with padding."""
        n_tokens = 7 * self.rows * self.length
        padded = whole[:n_tokens].reshape(7, self.rows, self.length)
        padded[:] = 0
        padded[1 + TREE] = PADDING
        padded[6] = PAD_SLOT
        padded[:, : tokens.shape[1], : tokens.shape[2]] = tokens
        behind = whole[n_tokens:]
        behind[:] = 0
        for start, places in ((0, wanted), (self.n_wanted, glances)):
            if len(places):
                row, column = np.divmod(places, tokens.shape[2])
                behind[start : start + len(places)] = row * self.length + column
        start = self.n_wanted + self.n_glances
        behind[start : start + len(columns)] = columns

    def read(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, Glance | None]:
        """RETURNS (tuple[torch.Tensor, torch.Tensor, Glance | None]): Tokens [7, rows, length],
        wanted [n], and what else is wanted."""
        n_tokens = 7 * self.rows * self.length
        sizes = [n_tokens, self.n_wanted, self.n_glances, self.n_columns]
        tokens, wanted, places, columns = inputs.split(sizes)
        glance = Glance(places, columns) if self.n_glances else None
        return tokens.view(7, self.rows, self.length), wanted, glance


def _passed(
    memory: RowMemory, shape: _Shape, inputs: torch.Tensor, used: int, totals: bool = False
) -> Passed:
    tokens, wanted, glance = shape.read(inputs)
    logits = memory.run(tokens, wanted, used, glance)
    total = logsumexp(logits) if totals and len(logits) <= TOTALS else None
    return Passed(logits, total, None if glance is None else glance.found)


def _rounded(number: int) -> int:
    """RETURNS (int): The next of 8, 12, 16, 24, 32, 48, …: two an octave."""
    size = LEAST
    while size < number:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size
