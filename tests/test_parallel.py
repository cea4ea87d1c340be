import math
import threading
import time

import pytest
from conftest import run_python

from music_learning import parallel
from music_learning.parallel import IN_FLIGHT_PER_WORKER, ahead, cpu_count, free_bytes, ordered_map


def mapped(function, items, *, workers=2):
    return ordered_map(function, items, workers=workers, description="testing", unit="item")


def test_there_is_a_core():
    assert cpu_count() >= 1


@pytest.mark.parametrize(
    ("machine", "container", "free"),
    [
        ("MemTotal: 9 kB\nMemAvailable:   5000 kB\n", {"max": "max\n"}, 5_120_000),
        ("MemAvailable:   5000 kB\n", {"max": "3000000\n"}, 2_000_000),
        ("MemAvailable:   5000 kB\n", {"max": "3000000\n", "stat": "anon 7\ninactive_file 500000\n"}, 2_500_000),
        ("MemAvailable:   5000 kB\n", {}, 5_120_000),
        ("MemTotal: 9 kB\n", {}, math.inf),
        (None, {}, math.inf),
    ],
)
def test_free_memory_is_the_machines_or_its_containers(tmp_path, monkeypatch, machine, container, free):
    if machine is not None:
        (tmp_path / "meminfo").write_text(machine)
    for name, text in ({"current": "1000000\n", "stat": ""} | container).items():
        (tmp_path / f"memory.{name}").write_text(text)
    monkeypatch.setattr(parallel, "MACHINE", tmp_path / "meminfo")
    monkeypatch.setattr(parallel, "CONTAINER", tmp_path)
    assert free_bytes() == free


def test_results_come_in_order_whatever_takes_longest():
    def slow_when_even(item):
        if item % 2 == 0:
            time.sleep(0.01)
        return item * 10

    assert list(mapped(slow_when_even, range(20))) == [item * 10 for item in range(20)]


@pytest.mark.parametrize("workers", [1, 3])
def test_no_items_no_results(workers):
    assert list(mapped(str, [], workers=workers)) == []


def test_error_is_raised_at_its_item_and_the_rest_is_dropped():
    begun = []

    def fail_at_5(item):
        begun.append(item)
        if item == 5:
            raise ValueError("item 5")
        return item

    results = mapped(fail_at_5, range(1000), workers=1)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="item 5"):
        next(results)
    assert max(begun) < 5 + 2 * IN_FLIGHT_PER_WORKER


def test_items_are_begun_only_a_little_ahead_of_the_reader():
    begun = []
    results = mapped(lambda item: begun.append(item) or item, range(1000), workers=2)
    next(results)
    time.sleep(0.05)
    assert len(begun) <= 2 * IN_FLIGHT_PER_WORKER + 1
    assert list(results) == list(range(1, 1000))


def test_work_is_shared_among_threads():
    meeting = threading.Barrier(2, timeout=120)  # passes only when two items are in work at the same time
    assert list(mapped(lambda item: meeting.wait() in (0, 1), range(2))) == [True, True]


def test_look_ahead_submits_so_far_and_no_further():
    submitted = []
    pairs = ahead(submitted.append, range(100), depth=lambda: 3)
    assert [next(pairs)[0] for _ in range(4)] == [0, 1, 2, 3]
    assert submitted == [0, 1, 2, 3, 4, 5]
    assert [item for item, _ in pairs] == list(range(4, 100))


def test_look_ahead_hands_on_what_was_submitted():
    assert list(ahead(str, [1, 2], depth=lambda: 9)) == [(1, "1"), (2, "2")]
    assert list(ahead(str, [], depth=lambda: 9)) == []


def test_look_ahead_ends_where_nothing_waits_and_no_more_is_wanted():
    depths = [9, 9, 0]
    assert [item for item, _ in ahead(str, range(100), depth=lambda: depths.pop(0) if depths else 0)] == [0, 1]


def test_importing_needs_no_torch():
    done = run_python("-c", "import sys, music_learning.parallel; print('torch' in sys.modules)")
    assert (done.stdout, done.stderr) == ("False\n", "")
