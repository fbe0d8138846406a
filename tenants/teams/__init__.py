"""Teams: people of an organization under a name, who get parts in workspaces together."""
