"""Threads that run calls: order, how many there are, what is kept of a call that is done."""

import gc
import threading
import weakref

from sbtk.mover.workers import Workers


def test_one_thread_keeps_the_order_and_closing_waits_for_all():
    workers, done = Workers(1, "test-workers"), []
    for number in range(1000):
        workers.submit(done.append, number)
    workers.close()
    assert done == list(range(1000))
    assert not [item for item in threading.enumerate() if item.name == "test-workers"]


def test_as_many_calls_at_once_as_there_are_threads():
    workers, together = Workers(3, "test-workers"), threading.Barrier(4)
    for _ in range(3):
        workers.submit(together.wait, 20)
    together.wait(20)
    most = len([item for item in threading.enumerate() if item.name == "test-workers"])
    for _ in range(20):
        workers.submit(len, "")
    workers.close()
    assert most == 3


def test_nothing_is_kept_of_a_call_that_is_done():
    class Thing:
        pass

    workers, thing, done = Workers(1, "test-workers"), Thing(), threading.Event()
    gone = threading.Event()
    weakref.finalize(thing, gone.set)
    workers.submit(id, thing)
    del thing
    workers.submit(done.set)
    assert done.wait(20)
    gc.collect()
    assert gone.wait(20)
    workers.close()


def test_closing_without_a_call():
    Workers(2, "test-workers").close()
