"""Where `result_storage_key` puts a value: a template over the runs around it and the parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.exceptions import ParameterBindError

if TYPE_CHECKING:
    from orchestrator.engine.run import Run


def filled(template: str, run: Run) -> str:
    """The path that a template stands for: `{flow_run.name}`, `{task_run.name}`, `{parameters[day]}`, …

    Raises:
        ParameterBindError: It names something that there is not.
    """
    from orchestrator import runtime

    facts: dict[str, Any] = {name: getattr(runtime, name) for name in runtime.__all__}
    try:
        return template.format(**facts, parameters=run.inputs())
    except (KeyError, IndexError, AttributeError) as error:
        raise ParameterBindError(
            f"The result_storage_key {template!r} of {run.definition.name} names what there is not: {error}. It knows "
            "flow_run, task_run and deployment with the attributes of orchestrator.runtime, and parameters[…]."
        ) from None
