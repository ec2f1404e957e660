"""Common ground of the service simulators in tests/sandbox.

A simulator is one executable: it builds a `Simulator`, adds routes and collections, and calls `run`.

    import os, sys
    sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
    from simlib import Simulator, Store, Reply, HttpError, arguments

    args = arguments("dynamics365", __doc__).parse_args()
    sim = Simulator("dynamics365", args, options={"PascalCase": False})
    accounts = Store(sim, "accounts", indexes=("name",))

    def read(req):                                   # plain or async function
        row = accounts.read(req.params["id"])        # as of `lag` ago; accounts.get() is the truth of now
        if row is None:
            return Reply.json(404, {"error": {"code": "0x80040217", "message": "..."}})
        return Reply.json(200, row, {"ETag": row["@odata.etag"]})

    sim.add_route("GET", "/api/data/v9.2/accounts({id})", read)
    sim.add_route("*", "/api/data/v9.2/{rest:*}", other)   # `:*` also matches slashes; keep these last
    sim.add_collection("accounts", list=..., get=..., create=..., patch=..., delete=..., bulk=...)
    sim.run({"api": "/api/data/v9.2", "token": "/t/oauth2/v2.0/token"})   # paths become URLs of the start line

Handlers
    get a `Request`: method, path (decoded), raw_path, query_string (as sent), query (dict, decoded, last wins),
    headers (case-insensitive), body (bytes, complete), json(), form(), params (of the route), id (the request id we
    answer with), label (what requests/summary counts under: set it where a catch-all route knows better).
    They answer a `Reply` or raise `HttpError(reply)`. Any other exception is logged to stderr and answered 500.

Hooks of Simulator (assign)
    sim.authorize(req)          called before every non-control handler of a route added with auth=True (the default);
                                returns None or the Reply that refuses
    sim.decorate(req, reply)    after every answer that is not of the control API: add vendor headers
    sim.not_found(req)          answer for no route; sim.bad_method(req, allowed) for a known path
    sim.fault_body(req, fault)  -> (bytes, content type) of a `status` fault without a body of its own
    sim.dump()                  -> dict for GET /_sandbox/state
    sim.client_id_headers       names of headers that carry the caller's correlation id (for the request log)
    sim.tokens_changed(dict)    POST /_sandbox/tokens; returns the state to answer

Time
    sim.now() seconds since the epoch on the simulator's clock (offset, rate); iso(t, digits), parse_iso(text).
    await sim.sleep(s), sim.at(t, function): timers on that clock, they notice every change of it.

Store
    Documents are immutable: never change one you got, `put` a new one (merge_patch returns such a one).
    get/values/find see now; read/scan/find_lagged see the state `lag.seconds` (by id) or `lag.list_seconds` (lists) ago.

Faults, request log, clock, lag, options, shutdown under /_sandbox/ work for every simulator alike; see control.py.
The control API itself is never logged, delayed, or hit by faults.
"""

from .clock import Clock, http_date, iso, parse_iso
from .core import HttpError, Reply, Request, Simulator, arguments
from .merge import merge_patch
from .store import Store

__all__ = ["Clock", "HttpError", "Reply", "Request", "Simulator", "Store", "arguments", "http_date", "iso",
           "merge_patch", "parse_iso"]
