"""Roles in workspaces: the built-in ones, and those that an organization makes of the list of verbs."""
