"""Marks on arguments that say how a task shall take them."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Annotation(Generic[T]):
    """A value with a mark."""

    __slots__ = ("value",)

    made = False  # True once a mark that must be taken off exists in this process.

    def __init__(self, value: T) -> None:
        Annotation.made = True
        self.value = value

    def unwrap(self) -> T:
        """The value without the mark."""
        return self.value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"

    def __eq__(self, other: Any) -> bool:
        return type(other) is type(self) and other.value == self.value

    __hash__ = None  # pyright: ignore[reportAssignmentType]


class unmapped(Annotation[T]):
    """Pass this argument whole to every call that `.map` makes.

    >>> from orchestrator import flow, task, unmapped
    >>> @task
    ... def scale(x, factors):
    ...     return x * sum(factors)
    >>> @flow
    ... def scaled():
    ...     return scale.map([1, 2], unmapped([10, 20])).result()
    >>> scaled()
    [30, 60]
    """

    __slots__ = ()


class flatten(Annotation[T]):
    """Map over the items of the items: `.map` takes one level of nesting away.

    >>> from orchestrator import flow, task
    >>> from orchestrator.annotations import flatten
    >>> @task
    ... def pages(letter):
    ...     return [f"{letter}1", f"{letter}2"]
    >>> @task
    ... def read(page):
    ...     return page.lower()
    >>> @flow
    ... def book():
    ...     return read.map(flatten(pages.map(["A", "B"]))).result()
    >>> book()
    ['a1', 'a2', 'b1', 'b2']
    """

    __slots__ = ()


class allow_failure(Annotation[T]):
    """Run the task even if this future fails: it is given the exception in place of the value."""

    __slots__ = ()


class quote(Annotation[T]):
    """Pass this argument as it is: nobody looks for futures inside. Good for very large nested data."""

    __slots__ = ()

    def unquote(self) -> T:
        """The value without the mark."""
        return self.value
