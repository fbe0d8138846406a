"""`orchestrator.yaml`: which deployments a project has, read with their lines, and compared with the server."""
