"""Server, routing and start-up shared by the simulators."""

import argparse
import asyncio
import gzip
import json
import logging
import os
import re
import signal
import ssl
import sys
import threading
import time
import traceback
from urllib.parse import parse_qsl, unquote
from uuid import uuid4

from aiohttp import web

from .clock import Clock, http_date
from .control import Control
from .faults import HTML, Faults, reset
from .log import RequestLog

JSON = "application/json; charset=utf-8"
MAX_BODY = 256 << 20
NO_ANSWER = 0


def dumps(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


class Reply:
    __slots__ = ("status", "body", "headers", "content_type", "reason")

    def __init__(self, status=204, body=b"", headers=None, content_type=None, reason=None):
        self.status = status
        self.body = body.encode() if isinstance(body, str) else body
        self.headers = dict(headers) if headers else {}
        self.content_type = content_type
        self.reason = reason

    @classmethod
    def json(cls, status, value, headers=None, content_type=JSON, reason=None):
        return cls(status, dumps(value), headers, content_type, reason)


class HttpError(Exception):
    def __init__(self, reply):
        super().__init__(reply.status)
        self.reply = reply


class Request:
    __slots__ = ("sim", "method", "path", "raw_path", "query_string", "headers", "body", "params", "id", "client_id",
                 "label", "http", "extra", "inner", "cut", "_query")

    def __init__(self, sim, http, body):
        raw = http.raw_path
        if not raw.startswith("/"):
            raw = re.sub(r"^[a-z]+://[^/]*", "", raw) or "/"
        self.sim = sim
        self.http = http
        self.method = http.method
        self.raw_path, _, self.query_string = raw.partition("?")
        self.path = unquote(self.raw_path) if "%" in self.raw_path else self.raw_path
        self.headers = http.headers
        self.body = body
        self.params = {}
        self.id = str(uuid4())
        self.client_id = None
        self.label = self.path
        self.extra = None
        self.inner = None
        self.cut = False
        self._query = None

    @property
    def query(self):
        if self._query is None:
            self._query = dict(parse_qsl(self.query_string, keep_blank_values=True))
        return self._query

    def json(self):
        """The body as JSON; ValueError when it is none."""
        return json.loads(self.body)

    def form(self):
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


def arguments(name, description):
    """The options every simulator has; add your own to the parser returned."""
    parser = argparse.ArgumentParser(prog=name, description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="port, 0 = any free one (default)")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"), help="serve HTTPS with these PEM files")
    parser.add_argument("--seed", metavar="FILE", help="JSON file of documents to start with")
    parser.add_argument("--with-stdin", action="store_true", help="exit when standard input reaches its end")
    return parser


class Simulator:
    def __init__(self, name, args, options=None, choices=None):
        """options: name -> default; choices: name -> values allowed, for those that are neither bool nor number."""
        self.name = name
        self.args = args
        self.clock = Clock()
        self.now, self.at, self.sleep = self.clock.now, self.clock.at, self.clock.sleep
        self.lag_seconds = 0.0
        self.lag_list_seconds = 0.0
        self.options = {"Gzip": False, **(options or {})}
        self.choices = choices or {}
        self.stores = {}
        self.collections = {}
        self.faults = Faults(self)
        self.log = RequestLog()
        self.base = None
        self.client_id_headers = ("client-request-id", "MS-CorrelationId", "x-ms-client-request-id")
        self.authorize = lambda req: None
        self.decorate = lambda req, reply: None
        self.not_found = lambda req: Reply.json(404, {"error": {"code": "404", "message": "Resource not found"}})
        self.bad_method = lambda req, allowed: Reply.json(
            405, {"error": {"code": "405", "message": "The requested resource does not support the http method."}},
            {"Allow": ", ".join(allowed)})
        self.fault_body = self._fault_body
        self.dump = lambda: {name: store.values() for name, store in self.stores.items()}
        self.tokens_changed = lambda knobs: {}
        self.started = []
        self._exact = {}
        self._patterns = []
        self._tasks = set()
        self.control = Control(self)

    # Building

    def add_route(self, method, pattern, handler, auth=True):
        """`{name}` matches within a segment, `{name:*}` anything. Method `*` means any. First added, first tried."""
        if "{" not in pattern:
            self._exact.setdefault(pattern, {})[method] = (handler, auth)
            return
        self._patterns.append((method, route_expression(pattern), pattern, handler, auth))

    def add_control(self, method, pattern, handler):
        """A control route below /_sandbox; handlers as for add_route, never logged or hit by faults."""
        self.control.add(method, pattern, handler)

    def add_collection(self, name, **functions):
        """list() -> [doc]; get(id) -> doc|None; create(doc, query) -> doc; patch(id, merge, query) -> doc|None;
        delete(id, query) -> bool; bulk(list, query) -> list. Each may be missing; ValueError becomes 400."""
        self.collections[name] = functions

    def check_option(self, name, value):
        if name not in self.options:
            raise ValueError("unknown option %r; known: %s" % (name, ", ".join(sorted(self.options))))
        default = self.options[name]
        if name in self.choices:
            if value not in self.choices[name]:
                raise ValueError("option %s must be one of %s" % (name, ", ".join(map(repr, self.choices[name]))))
        elif isinstance(default, bool):
            if not isinstance(value, bool):
                raise ValueError("option %s must be true or false" % name)
        elif isinstance(default, (int, float)) and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ValueError("option %s must be a number" % name)

    def spawn(self, coroutine):
        """Runs in the background and reports its exceptions on stderr."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task):
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            traceback.print_exception(task.exception(), file=sys.stderr)

    @staticmethod
    def _fault_body(req, fault):
        code = fault.spec.get("code", str(fault.status))
        message = fault.spec.get("message", "The service answered with status %d." % fault.status)
        return dumps({"error": {"code": code, "message": message}}), JSON

    # Serving

    async def _serve(self, http):
        body = await http.read() if http.body_exists else b""
        req = Request(self, http, body)
        if req.path.startswith("/_sandbox"):
            return to_response(await self.control.handle(req))
        started, fault, status = time.monotonic(), None, NO_ANSWER
        for name in self.client_id_headers:
            req.client_id = http.headers.get(name)
            if req.client_id:
                break
        try:
            route = self._route(req)
            fault = self.faults.find(req) if self.faults.active else None
            reply = await (self._answer(req, route) if fault is None else self._faulty(req, route, fault))
            if reply is None:
                return web.Response()
            status = reply.status
            return self._finish(req, reply, fault)
        finally:
            self.log.add(self.now(), req, status, round((time.monotonic() - started) * 1000, 2),
                         fault.kind if fault else None)
            if req.inner is not None:
                self.log.add_inner(self.now(), req.inner)

    def _route(self, req):
        """(handler, auth) or the answer for no route."""
        methods = self._exact.get(req.path)
        if methods is not None:
            found = methods.get(req.method) or methods.get("*")
            return found or (lambda _: self.bad_method(req, sorted(methods)), False)
        allowed = []
        for method, expression, pattern, handler, auth in self._patterns:
            match = expression.match(req.path)
            if match is None:
                continue
            req.label = pattern
            if method in ("*", req.method):
                req.params = match.groupdict()
                return handler, auth
            allowed.append(method)
        if allowed:
            return (lambda _: self.bad_method(req, sorted(set(allowed)))), False
        req.label = req.path
        return self.not_found, False

    async def _answer(self, req, route):
        handler, auth = route
        try:
            reply = self.authorize(req) if auth else None
            if reply is None:
                reply = handler(req)
                if not isinstance(reply, Reply):
                    reply = await reply
        except HttpError as error:
            reply = error.reply
        except Exception:
            traceback.print_exc(file=sys.stderr)
            reply = Reply.json(500, {"error": {"code": "500", "message": "the simulator failed, see its stderr"}})
        if reply is not None:
            self.decorate(req, reply)
        return reply

    async def _faulty(self, req, route, fault):
        kind = fault.kind
        if kind in ("status", "html"):
            return self.refusal(req, fault)
        if kind == "reset-before":
            reset(req.http.transport)
            return None
        if kind in ("slow", "hold") and not fault.after:
            await fault.wait()
            return await self._answer(req, route)
        reply = await self._answer(req, route)
        if kind in ("slow", "hold"):
            await fault.wait()
        elif kind == "reset-after":
            reset(req.http.transport)
            return None
        elif kind == "drop-after-commit":
            if req.http.transport is not None:
                req.http.transport.close()
            return None
        return reply

    def refusal(self, req, fault):
        """What a fault of kind status or html answers."""
        spec = fault.spec
        if fault.kind == "html":
            body, content_type = (HTML % fault.status).encode(), "text/html"
        elif "body" in spec:
            body, content_type = spec["body"], spec.get("content_type", JSON)
            body = body.encode() if isinstance(body, str) else dumps(body)
        else:
            body, content_type = self.fault_body(req, fault)
        reply = Reply(fault.status, body, dict(spec.get("headers", {})), content_type)
        retry_after = self.faults.retry_after(fault)
        if retry_after is not None:
            reply.headers["Retry-After"] = retry_after
        self.decorate(req, reply)
        return reply

    def _finish(self, req, reply, fault):
        if self.clock.shifted:
            reply.headers.setdefault("Date", http_date(self.now()))
        if req.cut or (fault is not None and fault.kind == "truncate"):
            return Truncated(reply)
        if self.options["Gzip"] and len(reply.body) > 200 and "gzip" in req.headers.get("Accept-Encoding", ""):
            reply.body = gzip.compress(reply.body, 1)
            reply.headers["Content-Encoding"] = "gzip"
            reply.headers["Vary"] = "Accept-Encoding"
        return to_response(reply)

    # Running

    def run(self, urls):
        """Listens, prints the start line and serves until told to end. Values of `urls` that are paths become URLs."""
        try:
            import uvloop
            uvloop.install()
        except ImportError:
            pass
        logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
        try:
            asyncio.run(self._run(urls))
        except KeyboardInterrupt:
            pass
        except OSError as error:
            sys.exit("%s: cannot listen on %s port %d: %s"
                     % (self.name, self.args.host, self.args.port, error.strerror or error))

    async def _run(self, urls):
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.exit)
        server = web.Server(self._serve, request_factory=self._make_request, access_log=None, max_line_size=1 << 16,
                            max_field_size=1 << 16, keepalive_timeout=75)
        context = None
        if self.args.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.args.tls)
        self._loop = loop
        listener = await loop.create_server(server, self.args.host, self.args.port, ssl=context, backlog=1024)
        port = listener.sockets[0].getsockname()[1]
        host = "[%s]" % self.args.host if ":" in self.args.host else self.args.host
        self.base = "%s://%s:%d" % ("https" if context else "http", host, port)
        self.spawn(self.clock.run())
        for function in self.started:
            function()
        if self.args.with_stdin:
            threading.Thread(target=self._watch_stdin, daemon=True).start()
        line = {"name": self.name, "pid": os.getpid(), "base": self.base}
        for name, value in urls.items():
            line[name] = self.base + value if value.startswith("/") else value
        line["sandbox"] = self.base + "/_sandbox"
        print(json.dumps(line), flush=True)
        await asyncio.Event().wait()

    def _make_request(self, message, payload, protocol, writer, task):
        return web.BaseRequest(message, payload, protocol, writer, task, self._loop, client_max_size=MAX_BODY)

    def _watch_stdin(self):
        try:
            while os.read(0, 65536):
                pass
        except OSError:
            pass
        self.exit()

    @staticmethod
    def exit():
        """At once: requests held by a fault must not delay the end."""
        sys.stderr.flush()
        os._exit(0)


class Truncated(web.StreamResponse):
    """Promises the whole body, sends half of it and closes."""

    def __init__(self, reply):
        super().__init__(status=reply.status, headers=reply.headers)
        self.content_length = max(2, len(reply.body))
        if reply.content_type:
            self.headers["Content-Type"] = reply.content_type
        self._part = reply.body[:len(reply.body) // 2]

    async def prepare(self, request):
        writer = await super().prepare(request)
        await self.write(self._part)
        if request.transport is not None:
            request.transport.close()
        return writer

    async def write_eof(self, data=b""):
        self.force_close()


def to_response(reply):
    headers = reply.headers
    if reply.content_type:
        headers["Content-Type"] = reply.content_type
    response = web.Response(body=reply.body or None, status=reply.status, headers=headers, reason=reply.reason)
    if not reply.content_type and "Content-Type" in response.headers:
        del response.headers["Content-Type"]
    return response


def route_expression(pattern):
    parts = re.split(r"\{(\w+)(:\*)?\}", pattern)
    text = re.escape(parts[0])
    for name, rest, literal in zip(parts[1::3], parts[2::3], parts[3::3]):
        text += "(?P<%s>%s)%s" % (name, ".*" if rest else "[^/]+?", re.escape(literal))
    return re.compile(text + r"\Z", re.S)
