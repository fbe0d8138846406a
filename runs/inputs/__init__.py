"""What runs wait for: to be paused and resumed, answers and approvals of people, messages of other runs.

pausing.py    the wish that a run pauses, and the end of a pause
requests.py   what is open, for whom, until when
answers.py    what people say, and what it comes to
messages.py   what runs are sent
doorbell.py   how a process that waits hears of it at once
links.py      addresses of forms that carry their own right
"""
