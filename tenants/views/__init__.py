"""Pages of people, keys, organizations and workspaces. A view reads input, calls one operation, renders."""
