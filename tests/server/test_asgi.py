"""Pages and the API are served by one process, each through the middleware that it needs."""

from __future__ import annotations

import httpx
import pytest

from tests.cast import Company


@pytest.mark.django_db(transaction=True)
def test_the_api_is_served_without_what_pages_need(acme: Company, served: str) -> None:
    key = {"Authorization": f"Bearer {acme.key('k')}"}
    with httpx.Client(base_url=served, timeout=20) as client:
        found = client.get("/api/v1/deployments", headers=key)
        refused = client.get("/api/v1/deployments")
        missing = client.get("/api/v1/nonsense", headers=key)
        foreign = client.get("/api/v1/deployments", headers={**key, "Host": "elsewhere.example"})
        page = client.get("/login/")

    assert [answer.status_code for answer in (found, refused, missing, foreign, page)] == [200, 401, 404, 400, 200]
    assert found.json() == {"items": [], "next": None}
    assert found.headers["X-Content-Type-Options"] == "nosniff"
    assert len(found.headers["X-Request-ID"]) == 16
    assert "Content-Security-Policy" not in found.headers
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Frame-Options"] == "DENY"
