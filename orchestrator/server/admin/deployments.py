"""Deployments in the organization's admin."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from orchestrator.agent_messages import PROCESSES
from orchestrator.server.admin.fields import JsonField, WordsField
from orchestrator.server.admin.organization import InWorkspaceForm, OfWorkspace, OfWorkspaces, actor_in, site
from orchestrator.server.admin.site import column
from runs import deployments, schedules
from runs.models import Deployment, Limit, Schedule
from tenants.errors import Invalid

SCHEDULE_HELP = (
    'Like {"cron": "0 6 * * *", "timezone": "Europe/Berlin"}, {"interval": 3600} or {"rrule": "FREQ=DAILY"}; several in'
    " a list, each with a slug; empty for none. Those that people added are not among them."
)
SOURCE_HELP = 'Where the code is: {"type": "path", "path": …} or {"type": "bundle", "sha256": …}.'


def _text(length: int, required: bool = True, **options: Any) -> forms.CharField:
    return forms.CharField(max_length=length, required=required, widget=UnfoldAdminTextInputWidget(), **options)


def _count(required: bool = False, **options: Any) -> forms.IntegerField:
    return forms.IntegerField(required=required, min_value=0, widget=UnfoldAdminIntegerFieldWidget(), **options)


class DeploymentForm(InWorkspaceForm):
    """What `deploy()` takes. Flow, name and workspace stay."""

    flow_name = _text(500, label="Flow")
    name = _text(200)
    description = forms.CharField(required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}))
    version = _text(200, required=False)
    tags = WordsField(required=False, help_text="Separated by commas.")
    entrypoint = _text(1000, help_text="module:function, or file.py:function.")
    source = JsonField(rows=3, help_text=SOURCE_HELP)
    work_pool = _text(200, initial="default")
    work_queue = _text(200, required=False, help_text="Empty: the pool's default queue.")
    parameters = JsonField(required=False, initial={}, help_text="Defaults for each run.")
    parameter_schema = JsonField(required=False, initial={}, help_text="JSON Schema of the parameters.")
    schedule = JsonField(required=False, rows=3, help_text=SCHEDULE_HELP)
    active = forms.BooleanField(
        required=False, initial=True, widget=UnfoldBooleanSwitchWidget(), label="Schedules are active"
    )
    retries = _count(initial=0)
    retry_delay = forms.FloatField(
        required=False, min_value=0, initial=0, widget=UnfoldAdminDecimalFieldWidget(), help_text="Seconds."
    )
    crash_retries = _count(help_text="For crashes alone; empty: the flow's own.")
    concurrency_limit = _count(help_text="Runs at once; empty: any number.")
    process = forms.ChoiceField(choices=[(name, name) for name in PROCESSES], widget=UnfoldAdminSelectWidget())
    job_variables = JsonField(required=False, rows=3, initial={})
    debounce = forms.FloatField(
        required=False, min_value=0, widget=UnfoldAdminDecimalFieldWidget(),
        help_text="Seconds: triggers that are closer than this become one run. Empty: none.",
    )  # fmt: skip

    class Meta:
        model = Deployment
        fields = (
            "workspace", "name", "description", "version", "tags", "entrypoint", "source", "parameters",
            "parameter_schema", "retries", "retry_delay", "crash_retries", "process", "job_variables",
            "debounce",
        )  # fmt: skip

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.instance.pool_id:
            self.initial |= _told(self.instance)

    def clean(self) -> dict[str, Any]:
        cleaned, by = super().clean(), self.actor
        known = Deployment.objects.filter(flow__name=cleaned.get("flow_name"), name=cleaned.get("name"))
        if by and known.filter(workspace_id=by.workspace_id).exists():
            self.add_error("name", "A deployment of this flow and name exists in this workspace.")
        return cleaned


def _told(deployment: Deployment) -> dict[str, Any]:
    """What the form shows of a deployment that lies in other rows."""
    own = list(Schedule.objects.filter(deployment=deployment, deployed=True).order_by("slug"))
    limit = Limit.objects.filter(kind=Limit.Kind.DEPLOYMENT, target_id=deployment.id).first()
    return {
        "work_pool": deployment.pool.name,
        "work_queue": deployment.queue.name,
        "schedule": [_schedule(each) for each in own] or None,
        "active": not own or any(each.active for each in own),
        "concurrency_limit": limit.slots if limit else None,
    }


def _schedule(schedule: Schedule) -> dict[str, Any]:
    """What it is, without what is so by default, and without its pause, which is not deployed."""
    told = schedules.described(schedule)
    anchor = {"anchor": schedule.anchor.isoformat()} if schedule.anchor else {}
    default = {"day_or": True, "anchor": None, "parameters": {}, "catch_up": "skip", "skip_if_late": None}
    if schedule.catch_up != Schedule.CatchUp.ALL:
        del told["catch_up_max"]
    del told["active"]
    return {name: value for name, value in told.items() if name not in default or default[name] != value} | anchor


def _listed(told: Any) -> list[dict[str, Any]]:
    every = told if isinstance(told, list) else [told] if told else []
    if not all(isinstance(each, dict) for each in every):
        raise Invalid("Schedules are objects.", fields={"schedule": SCHEDULE_HELP})
    return every


class Deployments(OfWorkspaces):
    """The list and the form."""

    form = DeploymentForm
    list_display = ("name", "flow", "workspace", "pool", "version", "process", "updated_at")
    list_select_related = ("workspace", "flow", "pool", "queue")
    list_filter = (OfWorkspace,)
    search_fields = ("name", "flow__name", "description")
    ordering = ("-updated_at", "id")
    fieldsets = (
        (None, {"fields": ("workspace", "flow_name", "name", "description", "version", "tags")}),
        ("Code", {"fields": ("entrypoint", "source", "process")}),
        (
            "Where and when",
            {"fields": ("work_pool", "work_queue", "schedule", "active", "concurrency_limit", "debounce")},
        ),
        ("Parameters", {"fields": ("parameters", "parameter_schema")}),
        ("Retries", {"fields": ("retries", "retry_delay", "crash_retries")}),
        ("For the launcher", {"fields": ("job_variables",)}),
    )

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).select_related("workspace", "flow", "pool", "queue")

    def get_readonly_fields(self, request: Any, obj: Any = None) -> tuple[str, ...]:
        return ("workspace", "flow_name", "name") if obj else ()

    @column("flow")
    def flow_name(self, deployment: Deployment) -> str:
        return deployment.flow.name

    def save_model(self, request: Any, obj: Any, form: Any, change: bool) -> None:
        by, told = actor_in(request, obj.workspace_id), form.cleaned_data
        limits = deployments.limits_of(obj)  # What the form does not show stays.
        saved, _ = deployments.deploy(
            deployments.DeploymentRequest(
                flow=obj.flow.name if change else told["flow_name"],
                name=obj.name,
                entrypoint=told["entrypoint"],
                source=told["source"],
                parameter_schema=told["parameter_schema"] or {},
                parameters=told["parameters"] or {},
                description=told["description"],
                tags=told["tags"],
                version=told["version"],
                work_pool=told["work_pool"],
                work_queue=told["work_queue"] or None,
                schedules=_listed(told["schedule"]),
                retries=told["retries"] or 0,
                retry_delay=told["retry_delay"] or 0,
                crash_retries=told["crash_retries"],
                concurrency_limit=told["concurrency_limit"],
                key_slots=limits["key_slots"],
                on_limit=limits["on_limit"],
                concurrency_key=obj.concurrency_key,
                python=obj.python,
                process=told["process"],
                job_variables=told["job_variables"] or {},
                debounce=told["debounce"] or None,
            ),
            by=by,
        )
        self._let_run(saved, active=told["active"], by=by)
        obj.pk, obj.flow = saved.pk, saved.flow

    def _let_run(self, deployment: Deployment, *, active: bool, by: Any) -> None:
        """Pause or resume its schedules where that was changed."""
        own = Schedule.objects.filter(deployment=deployment)
        if own.exists() and own.filter(active=True).exists() != active:
            deployments.resume(deployment, by=by) if active else deployments.pause(deployment, by=by)

    def delete_model(self, request: Any, obj: Any) -> None:
        deployments.delete(obj, by=actor_in(request, obj.workspace_id))


site.register(Deployment, Deployments)
