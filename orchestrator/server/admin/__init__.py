"""The two sites made with Django's admin: `/o/<organization>/admin/` for an organization's owners and admins, `/admin/`
for the installation's staff.
"""
