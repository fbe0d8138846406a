"""Raise an exception in another thread. It takes effect at that thread's next bytecode."""

from __future__ import annotations


def raise_in_thread(ident: int, kind: type[BaseException]) -> bool:
    """Ask the interpreter to raise `kind` in a thread; False when there is no such thread."""
    import ctypes

    return ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(kind)) == 1


def take_back(ident: int) -> None:
    """Withdraw what was asked for and has not been raised yet."""
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), None)
