"""`make docs`: write docs/prefect-names.md, the names that people know from Prefect 3, and what they are here.

What is the same is found by importing it. What is not has its counterpart in `orchestrator/counterparts.py`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

from orchestrator import counterparts

TABLE = Path(__file__).parent / "prefect-names.md"

KNOWN: dict[str, str] = {
    "": "Flow State Task Transaction allow_failure apause_flow_run aresume_flow_run asuspend_flow_run deploy flow"
    " get_client get_run_logger pause_flow_run resume_flow_run runtime serve suspend_flow_run tags task unmapped",
    "artifacts": "Artifact acreate_image_artifact acreate_link_artifact acreate_markdown_artifact"
    " acreate_progress_artifact acreate_table_artifact aupdate_progress_artifact create_image_artifact"
    " create_link_artifact create_markdown_artifact create_progress_artifact create_table_artifact"
    " update_progress_artifact",
    "assets": "Asset AssetProperties add_asset_metadata materialize",
    "automations": "",
    "blocks.core": "Block",
    "blocks.notifications": "AppriseNotificationBlock CustomWebhookNotificationBlock DiscordWebhook MattermostWebhook"
    " MicrosoftTeamsWebhook OpsgenieWebhook PagerDutyWebHook SendgridEmail SlackWebhook TwilioSMS",
    "blocks.system": "Secret",
    "blocks.webhook": "Webhook",
    "cache_policies": "CacheKeyFnPolicy CachePolicy CompoundCachePolicy DEFAULT FLOW_PARAMETERS INPUTS Inputs NONE"
    " NO_CACHE RUN_ID RunId TASK_SOURCE TaskSource",
    "concurrency.asyncio": "AcquireConcurrencySlotTimeoutError ConcurrencySlotAcquisitionError concurrency rate_limit",
    "concurrency.sync": "AcquireConcurrencySlotTimeoutError ConcurrencySlotAcquisitionError concurrency rate_limit",
    "context": "FlowRunContext TaskRunContext get_run_context tags",
    "deployments": "arun_deployment deploy run_deployment",
    "docker": "",
    "events": "Automation DeploymentEventTrigger Event EventTrigger RelatedResource Resource emit_event",
    "exceptions": "CancelledRun CrashedRun FailedRun FlowPauseTimeout FlowRunWaitTimeout MappingLengthMismatch"
    " MappingMissingIterable MissingContextError MissingFlowError MissingResult NotPausedError ObjectAlreadyExists"
    " ObjectLimitReached ObjectNotFound ParameterBindError ParameterTypeError PausedRun PrefectException"
    " PrefectHTTPStatusError ScriptError TerminationSignal UnfinishedRun UpstreamTaskError",
    "filesystems": "LocalFileSystem RemoteFileSystem",
    "runner.storage": "GitRepository RemoteStorage",
    "flow_runs": "apause_flow_run aresume_flow_run asuspend_flow_run pause_flow_run resume_flow_run suspend_flow_run",
    "flows": "Flow aserve flow load_flow_from_entrypoint serve",
    "futures": "DoneAndNotDoneFutures PrefectDistributedFuture PrefectFlowRunFuture PrefectFuture PrefectFutureList"
    " PrefectTaskRunFuture as_completed resolve_futures_to_results resolve_futures_to_states wait",
    "input": "AutomaticRunInput RunInput RunInputMetadata asend_input receive_input send_input",
    "locking": "",
    "logging": "disable_run_logger get_logger get_run_logger",
    "results": "ResultRecord ResultStore get_default_result_storage get_result_store should_persist_result",
    "runtime": "deployment flow_run task_run",
    "schedules": "Cron Interval RRule Schedule",
    "serializers": "CompressedJSONSerializer CompressedPickleSerializer CompressedSerializer JSONSerializer"
    " PickleSerializer Serializer",
    "settings": "",
    "states": "AwaitingConcurrencySlot AwaitingRetry Cancelled Cancelling Completed Crashed Failed Late Paused Pending"
    " Retrying Running Scheduled State StateType Suspended",
    "task_runners": "ConcurrentTaskRunner PrefectTaskRunner ProcessPoolTaskRunner TaskRunner ThreadPoolTaskRunner",
    "task_worker": "TaskWorker serve",
    "tasks": "Task exponential_backoff task task_input_hash",
    "testing": "prefect_test_harness",
    "transactions": "CommitMode IsolationLevel Transaction TransactionState atransaction get_transaction transaction",
    "utilities.annotations": "",
    "variables": "Variable",
    "workers": "",
}
"""Names by module. A module without names is one that is not here as a whole."""

_CONCURRENCY = (
    "who has waited longest is served first; the server, not the caller, says how long a lease is; see docs/limits.md"
)

DIFFERENT = {
    (
        "cache_policies",
        "DEFAULT",
    ): "it is asked for: without a policy nothing is cached, and persist_result alone replays",
    ("cache_policies", "RUN_ID"): "the next attempts of a run, and retries of it, count as the same run",
    ("transactions", "transaction"): "waits at its end for what was submitted inside; an error in a commit is raised;"
    " what a crash left is undone by the next attempt; see docs/transactions.md",
    ("concurrency.asyncio", "concurrency"): _CONCURRENCY,
    ("concurrency.sync", "concurrency"): _CONCURRENCY,
    ("deployments", "deploy"): "takes what Flow.to_deployment returns; the code goes along as a bundle",
    ("flows", "Flow"): "`.submit` runs it beside others; see Options",
    ("logging", "get_run_logger"): "outside of a run it raises MissingContext",
}
"""Remarks on what is the same by name."""

HEAD = """# Names that you know

