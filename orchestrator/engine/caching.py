"""The value of a call that others may use: under a key that its policy makes, one of them computes it, once.

Who computes holds the lock of the key; who comes meanwhile waits for it, and reads. The lock goes with who holds it: a
failure, or a process that is lost, lets the next one compute.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from orchestrator.engine import call_keys
from orchestrator.engine.cache_index import LOCAL, index
from orchestrator.engine.keeping import CACHE, Keeping
from orchestrator.exceptions import ApiError, HashError, ParameterBindError, SlotError, SlotTimeout
from orchestrator.states import StateType

if TYPE_CHECKING:
    from orchestrator.cache_policies import CachePolicy
    from orchestrator.engine.drivers import Effect
    from orchestrator.engine.flow_run import FlowRun
    from orchestrator.engine.task_run import TaskRun
    from orchestrator.results import Header

CACHED = "Cached"
WAIT_SECONDS = 3600.0
LOOK_SECONDS = 0.2  # Between two looks whether the transaction around has the value by now.
_PLAIN = re.compile(r"[A-Za-z0-9_=@+-][A-Za-z0-9._=@+-]*")
_MOST = 200  # characters of a key that is kept as it is
_FOR_READERS = 100  # characters of a longer one that are


class Caching(Keeping):
    """What is known of how the value of one call is shared with others."""

    __slots__ = ("_lock", "_refreshes", "cache_key", "cache_path")

    run: TaskRun

    def __init__(self, run: TaskRun) -> None:
        super().__init__(run)
        self.cache_key: str | None = None  # None: this call neither uses the cache nor fills it.
        self.cache_path = ""
        self._lock: _Lock | None = None
        self._refreshes = _refreshes(run)

    @property
    def policy(self) -> CachePolicy:
        """The task's own."""
        policy = self.run.definition.cache_policy
        assert policy is not None
        return policy

    def recalled(self) -> Generator[Effect, Any, bool]:
        if (yield from super().recalled()):
            return True
        self.cache_key = self._make_cache_key()
        if self.cache_key is None:
            return False
        found = yield _Find(self)
        if found is None:
            return False
        self.run.take_kept(found, CACHED)
        return True

    def keep(self, value: Any) -> Generator[Effect, Any, None]:
        yield from super().keep(value)
        if self.stored is not None:
            yield from self.let_go()

    def let_go(self) -> Generator[Effect, Any, None]:
        """Let others compute, whether this call has or has failed."""
        if self._lock is None:
            return
        lock, self._lock = self._lock, None
        around = self.run.transaction
        if around is not None and around.keeps_back and lock.must and self.run.state_type is StateType.COMPLETED:
            around.locks.append(_Release(lock))
        else:
            yield _Release(lock)

    def place(self) -> str:
        return super().place() if self.cache_key is None else self.cache_path

    def header(self) -> Header:
        header, after = super().header(), self.run.definition.cache_expiration
        if self.cache_key is not None:
            from orchestrator import clock

            header.by = str(self.run.id)
            header.expires = None if after is None else clock.now() + int(after.total_seconds() * 1_000_000)
        return header

    # The key.

    def _make_cache_key(self) -> str | None:
        from orchestrator.cache_policies import CacheContext

        run, policy = self.run, self.policy
        try:
            context = CacheContext(run.definition, run, run.flow_run)
            told = policy.compute_key(context, run.inputs(), run.flow_run.parameters)
        except (HashError, ParameterBindError) as error:
            run.log.warning("The value is not cached: %s. Leave that input out of the policy: INPUTS - 'name'.", error)
            return None
        if not told:
            return None
        where = index()
        place = LOCAL if where is None else where.place()
        if place is None:
            run.log.warning("The value is not cached: the server, which says what workspace this is, is away.")
            return None
        key = storable(_scoped(told, policy.scope or "workspace", run.flow_run))
        self.cache_path = f"{CACHE}{place}/{key}"
        return key

    # Looking for a value.

    def look(self) -> Any:
        """What is cached, as the function had returned it; None when there is nothing of use."""
        around = self.run.transaction
        if around is not None and (staged := around.staged_at(self.cache_path)) is not None:
            return staged
        return self._found(self.cache_path, self._is_of_use, "What was cached can't be used, so it is computed anew.")

    def _is_of_use(self, header: Header, place: str) -> bool:
        if header.expired or not self.is_not_again(header, place):
            return False
        where = index()
        return where is None or where.may_be_used(self.cache_key or "", header)

    def counts(self, header: Header, place: str) -> bool:
        """What is cached is the value of the call, whoever has computed it since."""
        if place.startswith(CACHE):
            return not header.expired and self.is_not_again(header, place)
        return super().counts(header, place)

    @property
    def is_staged(self) -> bool:
        """True when the transaction around has the value, and stores it when it commits."""
        around = self.run.transaction
        return around is not None and around.staged_at(self.cache_path) is not None

    @property
    def looks_first(self) -> bool:
        """False when the call is to compute, whatever is there."""
        return not self._refreshes

    # The lock.

    def new_lock(self) -> _Lock | None:
        """The lock of the key; None for a call within one that computes the very same."""
        caller = self.run.caller
        while caller is not None:
            keeping = caller.keeping
            if isinstance(keeping, Caching) and keeping._lock is not None and keeping.cache_path == self.cache_path:
                return None
            caller = caller.caller
        return _Lock(self)

    def hold(self, lock: _Lock | None) -> None:
        """Hold a lock until the call has ended, however it ends."""
        self._lock = lock

    def show_waiting(self) -> None:
        """Say in the run's state that another one computes the value."""
        message = f"Another run computes the value of {self.cache_key}. This one takes it from there."
        self.run.await_value("AwaitingCache", message)


