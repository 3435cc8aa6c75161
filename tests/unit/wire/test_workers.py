"""`pinyon.wire.workers`: results and errors come back, and leaving the context waits for what is under way."""

import asyncio
import threading

import pytest

from pinyon.wire.workers import Workers


def test_a_result_and_an_error_reach_the_one_who_awaits_them():
    async def scenario() -> int:
        with Workers(2) as workers:
            with pytest.raises(ZeroDivisionError):
                await workers.run(divmod, 1, 0)
            largest: int = await workers.run(max, 3, 7)
            return largest

    assert asyncio.run(scenario()) == 7


def test_tasks_run_beside_one_another():
    both_inside = threading.Barrier(2, timeout=10)

    async def scenario() -> None:
        with Workers(2) as workers:
            await asyncio.gather(workers.run(both_inside.wait), workers.run(both_inside.wait))

    asyncio.run(scenario())


def test_a_task_that_nobody_awaits_any_more_does_no_harm():
    go = threading.Event()

    async def scenario() -> str:
        with Workers(1) as workers:
            abandoned = workers.run(go.wait)
            abandoned.cancel()
            go.set()
            text: str = await workers.run(str, "next")
            return text

    assert asyncio.run(scenario()) == "next"


def test_leaving_the_context_waits_for_tasks_and_ends_the_threads():
    done: list[int] = []

    async def scenario() -> None:
        with Workers(1) as workers:
            for number in range(20):
                _ = workers.run(done.append, number)

    before = threading.active_count()
    asyncio.run(scenario())
    assert done == list(range(20))
    assert threading.active_count() == before
