"""The agent: claims runs of a pool and executes them on this machine.

settings.py   what can be set
agent.py      register, wait, claim, drain
holdings.py   the runs that it holds, each from its claim to the word on its end
leases.py     the heartbeat: renews leases, brings signals, takes news along
adoption.py   runs that lost the agent before this one
kind.py       the launcher of the pool's type, made when the server has said which
launchers.py  what a launcher is made from and must do, whatever it launches
local.py      runs as processes of this machine: warm, reused or fresh
templates.py  what is kept warm, for which deployment, for how long
standby.py    one process that stands by
process.py    one run's process: its line, its output, its end
watch.py      the thread that hears of them all
bundles.py    code by its hash, verified and unpacked once
places.py     where code is here, from wherever it is kept
leftovers.py  journals of processes that died, and the word that they did
log.py        the agent's own log
health.py     answers those who watch over it
load.py       what it uses
signals.py    what signals tell it to do
memory.py     what processes use, and their bounds
patience.py   how long to wait before the server is asked again
"""
