"""The simulator's clock and timers that follow it."""

import asyncio
import calendar
import email.utils
import heapq
import itertools
import re
import time


class Clock:
    """now() = time at the last setting + what passed since, times rate.

    set(offset=o) makes now() = real time + o at that moment; from there it runs at `rate`.
    """

    def __init__(self):
        self._real = self._base = time.time()
        self.rate = 1.0
        self.shifted = False
        self._back = 0.0
        self._timers = []
        self._ids = itertools.count()
        self._wake = None

    def now(self):
        real = time.time()
        if self.rate == 1.0:
            return real + (self._base - self._real)
        return self._base + (real - self._real) * self.rate

    def steady(self):
        """now(), but never going back: what was set back is added again."""
        return self.now() + self._back

    def set(self, offset=None, rate=None, advance=None):
        real, before = time.time(), self.now()
        now = before
        if offset is not None:
            now = real + offset
        if advance is not None:
            now += advance
        self._back += max(0.0, before - now)
        self._real, self._base, self.shifted = real, now, True
        if rate is not None:
            self.rate = rate
        self._nudge()

    def state(self):
        now = self.now()
        return {"offset": round(now - time.time(), 6), "rate": self.rate, "now": now, "iso": iso(now, 7)}

    def at(self, when, function):
        """Calls function() once now() >= when. Only from the event loop."""
        heapq.heappush(self._timers, (when, next(self._ids), function))
        if self._timers[0][0] == when:
            self._nudge()

    async def sleep(self, seconds):
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        self.at(self.now() + seconds, lambda: future.done() or future.set_result(None))
        await future

    def _nudge(self):
        if self._wake is not None:
            self._wake.set()

    async def run(self):
        self._wake = asyncio.Event()
        while True:
            self._wake.clear()
            while self._timers and self._timers[0][0] <= self.now():
                heapq.heappop(self._timers)[2]()
            pause = None
            if self._timers and self.rate > 0:
                pause = max(0.0005, (self._timers[0][0] - self.now()) / self.rate)
            try:
                await asyncio.wait_for(self._wake.wait(), pause)
            except asyncio.TimeoutError:
                pass


def iso(when, digits=0):
    """UTC date-time with `digits` fraction digits (0 to 7) and Z."""
    ticks = int(round(when * 10 ** 7))
    seconds, fraction = divmod(ticks, 10 ** 7)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    if digits:
        text += "." + ("%07d" % fraction)[:digits]
    return text + "Z"


_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?)?(Z|[+-]\d\d:?\d\d)?$", re.I)


def parse_iso(text):
    """Seconds since the epoch, or None. No zone means UTC."""
    match = _ISO.match(text.strip()) if isinstance(text, str) else None
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        when = calendar.timegm((int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0)))
    except (ValueError, OverflowError):
        return None
    if not 1 <= int(month) <= 12 or not 1 <= int(day) <= 31:
        return None
    if fraction:
        when += float(fraction)
    if zone and zone not in "Zz":
        sign = -1 if zone[0] == "+" else 1
        when += sign * (int(zone[1:3]) * 3600 + int(zone[-2:]) * 60)
    return when


def http_date(when):
    return email.utils.formatdate(when, usegmt=True)
