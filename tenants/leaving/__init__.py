"""How tenants leave: exported, moved, and gone when their grace is over."""
