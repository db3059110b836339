"""One function over many items in any number of processes, with results in the items' order."""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from pipelines.text.errors import TextError

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    prepare: Callable[..., Callable[[Item], Result]],
    arguments: tuple[Any, ...],
    items: Iterable[Item],
    workers: int,
) -> Iterator[Result]:
    """Apply the function ``prepare(*arguments)`` to every item; each process calls prepare once.

    With one worker the work is done in this process. At most two items for each worker are in
    progress, so memory is bounded for any number of items. Arguments, items and results travel
    between processes. An error in a worker is raised here. Raises TextError if a process dies.
    """
    if workers == 1:
        yield from map(prepare(*arguments), items)
        return
    # Spawn, because a fork of a process with threads (Arrow, BPE) may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _start, (workers, prepare, arguments))
    waiting: deque[Future[Result]] = deque()
    items = iter(items)
    try:
        for item in itertools.islice(items, 2 * workers):
            waiting.append(pool.submit(_work, item))
        while waiting:
            result = waiting.popleft().result()
            for item in itertools.islice(items, 1):
                waiting.append(pool.submit(_work, item))
            yield result
    except BrokenProcessPool:
        raise TextError(
            "a worker process died, perhaps because memory ran out; run again with fewer workers"
            f" than {workers} (DRAGON_WORKERS)"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_function: Callable[[], Callable[[Any], Any]]


def _start(workers: int, prepare: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Set up a new process: it ends with its parent, uses its share of the cores, prepares late."""
    global _function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it and ends its workers
    end_with_parent()
    os.environ["RAYON_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // workers))
    # Prepare with the first item: only an error of an item, not one of this set-up, reaches the
    # parent.
    _function = functools.cache(functools.partial(prepare, *arguments))


def end_with_parent() -> None:
    """End this process when its parent dies, because a killed parent cannot end its children.

    The parent is the process that asked ``multiprocessing`` for this one, also if a server forked
    it. In a process that was started in another way this function does nothing.
    """
    parent, name = multiprocessing.parent_process(), "end with parent"
    if parent is not None and all(thread.name != name for thread in threading.enumerate()):
        threading.Thread(target=_leave_with, args=(parent,), name=name, daemon=True).start()


def _leave_with(parent: Any) -> None:
    parent.join()
    os._exit(1)  # at once, because no process waits for the results


def _work(item: Any) -> Any:
    return _function()(item)
