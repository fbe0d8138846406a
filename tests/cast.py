"""The cast, the same in every test: Alice owns, Bob runs, Vera only views, Eve belongs to another organization.

Programs hold keys: `api` a developer's, `agent_api` an agent's, `eve_api` one of Eve's workspace.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

import pytest

PASSWORD = "correct horse battery"


@dataclass
class Company:
    """An organization with one workspace, its default pool, and its owner."""

    organization: Any
    workspace: Any
    owner: Any
    pool: Any

    @property
    def path(self) -> str:
        """Where its pages are."""
        return f"/o/{self.organization.slug}/{self.workspace.slug}/"

    def scope(self) -> Any:
        """Its tenant scope."""
        from tenants.scope import tenant_scope

        return tenant_scope(self.organization.id)

    def actor(self, role: str = "developer") -> Any:
        """Somebody of this workspace."""
        from tenants.permissions import Actor

        return Actor("key", self.organization.id, self.workspace.id, role, "test")

    def key(self, name: str, role: str = "developer") -> str:
        """A new key's secret."""
        from tenants.keys import create_key

        with self.scope():
            return create_key(workspace=self.workspace, name=name, role=role)[1]


@functools.cache
def _hashed_password() -> str:
    """Argon2 is slow on purpose; everybody of the cast has the same password."""
    from django.contrib.auth.hashers import make_password

    return make_password(PASSWORD)


def person(email: str) -> Any:
    """Somebody who may log in with PASSWORD."""
    from tenants.models import User

    return User.objects.create(email=email, password=_hashed_password())


def found_company(name: str, email: str) -> Company:
    """Make an organization, its workspace `main` and its default pool."""
    from runs.agents import create_pool
    from tenants.provisioning import create_organization, create_workspace
    from tenants.scope import tenant_scope

    owner = person(email)
    organization = create_organization(name=name, owner=owner)
    with tenant_scope(organization.id):
        workspace = create_workspace(organization=organization, name="Main")
        pool = create_pool(workspace=workspace, name="default")
    return Company(organization, workspace, owner, pool)


class Api:
    """The API as a program with one key sees it."""

    def __init__(self, key: str, root: str = "/api/v1") -> None:
        from django.test import Client

        self.key, self.root = key, root
        self.client = Client(headers={"Authorization": f"Bearer {key}", "Orchestrator-Wire": "1"})

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(self.root + path, query)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._send("post", path, body, headers)

    def put(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._send("put", path, body, headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._send("patch", path, body, headers)

    def delete(self, path: str) -> Any:
        return self.client.delete(self.root + path)

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body if body is not None else {})
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        return getattr(self.client, method)(self.root + path, data=data, content_type=kind, headers=headers)


@pytest.fixture(autouse=True)
def _trust_nothing_of_before(request: pytest.FixtureRequest) -> None:
    """What a process remembers of secrets would outlive the rows of a test."""
    if "db" in request.fixturenames or "transactional_db" in request.fixturenames:
        from runs import admission
        from tenants.authentication import forget_secrets

        forget_secrets()
        admission.forget()


@pytest.fixture
def acme(db: None) -> Company:
    """Alice's company."""
    return found_company("Acme", "alice@acme.example")


@pytest.fixture
def globex(db: None) -> Company:
    """Eve's company."""
    return found_company("Globex", "eve@globex.example")


def _member(company: Company, email: str, role: str) -> Any:
    from tenants.models import Membership, WorkspaceMembership

    user = person(email)
    own = {"organization": company.organization, "user": user}
    with company.scope():
        Membership.objects.create(**own, role="member")
        WorkspaceMembership.objects.create(**own, workspace=company.workspace, role=role)
    return user


@pytest.fixture
def alice(acme: Company) -> Any:
    return acme.owner


@pytest.fixture
def bob(acme: Company) -> Any:
    return _member(acme, "bob@acme.example", "runner")


@pytest.fixture
def vera(acme: Company) -> Any:
    return _member(acme, "vera@acme.example", "viewer")


@pytest.fixture
def eve(globex: Company) -> Any:
    return globex.owner


@pytest.fixture
def api(acme: Company) -> Api:
    """A developer's key of Acme."""
    return Api(acme.key("developer"))


@pytest.fixture
def agent_api(acme: Company) -> Api:
    """An agent's key of Acme."""
    return Api(acme.key("agent", "agent"))


@pytest.fixture
def eve_api(globex: Company) -> Api:
    """A developer's key of Globex."""
    return Api(globex.key("developer"))


@pytest.fixture
def things(acme: Company, api: Api, globex: Company) -> Any:
    """Something of everything that Acme can have, by route and parameter; "" stands for any route."""
    from tests.server.things_of_acme import furnish

    return furnish(acme, api)


@pytest.fixture
def browse() -> Any:
    """Sign somebody in; answers their browser."""
    from django.test import Client

    def sign_in(user: Any) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return sign_in
