"""Signals that stop a run."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(BaseException):
    """SIGINT or SIGTERM. A BaseException, so that no component handles it as an error of its own.

    number (int): Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def raise_on_signals() -> Iterator[Callable[[], None]]:
    """Raise Stopped on SIGINT and SIGTERM, so that incomplete files are removed.

    YIELDS (Callable[[], None]): Raises Stopped again if a signal arrived; for signals whose
        exception was lost, such as in a callback of C code.
    """
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise Stopped(number)

    def check() -> None:
        if received:
            raise Stopped(received[0])

    handlers = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # ignored under nohup
                handlers[number] = signal.signal(number, stop)
    try:
        yield check
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
