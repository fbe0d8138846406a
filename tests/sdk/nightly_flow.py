"""A flow that is deployed."""

from orchestrator import flow


@flow(tags=["own"], retries=2, retry_delay_seconds=5, version="3")
def nightly(day: str, limit: int = 10) -> str:
    """Load a day."""
    return day
