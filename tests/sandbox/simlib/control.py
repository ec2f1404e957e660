"""The control API under /_sandbox, the same for every simulator.

GET  health, state, <collection>[/<id>]            POST/PATCH/DELETE <collection>[/<id>], POST bulk/<collection>
PATCH bulk/<collection>                            [{"id":..,<change>},..] or {"ids":[..],"change":{..}} -> {"changed":n}
GET  requests[?since=&path=&method=&limit=&batch=true|false|N], requests/summary; DELETE requests
     an operation inside a batch has a line of its own with "batch": the line number of its HTTP request
GET/POST/DELETE faults[/<id>]                      see faults.py
GET/POST clock {"offset","rate","advance"}         GET/POST lag {"seconds","list_seconds"}
GET/POST options                                   POST tokens, POST shutdown
"""

import sys
import traceback
from urllib.parse import unquote


class Control:
    def __init__(self, sim):
        self.sim = sim
        self._routes = {}
        self._patterns = []
        for method, path, handler in (
                ("GET", "health", self.health), ("GET", "state", self.state),
                ("GET", "requests", self.requests), ("DELETE", "requests", self.clear_requests),
                ("GET", "requests/summary", self.summary),
                ("GET", "faults", self.faults), ("POST", "faults", self.add_fault),
                ("DELETE", "faults", self.remove_faults),
                ("GET", "clock", self.clock), ("POST", "clock", self.set_clock),
                ("GET", "lag", self.lag), ("POST", "lag", self.set_lag),
                ("GET", "options", self.options), ("POST", "options", self.set_options),
                ("POST", "tokens", self.tokens), ("POST", "shutdown", self.shutdown)):
            self.add(method, path, handler)

    def add(self, method, path, handler):
        from .core import route_expression
        path = path.strip("/")
        if "{" in path:
            self._patterns.append((method, route_expression(path), handler))
        else:
            self._routes[(method, path)] = handler

    async def handle(self, req):
        from .core import HttpError, Reply
        try:
            result = self._dispatch(req, req.path[len("/_sandbox"):].strip("/"))
            if hasattr(result, "__await__"):
                result = await result
            return result if isinstance(result, Reply) else Reply.json(200, result)
        except HttpError as error:
            return error.reply
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return Reply.json(400, {"error": "%s: %s" % (type(error).__name__, error)})
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            return Reply.json(500, {"error": "%s: %s" % (type(error).__name__, error)})

    def _dispatch(self, req, path):
        handler = self._routes.get((req.method, path))
        if handler is not None:
            return handler(req)
        for method, expression, handler in self._patterns:
            match = expression.match(path)
            if match is not None and method == req.method:
                req.params = match.groupdict()
                return handler(req)
        if path.startswith("faults/") and req.method == "DELETE":
            return self._found(self.sim.faults.remove(int(path[7:])), "fault " + path[7:])
        return self._collection(req, path)

    def _collection(self, req, path):
        sim = self.sim
        first, _, rest = path.partition("/")
        if first == "bulk" and req.method == "POST" and "bulk" in sim.collections.get(rest, ()):
            return sim.collections[rest]["bulk"](self._body(req, list), req.query)
        functions = sim.collections.get(first)
        verb = {"GET": "get" if rest else "list", "POST": "create", "PATCH": "patch",
                "DELETE": "delete"}.get(req.method)
        if first == "bulk" and req.method == "PATCH" and "patch" in sim.collections.get(rest, ()):
            return self._edit_many(sim.collections[rest]["patch"], rest, self._edits(req), req.query)
        if functions is None or verb not in functions or (rest == "") != (verb in ("list", "create")):
            raise self._missing("no control route %s %s; collections: %s"
                                % (req.method, req.path, ", ".join(sorted(sim.collections))))
        key = unquote(rest)
        if verb == "list":
            return functions["list"]()
        if verb == "create":
            return functions["create"](self._body(req, dict), req.query)
        if verb == "get":
            return self._found(functions["get"](key), first + " " + key)
        if verb == "patch":
            return self._found(functions["patch"](key, self._body(req, dict), req.query), first + " " + key)
        self._found(functions["delete"](key, req.query), first + " " + key)
        return {"deleted": key}

    def _edits(self, req):
        """[{"id":..,<change>}, ..] or {"ids":[..],"change":{..}} -> [(id, change)]"""
        body = req.json()
        if isinstance(body, dict):
            return [(id, body["change"]) for id in body["ids"]]
        return [(one["id"], {k: v for k, v in one.items() if k != "id"}) for one in body]

    def _edit_many(self, patch, name, edits, query):
        for id, change in edits:
            self._found(patch(id, change, query), name + " " + id)
        return {"changed": len(edits)}

    @staticmethod
    def _body(req, kind):
        value = req.json() if req.body else kind()
        if not isinstance(value, kind):
            raise ValueError("body must be a JSON %s" % {dict: "object", list: "array"}[kind])
        return value

    @staticmethod
    def _missing(text):
        from .core import HttpError, Reply
        return HttpError(Reply.json(404, {"error": text}))

    def _found(self, value, what):
        if value is None or value is False or value == 0:
            raise self._missing("no " + what)
        return value if value.__class__ is not int else {"removed": value}

    # What every simulator has

    def health(self, req):
        return {"ok": True}

    def state(self, req):
        return self.sim.dump()

    def requests(self, req):
        query = req.query
        return self.sim.log.entries(int(query.get("since", 0)), query.get("path"), query.get("method"),
                                    int(query.get("limit", 0)), self._batch(query.get("batch")))

    @staticmethod
    def _batch(text):
        return {None: None, "true": True, "false": False}[text] if text in (None, "true", "false") else int(text)

    def summary(self, req):
        return self.sim.log.summary()

    def clear_requests(self, req):
        self.sim.log.clear()
        return {"ok": True}

    def faults(self, req):
        return [fault.state() for fault in self.sim.faults.active]

    def add_fault(self, req):
        return {"id": self.sim.faults.add(self._body(req, dict)).id}

    def remove_faults(self, req):
        return {"removed": self.sim.faults.remove()}

    def clock(self, req):
        return self.sim.clock.state()

    def set_clock(self, req):
        body = self._numbers(req, ("offset", "rate", "advance"))
        if body.get("rate", 1) < 0:
            raise ValueError("rate must not be negative")
        self.sim.clock.set(body.get("offset"), body.get("rate"), body.get("advance"))
        return self.sim.clock.state()

    def lag(self, req):
        return {"seconds": self.sim.lag_seconds, "list_seconds": self.sim.lag_list_seconds}

    def set_lag(self, req):
        body = self._numbers(req, ("seconds", "list_seconds"))
        self.sim.lag_seconds = body.get("seconds", self.sim.lag_seconds)
        self.sim.lag_list_seconds = body.get("list_seconds", self.sim.lag_list_seconds)
        return self.lag(req)

    def _numbers(self, req, names):
        body = self._body(req, dict)
        for name, value in body.items():
            if name not in names:
                raise ValueError("unknown member %r; allowed: %s" % (name, ", ".join(names)))
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError("%s must be a number" % name)
        return body

    def options(self, req):
        return self.sim.options

    def set_options(self, req):
        body = self._body(req, dict)
        for name, value in body.items():
            self.sim.check_option(name, value)
        self.sim.options.update(body)
        return self.sim.options

    def tokens(self, req):
        return self.sim.tokens_changed(self._body(req, dict))

    def shutdown(self, req):
        import asyncio
        asyncio.get_running_loop().call_later(0.05, self.sim.exit)
        return {"ok": True}
