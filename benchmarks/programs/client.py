"""The measured user process: does what it is asked, line by line, in the interpreter of the product under test.

Commands and answers are JSON, one a line, on the pipes it was started with; what the product prints goes elsewhere.
"""

import json
import os
import sys
import time

import workloads


def record(mode, count):
    """Run a flow of many tasks; its id, the seconds in the flow's code and around the whole call."""
    began = time.perf_counter()
    run, inside = workloads.many_tasks(mode, count)
    return {"run": run, "inside": inside, "flow": time.perf_counter() - began}


def flows(count):
    return [workloads.timed(workloads.empty) for _ in range(count)]


def subflows(count):
    return workloads.many_subflows(count)


def deploy(flow, pool):
    """Make a flow known to the server; the deployment's id."""
    if "prefect" not in sys.modules:
        return str(getattr(workloads, flow).deploy("benchmark"))
    from prefect import flow as decorator

    here = os.path.dirname(os.path.abspath(__file__))
    found = decorator.from_source(source=here, entrypoint=f"workloads.py:{flow}")
    return str(found.deploy("benchmark", work_pool_name=pool, print_next_steps=False))


COMMANDS = {"record": record, "flows": flows, "subflows": subflows, "deploy": deploy, "cpu": time.process_time}


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        answer = COMMANDS[asked.pop("do")](**asked)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
