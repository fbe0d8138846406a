"""What a key is and where it leads."""

from uuid import UUID

import msgspec
from django.conf import settings
from django.http import HttpResponse
from rest_framework.request import Request

from tenants.api import TenantView
from tenants.declared import operation
from tenants.messages import answer
from tenants.models import Organization, Workspace


class Credential(msgspec.Struct):
    """What a key or a run's token is good for: where, as whom, in which role."""

    organization: str
    workspace: str
    workspace_id: UUID
    actor: str
    kind: str
    role: str
    portal_url: str


class Me(TenantView):
    """GET: the organization, workspace and role of the credential."""

    verbs = {"GET": "deployments.view"}

    @operation(Credential)
    def get(self, request: Request) -> HttpResponse:
        actor = self.actor
        organization = Organization.objects.get(id=actor.organization_id)
        workspace = Workspace.objects.get(id=actor.workspace_id)
        return answer(
            Credential(
                organization=organization.slug,
                workspace=workspace.slug,
                workspace_id=workspace.id,
                actor=actor.label,
                kind=actor.kind,
                role=actor.role,
                portal_url=f"{settings.PUBLIC_URL}/o/{organization.slug}/{workspace.slug}/",
            )
        )
