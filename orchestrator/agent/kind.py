"""Of what type an agent's pool is: the server says so when it takes the agent, and then the launcher is made."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator import pool_types
from orchestrator.agent.launchers import Launcher, Means, NoLauncher
from orchestrator.exceptions import PoolTypeError

Wrap = Callable[[Launcher], Launcher]


class Kind:
    """The launcher of the pool's type.

    Args:
        own: Runs are executed as in pools of this type, whatever the server says.
        wrap: Makes what executes the runs out of what would.

    Attributes:
        type: The pool's type, once it is known.
        launcher: Starts the runs.
    """

    def __init__(self, means: Means, own: str, wrap: Wrap | None) -> None:
        self.type = ""
        self.launcher: Launcher = NoLauncher()
        self._means = means
        self._own = own
        self._wrap = wrap

    def learn(self, type: str) -> None:
        """Make the launcher and have it prepare for runs, if there is none yet.

        Raises:
            PoolTypeError: The type is not installed here, it can't be used, or the pool has become one of another type.
        """
        type = self._own or type
        if self.type:
            self._check_unchanged(type)
            return
        made = pool_types.find(type).launcher_of(self._means)
        self.launcher = made if self._wrap is None else self._wrap(made)
        try:
            self.launcher.start()
        except Exception as error:  # Launchers may be anybody's.
            told = str(error) or repr(error)
            raise PoolTypeError(f"The launcher of the pool type {type!r} does not start: {told}") from error
        self.type = type

    def _check_unchanged(self, type: str) -> None:
        if type != self.type:
            pool = self._means.settings.pool
            raise PoolTypeError(
                f"The pool {pool!r} is of the type {type!r} now, and was of {self.type!r}. Start the agent again."
            )
