"""The thread that sends the journal and hears the answers.

A batch goes when 64 KiB have gathered or 100 ms have passed, and at once when a root run begins or ends. One batch is
under way at a time; the next one grows meanwhile. A local run that has nothing to say renews its lease by an empty
batch. Errors cost time, never entries.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import msgspec

from orchestrator.chance import chance
from orchestrator.exceptions import ApiError, Forbidden, TooLarge, Unauthorized, WireVersion
from orchestrator.journal.batches import Piece, body_of, fill_gap, pack, take
from orchestrator.journal.transport import Transport
from orchestrator.wire import REJECTIONS, Answer

if TYPE_CHECKING:
    from orchestrator.journal.hub import Hub
    from orchestrator.journal.stream import Stream

ENOUGH = 64 << 10  # bytes that are worth a batch
PATIENCE = 0.1  # seconds that an entry waits for company
FULL = 512 << 10  # bytes of one batch, unpacked
RENEW_EVERY = 15.0
SLOWEST = 30.0
STREAM_REFUSALS = {"stale_token", "unknown_run", "sealed", "quota"}

_decode = msgspec.json.Decoder(Answer).decode


class _Place:
    """Where the shipper is in one stream."""

    __slots__ = ("expected", "offset", "since", "spoke")

    def __init__(self) -> None:
        self.offset = 0
        self.expected: int | None = None
        self.since: float | None = None  # when the oldest unsent entry was seen
        self.spoke = time.monotonic()


class Shipper:
    """Sends what the hub's streams have written."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._transport = Transport(hub.api)
        self._places: dict[Stream, _Place] = {}
        self._failures = 0
        self._not_before = 0.0
        self._full = FULL
        self._told: set[str] = set()
        self._recovered = False

    def run(self) -> None:
        """Ship until the process, or its hub, ends."""
        while not self._hub.is_over:
            try:
                self._wait()
                pieces = self._collect()
                if pieces:
                    self._ship(pieces)
                self._retire()
            except Exception as error:
                # A defect here must not end the journal of a process.
                self._back_off(None)
                self._tell(f"the journal could not be sent: {error!r}")
        self._transport.close()

    def hurry(self) -> None:
        """The process is about to end: don't wait out a long pause."""
        self._not_before = 0.0

    # When.

    def _wait(self) -> None:
        hub = self._hub
        with hub.changed:
            while not hub.is_over:
                wait = self._time_to_next()
                if wait is not None and wait <= 0:
                    return
                hub.changed.wait(wait)

    def _time_to_next(self) -> float | None:
        """Seconds until a batch should go; None when nothing is to be sent."""
        now = time.monotonic()
        soonest: float | None = None
        unsent = 0
        for stream in list(self._hub.streams.values()):
            place = self._places.setdefault(stream, _Place())
            waiting = self._unsent(stream, place)
            unsent += waiting
            due = self._due(stream, place, waiting, now)
            if due is not None and (soonest is None or due < soonest):
                soonest = due
        if soonest is None:
            return None
        if unsent >= ENOUGH or (unsent and self._hub.urgent):
            soonest = now
        return max(soonest, self._not_before) - now

    @staticmethod
    def _unsent(stream: Stream, place: _Place) -> int:
        return 0 if stream.file is None or stream.refused else stream.file.size - place.offset

    def _due(self, stream: Stream, place: _Place, waiting: int, now: float) -> float | None:
        if stream.refused or stream.file is None or (stream.finished and not waiting):
            return now if stream.finished or stream.refused else None
        if waiting:
            place.since = place.since or now
            return place.since + PATIENCE
        return place.spoke + RENEW_EVERY if stream.local else None

    # What.

    def _collect(self) -> list[Piece]:
        self._hub.urgent = False
        pieces: list[Piece] = []
        room = self._full
        for stream, place in list(self._places.items()):
            piece = self._piece(stream, place, room)
            if piece is not None:
                pieces.append(piece)
                room -= len(piece.lines)
            if room <= 0:
                break
        return pieces

    def _piece(self, stream: Stream, place: _Place, room: int) -> Piece | None:
        if stream.file is None or stream.refused:
            return None
        piece = take(stream, stream.file, place.offset, room)
        if piece is None:
            renew = stream.local and not stream.finished and time.monotonic() - place.spoke >= RENEW_EVERY
            return Piece(stream, b"", stream.seq + 1, stream.seq, place.offset, place.offset, 0) if renew else None
        if place.expected is not None and place.expected < piece.first:
            fill_gap(piece, place.expected)
        return piece

    def _ship(self, pieces: list[Piece]) -> None:
        body, encoding = pack(body_of(pieces))
        try:
            answer = _decode(self._transport.post("/journal", body, encoding))
        except TooLarge as error:
            self._halve(error)
        except (ApiError, msgspec.DecodeError) as error:
            self._back_off(error if isinstance(error, ApiError) else None)
        else:
            self._apply(answer, pieces)

    # The answer.

    def _apply(self, answer: Answer, pieces: list[Piece]) -> None:
        self._failures = 0
        self._full = FULL
        self._not_before = 0.0
        moved = False
        for piece in pieces:
            moved = self._advance(piece, answer) or moved
        self._refusals(answer, pieces)
        if not moved and any(piece.lines for piece in pieces):
            self._back_off(None)
        for signal in answer.signals:
            self._signal(signal.run, signal.signal)
        self._look_for_left_behind()
        with self._hub.changed:
            self._hub.changed.notify_all()

    def _advance(self, piece: Piece, answer: Answer) -> bool:
        """Move on in a stream by what was acked, or back to what is expected."""
        stream: Stream = piece.stream
        place = self._places[stream]
        place.spoke, place.since = time.monotonic(), None
        file = stream.file
        acked, expected = answer.acked.get(stream.id), answer.expected.get(stream.id)
        if file is None:
            return False
        place.expected = expected
        before = place.offset
        if acked is not None and acked >= piece.last and piece.generation == file.generation:
            place.offset = piece.end
        elif acked is not None or expected is not None:
            after = (acked + 1) if acked is not None else (expected or 0)
            place.offset = file.offset_of(after)
        if acked is not None:
            stream.acked(acked)
            file.trim(place.offset)
        return place.offset != before

    def _refusals(self, answer: Answer, pieces: list[Piece]) -> None:
        streams = {piece.stream.id: piece.stream for piece in pieces}
        for refused in answer.rejected:
            stream = streams.get(refused.stream)
            if stream is not None and stream.writer and refused.code == "unknown_run" and refused.seq == 0:
                continue  # The holder of the run has not told of it yet.
            if stream is not None and refused.seq == 0 and refused.code in STREAM_REFUSALS:
                self._refuse(stream, refused.code)
            elif refused.code not in ("refused", "superseded"):
                self._tell(f"the server did not take an entry: {REJECTIONS.get(refused.code, refused.code)}")

    def _refuse(self, stream: Stream, code: str) -> None:
        stream.refused = True
        if stream.file is not None:
            stream.file.set_aside()
            where = stream.file.path.with_suffix(".rejected")
            self._tell(f"the server does not take this journal ({REJECTIONS.get(code, code)}); it is kept in {where}")

    def _signal(self, run: object, word: str) -> None:
        for stream in self._places:
            if stream.root == run and stream.stopping is not None:
                stream.stopping.signalled(word)

    def _retire(self) -> None:
        """Let go of streams that are over and received."""
        for stream in list(self._places):
            file = stream.file
            if file is None or not (stream.finished or stream.refused):
                continue
            with self._hub.changed:
                if not stream.refused and not file.all_acked:
                    continue
                self._places.pop(stream)
                self._hub.streams.pop(stream.id, None)
                stream.file = None
                file.close(remove=not stream.refused)
                self._hub.changed.notify_all()  # Somebody may wait for the very end of it.

    # Errors.

    def _back_off(self, error: ApiError | None) -> None:
        self._failures += 1
        delay = min(SLOWEST, 0.2 * 2 ** min(self._failures, 10)) * (0.5 + chance.random())
        if error is not None and error.retry_after is not None:
            delay = max(delay, min(error.retry_after, 300.0))
        if isinstance(error, Unauthorized | Forbidden | WireVersion):
            delay = max(delay, SLOWEST)
            self._tell(f"the journal is not received: {error}")
        elif self._failures == 3 and error is not None:
            self._tell(f"the journal waits for the server: {error}")
        self._not_before = time.monotonic() + (min(delay, 1.0) if self._hub.closing else delay)

    def _halve(self, error: ApiError) -> None:
        if self._full <= 1 << 12:
            self._back_off(error)
        self._full = max(1 << 12, self._full // 2)

    def _tell(self, message: str) -> None:
        """Say it once."""
        if message not in self._told and len(self._told) < 20:
            self._told.add(message)
            print(f"Orchestrator: {message}", file=sys.stderr)

    def _look_for_left_behind(self) -> None:
        """The server answers: a good moment to send what dead processes left, once.

        The token of a run opens no other run's journal: sent with it, they would be refused and set aside for good.
        Under an agent the agent sees to them.
        """
        if not self._recovered and any(stream.local for stream in self._places):
            self._recovered = True
            from orchestrator.journal.recovery import ship_in_background

            ship_in_background(self._hub.api)
