"""Faults: what goes wrong between a request and its answer.

kind              what the caller meets
status            this status (default 503), optionally Retry-After; the request is not carried out
html              the same with an HTML page, as a gateway answers
slow              `seconds` of waiting, then all is normal ("when":"after": carried out first, answered late)
hold              waits until the fault is removed, then all is normal ("when":"after" as above; "seconds" bounds it)
reset-before      TCP reset, nothing carried out
reset-after       carried out, then TCP reset instead of an answer
drop-after-commit carried out, then the connection is closed in order, without an answer
truncate          carried out, half the body is sent under the full Content-Length, then the connection closes

Operations inside a batch meet faults, too, by their own method, path and body: `status` and `html` become the answer of
that operation, the others befall the whole connection after what went before was carried out. "inside": true limits a
fault to them, false to HTTP requests.

Waiting is in real seconds. A request that waits is carried out even when its caller is gone by then, as at a real service.
"""

import asyncio
import itertools
import random
import re
import socket
import struct

from .clock import http_date

KINDS = ("status", "slow", "hold", "reset-before", "reset-after", "truncate", "html", "drop-after-commit")
FIELDS = {"method", "path", "fault", "status", "code", "retry_after", "body", "seconds", "times", "probability", "skip",
          "when", "match", "query", "message", "content_type", "headers", "inside"}

HTML = ("<html><head><title>%d Service Unavailable</title></head><body><h2>Our services aren't available right now</h2>"
        "<p>We're working to restore all services as soon as possible. Please check back soon.</p></body></html>")


class Fault:
    def __init__(self, number, spec):
        unknown = set(spec) - FIELDS
        if unknown:
            raise ValueError("unknown member of a fault: %s; allowed: %s"
                             % (", ".join(sorted(unknown)), ", ".join(sorted(FIELDS))))
        self.id = number
        self.spec = spec
        self.kind = spec.get("fault", "status")
        if self.kind not in KINDS:
            raise ValueError("unknown fault %r; allowed: %s" % (self.kind, ", ".join(KINDS)))
        self.method = spec.get("method", "*").upper()
        self.path = re.compile(spec.get("path", ""))
        self.query = re.compile(spec["query"]) if "query" in spec else None
        self.match = re.compile(spec["match"].encode()) if "match" in spec else None
        self.status = int(spec.get("status", 503))
        self.seconds = float(spec["seconds"]) if "seconds" in spec else None
        self.times = int(spec.get("times", 0))
        self.skip = int(spec.get("skip", 0))
        self.probability = float(spec.get("probability", 1.0))
        self.after = spec.get("when", "before") == "after"
        self.inside = spec.get("inside")
        self.hits = 0
        self.held = 0
        self.gone = asyncio.Event()

    def wants(self, req, inside):
        if (self.times and self.hits >= self.times) or self.inside not in (None, inside):
            return False
        if self.method not in ("*", req.method) or not self.path.search(req.path):
            return False
        if self.query is not None and not self.query.search(req.query_string):
            return False
        if self.match is not None and not self.match.search(req.body):
            return False
        if self.probability < 1.0 and random.random() >= self.probability:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.hits += 1
        return True

    def state(self):
        return {**self.spec, "id": self.id, "fault": self.kind, "hits": self.hits, "held": self.held}

    async def wait(self):
        if self.kind == "slow":
            await asyncio.sleep(2.0 if self.seconds is None else self.seconds)
            return
        self.held += 1
        try:
            await asyncio.wait_for(self.gone.wait(), self.seconds)
        except asyncio.TimeoutError:
            pass
        finally:
            self.held -= 1


class Faults:
    def __init__(self, sim):
        self.sim = sim
        self.active = []
        self._ids = itertools.count(1)

    def add(self, spec):
        fault = Fault(next(self._ids), spec)
        self.active.append(fault)
        return fault

    def remove(self, number=None):
        gone = [fault for fault in self.active if number is None or fault.id == number]
        for fault in gone:
            self.active.remove(fault)
            fault.gone.set()
        return len(gone)

    def find(self, req, inside=False):
        """`inside`: the request is an operation of a batch."""
        for fault in self.active:
            if fault.wants(req, inside):
                return fault
        return None

    def retry_after(self, fault):
        value = fault.spec.get("retry_after")
        if value is None:
            return None
        if isinstance(value, str) and value.startswith("http-date"):
            return http_date(self.sim.now() + float(value.partition(":")[2] or 2))
        return str(value)


def reset(transport):
    """Closes with RST: unsent data is discarded and the peer's next read fails."""
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
