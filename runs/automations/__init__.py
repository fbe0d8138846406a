"""When something happens, somebody is told, or a deployment is run.

definitions.py  what a trigger and an action may say, checked
templates.py    subject, text and parameters, in a sandbox with bounds
making.py       values that templates make
edit.py         automations are made, changed, paused, deleted, tested
grouping.py     firings become notifications: a few at once, a storm in one
delivery.py     a notification becomes a message, once
senders.py      how a message reaches each kind of block
triggering.py   a firing becomes a run, once
outcomes.py     what became of it

An event fires an automation in the event's own transaction (`runs/events.py`); the rest is the work of ticks and
workers, so whoever made the event waits for none of it.
"""
