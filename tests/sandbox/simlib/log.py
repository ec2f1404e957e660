"""The request log: a ring of what was asked and answered, and counts that never roll over."""

import re
from collections import deque
from urllib.parse import parse_qsl

RING = 200_000
BODY = 4096
FIELDS = ("n", "t", "method", "path", "query", "status", "ms", "fault", "request_id", "client_request_id", "body",
          "traceparent")
OPEN_FORM_FIELDS = {"grant_type", "scope", "resource", "client_id"}


def loggable(req):
    """At most 4 KB of a write's body as text; values of forms only where they are no secret."""
    if not req.body or req.method in ("GET", "HEAD"):
        return None
    if "urlencoded" in req.headers.get("Content-Type", ""):
        pairs = parse_qsl(req.body[:BODY].decode("latin-1"), keep_blank_values=True)
        return "&".join("%s=%s" % (k, v if k in OPEN_FORM_FIELDS else "***") for k, v in pairs)
    return req.body[:BODY].decode("utf-8", "replace")


class RequestLog:
    def __init__(self):
        self.containers = ("/$batch",)
        self.last = 0
        self.total = 0
        self.ring = deque(maxlen=RING)
        self.counts = {}
        self.operations = {}

    def clear(self):
        self.ring.clear()
        self.counts.clear()
        self.operations.clear()
        self.total = 0

    def add(self, t, req, status, ms, fault):
        self.last += 1
        self.total += 1
        key = (req.method, req.label, status)
        self.counts[key] = self.counts.get(key, 0) + 1
        self.ring.append((self.last, t, req.method, req.path, req.query_string, status, ms, fault, req.id,
                          req.client_id, loggable(req) if req.body else None, req.headers.get("traceparent"), None))

    def add_inner(self, t, operations):
        """The operations of the batch just added; each has the batch's number in `batch`."""
        batch = self.last
        for one in operations:
            self.last += 1
            key = (one.method, one.label, one.status)
            self.operations[key] = self.operations.get(key, 0) + 1
            self.ring.append((self.last, t, one.method, one.path, one.query_string, one.status, one.ms, one.fault,
                              one.id, one.client_id, loggable(one) if one.body else None, None, batch))

    def entries(self, since=0, path=None, method=None, limit=None, batch=None):
        """batch: True = only operations inside batches, False = only HTTP requests, a number = those of one."""
        wanted = re.compile(path) if path else None
        result = []
        for entry in reversed(self.ring):
            if entry[0] <= since:
                break
            if method and entry[2] != method.upper():
                continue
            if wanted and not wanted.search(entry[3]):
                continue
            inside = entry[-1]
            if batch is not None and (inside is not None if isinstance(batch, bool) else inside) != batch:
                continue
            found = dict(zip(FIELDS, entry))
            if inside is not None:
                found["batch"] = inside
            result.append(found)
            if limit and len(result) >= limit:
                break
        result.reverse()
        return result

    def summary(self):
        """total and by: HTTP requests. operations: what was asked for, be it alone or inside a batch."""
        by = grouped(self.counts)
        alone = {name: counts for name, counts in by.items() if not name.endswith(self.containers)}
        inside = grouped(self.operations)
        together = {name: dict(counts) for name, counts in alone.items()}
        for name, counts in inside.items():
            into = together.setdefault(name, {})
            for status, count in counts.items():
                into[status] = into.get(status, 0) + count
        return {"total": self.total, "by": by,
                "operations": {"total": added(together), "in_batches": added(inside), "by": together}}


def grouped(counts):
    by = {}
    for (method, label, status), count in counts.items():
        by.setdefault("%s %s" % (method, label), {})[str(status)] = count
    return by


def added(by):
    return sum(count for counts in by.values() for count in counts.values())
