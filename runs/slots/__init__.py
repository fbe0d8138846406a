"""Slots of limits that code names, and locks: who holds them, who waits, and how a free one reaches its waiter.

    exchange.py   what a process asks in one request: slots back, slots wanted, time for those it holds
    queue.py      the mechanism: names locked in one order, dead rows cleared, free slots to the oldest waiters
    rates.py      slots that come back by themselves, so many a second
    words.py      a granted slot is told to the process that waits for it
    waiting.py    the door at which processes wait, one request for all their waiters
    named.py      limits: made, changed, deleted; and slots that a person takes away

A row that is there occupies; a row that is dead is deleted under the lock of its name before anything is counted. So
no slot is given out twice, whatever renews a row in that moment.
"""