class _Lock:
    """The lock of a key, while one call computes its value. Taken and given back in steps of a life."""

    def __init__(self, caching: Caching) -> None:
        policy = caching.policy
        self._caching = caching
        self._name = caching.cache_path
        self.must = policy.isolation_level is not None and policy.isolation_level.value == "SERIALIZABLE"
        self._within = WAIT_SECONDS if policy.wait_seconds is None else policy.wait_seconds
        if policy.lock_manager is not None:
            self._gives: Any = policy.lock_manager
        else:
            from orchestrator.concurrency import locks

            self._gives = locks
        self._held: Any = None
        self._is_shown = False

    def _asked(self, how: Any, seconds: float) -> Any:
        more = {"strict": self.must} if self._caching.policy.lock_manager is None else {}
        return how(self._name, timeout_seconds=seconds, **more)

    def take(self) -> None:
        """Wait for it."""
        for seconds, is_last in self._tries():
            asked: AbstractContextManager[Any] = self._asked(self._gives.lock, seconds)
            try:
                asked.__enter__()
            except (SlotTimeout, SlotError, ApiError) as error:
                if self._goes_on(error, is_last):
                    return
            else:
                self._held = asked
                return

    async def atake(self) -> None:
        """`take` in a coroutine."""
        for seconds, is_last in self._tries():
            asked: AbstractAsyncContextManager[Any] = self._asked(self._gives.alock, seconds)
            try:
                await asked.__aenter__()
            except (SlotTimeout, SlotError, ApiError) as error:
                if self._goes_on(error, is_last):
                    return
            else:
                self._held = asked
                return

    def _tries(self) -> Iterator[tuple[float, bool]]:
        """For how long to wait for it each time, and whether that is the last one.

        A call of the same transaction may hold it until the commit, which waits for this one: its value is staged.
        """
        yield 0.0, False
        around = self._caching.run.transaction
        left = self._within
        while around is not None and around.parent is not None and left > LOOK_SECONDS:
            if self._caching.is_staged:
                return
            yield LOOK_SECONDS, False
            left -= LOOK_SECONDS
        yield left, True

    def _goes_on(self, error: Exception, is_last: bool) -> bool:
        """Whether to compute without the lock; False: now wait for it."""
        if isinstance(error, SlotTimeout) and not is_last:
            if not self._is_shown:
                self._is_shown = True
                self._caching.show_waiting()
            return False
        if self.must:
            raise error
        self._caching.run.log.warning("The value may be computed twice: its lock could not be had. %s", error)
        return True

    def give_back(self) -> None:
        """Let the next one have it."""
        if self._held is not None:
            self._held.__exit__(None, None, None)

    async def agive_back(self) -> None:
        """`give_back` in a coroutine."""
        if self._held is not None:
            await self._held.__aexit__(None, None, None)


class _Find:
    """Look for the value of a call; if it isn't there, hold the lock of its key, so that nobody else computes it."""

    __slots__ = ("_caching",)

    def __init__(self, caching: Caching) -> None:
        self._caching = caching

    def run(self) -> Any:
        caching = self._caching
        if caching.looks_first and (found := caching.look()) is not None:
            return found
        lock = caching.new_lock()
        if lock is None:
            return None
        lock.take()
        caching.hold(lock)  # Before anything else can fail.
        if caching.looks_first and (found := caching.look()) is not None:
            caching.hold(None)
            lock.give_back()
            return found
        return None

    async def arun(self) -> Any:
        import asyncio

        caching = self._caching
        if caching.looks_first and (found := await asyncio.to_thread(caching.look)) is not None:
            return found
        lock = caching.new_lock()
        if lock is None:
            return None
        await lock.atake()
        caching.hold(lock)  # Before anything else can fail.
        if caching.looks_first and (found := await asyncio.to_thread(caching.look)) is not None:
            caching.hold(None)
            await lock.agive_back()
            return found
        return None


class _Release:
    """Give a lock back."""

    __slots__ = ("_lock",)

    def __init__(self, lock: _Lock) -> None:
        self._lock = lock

    def run(self) -> None:
        self._lock.give_back()

    async def arun(self) -> None:
        await self._lock.agive_back()


def place_of(flow_run: FlowRun) -> str:
    """By what a flow run is known, by its next attempts and by retries of it too."""
    root = flow_run.root
    calls = call_keys.calls_of(flow_run).key if flow_run is not root else ""
    return f"{root.replay_root}{'-' if calls else ''}{calls}"


def _scoped(key: str, scope: str, flow_run: FlowRun) -> str:
    if scope == "run":
        root = flow_run.root
        return f"run-{root.replay_root}-{key}"
    if scope == "deployment":
        execution = flow_run.root.execution
        deployment = execution.deployment_id if execution is not None else None
        return f"deployment-{deployment or flow_run.root.definition.name}-{key}"
    return key


def storable(key: str) -> str:
    """The key as it can be part of a path, an address, and a name: readable where it was."""
    if len(key) <= _MOST and _PLAIN.fullmatch(key):
        return key
    readable = re.sub(r"[^A-Za-z0-9._=@+-]+", "_", key).lstrip(".")[:_FOR_READERS]
    return f"{readable}-{sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def _refreshes(run: TaskRun) -> bool:
    from orchestrator.config import is_on
    from orchestrator.context import refreshes_cache_here

    for said in (run.definition.refresh_cache, refreshes_cache_here.get()):
        if said is not None:
            return said
    return is_on("REFRESH_CACHE")
