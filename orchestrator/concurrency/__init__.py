"""Limits in code and locks.

sync.py       concurrency(), rate_limit(), for sync code
asyncio.py    the same for coroutines
locks.py      lock(), alock(): by the server where one is known, else by files
asks.py       what one piece of code asks for, and what became of it
holding.py    from an ask to an exception or a warning, and what happens to code whose slots are lost
desk.py       all asks of this process: one thread that tells the server of them, one that waits for its word
    tags.py       limits of tags: task runs wait before they begin
"""
