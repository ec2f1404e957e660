"""$batch: reading the multipart request, running its operations in order, writing the multipart answer."""
import re
import time
import uuid
from http import HTTPStatus
from urllib.parse import unquote

from multidict import CIMultiDict

from simlib.faults import reset

from .errors import ApiError, bad_payload, bad_query
from .wire import Answer, Call

MOST = 1000
LONGEST_URL = 65536
BOUNDARY = re.compile(r'boundary\s*=\s*(?:"([^"]+)"|([^\s;"]+))', re.I)
BLANK = re.compile(rb"\r?\n\r?\n")
REQUEST_LINE = re.compile(r"([A-Z]+) +(\S.*?)(?: +HTTP/1\.[01])?[ \t]*\Z")
REFERENCE = re.compile(rb'("[^"\\]*@odata\.(?:bind|id)"\s*:\s*")\$([\w.-]+)((?:/[^"]*)?")')
WRITES = ("POST", "PATCH", "PUT")
SHOWN = ("OData-EntityId", "ETag", "Preference-Applied", "Retry-After", "WWW-Authenticate")
PHRASES = {s.value: s.phrase for s in HTTPStatus}


class Gone(Exception):
    """A fault took the connection: nothing more is answered."""


class Undone(Exception):
    """An operation of a change set failed."""

    def __init__(self, answer):
        super().__init__(answer.status)
        self.answer = answer


class Operation:
    """One request inside the batch; to faults and to the log it looks like a request of its own."""

    __slots__ = ("method", "raw_path", "path", "query_string", "headers", "body", "content_id", "id", "client_id",
                 "label", "http", "extra", "target", "status", "ms", "fault")

    def __init__(self, method, target, headers, body, content_id):
        self.method = method
        self.headers = headers
        self.body = body
        self.content_id = content_id
        self.client_id = headers.get("x-ms-client-request-id")
        self.id = None
        self.http = self.extra = self.fault = None
        self.status, self.ms = 0, 0.0
        self.target = target
        self.raw_path = self.path = self.label = target
        self.query_string = ""

    def place(self, target, root):
        """Resolves the URL: absolute, from the host's root, or relative to the service root."""
        if "://" in target[:9]:
            target = "/" + target.split("/", 3)[3] if target.count("/") > 2 else "/"
        elif not target.startswith("/"):
            target = root + "/" + target
        self.raw_path, _, self.query_string = target.partition("?")
        self.path = self.label = unquote(self.raw_path) if "%" in self.raw_path else self.raw_path


def form_error(text):
    return bad_query(text)


def boundary_of(content_type, outer):
    kind = content_type.partition(";")[0].strip().lower()
    m = BOUNDARY.search(content_type)
    if kind != "multipart/mixed" or m is None:
        if outer and kind != "multipart/mixed":
            raise ApiError(415, "0x80060888", "The content type '%s' is not supported for a batch request; "
                           "'multipart/mixed' with a boundary is expected." % content_type)
        raise form_error("The content type header value '%s' has no boundary." % content_type)
    return (m.group(1) or m.group(2)).encode()


def pieces_of(body, boundary):
    """The raw parts between the delimiters of one multipart body."""
    mark = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r?\n|\Z)")
    out, start, at = [], None, 0
    while True:
        m = mark.search(body, at)
        if m is None:
            break
        if start is not None:
            out.append(body[start:m.start()] if m.start() >= start else b"")
        if m.group(1):
            return out
        start = m.end()
        # The line end of this delimiter may be the one before the next.
        at = start - (2 if body[start - 2:start] == b"\r\n" else 1 if body[start - 1:start] == b"\n" else 0)
    raise form_error("The batch message is not complete: the end of the boundary '%s' is missing."
                     % boundary.decode("latin-1"))


def headers_of(raw):
    out = CIMultiDict()
    for line in raw.decode("utf-8", "replace").replace("\r\n", "\n").split("\n"):
        name, sep, value = line.partition(":")
        if sep:
            out[name.strip()] = value.strip()
        elif line.strip():
            raise form_error("The line '%s' of the batch message is no header." % line[:100])
    return out


def split_at_blank(raw):
    """(headers, rest); a part without headers begins with an empty line."""
    if raw.startswith((b"\r\n", b"\n")):
        return b"", raw[2 if raw[:1] == b"\r" else 1:]
    m = BLANK.search(raw)
    return (raw, b"") if m is None else (raw[:m.start()], raw[m.end():])


def operation_of(headers, raw):
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/http":
        raise form_error("The content type '%s' of a batch part is not supported; 'application/http' or "
                         "'multipart/mixed' is expected." % kind)
    raw = raw.lstrip(b"\r\n")
    head, body = split_at_blank(raw)
    line, _, rest = head.partition(b"\n")
    m = REQUEST_LINE.match(line.decode("utf-8", "replace").rstrip("\r"))
    if m is None:
        raise form_error("'%s' is no request line." % line.decode("utf-8", "replace")[:100].strip())
    method, target = m.groups()
    if len(target) > LONGEST_URL:
        raise form_error("The URL of a batch part has %d characters, at most %d are allowed."
                         % (len(target), LONGEST_URL))
    if unquote(target.partition("?")[0]).rstrip("/").endswith("$batch"):
        raise form_error("A batch request cannot contain another batch request.")
    inner = headers_of(rest)
    return Operation(method, target, inner, body, headers.get("Content-ID") or inner.get("Content-ID"))


