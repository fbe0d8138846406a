"""Backfills: runs over a past range, or of a list of parameter sets, a few at a time.

planning.py    which runs one means, which of them are there already, and what can't be taken
operations.py  looked at, asked for, paused, resumed, changed, cancelled
drip.py        how many runs may be made now, and why no more
working.py     runs are made, turn by turn, by whoever holds the lease
places.py      what of it has a run
words.py       that a run of it has ended, so that the next one is made at once
"""
