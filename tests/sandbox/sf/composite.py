"""/composite, /composite/graph and /composite/batch: several requests in one call."""
import json
import re
import time
import uuid
from urllib.parse import unquote

from multidict import CIMultiDict

from simlib.faults import reset

from .errors import ApiError
from .wire import NOTHING, Answer, Call

MOST, MOST_QUERIES, MOST_GRAPHS, MOST_NODES = 25, 5, 75, 500
NAME = re.compile(r"[A-Za-z0-9_]+\Z")
REFERENCE = re.compile(r"@\{([A-Za-z0-9_]+)((?:\.[A-Za-z0-9_]+|\[\d+\])*)\}")
STEP = re.compile(r"\.([A-Za-z0-9_]+)|\[(\d+)\]")
INHERITED = ("accept", "authorization", "content-type")
ROOT = re.compile(r"/services/data/v\d+\.\d/")
QUERIES = re.compile(r"/services/data/v\d+\.\d/(query|queryAll|composite/sobjects)\b", re.I)
FORBIDDEN = re.compile(r"/services/data/v\d+\.\d/composite(?!/sobjects|/tree)", re.I)
ROLLED_BACK = "The transaction was rolled back since another operation in the same transaction failed."


class Gone(Exception):
    """A fault took the connection: nothing more is answered."""


class Failed(Exception):
    """A subrequest of an all-or-none request failed."""


class Operation:
    """One subrequest; to faults and to the log it looks like a request of its own."""

    __slots__ = ("method", "url", "reference", "headers", "doc", "raw_path", "path", "query_string", "id", "client_id",
                 "label", "http", "extra", "status", "ms", "fault", "answer", "plain")

    def __init__(self, method, url, reference, headers, doc):
        self.method, self.url, self.reference, self.doc = method, url, reference, doc
        self.headers = CIMultiDict(headers)
        self.headers["Content-Type"] = "application/json"
        self.id = str(uuid.uuid4())
        self.client_id = self.http = self.extra = self.fault = self.answer = None
        self.status, self.ms = 0, 0.0
        self.plain = not headers
        self.place(url)

    def place(self, url):
        self.raw_path, _, self.query_string = url.partition("?")
        self.path = self.label = unquote(self.raw_path) if "%" in self.raw_path else self.raw_path

    @property
    def body(self):
        return b"" if self.doc is NOTHING else json.dumps(self.doc, separators=(",", ":"), ensure_ascii=False).encode()

    def shown(self):
        answer = self.answer
        return {"body": None if answer.doc is NOTHING else answer.doc, "httpHeaders": answer.headers,
                "httpStatusCode": answer.status, "referenceId": self.reference}


def bad(text, code="BAD_REQUEST"):
    return ApiError(400, code, text)


def read(items, most):
    if not isinstance(items, list) or not items:
        raise bad("The member compositeRequest is missing or empty", "JSON_PARSER_ERROR")
    if len(items) > most:
        raise bad("The composite request has %d subrequests, at most %d are allowed." % (len(items), most),
                  "LIMIT_EXCEEDED")
    out, seen = [], set()
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("method"), str) \
                or not isinstance(item.get("url"), str):
            raise bad("A subrequest needs method and url", "JSON_PARSER_ERROR")
        name = item.get("referenceId")
        if not isinstance(name, str) or not NAME.match(name):
            raise bad("Provided referenceId ('%s') must start with a letter or a number, and it can contain only "
                      "letters, numbers and underscores ('_')." % name)
        if name in seen:
            raise bad("Duplicate referenceId provided: %s" % name)
        seen.add(name)
        headers = item.get("httpHeaders") or {}
        if not isinstance(headers, dict):
            raise bad("httpHeaders is an object", "JSON_PARSER_ERROR")
        for header in headers:
            if header.lower() in INHERITED:
                raise bad("The header %s cannot be set for a subrequest." % header)
        if FORBIDDEN.match(item["url"]):
            raise bad("The resource %s cannot be used inside a composite request." % item["url"])
        out.append(Operation(item["method"].upper(), item["url"], name, {k: str(v) for k, v in headers.items()},
                             item["body"] if item.get("body") is not None else NOTHING))
    queries = sum(1 for one in out if QUERIES.match(one.url))
    if queries > MOST_QUERIES and most == MOST:
        raise bad("The composite request has %d queries and collection requests, at most %d are allowed."
                  % (queries, MOST_QUERIES), "LIMIT_EXCEEDED")
    return out


