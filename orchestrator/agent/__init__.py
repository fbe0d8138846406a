"""The agent: claims runs of a pool and executes them on this machine.

settings.py   what can be set
agent.py      register, wait, claim, launch, drain
leases.py     the heartbeat: renews leases, brings signals
launchers.py  what a launcher must do, whatever it launches
process.py    a fresh process for each run
bundles.py    code by its hash, verified and unpacked once
leftovers.py  journals of processes that died, and the word that they did
"""
