"""Where code is kept, under the names that users of Prefect know: `orchestrator.runner.storage`."""