def change_set(headers, raw):
    """The operations of one change set; (they alone must) each name themselves."""
    out = []
    for piece in pieces_of(raw, boundary_of(headers.get("Content-Type", ""), False)):
        head, rest = split_at_blank(piece)
        part = headers_of(head)
        if part.get("Content-Type", "").lower().startswith("multipart/"):
            raise form_error("A change set cannot contain another change set.")
        one = operation_of(part, rest)
        if one.method == "GET":
            raise form_error("An invalid HTTP method 'GET' was detected for a request in a change set. Requests "
                             "in change sets only support the HTTP methods 'POST', 'PUT', 'DELETE', and 'PATCH'.")
        if not one.content_id:
            raise form_error("The 'Content-ID' header is missing. Every operation of a change set needs one.")
        out.append(one)
    return out


def read(content_type, body):
    """-> list of operations and, for change sets, lists of operations."""
    items, seen, count = [], set(), 0
    for piece in pieces_of(body, boundary_of(content_type, True)):
        head, rest = split_at_blank(piece)
        headers = headers_of(head)
        if headers.get("Content-Type", "").lower().lstrip().startswith("multipart/"):
            item = group = change_set(headers, rest)
        else:
            item = operation_of(headers, rest)
            group = [item]
        for one in group:
            if one.content_id in seen and one.content_id:
                raise form_error("The content ID '%s' was found in more than one request of the batch. Content "
                                 "IDs have to be unique." % one.content_id)
            seen.add(one.content_id)
        count += len(group)
        if count > MOST:
            raise form_error("The current batch message contains too many parts. Only batch messages with a "
                             "maximum number of '%d' operations are allowed." % MOST)
        items.append(item)
    if not items:
        raise form_error("The batch message contains no operation.")
    return items


