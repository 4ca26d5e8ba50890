"""Batches through annotators, in this process or in several others, results in order.

spaCy's own `nlp.pipe(n_process=…)` waits for ever where one of its processes is killed, and a
document that fails there takes its batch along.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from .job import Job

if TYPE_CHECKING:
    from .annotator import Annotated
    from .items import Item

JOIN_SECONDS = 5.0
AHEAD = 2  # batches a process may be ahead of the one that is waited for
Annotate = Callable[[Sequence["Item"]], "Annotated"]


class LostWorker(RuntimeError):
    """A process that annotates is gone."""


class WorkerError(RuntimeError):
    """A process can't annotate, and says why."""


def annotate_here(job: Job, batches: Iterable[Sequence[Item]]) -> Iterator[Annotated]:
    """Annotate in this process.

    job (Job): How.
    batches (Iterable[Sequence[Item]]): The batches.
    YIELDS (Annotated): What became of each.
    RAISES (ValueError, OSError, ImportError): A pipeline that can't be loaded.
    RAISES (BrokenPipeline): A pipeline that fails on any text.
    """
    from .annotator import Annotator

    yield from map(Annotator(job.load(), job), batches)


def annotate_there(
    job: Job, batches: Iterable[Sequence[Item]], n_process: int
) -> Iterator[Annotated]:
    """Annotate in other processes, each with a pipeline of its own. They end with this generator,
    and with this process, however it ends.

    job (Job): How.
    batches (Iterable[Sequence[Item]]): The batches.
    n_process (int): Number of processes.
    YIELDS (Annotated): What became of each batch, in order.
    RAISES (LostWorker): A process was killed.
    RAISES (WorkerError): A process can't load the pipeline, or its pipeline fails on any text.
    """
    workers = [_Worker(job, n_process) for _ in range(n_process)]
    try:
        yield from _in_order(workers, iter(batches))
    finally:
        for worker in workers:
            worker.stop()


def _in_order(workers: list[_Worker], batches: Iterator[Sequence[Item]]) -> Iterator[Annotated]:
    done: dict[int, Annotated] = {}
    sent = given = 0
    more = True
    while more or given < sent:
        for worker in workers:
            if more and worker.number is None and sent < given + AHEAD * len(workers):
                batch = next(batches, None)
                more = batch is not None
                if batch is not None:
                    worker.send(sent, batch)
                    sent += 1
        for worker in _heard(workers):
            number, result = worker.receive()
            done[number] = result
        while given in done:
            yield done.pop(given)
            given += 1


def _heard(workers: list[_Worker]) -> list[_Worker]:
    """RETURNS (list[_Worker]): Busy ones that have said something or are gone; waits for one."""
    busy = [worker for worker in workers if worker.number is not None]
    if not busy:
        return []
    heard = wait([one for worker in busy for one in (worker.here, worker.process.sentinel)])
    return [one for one in busy if one.here in heard or one.process.sentinel in heard]


class _Worker:
    """A process that annotates one batch at a time."""

    def __init__(self, job: Job, n_process: int) -> None:
        # A fork would share torch's threads, which hang there, and a GPU, which can't be shared.
        context = multiprocessing.get_context("spawn")
        self.here, there = context.Pipe()
        self.process = context.Process(
            target=_work, args=(there, job, n_process), name="padellm annotate", daemon=True
        )
        self.process.start()
        there.close()  # so that the end of the process is the end of the pipe
        self.number: int | None = None  # of the batch it is busy with

    def send(self, number: int, batch: Sequence[Item]) -> None:
        self.number = number
        try:
            self.here.send(batch)
        except OSError as error:  # a closed pipe
            raise self._lost() from error

    def receive(self) -> tuple[int, Annotated]:
        number, self.number = self.number, None
        assert number is not None
        try:
            result: Any = self.here.recv() if self.here.poll() else None
        except (EOFError, OSError) as error:
            raise self._lost() from error
        if result is None:
            raise self._lost()
        if isinstance(result, str):
            raise WorkerError(result)
        return number, result

    def stop(self) -> None:
        self.here.close()
        self.process.terminate()
        self.process.join(JOIN_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def _lost(self) -> LostWorker:
        self.process.join(JOIN_SECONDS)
        code = self.process.exitcode
        end = f"ended with exit code {code}"
        if code is not None and code < 0:
            end = f"was killed by signal {-code} ({signal.Signals(-code).name})"
        hint = ""
        if code == -9:
            hint = (
                " The system does so where memory runs out: each process has a pipeline of its "
                "own, so try fewer (--n-process)."
            )
        return LostWorker(f"The process {self.process.pid}, one that annotates, {end}.{hint}")


def _work(there: Connection, job: Job, n_process: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the whole group
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        annotate = _annotator(job, n_process)
        while True:
            try:
                batch = there.recv()
            except EOFError:  # whoever gave the batches is gone
                return
            there.send(annotate(batch))
    except BrokenPipeError:
        return
    except Exception as error:
        there.send(str(error) or type(error).__name__)


def _annotator(job: Job, n_process: int) -> Annotate:
    import torch

    from .annotator import Annotator

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // n_process))
    return Annotator(job.load(), job)
