"""Pages of runs, deployments, pools. A view reads input, calls one operation, renders."""