class Batch:
    """One batch on its way through."""

    def __init__(self, service, sim, req, call):
        self.service = service
        self.sim = sim
        self.req = req
        self.call = call
        self.root = re.match(r"/api/data/v\d+\.\d+", call.path).group(0)
        self.references = {}
        self.cut = False
        self.out = []
        self.onward = "odata.continue-on-error" in call.headers.get("Prefer", "").lower()

    async def run(self):
        """-> (status, boundary, text)"""
        items = read(self.call.headers.get("Content-Type", ""), self.call.body)
        boundary = "batchresponse_%s" % uuid.uuid4()
        status = 200
        for item in items:
            if isinstance(item, list):
                failed = await self.set(item, boundary)
            else:
                answer = await self.single(item)
                self.write(boundary, item, answer)
                failed = answer.status if answer.status >= 400 else None
            if failed and not self.onward:
                status = failed
                break
        self.out.append("--%s--\r\n" % boundary)
        return status, boundary, "".join(self.out)

    # Faults

    def fault_of(self, one):
        self.resolve_url(one)
        return self.sim.faults.find(one, True) if self.sim.faults.active else None

    def resolve_url(self, one):
        """Places the URL; one that needs a reference not yet known stays as it is for the fault's eyes."""
        target = one.target
        if target.startswith("$"):
            name, slash, rest = target[1:].partition("/")
            known = self.references.get(name.partition("?")[0])
            if known is None:
                return
            target = known + target[1 + len(name.partition("?")[0]):]
        one.place(target, self.root)

    def fail(self, one, fault):
        reply = self.sim.refusal(one, fault)
        return Answer(reply.status, reply.body.decode("utf-8", "replace"), reply.headers, reply.content_type)

    def lose(self, one, kind):
        transport = self.req.http.transport
        self.log(one)
        if kind == "drop-after-commit":
            if transport is not None:
                transport.close()
        else:
            reset(transport)
        raise Gone()

    # Running

    def prepare(self, one):
        one.id = str(uuid.uuid4())
        one.extra = self.call.actor

    async def single(self, one):
        self.prepare(one)
        fault = self.fault_of(one)
        began = time.monotonic()
        if fault is None:
            answer = self.execute(one)
        else:
            one.fault = fault.kind
            answer = await self.faulty(one, fault, lambda: self.execute(one))
        one.status, one.ms = answer.status, round((time.monotonic() - began) * 1000, 2)
        self.log(one)
        return answer

    async def faulty(self, one, fault, work):
        kind = fault.kind
        if kind in ("status", "html"):
            return self.fail(one, fault)
        if kind == "reset-before":
            self.lose(one, kind)
        if kind in ("slow", "hold") and not fault.after:
            await fault.wait()
        answer = work()
        if kind in ("slow", "hold") and fault.after:
            await fault.wait()
        elif kind in ("reset-after", "drop-after-commit"):
            one.status = answer.status
            self.lose(one, kind)
        elif kind == "truncate":
            self.cut = True
        return answer

    def execute(self, one):
        """The operation as a call of its own; its answer also defines its Content-ID."""
        try:
            self.refer(one)
        except ApiError as error:
            call = Call(one.method, one.raw_path, "", one.headers, b"", self.call.root_origin, self.call.actor)
            return self.service.refusal(call, error)
        call = Call(one.method, one.raw_path, one.query_string, one.headers, one.body, self.call.root_origin,
                    self.call.actor)
        answer = self.service.handle(call)
        one.label = call.label
        if one.content_id and answer.status < 400:
            url = answer.entity or "%s%s" % (self.call.root_origin, one.raw_path)
            self.references[one.content_id] = url
        return answer

    def refer(self, one):
        self.resolve_url(one)
        if one.target.startswith("$") and one.raw_path == one.target:
            name = re.match(r"\$([\w.-]*)", one.target).group(1)
            if name == "metadata":
                one.place(one.target, self.root)
            else:
                raise no_reference(name)
        if b'"$' in one.body:
            one.body = REFERENCE.sub(self.replace, one.body)
        if self.service.org.options["BatchNeedsContentLength"] and one.method in WRITES \
                and "Content-Length" not in one.headers:
            raise bad_payload("", "System.ArgumentException: Stream was not readable")

    def replace(self, m):
        url = self.references.get(m.group(2).decode())
        if url is None:
            raise no_reference(m.group(2).decode())
        return m.group(1) + url.encode() + m.group(3)

    # Change sets

    async def set(self, ops, boundary):
        """All or nothing; returns the status of the failure, None when all went well."""
        faults = []
        for one in ops:
            self.prepare(one)
            fault = self.fault_of(one)
            faults.append(fault)
            if fault is None:
                continue
            one.fault = fault.kind
            if fault.kind == "reset-before":
                self.lose(one, fault.kind)
            if fault.kind in ("slow", "hold") and not fault.after:
                await fault.wait()
        answers, before, began = [], dict(self.references), time.monotonic()
        try:
            with self.service.org.atomic():
                for one, fault in zip(ops, faults):
                    refused = fault is not None and fault.kind in ("status", "html")
                    answer = self.fail(one, fault) if refused else self.execute(one)
                    one.status = answer.status
                    answers.append(answer)
                    if answer.status >= 400:
                        raise Undone(answer)
        except Undone as undone:
            self.references = before
            self.logs(ops, began)
            one = ops[len(answers) - 1]
            self.failed_set(boundary, one, undone.answer)
            return undone.answer.status
        for one, fault in zip(ops, faults):
            if fault is not None and fault.kind in ("slow", "hold") and fault.after:
                await fault.wait()
            elif fault is not None and fault.kind == "truncate":
                self.cut = True
        for one, fault in zip(ops, faults):
            if fault is not None and fault.kind in ("reset-after", "drop-after-commit"):
                self.lose(one, fault.kind)
        self.logs(ops, began)
        self.write_set(boundary, ops, answers)
        return None

    def logs(self, ops, began):
        ms = round((time.monotonic() - began) * 1000, 2)
        for one in ops:
            if one.status:
                one.ms = ms
                self.log(one)

    def log(self, one):
        self.req.inner.append(one)

    # Writing

    def write(self, boundary, one, answer, content_id=False):
        add = self.out.append
        add("--%s\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n" % boundary)
        if content_id or one.content_id:
            add("Content-ID: %s\r\n" % one.content_id)
        add("\r\nHTTP/1.1 %d %s\r\n" % (answer.status, PHRASES.get(answer.status, "Status")))
        if answer.status >= 400:
            add("REQ_ID: %s\r\n" % one.id)
        if answer.body and answer.type:
            add("Content-Type: %s\r\n" % answer.type)
        add("OData-Version: 4.0\r\n")
        headers = answer.headers
        if "OData-EntityId" in headers:
            add("Location: %s\r\n" % headers["OData-EntityId"])
        for name in SHOWN:
            if name in headers:
                add("%s: %s\r\n" % (name, headers[name]))
        add("\r\n%s\r\n" % answer.body)

    def write_set(self, boundary, ops, answers):
        inner = "changesetresponse_%s" % uuid.uuid4()
        self.out.append("--%s\r\nContent-Type: multipart/mixed; boundary=%s\r\n\r\n" % (boundary, inner))
        for one, answer in zip(ops, answers):
            self.write(inner, one, answer, True)
        self.out.append("--%s--\r\n\r\n" % inner)

    def failed_set(self, boundary, one, answer):
        if not self.service.org.options["ChangeSetErrorNested"]:
            self.write(boundary, one, answer)
            return
        inner = "changesetresponse_%s" % uuid.uuid4()
        self.out.append("--%s\r\nContent-Type: multipart/mixed; boundary=%s\r\n\r\n" % (boundary, inner))
        self.write(inner, one, answer, True)
        self.out.append("--%s--\r\n\r\n" % inner)


def no_reference(name):
    return ApiError(400, "0x80060888", "Content-ID Reference: '$%s' does not exist in the batch context." % name)
