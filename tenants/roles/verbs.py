"""The verbs that roles of an organization's own are made of, in plain words, by the thing that they are about.

All that an owner of a workspace may do can be given. What runs do by their tokens is no role, and can't.
"""

from __future__ import annotations

from dataclasses import dataclass

from tenants.models import WorkspaceRole
from tenants.permissions import WORKSPACE_VERBS

GIVABLE = WORKSPACE_VERBS[WorkspaceRole.OWNER]

THINGS: dict[str, dict[str, str]] = {
    "Runs": {
        "runs.view": "See runs, their logs, what they make, the dashboard and the feed of events",
        "runs.trigger": "Run deployments, and run again",
        "runs.cancel": "Cancel runs",
        "runs.pause": "Pause and suspend runs",
        "runs.delete": "Delete runs that have ended, with all that they told and made",
        "runs.answer": "Resume runs, answer what they ask, approve, and send them messages",
        "results.read": "Load values of runs that the server keeps",
        "results.write": "Store values of runs on the server, and remove them",
        "events.write": "Tell of events outside of runs",
    },
    "Deployments": {
        "deployments.view": "See deployments",
        "deployments.edit": "Deploy, change and remove deployments",
        "schedules.edit": "Pause and resume schedules",
        "bundles.write": "Upload code",
        "bundles.read": "Download code",
    },
    "Work pools and agents": {
        "pools.view": "See pools and agents",
        "pools.edit": "Make and change pools, and their limits",
        "agents.work": "Work as an agent: take runs, with all that they may read",
        "journal.write": "Report runs: those of an agent, and flows called by hand",
    },
    "Limits": {
        "limits.view": "See limits of code: who holds their slots, and who waits",
        "limits.edit": "Make, change and remove limits, and take slots away",
        "slots.take": "Take slots of limits, and locks",
    },
    "Blocks": {
        "blocks.view": "See blocks, without their secrets",
        "blocks.use": "Load blocks with their secrets",
        "blocks.edit": "Make, change and remove blocks",
    },
    "Variables": {
        "variables.view": "See variables",
        "variables.edit": "Make, change and remove variables",
    },
    "Automations": {
        "automations.view": "See automations",
        "automations.edit": "Make, change and remove automations",
    },
    "The workspace": {
        "cache.edit": "Have cached values computed anew",
        "quarantine.edit": "Decide about journals that were set aside",
        "people.assign": "Give people and teams roles here, up to one's own",
        "access.edit": "Restrict single blocks, deployments and pools to some people, and use all that are restricted",
        "keys.edit": "Make and revoke service accounts' keys, up to one's own role",
        "workspace.edit": "Rename and delete the workspace",
    },
}

# Who edits sees what they edit; who triggers sees what there is to trigger, and what became of it.
NEEDS: dict[str, frozenset[str]] = {
    "runs.trigger": frozenset({"runs.view", "deployments.view"}),
    "runs.cancel": frozenset({"runs.view"}),
    "runs.pause": frozenset({"runs.view"}),
    "runs.delete": frozenset({"runs.view"}),
    "runs.answer": frozenset({"runs.view"}),
    "deployments.edit": frozenset({"deployments.view"}),
    "schedules.edit": frozenset({"deployments.view"}),
    "pools.edit": frozenset({"pools.view"}),
    "agents.work": frozenset({"pools.view", "deployments.view", "journal.write", "bundles.read"}),
    "limits.edit": frozenset({"limits.view"}),
    "blocks.edit": frozenset({"blocks.view"}),
    "blocks.use": frozenset({"blocks.view"}),
    "variables.edit": frozenset({"variables.view"}),
    "automations.edit": frozenset({"automations.view"}),
    "cache.edit": frozenset({"runs.view"}),
    "people.assign": frozenset({"workspace.edit"}),
}


def completed(verbs: frozenset[str]) -> frozenset[str]:
    """Verbs with those without which they would lead nowhere."""
    return verbs.union(*(NEEDS.get(verb, frozenset()) for verb in verbs))


@dataclass(frozen=True, slots=True)
class Line:
    """One verb of the table: in words, and the built-in roles that have it."""

    verb: str
    words: str
    held_by: tuple[bool, ...]
    needs: str


def table() -> list[tuple[str, list[Line]]]:
    """The verbs by thing; `held_by` in the order of the built-in roles."""
    return [(thing, [_line(verb, words) for verb, words in verbs.items()]) for thing, verbs in THINGS.items()]


def _line(verb: str, words: str) -> Line:
    held_by = tuple(verb in WORKSPACE_VERBS[role] for role in WorkspaceRole)
    return Line(verb, words, held_by, ", ".join(sorted(NEEDS.get(verb, ()))))
