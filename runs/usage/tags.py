"""Usage by tag: what a day's deltas add to the tags of their runs, in the statement that adds them to the days.

The tags of a root run are meant; what it calls counts under them. A run with several tags stands under each, so that
sums by tag overlap. A day of a workspace has `TAGS_A_DAY` tags at most, as they come, of one pass those with the most
task runs first; all others are taken together as `OTHERS`, where a run stands once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from runs.usage.recount import METERS, Meters, Root
from tenants.billing.models import TagDay

TAGS_A_DAY = 100  # of one workspace
TAGS_OF_A_RUN = 20  # count; the rest of its tags tell nothing of usage
OTHERS = ""  # No run has an empty tag.

ByTag = dict[tuple[UUID, str], Meters]
"""Meters by workspace and tag."""

# `known` is what the roll-up has taken: deltas with the day, deployment and tags of their runs.
ADD_TO_TAGS = f"""
    sets AS (
        SELECT organization_id, day, workspace_id, retention, bucket, tags[1:{TAGS_OF_A_RUN}] AS tags,
            sum(flow_runs) AS flow_runs, sum(task_runs) AS task_runs, sum(log_bytes) AS log_bytes,
            sum(run_time) AS run_time, sum(cpu) AS cpu
        FROM known WHERE cardinality(tags) > 0 GROUP BY 1, 2, 3, 4, 5, 6
    ),
    there AS (
        SELECT DISTINCT d.organization_id, d.day, d.workspace_id, d.tag
        FROM (SELECT DISTINCT organization_id, day, workspace_id FROM sets) s
        JOIN tag_day d USING (organization_id, day, workspace_id) WHERE d.tag <> '{OTHERS}'
    ),
    asked AS (
        SELECT organization_id, day, workspace_id, tag, sum(task_runs) AS task_runs
        FROM sets, unnest(tags) AS tag GROUP BY 1, 2, 3, 4
    ),
    placed AS (
        SELECT a.*, row_number() OVER (
            PARTITION BY a.organization_id, a.day, a.workspace_id ORDER BY (t.tag IS NULL), a.task_runs DESC, a.tag
        ) AS place, t.tag IS NOT NULL AS is_there, count(t.tag) OVER (
            PARTITION BY a.organization_id, a.day, a.workspace_id
        ) AS asked_there
        FROM asked a LEFT JOIN there t USING (organization_id, day, workspace_id, tag)
    ),
    room AS (
        SELECT organization_id, day, workspace_id, count(*) AS taken FROM there GROUP BY 1, 2, 3
    ),
    named AS (
        SELECT p.organization_id, p.day, p.workspace_id, p.tag
        FROM placed p LEFT JOIN room USING (organization_id, day, workspace_id)
        WHERE p.is_there OR p.place - p.asked_there + coalesce(room.taken, 0) <= %s
    ),
    shown AS (
        SELECT DISTINCT s.*, coalesce(n.tag, '{OTHERS}') AS tag
        FROM sets s CROSS JOIN LATERAL unnest(s.tags) AS own
        LEFT JOIN named n ON n.organization_id = s.organization_id AND n.day = s.day
            AND n.workspace_id = s.workspace_id AND n.tag = own
    ),
    by_tag AS (
        INSERT INTO tag_day AS d (organization_id, id, day, workspace_id, tag, retention, bucket,
            flow_runs, task_runs, log_bytes, run_time, cpu)
        SELECT organization_id, gen_random_uuid(), day, workspace_id, tag, retention, bucket,
            sum(flow_runs), sum(task_runs), sum(log_bytes), sum(run_time), sum(cpu)
        FROM shown GROUP BY 1, 3, 4, 5, 6, 7
        ON CONFLICT (organization_id, day, workspace_id, tag, retention, bucket) DO UPDATE SET
            flow_runs = d.flow_runs + excluded.flow_runs, task_runs = d.task_runs + excluded.task_runs,
            log_bytes = d.log_bytes + excluded.log_bytes, run_time = d.run_time + excluded.run_time,
            cpu = d.cpu + excluded.cpu
    )
"""


def recounted(roots: Iterable[Root]) -> ByTag:
    """The meters by tag that rows alone come to."""
    sums: ByTag = defaultdict(lambda: dict.fromkeys(METERS, 0))
    for root in roots:
        for tag in root.tags[:TAGS_OF_A_RUN]:
            for name, value in root.meters.items():
                sums[root.workspace_id, tag][name] += value
    return _used(sums)


def booked(days: Iterable[TagDay]) -> ByTag:
    """The meters by tag that days add up to."""
    sums: ByTag = defaultdict(lambda: dict.fromkeys(METERS, 0))
    for day in days:
        for name in METERS:
            sums[day.workspace_id, day.tag][name] += int(getattr(day, name))
    return _used(sums)


def agree(booked: ByTag, recounted: ByTag) -> bool:
    """Whether days say what rows say: the same of each tag; where some went to the others, no more than the rows."""
    partly = {workspace for workspace, tag in booked if tag == OTHERS}
    if _outside(partly, booked) != _outside(partly, recounted):
        return False
    named = {place: meters for place, meters in booked.items() if place[0] in partly and place[1] != OTHERS}
    return all(_at_most(meters, recounted.get(place, {})) for place, meters in named.items())


def _outside(workspaces: set[UUID], sums: ByTag) -> ByTag:
    return {place: meters for place, meters in sums.items() if place[0] not in workspaces}


def _at_most(meters: Meters, most: Meters) -> bool:
    return all(value <= most.get(name, 0) for name, value in meters.items())


def _used(sums: ByTag) -> ByTag:
    return {place: meters for place, meters in sums.items() if any(meters.values())}
