"""Names that people know from Prefect 3 and that are not here: what to use instead.

Modules and names are the same wherever the thing is the same, so that moving a flow is changing its imports. Whoever
imports one of these is told its counterpart by the ImportError. `docs/prefect-names.md` is the whole table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

_LATER = "not available in this version"
_BACKGROUND = "Call .delay of a task: whoever serves it executes the call."
_DISTRIBUTED = "Use orchestrator.background.BackgroundFuture."
_AUTOMATIONS = "Automations are made in the portal: a workspace's page Automations."
_APPRISE = "Use orchestrator.blocks.AppriseNotification with the service's Apprise URL."
_RUNTIME = "Use orchestrator.runtime.flow_run and orchestrator.runtime.task_run."
_API = "Use the REST API, docs/api.md."

MODULES = {
    "automations": _AUTOMATIONS,
    "docker": "Images are not a way of deployment in this version: agents get the code as a bundle.",
    "locking": "Locks are those of orchestrator.concurrency.locks; a policy takes others: .configure(lock_manager=…).",
    "settings": "Settings are ORCHESTRATOR_… variables of the environment and profiles: `orchestrator login`.",
    "utilities": "Use orchestrator.annotations for allow_failure, quote and unmapped.",
    "utilities.annotations": "Use orchestrator.annotations.",
    "workers": "Agents do the work of workers: `orchestrator agent start`.",
}
"""Modules below `orchestrator`."""

NAMES = {
    "": {
        "get_client": _API,
    },
    "blocks.notifications": dict.fromkeys(
        (
            "AppriseNotificationBlock",
            "DiscordWebhook",
            "MattermostWebhook",
            "MicrosoftTeamsWebhook",
            "OpsgenieWebhook",
            "PagerDutyWebHook",
            "SendgridEmail",
            "TwilioSMS",
        ),
        _APPRISE,
    )
    | {"CustomWebhookNotificationBlock": "Use orchestrator.blocks.Webhook."},
    "cache_policies": {
        "NONE": "Use NO_CACHE.",
    },
    "context": dict.fromkeys(("FlowRunContext", "TaskRunContext", "get_run_context"), _RUNTIME),
    "events": dict.fromkeys(("Automation", "DeploymentEventTrigger", "EventTrigger"), _AUTOMATIONS)
    | dict.fromkeys(("RelatedResource", "Resource"), "Pass dictionaries of labels: orchestrator.events.emit_event."),
    "exceptions": {
        "FlowRunWaitTimeout": "Use orchestrator.exceptions.TimedOut.",
        "MappingLengthMismatch": "Use orchestrator.exceptions.MappingError.",
        "MappingMissingIterable": "Use orchestrator.exceptions.MappingError.",
        "MissingContextError": "Use orchestrator.exceptions.MissingContext.",
        "MissingFlowError": "Use orchestrator.exceptions.LoadError.",
        "NotPausedError": "Use orchestrator.exceptions.NotPaused.",
        "ObjectAlreadyExists": "Use orchestrator.exceptions.Conflict.",
        "ObjectLimitReached": "Use orchestrator.exceptions.LimitReached.",
        "ObjectNotFound": "Use orchestrator.exceptions.NotFound.",
        "PausedRun": "Use orchestrator.exceptions.RunSuspended.",
        "PrefectException": "Use orchestrator.exceptions.OrchestratorError.",
        "PrefectHTTPStatusError": "Use orchestrator.exceptions.ApiError.",
        "ScriptError": "Use orchestrator.exceptions.LoadError.",
        "TerminationSignal": "Use orchestrator.exceptions.RunTerminated.",
    },
    "flows": {
        "aserve": "Use orchestrator.serve, in a process of its own.",
        "load_flow_from_entrypoint": "Use orchestrator.loading.load_flow.",
        "serve": "Use orchestrator.serve.",
    },
    "futures": {
        "DoneAndNotDoneFutures": "Use orchestrator.futures.DoneAndNotDone.",
        "PrefectDistributedFuture": _DISTRIBUTED,
        "PrefectFlowRunFuture": "Use orchestrator.futures.Future.",
        "PrefectFuture": "Use orchestrator.futures.Future.",
        "PrefectFutureList": "Use orchestrator.futures.FutureList.",
        "PrefectTaskRunFuture": "Use orchestrator.futures.Future.",
        "resolve_futures_to_results": "Hand the futures to a task, or ask each for its result().",
        "resolve_futures_to_states": "Ask each future for its state.",
    },
    "logging": {
        "disable_run_logger": "Use the `.fn` of the flow or task: outside of a run nothing is recorded.",
    },
    "results": {
        "ResultRecord": "Use orchestrator.results.Stored and Header.",
        "get_default_result_storage": "Use orchestrator.results.get_result_store().storage.",
        "should_persist_result": "Nobody needs to know: a value is stored, or not, when its call has ended.",
    },
    "task_runners": {
        "PrefectTaskRunner": _BACKGROUND,
    },
    "testing": {
        "prefect_test_harness": "Use orchestrator.testing.server.",
    },
}
"""Names within modules that are here, by the module."""


def missing(module: str) -> Callable[[str], NoReturn]:
    """Make the `__getattr__` of a public module: it tells the counterpart of a name that people know from elsewhere.

    Args:
        module: Its `__name__`.
    """
    known = NAMES.get(module.partition(".")[2], {})

    def __getattr__(name: str) -> NoReturn:
        if name in known:
            raise ImportError(f"{module} has no {name!r}. {known[name]}", name=module)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return __getattr__


def refuse_module(name: str) -> None:
    """Say what to use instead of a module that people know from elsewhere; keep silent on any other one.

    Raises:
        ModuleNotFoundError: It is one of these.
    """
    instead = MODULES.get(name.partition(".")[2])
    if instead is not None:
        raise ModuleNotFoundError(f"No module named {name!r}. {instead}", name=name)
