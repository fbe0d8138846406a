"""Everything that Orchestrator raises.

    Exception
    └── OrchestratorError
        ├── MissingContext               asked for the current run outside of one
        ├── NotConfigured                an API is needed and none is known
        ├── ParameterError
        │   ├── ParameterBindError       the arguments don't fit the signature
        │   └── ParameterTypeError       a value doesn't fit its annotation
        ├── MappingError                 .map() got nothing to map, or unequal lengths
        ├── EndedBadly                   the result of a run that has none was asked for
        │   ├── UnfinishedRun
        │   ├── FailedRun
        │   ├── CrashedRun
        │   ├── CancelledRun
        │   ├── MissingResult            the stored value of a run is not where it was
        │   └── UpstreamTaskError
        ├── HashError (a TypeError)      a value has no content that could be hashed
        ├── ResultNotStored              a value can't be serialized, or its storage doesn't take it
        ├── NotPicklable (a TypeError)   a value can't go to another process, or come from there
        ├── ForeignError                 stands for an exception of another process that can't come from there
        ├── NotPaused                    the run does not wait for anything
        ├── PauseRefused (a RuntimeError) a run can't be paused or suspended here
        ├── InputRefused (a ValueError)  what was answered does not fit, however often it was asked for
        ├── ApprovalRejected             somebody who was asked said no
        ├── TimedOut (a TimeoutError)
        │   ├── FlowPauseTimeout         nobody answered in time
        │   ├── FlowRunTimeout
        │   ├── TaskRunTimeout
        │   └── SlotTimeout          no slot of a limit, or no lock, was free in time
        ├── SlotError                slots of a limit, or a lock, can't be taken
        │   └── SlotLost             they were held, and are no more
        ├── LoadError                    a flow's code could not be loaded
        ├── BundleError                  a flow's code could not be packed
        ├── ProjectError                 orchestrator.yaml says what can't be
        ├── HealthError                  an agent can't answer for its health at this address
        ├── PoolTypeError                a type of work pools is not installed here, or is broken
        ├── RecordError                  a journal on disk can't be used
        ├── BlockError                   a block can't be loaded, saved or used (a ValueError)
        └── ApiError                     the API refused, or could not be reached
            ├── Unreachable
            ├── Unauthorized    401
            ├── LimitReached    402
            ├── Forbidden       403
            ├── NotFound        404
            ├── Invalid         400
            ├── Conflict        409
            ├── Gone            410
            ├── TooLarge        413
            ├── WireVersion     426
            ├── RateLimited     429
            └── Unavailable     503

    BaseException
    └── RunStopped                       not an Exception: `except Exception` in user code must not swallow it
        ├── RunCancelled                 somebody asked this run to stop
        ├── RunSuspended                 the run goes on in its next attempt
        ├── RunSuperseded                another attempt holds this run now
        └── RunTerminated                the process was told to end

The docstring of an exception is its message when it is raised without one.
"""

from __future__ import annotations

from orchestrator.counterparts import missing


def _default_message(error: BaseException) -> str:
    return " ".join((type(error).__doc__ or type(error).__name__).split())


class OrchestratorError(Exception):
    """Something went wrong in Orchestrator."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or _default_message(self))


class MissingContext(OrchestratorError, RuntimeError):
    """There is no run here. Call this from inside a flow or a task."""


class NotConfigured(OrchestratorError):
    """No API is known. Run `orchestrator login`, or set ORCHESTRATOR_API_URL and ORCHESTRATOR_API_KEY."""


class ParameterError(OrchestratorError):
    """The parameters are not the ones that the function takes.

    `fields` maps each parameter to what is wrong with it.
    """

    def __init__(self, message: str | None = None, fields: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = fields or {}


class ParameterBindError(ParameterError, TypeError):
    """The arguments do not fit the function's signature."""


class ParameterTypeError(ParameterError):
    """A parameter does not fit its annotation."""


class MappingError(OrchestratorError, ValueError):
    """Nothing to map over: pass at least one iterable, and iterables of one length."""


class EndedBadly(OrchestratorError):
    """The run has no result."""


class UnfinishedRun(EndedBadly):
    """The run is not finished: it has no result yet. Wait for it first."""


class FailedRun(EndedBadly):
    """The run failed. Its logs say why."""


class CrashedRun(EndedBadly):
    """The run crashed: its process, machine or network was lost."""


class CancelledRun(EndedBadly):
    """The run was cancelled."""


class MissingResult(EndedBadly):
    """The value of this run is not where it was stored. Run it again."""


class UpstreamTaskError(EndedBadly):
    """A task run that this one depends on did not complete. Wrap the argument in allow_failure() to go on."""


class HashError(OrchestratorError, TypeError):
    """A value has no content that could be hashed."""


class ResultNotStored(OrchestratorError):
    """The value can't be stored. Return what can be, or set persist_result=False."""


