"""`next_batch`, run until nothing is left: every piece once, the oldest first, and within bounds."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from pinyon.inference.batching import Job, next_batch
from pinyon.inference.protocol import Piece


def job(*lengths: int, urgent: bool = False) -> Job:
    return Job([Piece(length, None) for length in lengths], urgent)


def lengths_of(batch: list[tuple[Job, int]]) -> list[int]:
    return [job.length(position) for job, position in batch]


def take(jobs: list[Job], pieces_max: int = 32, tokens_max: int = 512) -> list[tuple[Job, int]]:
    """One step of a worker: the next batch leaves the jobs, and jobs with nothing left leave the list."""
    batch = next_batch(jobs, pieces_max, tokens_max)
    for each, position in batch:
        each.left.remove(position)
    jobs[:] = [each for each in jobs if each.left]
    return batch


@dataclass
class Arrival:
    job: Job
    batches_before: int


ARRIVALS = st.lists(
    st.builds(
        Arrival,
        st.builds(
            Job, st.lists(st.builds(Piece, st.integers(0, 300), st.none()), min_size=1, max_size=40), st.booleans()
        ),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=8,
)


@given(ARRIVALS, st.integers(1, 40), st.integers(1, 2000))
def test_every_piece_is_computed_once_within_bounds_and_the_oldest_first(
    arrivals: list[Arrival], pieces_max: int, tokens_max: int
) -> None:
    expected = {(id(arrival.job), position) for arrival in arrivals for position in arrival.job.left}
    waiting: list[Job] = []
    computed: list[tuple[int, int]] = []

    def one_batch() -> None:
        before = {id(each): list(each.left) for each in waiting}
        first_come = [each for each in waiting if each.is_urgent] or list(waiting)
        batch = take(waiting, pieces_max, tokens_max)
        computed.extend((id(each), position) for each, position in batch)
        if not first_come:
            assert batch == []
            return
        check_bounds(batch, pieces_max, tokens_max)
        check_order(batch, first_come, before)

    for arrival in arrivals:
        for _ in range(arrival.batches_before):
            one_batch()
        waiting.append(arrival.job)
    while waiting:
        one_batch()
    assert len(computed) == len(expected)
    assert set(computed) == expected


def check_bounds(batch: list[tuple[Job, int]], pieces_max: int, tokens_max: int) -> None:
    lengths = lengths_of(batch)
    assert 1 <= len(batch) <= pieces_max
    assert len(batch) == 1 or len(batch) * max(lengths) <= tokens_max
    assert min(lengths) >= max(lengths) * 3 // 4 - 8, "little is filled up"


def check_order(batch: list[tuple[Job, int]], first_come: list[Job], before: dict[int, list[int]]) -> None:
    """First come, first served, among pieces that fit: a job gives all of them before the next one gives any."""
    longest = max(lengths_of(batch))
    assert longest == max(map(first_come[0].length, before[id(first_come[0])])), "of the oldest job"
    fitting = [
        (each, position)
        for each in first_come
        for position in before[id(each)]
        if longest * 3 // 4 - 8 <= each.length(position) <= longest
    ]
    assert batch == fitting[: len(batch)]


def test_a_batch_is_as_large_as_its_bounds_allow() -> None:
    assert len(take([job(*[10] * 50)])) == 32
    assert len(take([job(*[100] * 50)])) == 5
    assert len(take([job(600, 600)])) == 1, "what is longer than a batch goes alone"


def test_pieces_of_several_jobs_share_a_batch() -> None:
    jobs = [job(100, 20), job(90, 20), job(22)]
    assert [lengths_of(take(jobs)) for _ in range(3)] == [[100, 90], [20, 20], [22]]


def test_short_pieces_are_not_filled_up_to_the_longest() -> None:
    jobs = [job(5, 200, 7, 190, 100)]
    assert [lengths_of(take(jobs)) for _ in range(3)] == [[200, 190], [100], [7, 5]]


def test_urgent_jobs_come_first_and_alone() -> None:
    passages, query = job(10, 10), job(10, urgent=True)
    jobs = [passages, query]
    assert take(jobs) == [(query, 0)]
    assert take(jobs) == [(passages, 0), (passages, 1)]
    assert take(jobs) == []


def test_where_nothing_is_filled_up_lengths_do_not_matter() -> None:
    job = Job([Piece(length, None) for length in (5, 300, 40)], is_urgent=False)
    assert next_batch([job], 10, 1000) == [(job, 1)]
    assert next_batch([job], 10, 1000, is_padded=False) == [(job, 1), (job, 2), (job, 0)]
