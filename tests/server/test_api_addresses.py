"""What is no address of the API is told in the API's one shape."""

import pytest
from django.test import Client


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["get", "post", "delete"])
@pytest.mark.parametrize("path", ["", "nonsense", "flow-runs/not-an-id", "agents/../../admin"])
def test_an_unknown_address(path: str, method: str) -> None:
    response = getattr(Client(), method)(f"/api/v1/{path}")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"
