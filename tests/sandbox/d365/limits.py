"""Service protection: requests and execution time in a sliding window, and requests at once, per user."""
import math
from collections import deque

from .errors import ApiError


class Usage:
    __slots__ = ("spans", "spent", "running", "refused")

    def __init__(self):
        self.spans = deque()
        self.spent = 0.0
        self.running = 0
        self.refused = 0


class Limits:
    def __init__(self, options, clock):
        self.options = options
        self.clock = clock
        self.users = {}
        self.setting = None

    def active(self):
        """Whether any limit is set; a new setting starts with empty windows."""
        o = self.options
        setting = (o["LimitRequests"], o["LimitMilliseconds"], o["LimitConcurrent"], o["LimitWindow"])
        if setting != self.setting:
            self.setting = setting
            self.users.clear()
        return any(setting[:3])

    def usage(self, user):
        used = self.users.get(user)
        if used is None:
            used = self.users[user] = Usage()
        oldest = self.clock() - self.options["LimitWindow"]
        while used.spans and used.spans[0][0] <= oldest:
            used.spent -= used.spans.popleft()[1]
        return used

    def enter(self, user):
        """Counts a request in, or refuses it with 429."""
        o, used = self.options, self.usage(user)
        refusal = None
        if o["LimitConcurrent"] and used.running >= o["LimitConcurrent"]:
            refusal = ("0x80072326", "Number of concurrent requests exceeded the limit of %d."
                       % o["LimitConcurrent"], 1)
        elif o["LimitRequests"] and len(used.spans) >= o["LimitRequests"]:
            refusal = ("0x80072322", "Number of requests exceeded the limit of %d over time window of %d "
                       "seconds." % (o["LimitRequests"], o["LimitWindow"]), self.wait(used))
        elif o["LimitMilliseconds"] and used.spent >= o["LimitMilliseconds"]:
            refusal = ("0x80072321", "Combined execution time of incoming requests exceeded limit of %s "
                       "milliseconds over time window of %d seconds. Decrease number of concurrent requests or "
                       "reduce the duration of requests and try again later."
                       % (format(o["LimitMilliseconds"], ",d"), o["LimitWindow"]), self.wait(used))
        if refusal is None:
            used.running += 1
            used.refused = 0
            return used
        used.refused += 1
        code, message, seconds = refusal
        # Whoever keeps pushing waits longer each time.
        seconds = min(seconds + used.refused - 1, o["LimitWindow"])
        raise ApiError(429, code, message, [("Retry-After", str(seconds))])

    def wait(self, used):
        left = used.spans[0][0] + self.options["LimitWindow"] - self.clock() if used.spans else 1
        return max(1, math.ceil(left))

    def leave(self, used, started, milliseconds):
        used.running -= 1
        used.spans.append((started, milliseconds))
        used.spent += milliseconds

    def headers(self, user):
        """Remaining allowance, as every answer shows it."""
        o = self.options
        used = self.users.get(user)
        count, spent = (len(used.spans), used.spent) if used else (0, 0.0)
        return {
            "x-ms-ratelimit-burst-remaining-xrm-requests": str(max(0, (o["LimitRequests"] or 6000) - count)),
            "x-ms-ratelimit-time-remaining-xrm-requests":
                "%.2f" % max(0.0, ((o["LimitMilliseconds"] or 1200000) - spent) / 1000),
        }
