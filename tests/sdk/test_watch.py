"""The agent's one thread that hears of everything."""

import socket
import threading

from orchestrator.agent.watch import Watch


def test_the_end_does_not_overtake_what_was_asked_before_it():
    """A process that stands by ends because its line is closed; one whose line stayed open would stay for good."""
    watch = Watch()
    busy, asked, closed = threading.Event(), threading.Event(), threading.Event()

    def ends_the_watch():
        busy.set()
        assert asked.wait(10)
        watch.close()

    ours, theirs = socket.socketpair()
    with ours, theirs:
        watch.add(ours.fileno(), ends_the_watch)
        theirs.send(b"x")
        assert busy.wait(10)
        watch.remove(ours.fileno(), closed.set)
        asked.set()
        assert closed.wait(10)
