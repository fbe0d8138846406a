"""What is done to many runs at once, chosen by the filter of their list.

choosing.py    which runs a filter means, which of them can be hit, and why others are left out
operations.py  looked at, asked for, undone
wording.py     what pages say of them
working.py     done, batch by batch, by whoever holds the lease
"""