Orchestrator's modules and names are those of Prefect 3 wherever the thing is the same: moving a flow is changing
`from prefect` to `from orchestrator`. This table is generated (`make docs`) from what can be imported. A name that is
missing raises an `ImportError` with the text that stands here.

| there | here | remark |
|---|---|---|
"""


def lines() -> Iterator[str]:
    """The rows of the table: of each module what is the same, then name by name what is not."""
    for module, names in KNOWN.items():
        if not names:
            yield row(f"`{dotted('prefect', module)}`", "not there", counterparts.MODULES[module])
            continue
        here = [name for name in names.split() if is_here(module, name)]
        same = [name for name in here if (module, name) not in DIFFERENT]
        if same:
            whole = f"`{dotted('prefect', module)}`: {', '.join(f'`{name}`' for name in same)}"
            yield row(whole, f"the same in `{dotted('orchestrator', module)}`", "")
        for name in names.split():
            if name not in same:
                yield row(f"`{dotted('prefect', module, name)}`", *described(module, name))


def described(module: str, name: str) -> tuple[str, str]:
    """Where a name is that is not quite the same, and what is to be known of it.

    Raises:
        LookupError: It is not here, and no counterpart is named.
    """
    if is_here(module, name):
        return f"`{dotted('orchestrator', module, name)}`", DIFFERENT[module, name]
    instead = counterparts.NAMES.get(module, {}).get(name)
    if instead is None:
        raise LookupError(f"{dotted('prefect', module, name)} is not here: name its counterpart in counterparts.py.")
    return "not there", instead


def is_here(module: str, name: str) -> bool:
    """Whether the name can be imported."""
    try:
        return hasattr(importlib.import_module(dotted("orchestrator", module)), name)
    except ImportError:
        return False


def dotted(*parts: str) -> str:
    """Join what isn't empty."""
    return ".".join(part for part in parts if part)


def row(there: str, here: str, remark: str) -> str:
    """One line of the table."""
    return f"| {there} | {here} | {remark} |"


def options() -> Iterator[str]:
    """What `@flow` and `@task` take."""
    from orchestrator.flows import Flow
    from orchestrator.tasks import Task

    for what, kind in (("flow", Flow), ("task", Task)):
        taken = [name for name in inspect.signature(kind.__init__).parameters if name not in {"self", "fn", "others"}]
        yield f"\n`@{what}` takes {', '.join(f'`{name}`' for name in taken)}, and the hooks.\n"
    yield "\nOther options are refused with a `TypeError`, never ignored"


def text() -> str:
    """The whole document."""
    return HEAD + "\n".join(lines()) + "\n\n## Options\n" + "".join(options()) + ".\n"


if __name__ == "__main__":
    TABLE.write_text(text(), encoding="utf-8")
