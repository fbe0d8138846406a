"""Webhooks: addresses at which others trigger runs."""
