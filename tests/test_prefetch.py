"""Read ahead: the same items in the same order, faults passed on, no thread left."""

import threading
import time

import pytest

from sensor_ad.prefetch import prefetched


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "read ahead"]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100])
def test_items_keep_their_order(count):
    assert list(prefetched(iter(range(count)))) == list(range(count))
    assert not threads()


def test_falsy_items_are_items_like_any_other():
    assert list(prefetched([None, 0, False])) == [None, 0, False]


def test_items_are_made_by_another_thread():
    def names():
        yield threading.current_thread().name

    assert list(prefetched(names())) == ["read ahead"]


@pytest.mark.parametrize("kind", [ValueError, MemoryError, KeyboardInterrupt])
def test_fault_is_raised_after_the_items_before_it(kind):
    def items():
        yield 1
        yield 2
        raise kind("broken")

    seen = []
    with pytest.raises(kind, match=r"^broken$"):
        for item in prefetched(items()):
            seen.append(item)  # noqa: PERF402 - what came before the fault counts
    assert seen == [1, 2]
    assert not threads()


def test_thread_ends_when_the_reader_stops_early():
    made = []

    def endless():
        while True:
            made.append(len(made))
            yield made[-1]

    reader = prefetched(endless(), ahead=2)
    assert [next(reader) for _ in range(3)] == [0, 1, 2]
    reader.close()

    assert not threads()
    assert len(made) <= 3 + 2 + 1


def test_thread_stays_at_most_so_far_ahead():
    made = []
    reader = prefetched((made.append(k) or k for k in range(50)), ahead=3)
    next(reader)
    time.sleep(0.3)
    assert len(made) <= 1 + 3 + 1
    assert list(reader) == list(range(1, 50))


def test_fault_of_the_reader_ends_the_thread():
    with pytest.raises(RuntimeError, match=r"^mine$"):
        for _ in prefetched(range(100)):
            raise RuntimeError("mine")
    assert not threads()
