"""1.15: what a killed process left half done is undone by the next attempt."""

import os
import subprocess
import sys
import textwrap

import pytest

from orchestrator.ids import uuid7
from orchestrator.transactions import undo_leftovers

PROGRAM = """
    import os, sys
    from orchestrator import flow, task
    from orchestrator.engine.flow_run import Execution
    from orchestrator.result_storage import LocalDirectory, ResultStorage
    from orchestrator.transactions import get_transaction, transaction

    def did(what):
        with open(os.environ["DID"], "a") as file:
            file.write(what + "\\n")

    @task
    def charge(amount):
        get_transaction().set("charge", f"ch-{amount}")
        did(f"charge {amount}")
        return amount

    @charge.on_rollback
    def refund(txn):
        did(f"refund {txn.get('charge')} of {txn.get('customer')}, {txn.read()}")

    @task(persist_result=True)
    def ship():
        did("ship")
        if os.environ["DIES"] == "ship":
            os.kill(os.getpid(), 9)
        return "shipped"

    @ship.on_rollback
    def call_back(txn):
        did("call back")

    @ship.on_commit
    def shipped(txn):
        if os.environ["DIES"] == "commit":
            os.kill(os.getpid(), 9)
        did("shipped")

    class Plain(ResultStorage):
        def __init__(self):
            files = LocalDirectory(os.environ["PLAIN"])
            self.url, self.writing, self.reading = files.url, files.writing, files.reading

    @flow(log_prints=False, result_storage=Plain() if os.environ.get("PLAIN") else None)
    def order():
        with transaction() as txn:
            txn.set("customer", "ann")
            charge(20)
            charge(5)
            ship()
            if os.environ["DIES"] == "end":
                os.kill(os.getpid(), 9)
        if os.environ["DIES"] == "after":
            os.kill(os.getpid(), 9)

    if __name__ == "__main__":
        import program
        told = {"run": sys.argv[1], "attempt": int(sys.argv[2]), "token": "t", "parameters": {}}
        execution = Execution(told)
        program.order.execute(execution)
"""


@pytest.fixture
def attempt(tmp_path, monkeypatch):
    """Execute an attempt in a process of its own; what was done by it."""
    script, log, run = tmp_path / "program.py", tmp_path / "did", uuid7()
    script.write_text(textwrap.dedent(PROGRAM))
    monkeypatch.setenv("DID", str(log))

    def execute(number, dies=""):
        log.unlink(missing_ok=True)
        environment = {**os.environ, "DIES": dies, "PYTHONPATH": f"{tmp_path}:{os.getcwd()}"}
        subprocess.run([sys.executable, script, str(run), str(number)], env=environment, timeout=60, check=not dies)
        return log.read_text().splitlines() if log.exists() else []

    execute.run = run
    return execute


UNDONE = ["refund ch-5 of ann, 5", "refund ch-20 of ann, 20"]
WHOLE = ["charge 20", "charge 5", "ship", "shipped"]


def test_the_next_attempt_undoes_what_was_half_done(attempt):
    """1.15: kill -9 in a task of the transaction: those that had finished are undone, then all is done again."""
    assert attempt(1, dies="ship") == ["charge 20", "charge 5", "ship"]
    assert attempt(2) == [*UNDONE, *WHOLE]


def test_a_storage_that_can_neither_list_nor_delete_will_do(attempt, monkeypatch, tmp_path):
    """1.15: the server and blocks of yours can't; what was committed there isn't undone."""
    monkeypatch.setenv("PLAIN", str(tmp_path / "plain"))
    assert attempt(1, dies="end") == ["charge 20", "charge 5", "ship"]
    assert attempt(2, dies="after") == ["call back", *UNDONE, *WHOLE]
    assert attempt(3) == []  # All is replayed, and nothing is undone.


@pytest.mark.parametrize("dies", ["end", "commit"])
def test_a_transaction_that_was_not_decided_is_undone_whole(attempt, dies):
    attempt(1, dies=dies)
    assert attempt(2) == ["call back", *UNDONE, *WHOLE]


def test_what_was_committed_stays(attempt):
    assert attempt(1, dies="after") == WHOLE
    assert attempt(2) == ["charge 20", "charge 5"]  # They keep no values: they are executed, and nothing is undone.


def test_the_undoing_may_be_asked_for(attempt, monkeypatch, tmp_path):
    attempt(1, dies="ship")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert undo_leftovers(attempt.run) == 2
    assert (tmp_path / "did").read_text().splitlines()[-2:] == UNDONE
    assert undo_leftovers(attempt.run) == 0
