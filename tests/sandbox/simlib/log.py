"""The request log: a ring of what was asked and answered, and counts that never roll over."""

import re
from collections import deque
from urllib.parse import parse_qsl

RING = 200_000
BODY = 4096
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
        self.last = 0
        self.total = 0
        self.ring = deque(maxlen=RING)
        self.counts = {}

    def clear(self):
        self.ring.clear()
        self.counts.clear()
        self.total = 0

    def add(self, t, req, status, ms, fault):
        self.last += 1
        self.total += 1
        key = (req.method, req.label, status)
        self.counts[key] = self.counts.get(key, 0) + 1
        self.ring.append((self.last, t, req.method, req.path, req.query_string, status, ms, fault, req.id,
                          req.client_id, loggable(req) if req.body else None))

    def entries(self, since=0, path=None, method=None, limit=None):
        wanted = re.compile(path) if path else None
        result = []
        for entry in reversed(self.ring):
            if entry[0] <= since:
                break
            if method and entry[2] != method.upper():
                continue
            if wanted and not wanted.search(entry[3]):
                continue
            result.append(dict(zip(("n", "t", "method", "path", "query", "status", "ms", "fault", "request_id",
                                    "client_request_id", "body"), entry)))
            if limit and len(result) >= limit:
                break
        result.reverse()
        return result

    def summary(self):
        by = {}
        for (method, label, status), count in self.counts.items():
            by.setdefault("%s %s" % (method, label), {})[str(status)] = count
        return {"total": self.total, "by": by}