class NotPicklable(OrchestratorError, TypeError):
    """A value can't be sent to another process. Pass what it can be made from instead, such as a path or an address."""


class ForeignError(OrchestratorError):
    """An exception was raised in another process, and can't be sent from there."""


class NotPaused(OrchestratorError):
    """The run does not wait for an answer."""


class PauseRefused(OrchestratorError, RuntimeError):
    """The run can't be paused here. Call pause_flow_run in a flow, outside of its tasks."""


class InputRefused(OrchestratorError, ValueError):
    """What was answered does not fit the type that the flow waits for."""


class ApprovalRejected(OrchestratorError):
    """Somebody who was asked for an approval rejected it."""


class TimedOut(OrchestratorError, TimeoutError):
    """It took longer than it was allowed to."""


class FlowPauseTimeout(TimedOut):
    """Nobody answered before the pause's timeout was over."""


class FlowRunTimeout(TimedOut):
    """The flow run took longer than its timeout_seconds."""


class TaskRunTimeout(TimedOut):
    """The task run took longer than its timeout_seconds."""


class SlotTimeout(TimedOut):
    """No slot was free in time."""


class SlotError(OrchestratorError):
    """The slots can't be taken."""


class SlotLost(SlotError):
    """The slots that this code held were lost: it was not heard of for too long, or somebody took them away."""


class LoadError(OrchestratorError):
    """The flow's code could not be loaded. Check the entrypoint and deploy again."""


class BundleError(OrchestratorError):
    """The flow's code could not be packed. Deploy with source="<directory>" instead."""


class ProjectError(OrchestratorError):
    """orchestrator.yaml says what can't be."""


class PoolTypeError(OrchestratorError):
    """The type of this work pool can't be used here. `orchestrator work-pool types` lists what is installed."""


class HealthError(OrchestratorError):
    """An agent can't answer for its health there: the address is none, or can't be had."""


class RecordError(OrchestratorError):
    """The journal file can't be read."""


class BlockError(OrchestratorError, ValueError):
    """The block can't be used."""


class ApiError(OrchestratorError):
    """The API refused the request.

    Attributes:
        code: The API's word for what is wrong, for programs.
        status: The HTTP status, or None when no answer came.
        fields: For `invalid`: a message for each field.
        retry_after: Seconds to wait before asking again, if the server said.
    """

    code = "error"

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        status: int | None = None,
        fields: dict[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.status = status
        self.fields = fields or {}
        self.retry_after = retry_after


class Unreachable(ApiError):
    """The API could not be reached. Check ORCHESTRATOR_API_URL, and that the server runs."""

    code = "unreachable"


class Unauthorized(ApiError):
    """The API key is not known, or has expired. Make a new one in the portal and run `orchestrator login`."""

    code = "unauthorized"


class LimitReached(ApiError):
    """The organization's task runs of this month are used up. Its owner can change the plan or the limit."""

    code = "limit_reached"


class Forbidden(ApiError):
    """This key may not do that. Ask an owner of the workspace for a role that may."""

    code = "forbidden"


class NotFound(ApiError):
    """There is no such thing in this workspace."""

    code = "not_found"


class Invalid(ApiError):
    """The request was not valid."""

    code = "invalid"


class Conflict(ApiError):
    """The request contradicts what is there."""

    code = "conflict"


class Gone(ApiError):
    """It was there, and is no more."""

    code = "gone"


class TooLarge(ApiError):
    """The request is larger than the server takes."""

    code = "too_large"


class WireVersion(ApiError):
    """The server no longer speaks this SDK's version of the protocol. Upgrade: pip install -U orchestrator."""

    code = "wire_version"


class RateLimited(ApiError):
    """Too many requests. Wait a little."""

    code = "rate_limited"


class QueueFull(ApiError):
    """The organization has as many background tasks waiting as it may have. Serve them by more processes."""

    code = "queue_full"


class Unavailable(ApiError):
    """The server can't answer just now. Try again in a moment."""

    code = "unavailable"


API_ERRORS: dict[str, type[ApiError]] = {
    kind.code: kind
    for kind in (
        Unreachable,
        Unauthorized,
        LimitReached,
        Forbidden,
        NotFound,
        Invalid,
        Conflict,
        Gone,
        TooLarge,
        WireVersion,
        RateLimited,
        QueueFull,
        Unavailable,
    )
}
"""The class for each `code` that the API answers with."""


class RunStopped(BaseException):
    """The run was told to stop."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or _default_message(self))


class RunCancelled(RunStopped):
    """The run was cancelled."""


class RunSuspended(RunStopped):
    """The run is suspended: its process ends, and its next attempt goes on once somebody resumes it."""

    asked: object = None  # What it waits for.


class RunSuperseded(RunStopped):
    """Another attempt holds this run now; this one stops and reports no more."""


class RunTerminated(RunStopped):
    """The process was told to end (SIGTERM), or its agent was lost."""


__getattr__ = missing(__name__)
