"""Webhooks, where users of Prefect look for them."""

from orchestrator.blocks.webhooks import Webhook

__all__ = ["Webhook"]