def collated(ops):
    """The order when unrelated subrequests of a kind are put together: a later one runs with the first."""
    groups, order = {}, []
    for one in ops:
        text = one.url + ("" if one.doc is NOTHING else json.dumps(one.doc))
        parts = one.raw_path.split("/")
        alone = not one.plain or REFERENCE.search(text)
        key = object() if alone else (one.method, tuple(parts[4:6]))
        if key not in groups:
            groups[key] = []
            order.append(groups[key])
        groups[key].append(one)
    flat = [one for group in order for one in group]
    position = {one.reference: n for n, one in enumerate(flat)}
    for one in flat:
        text = one.url + ("" if one.doc is NOTHING else json.dumps(one.doc))
        if any(position.get(m.group(1), -1) > position[one.reference] for m in REFERENCE.finditer(text)):
            return ops
    return flat


class Composite:
    """One call on its way through."""

    def __init__(self, service, sim, req, call):
        self.service, self.sim, self.req, self.call = service, sim, req, call
        self.results = {}
        self.cut = False

    async def run(self, kind):
        """-> Answer"""
        if self.call.method != "POST":
            return self.service.only(self.call, "POST", None)
        body = self.call.json()
        if kind == "graph":
            return await self.graphs(body)
        if kind == "batch":
            return await self.batch(body)
        ops = read(body.get("compositeRequest"), MOST)
        collate = body.get("collateSubrequests", True) is not False and self.service.org.options["CollateReorder"]
        if body.get("allOrNone") is True:
            await self.together(ops)
        else:
            for one in collated(ops) if collate else ops:
                await self.single(one)
        return Answer(200, {"compositeResponse": [one.shown() for one in ops]})

    # References

    def resolve(self, one):
        """Puts in what earlier answers gave; raises what a missing one means."""
        url = REFERENCE.sub(lambda m: str(self.value(m)), one.url) if "@{" in one.url else one.url
        one.place(url)
        if one.doc is not NOTHING and b"@{" in one.body:
            one.doc = self.replaced(one.doc)
        for name, text in list(one.headers.items()):
            if "@{" in text:
                one.headers[name] = REFERENCE.sub(lambda m: str(self.value(m)), text)

    def value(self, m):
        name, path = m.groups()
        value = self.results.get(name, NOTHING)
        for step, index in STEP.findall(path):
            if step:
                value = value.get(step, NOTHING) if isinstance(value, dict) else NOTHING
            else:
                value = value[int(index)] if isinstance(value, list) and int(index) < len(value) else NOTHING
        if value is NOTHING or isinstance(value, (dict, list)) or value is None:
            raise bad("Invalid reference specified. No value for %s%s found in %s" % (name, path, name),
                      "PROCESSING_HALTED")
        return value

    def replaced(self, doc):
        if isinstance(doc, str):
            whole = REFERENCE.fullmatch(doc)
            return self.value(whole) if whole else REFERENCE.sub(lambda m: str(self.value(m)), doc)
        if isinstance(doc, dict):
            return {k: self.replaced(v) for k, v in doc.items()}
        return [self.replaced(v) for v in doc] if isinstance(doc, list) else doc

    # Running

    def fault_of(self, one):
        return self.sim.faults.find(one, True) if self.sim.faults.active else None

    def lose(self, one, kind):
        transport = self.req.http.transport
        self.log(one)
        if kind == "drop-after-commit":
            if transport is not None:
                transport.close()
        else:
            reset(transport)
        raise Gone()

    def failure(self, one, fault):
        reply = self.sim.refusal(one, fault)
        try:
            doc = json.loads(reply.body)
        except ValueError:
            doc = reply.body.decode("utf-8", "replace")
        return Answer(reply.status, doc, reply.headers)

    def execute(self, one):
        call = Call(one.method, one.raw_path, one.query_string, one.headers, b"", self.call.actor, self.call.origin,
                    one.doc)
        if not ROOT.match(one.raw_path + "/"):
            answer = self.service.refusal(ApiError(404, "NOT_FOUND", "The requested resource does not exist"))
        else:
            if one.doc is NOTHING and one.method in ("POST", "PATCH"):
                call.doc = None
            answer = self.service.handle(call)
        one.label = call.label
        if answer.status < 300 and answer.doc is not NOTHING:
            self.results[one.reference] = answer.doc
        return answer

    async def single(self, one):
        began = time.monotonic()
        try:
            self.resolve(one)
        except ApiError as error:
            one.answer = self.service.refusal(error)
        else:
            fault = self.fault_of(one)
            one.answer = self.execute(one) if fault is None else await self.faulty(one, fault)
        one.status, one.ms = one.answer.status, round((time.monotonic() - began) * 1000, 2)
        self.log(one)

    async def faulty(self, one, fault):
        kind = one.fault = fault.kind
        if kind in ("status", "html"):
            return self.failure(one, fault)
        if kind == "reset-before":
            self.lose(one, kind)
        if kind in ("slow", "hold") and not fault.after:
            await fault.wait()
        answer = self.execute(one)
        if kind in ("slow", "hold") and fault.after:
            await fault.wait()
        elif kind in ("reset-after", "drop-after-commit"):
            one.status = answer.status
            self.lose(one, kind)
        elif kind == "truncate":
            self.cut = True
        return answer

    async def together(self, ops):
        """All or none. Faults are met before anything is carried out. -> whether it went well"""
        faults = []
        for one in ops:
            fault = self.fault_of(one)
            faults.append(fault)
            if fault is None:
                continue
            one.fault = fault.kind
            if fault.kind == "reset-before":
                self.lose(one, fault.kind)
            if fault.kind in ("slow", "hold") and not fault.after:
                await fault.wait()
        kept, began = dict(self.results), time.monotonic()
        try:
            with self.service.org.atomic():
                for one, fault in zip(ops, faults):
                    self.attempt(one, fault)
                    if one.answer.status >= 400:
                        raise Failed()
        except Failed:
            self.results = kept
            self.halt(ops)
            self.logs(ops, began)
            return False
        self.logs(ops, began)
        for one, fault in zip(ops, faults):
            if fault is not None and fault.kind in ("slow", "hold") and fault.after:
                await fault.wait()
            elif fault is not None and fault.kind == "truncate":
                self.cut = True
        for one, fault in zip(ops, faults):
            if fault is not None and fault.kind in ("reset-after", "drop-after-commit"):
                transport = self.req.http.transport
                if fault.kind == "reset-after":
                    reset(transport)
                elif transport is not None:
                    transport.close()
                raise Gone()
        return True

    def attempt(self, one, fault):
        try:
            self.resolve(one)
            refused = fault is not None and fault.kind in ("status", "html")
            one.answer = self.failure(one, fault) if refused else self.execute(one)
        except ApiError as error:
            one.answer = self.service.refusal(error)

    @staticmethod
    def halt(ops):
        """The one that failed keeps its answer, all others share its fate."""
        for one in ops:
            if one.answer is None or one.answer.status < 400:
                one.answer = Answer(400, [{"errorCode": "PROCESSING_HALTED", "message": ROLLED_BACK}])

    def logs(self, ops, began):
        ms = round((time.monotonic() - began) * 1000, 2)
        for one in ops:
            one.status, one.ms = one.answer.status, ms
            self.log(one)

    def log(self, one):
        self.req.inner.append(one)

    # The two others

    async def graphs(self, body):
        graphs = body.get("graphs")
        if not isinstance(graphs, list) or not 1 <= len(graphs) <= MOST_GRAPHS \
                or not all(isinstance(graph, dict) for graph in graphs):
            raise bad("1 to %d graphs are allowed" % MOST_GRAPHS)
        ready, nodes = [], 0
        for graph in graphs:
            ops = read(graph.get("compositeRequest"), MOST_NODES)
            nodes += len(ops)
            ready.append((graph.get("graphId"), ops))
        if nodes > MOST_NODES:
            raise bad("The graphs have %d nodes, at most %d are allowed." % (nodes, MOST_NODES), "LIMIT_EXCEEDED")
        out = []
        for name, ops in ready:
            self.results = {}
            well = await self.together(ops)
            out.append({"graphId": name, "graphResponse": {"compositeResponse": [one.shown() for one in ops]},
                        "isSuccessful": well})
        return Answer(200, {"graphs": out})

    async def batch(self, body):
        items = body.get("batchRequests")
        if not isinstance(items, list) or not 1 <= len(items) <= MOST \
                or not all(isinstance(item, dict) and isinstance(item.get("url"), str) for item in items):
            raise bad("1 to %d batchRequests are allowed, each with method and url" % MOST)
        results, halted, errors = [], False, False
        for n, item in enumerate(items):
            if halted:
                results.append({"statusCode": 412, "result": [{
                    "errorCode": "BATCH_PROCESSING_HALTED",
                    "message": "Batch processing halted per request: Failed Batch Request, at index %d" % (n - 1)}]})
                continue
            url = item["url"]
            one = Operation(str(item.get("method", "GET")).upper(), "/services/data/" + url.lstrip("/")
                            if not url.startswith("/services") else url, "r%d" % n, {},
                            item.get("richInput", NOTHING))
            await self.single(one)
            failed = one.answer.status >= 400
            errors = errors or failed
            halted = failed and body.get("haltOnError") is True
            results.append({"statusCode": one.answer.status,
                            "result": None if one.answer.doc is NOTHING else one.answer.doc})
        return Answer(200, {"hasErrors": errors, "results": results})
