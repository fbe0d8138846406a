"""The API of flows, deployments, runs, agents and the journal."""

from django.urls import path

from runs.api import agents, artifacts, assets, automations, cache, deployments, events, flow_runs, journal, pools

urlpatterns = [
    path("journal", journal.Journal.as_view(), name="api-journal"),
    path("deployments", deployments.Deployments.as_view(), name="api-deployments"),
    path(
        "deployments/by-name/<path:flow>/<str:name>",
        deployments.DeploymentByName.as_view(),
        name="api-deployment-named",
    ),
    path("deployments/<uuid:id>", deployments.DeploymentById.as_view(), name="api-deployment"),
    path("deployments/<uuid:id>/pause", deployments.Pause.as_view(), name="api-deployment-pause"),
    path("deployments/<uuid:id>/resume", deployments.Resume.as_view(), name="api-deployment-resume"),
    path("bundles/<str:sha256>", deployments.Bundles.as_view(), name="api-bundle"),
    path("flow-runs", flow_runs.FlowRuns.as_view(), name="api-flow-runs"),
    path("flow-runs/<uuid:id>", flow_runs.OneFlowRun.as_view(), name="api-flow-run"),
    path("flow-runs/<uuid:id>/cancel", flow_runs.Cancel.as_view(), name="api-flow-run-cancel"),
    path("flow-runs/<uuid:id>/logs", flow_runs.Logs.as_view(), name="api-flow-run-logs"),
    path("flow-runs/<uuid:id>/task-runs", flow_runs.TaskRuns.as_view(), name="api-flow-run-tasks"),
    path("artifacts", artifacts.Artifacts.as_view(), name="api-artifacts"),
    path("artifacts/<uuid:id>", artifacts.OneArtifact.as_view(), name="api-artifact"),
    path("artifacts/by-key/<str:key>", artifacts.ArtifactsOfKey.as_view(), name="api-artifacts-of-key"),
    path("assets", assets.Assets.as_view(), name="api-assets"),
    path("assets/<uuid:id>", assets.OneAsset.as_view(), name="api-asset"),
    path("assets/<uuid:id>/materializations", assets.Materializations.as_view(), name="api-asset-materializations"),
    path("cache-entries", cache.Entries.as_view(), name="api-cache-entries"),
    path("cache-entries/invalidate", cache.Invalidate.as_view(), name="api-cache-invalidate"),
    path("cache-entries/<uuid:id>", cache.OneEntry.as_view(), name="api-cache-entry"),
    path("cache-entries/by-key/<str:key>", cache.EntryOfKey.as_view(), name="api-cache-entry-of-key"),
    path("events", events.Events.as_view(), name="api-events"),
    path("events/<uuid:id>", events.OneEvent.as_view(), name="api-event"),
    path("automations", automations.Automations.as_view(), name="api-automations"),
    path("automations/<str:name>", automations.OneAutomation.as_view(), name="api-automation"),
    path("automations/<str:name>/test", automations.Test.as_view(), name="api-automation-test"),
    path("work-pools", pools.WorkPools.as_view(), name="api-work-pools"),
    path("work-pools/<str:pool>", pools.OneWorkPool.as_view(), name="api-work-pool"),
    path("work-pools/<str:pool>/queues", pools.Queues.as_view(), name="api-work-queues"),
    path("work-pools/<str:pool>/queues/<str:queue>", pools.OneQueue.as_view(), name="api-work-queue"),
    path("agents", agents.Agents.as_view(), name="api-agents"),
    path("agents/<uuid:id>/claim", agents.Claim.as_view(), name="api-agent-claim"),
    path("agents/<uuid:id>/heartbeat", agents.Heartbeat.as_view(), name="api-agent-heartbeat"),
    path("agents/<uuid:id>/ended", agents.Ended.as_view(), name="api-agent-ended"),
]
