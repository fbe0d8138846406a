"""The body of a task in another process. Its life stays here: states, retries, hooks, its future.

pickling.py   values made bytes; what a module holds goes by its name
calls.py      what goes along: the function, the arguments, which run this is, and of which flow
outcomes.py   what comes back: a value, or an exception and its traceback
bodies.py     calls the function there, and waits for what it submitted
frames.py     messages through a pipe
process.py    a child process, seen from the thread that it works for
child.py      the child itself
upward.py     what it tells goes through the pipe, to the writer that its parent is
writers.py    a process that no pipe leads to, on another machine perhaps, is a writer of its own
"""
