"""Calls of the last 24 hours against the daily limit, and calls that run long side by side."""
import time
from collections import deque

from .errors import ApiError

HOUR = 3600
DAILY = "TotalRequests Limit exceeded."
CONCURRENT = "ConcurrentRequests (Concurrent API Requests) Limit exceeded."


class Limits:
    def __init__(self, options, clock):
        self.options = options
        self.clock = clock
        self.hours = deque()
        self.used = 0
        self.refused = 0
        self.concurrent = 0
        self.running = {}

    def expire(self, hour):
        while self.hours and self.hours[0][0] <= hour - 24:
            self.used -= self.hours.popleft()[1]

    def count(self, check=True):
        """One call more; refuses it when the day's are used up."""
        hour = int(self.clock() // HOUR)
        hours = self.hours
        if not hours or hours[-1][0] != hour:
            self.expire(hour)
            hours.append([hour, 0])
        if check and self.used >= self.options["DailyLimit"]:
            self.refused += 1
            raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", DAILY)
        if check and self.concurrent > 0:
            self.concurrent -= 1
            raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", CONCURRENT)
        hours[-1][1] += 1
        self.used += 1

    def header(self):
        return "api-usage=%d/%d" % (self.used, self.options["DailyLimit"])

    def enter(self, key):
        long = time.monotonic() - self.options["ConcurrentSeconds"]
        if sum(1 for began in self.running.values() if began <= long) >= self.options["ConcurrentLimit"]:
            raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", CONCURRENT)
        self.running[key] = time.monotonic()

    def leave(self, key):
        self.running.pop(key, None)

    def document(self):
        most = self.options["DailyLimit"]
        left = max(0, most - self.used)
        return {"ConcurrentAsyncGetReportInstances": {"Max": 200, "Remaining": 200},
                "DailyApiRequests": {"Max": most, "Remaining": left},
                "DailyAsyncApexExecutions": {"Max": 250000, "Remaining": 250000},
                "DailyBulkApiBatches": {"Max": 15000, "Remaining": 15000},
                "DataStorageMB": {"Max": 1024, "Remaining": 1000}, "FileStorageMB": {"Max": 1024, "Remaining": 1000},
                "MonthlyPlatformEvents": {"Max": 300000, "Remaining": 300000}}

    def control(self, doc):
        unknown = set(doc) - {"used", "max", "concurrent"}
        if unknown:
            raise ValueError("used, max and concurrent may be set")
        if "max" in doc:
            self.options["DailyLimit"] = int(doc["max"])
        if "used" in doc:
            hour = int(self.clock() // HOUR)
            self.hours.clear()
            self.hours.append([hour, int(doc["used"])])
            self.used = int(doc["used"])
        self.concurrent = int(doc.get("concurrent", self.concurrent))
        return {"used": self.used, "max": self.options["DailyLimit"], "refused": self.refused,
                "concurrent": self.concurrent}
