"""Worker threads that answer requests for the event loop.

Like `concurrent.futures.ThreadPoolExecutor`, which makes two futures with a lock each for every call and chains them,
where one future of the loop is enough: measured, an eighth less CPU for a small query.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Self

from pinyon.errors import ResourceExhaustedError


@dataclass(slots=True, eq=False)
class _Task:
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: "asyncio.Future[Any]"
    is_abandoned: bool = False


class Workers:
    """Threads, as many as calls were under way at once so far, up to a limit. Leaving the context ends them.

    `run` is called on the event loop that was running when they were made; all counts are changed on that loop.
    """

    def __init__(self, count: int, *, name: str = "worker", waiting_max: int | None = None) -> None:
        """Use up to `count` threads named `name`; of the calls that find none free, `waiting_max` may wait."""
        self._count = count
        self._name = name
        self._waiting_max = waiting_max
        self._under_way = 0
        self._loop = asyncio.get_running_loop()
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    async def run(self, when_done: Callable[[], None], function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in one of the threads and return what it returns.

        Args:
            when_done: called on the loop when no thread holds the arguments any more. A caller who is cancelled leaves
                before that: his task is passed over if it was not begun, and its arguments are held until then.
            function: what to call.
            arguments: with what.

        Raises:
            ResourceExhaustedError: too many calls wait already; `when_done` was called.
        """
        if self._waiting_max is not None and self._under_way >= self._count + self._waiting_max:
            when_done()
            raise ResourceExhaustedError("Too many requests wait for a model. Please retry.")
        task = _Task(function, arguments, self._loop.create_future())
        task.future.add_done_callback(lambda _: self._finish(when_done))
        self._under_way += 1
        if len(self._threads) < min(self._under_way, self._count):
            self._start_thread()
        self._tasks.put(task)
        try:
            return await asyncio.shield(task.future)
        except asyncio.CancelledError:
            task.is_abandoned = True
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        """Wait until all tasks are done, and end the threads; the loop goes on meanwhile, as tasks may wait for it."""
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}")
        self._threads.append(thread)
        thread.start()

    def _finish(self, when_done: Callable[[], None]) -> None:
        self._under_way -= 1
        when_done()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            result, error = None, None
            try:
                if not task.is_abandoned:
                    result = task.function(*task.arguments)
            except BaseException as raised:  # noqa: BLE001 - it is raised again where the result is awaited
                error = raised
            self._loop.call_soon_threadsafe(_settle, task, result, error)
            # Nothing of a task may live until the next one comes: its body may be megabytes.
            del task, result, error


def _settle(task: _Task, result: object, error: BaseException | None) -> None:
    if task.is_abandoned:
        task.future.cancel()
    elif error is None:
        task.future.set_result(result)
    else:
        task.future.set_exception(error)
