"""What a key is and where it leads."""

from django.conf import settings
from django.http import HttpResponse
from rest_framework.request import Request

from tenants.api import TenantView
from tenants.messages import answer
from tenants.models import Organization, Workspace


class Me(TenantView):
    """GET: the organization, workspace and role of the credential."""

    verbs = {"GET": "deployments.view"}

    def get(self, request: Request) -> HttpResponse:
        actor = self.actor
        organization = Organization.objects.get(id=actor.organization_id)
        workspace = Workspace.objects.get(id=actor.workspace_id)
        return answer(
            {
                "organization": organization.slug,
                "workspace": workspace.slug,
                "actor": actor.label,
                "kind": actor.kind,
                "role": actor.role,
                "portal_url": f"{settings.PUBLIC_URL}/o/{organization.slug}/{workspace.slug}/",
            }
        )
