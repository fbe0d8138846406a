"""The API in memory. It keeps the promises of the real one: both pass the scenarios in `tests/contract`.

    api.py          who asks, for what: keys, roles, routes, errors
    asked.py        bodies and queries, read with errors by field
    store.py        all that is kept, and the one lock
    rows.py         … of runs
    definitions.py  … of what people and code set up
    states.py       moves by the table of `orchestrator.states`, and what ends with a run
    journal.py      what running flows tell
    streams.py      who may tell it: tokens, marks, gaps
    claims.py       claims, leases, heartbeats, and what happens when nobody is heard of
    deployments.py  deployments, bundles
    pools.py        pools and their queues
    limits.py       limits that code names
    slots.py        slots of limits and locks: who holds them, who waits
    schedules.py    when schedules are due
    runs.py         triggers, lists, cancels, logs, task runs
    background.py   calls that `.delay` queued
    retries.py      retries from failure, and their plan
    results.py      values that the server keeps
    inputs.py       questions to people, and messages between runs
    artifacts.py    artifacts
    events.py       events of code
    assets.py       assets, and what was made of what
    cache.py        values that later calls may use
    variables.py    variables
    blocks.py       block types and blocks
    blocks_within.py  … put into each other
    paging.py       pages and cursors
    shown.py        rows as the API shows them
    port.py         the same over a local port, for other processes

One request is answered at a time, under the one lock of the store.
"""
