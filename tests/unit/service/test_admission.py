"""What is under way is bounded, and what ends gives its place back."""

import pytest

from pinyon.errors import PayloadTooLargeError, ResourceExhaustedError
from pinyon.service.admission import Admission


def test_one_request_too_many_is_refused_until_another_ends() -> None:
    admission = Admission(requests_max=2, bytes_max=100, request_bytes_max=100)
    with admission.admit():
        with admission.admit(), pytest.raises(ResourceExhaustedError, match="Too many requests: 2 are being processed"):
            admission.admit()
        with admission.admit():
            pass


def test_bytes_are_counted_over_all_requests() -> None:
    admission = Admission(requests_max=9, bytes_max=100, request_bytes_max=100)
    with admission.admit() as first, admission.admit() as second:
        first.reserve(60)
        with pytest.raises(ResourceExhaustedError, match="more than 100 bytes"):
            second.reserve(41)
        second.reserve(40)
        with pytest.raises(ResourceExhaustedError):
            first.reserve(61)
    with admission.admit() as third:
        third.reserve(100)


def test_a_reservation_is_the_whole_and_never_shrinks() -> None:
    admission = Admission(requests_max=9, bytes_max=100, request_bytes_max=100)
    with admission.admit() as ticket:
        for size in (10, 50, 20, 50):
            ticket.reserve(size)
        assert ticket.reserved == 50
        with admission.admit() as other:
            other.reserve(50)


def test_no_request_may_be_larger_than_its_own_limit() -> None:
    admission = Admission(requests_max=9, bytes_max=100, request_bytes_max=50)
    with admission.admit() as ticket:
        ticket.reserve(50)
        with pytest.raises(PayloadTooLargeError, match="found 51 bytes, the limit is: 50 bytes"):
            ticket.reserve(51)


def fail(admission: Admission) -> None:
    with admission.admit() as ticket:
        ticket.reserve(50)
        ticket.reserve(51)


def test_a_request_that_fails_gives_back_what_it_held() -> None:
    admission = Admission(requests_max=1, bytes_max=100, request_bytes_max=50)
    for _ in range(3):
        with pytest.raises(PayloadTooLargeError):
            fail(admission)
    with admission.admit() as ticket:
        ticket.reserve(50)


def test_what_is_announced_is_checked_and_not_counted() -> None:
    admission = Admission(requests_max=9, bytes_max=50, request_bytes_max=50)
    with admission.admit() as first, admission.admit() as second:
        first.check(50)
        second.reserve(50)
        with pytest.raises(PayloadTooLargeError, match="found 51 bytes"):
            first.check(51)


def test_a_refusal_says_when_to_come_again() -> None:
    admission = Admission(requests_max=0, bytes_max=1, request_bytes_max=1)
    with pytest.raises(ResourceExhaustedError) as raised:
        admission.admit()
    assert raised.value.retry_after_s > 0
