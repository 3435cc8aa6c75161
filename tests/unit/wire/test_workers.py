"""`pinyon.wire.workers`: results and errors come back, and leaving the context waits for what is under way."""

import asyncio
import threading
from typing import Any

import pytest

from pinyon.errors import ResourceExhaustedError
from pinyon.wire.workers import Workers


def nothing() -> None:
    pass


def test_a_result_and_an_error_reach_the_one_who_awaits_them() -> None:
    async def scenario() -> Any:
        async with Workers(2) as workers:
            with pytest.raises(ZeroDivisionError):
                await workers.run(nothing, divmod, 1, 0)
            return await workers.run(nothing, max, 3, 7)

    assert asyncio.run(scenario()) == 7


def test_tasks_run_beside_one_another() -> None:
    both_inside = threading.Barrier(2, timeout=10)

    async def scenario() -> None:
        async with Workers(2) as workers:
            await asyncio.gather(workers.run(nothing, both_inside.wait), workers.run(nothing, both_inside.wait))

    asyncio.run(scenario())


def test_tasks_of_callers_that_left_hold_what_they_hold_until_a_thread_comes_to_them() -> None:
    go, began = threading.Event(), threading.Event()
    called: list[str] = []
    released: list[str] = []

    def first() -> None:
        began.set()
        go.wait(10)
        called.append("first")

    async def scenario() -> None:
        async with Workers(1) as workers:
            running = asyncio.create_task(workers.run(lambda: released.append("first"), first))
            waiting = asyncio.create_task(workers.run(lambda: released.append("second"), called.append, "second"))
            await asyncio.to_thread(began.wait, 10)
            for task in (running, waiting):
                task.cancel()
            await asyncio.gather(running, waiting, return_exceptions=True)
            assert released == [], "the thread still holds the one, the queue the other"
            go.set()
            await workers.run(nothing, str)
            assert released == ["first", "second"]

    asyncio.run(scenario())
    assert called == ["first"], "a task that nobody waits for is not begun"


def test_a_task_may_wait_for_the_loop_while_the_context_is_left() -> None:
    async def scenario() -> None:
        loop, begun = asyncio.get_running_loop(), threading.Event()

        async def answer() -> str:
            return "from the loop"

        def ask() -> str:
            begun.set()
            return asyncio.run_coroutine_threadsafe(answer(), loop).result(10)

        async with Workers(1) as workers:
            asked = asyncio.create_task(workers.run(nothing, ask))
            await asyncio.to_thread(begun.wait, 10)
        assert await asked == "from the loop"

    asyncio.run(scenario())


def test_leaving_the_context_waits_for_tasks_and_ends_the_threads() -> None:
    done: list[int] = []

    async def scenario() -> None:
        async with Workers(1) as workers:
            tasks = [asyncio.create_task(workers.run(nothing, done.append, number)) for number in range(20)]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    asyncio.run(scenario())
    assert done == list(range(20))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("worker-")]


def test_a_call_too_many_is_refused_and_lets_go_of_what_it_held() -> None:
    go, began = threading.Event(), threading.Event()
    released: list[str] = []

    def block() -> None:
        began.set()
        go.wait(10)

    async def scenario() -> None:
        async with Workers(1, waiting_max=1) as workers:
            running = asyncio.create_task(workers.run(nothing, block))
            await asyncio.to_thread(began.wait, 10)
            waiting = asyncio.create_task(workers.run(nothing, str))
            await asyncio.sleep(0)
            with pytest.raises(ResourceExhaustedError, match="retry"):
                await workers.run(lambda: released.append("refused"), str)
            go.set()
            await asyncio.gather(running, waiting)

    asyncio.run(scenario())
    assert released == ["refused"]


def test_threads_are_started_when_they_are_needed() -> None:
    go, both_inside = threading.Event(), threading.Barrier(3, timeout=10)

    def block() -> None:
        both_inside.wait()
        go.wait(10)

    def started() -> int:
        return sum(thread.name.startswith("lazy-") for thread in threading.enumerate())

    async def scenario() -> None:
        async with Workers(3, name="lazy") as workers:
            assert started() == 0
            for _ in range(3):
                await workers.run(nothing, str)
            assert started() == 1, "one after another"
            blocked = [asyncio.create_task(workers.run(nothing, block)) for _ in range(2)]
            await asyncio.to_thread(both_inside.wait)
            assert started() == 2
            go.set()
            await asyncio.gather(*blocked)
        assert started() == 0

    asyncio.run(scenario())
