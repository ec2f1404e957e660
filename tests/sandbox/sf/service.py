"""The resources of the REST API below /services/data."""
import base64
import hashlib
import itertools
import re
from urllib.parse import unquote

from simlib import http_date as http_date_of
from simlib import parse_iso

from . import ids, values
from .errors import ApiError, deleted, no_resource
from .many import Collections
from .org import CASCADES
from .schema import ROW_URLS, summary, urls
from .query import Run
from .soql import Parser
from .wire import Answer, http_date

OLDEST, NEWEST = 31, 67
RETIRED = 21
SEASONS = ("Spring", "Summer", "Winter")
VERSION = re.compile(r"v(\d+)\.0\Z")
LONGEST_QUERY = 100_000
DAY = 86400
CURSOR_SECONDS = 2 * DAY


def season(version):
    """v58.0 is Summer '23, v59.0 Winter '24, v60.0 Spring '24; three releases a year."""
    year, which = divmod(version - 57, 3)
    return "%s '%02d" % (SEASONS[which], 23 + year + (which == 2))


def versions():
    return [{"label": season(n), "url": "/services/data/v%d.0" % n, "version": "%d.0" % n}
            for n in range(OLDEST, NEWEST + 1)]


class Cursor:
    __slots__ = ("table", "rows", "plan", "size", "born", "total", "user")


class Service:
    def __init__(self, org, limits, lags):
        self.org = org
        self.limits = limits
        self.lags = lags
        self.cursors = {}
        self.cursor_ids = itertools.count(1)
        self.now = org.now
        self.collections = Collections(self)

    # Dispatch

    def handle(self, call):
        try:
            return self.route(call)
        except ApiError as error:
            return self.refusal(error)

    @staticmethod
    def refusal(error):
        return Answer(error.status, error.document(), error.headers)

    def route(self, call):
        raw = call.raw_path.split("/")
        parts = [unquote(p) if "%" in p else p for p in raw[3:]]
        if parts and parts[-1] == "":
            parts.pop()
        if not parts:
            call.label = "/services/data"
            return self.only(call, "GET", lambda: Answer(200, versions()))
        call.label = "/services/data/{version}"
        number = self.version(parts[0])
        root = "/services/data/" + parts[0]
        if call.method == "POST" and "_HttpMethod" in call.query:
            call.method = call.query["_HttpMethod"].upper()
        rest = parts[1:]
        if not rest:
            return self.only(call, "GET", lambda: Answer(200, {
                name: root + "/" + name for name in ("sobjects", "query", "queryAll", "limits", "composite")}))
        first = rest[0]
        if first == "sobjects":
            return self.sobjects(call, root, number, rest[1:])
        if first in ("query", "queryAll"):
            call.label += "/" + first
            return self.query(call, root, first == "queryAll", rest[1:])
        if first == "limits" and len(rest) == 1:
            call.label += "/limits"
            return self.only(call, "GET", lambda: Answer(200, self.limits.document()))
        if first == "composite" and len(rest) > 1 and rest[1] == "sobjects":
            call.label += "/composite/sobjects"
            return self.collections.handle(call, root, rest[2:])
        call.label = call.raw_path
        raise no_resource()

    @staticmethod
    def version(text):
        m = VERSION.match(text)
        number = int(m.group(1)) if m else 0
        if m is not None and RETIRED <= number < OLDEST:
            raise ApiError(410, "UNSUPPORTED_API_VERSION", "API version %d.0 is retired. Use a current version." % number)
        if m is None or not OLDEST <= number <= NEWEST:
            raise no_resource()
        return number

    @staticmethod
    def only(call, methods, work):
        allowed = methods.split()
        if call.method not in allowed and not (call.method == "HEAD" and "GET" in allowed):
            raise ApiError(405, "METHOD_NOT_ALLOWED", "HTTP Method '%s' not allowed. Allowed are %s"
                           % (call.method, ",".join(allowed)), headers={"Allow": ", ".join(allowed)})
        return work()

    # Reading as of a moment

    def reader(self, lag):
        """get(table name, id) as this reader sees it."""
        org = self.org
        if lag <= 0:
            return org.get
        when = org.clock() - lag
        return lambda name, id: org.rows[name].as_of(id, when)

    def rows_of(self, table, narrow):
        rows = self.org.rows[table.name]
        lag, list_lag = self.lags()
        if narrow is not None and narrow[0] == "Id":
            get = self.reader(lag)
            found = [get(table.name, id) for id in dict.fromkeys(narrow[1])]
            return [vals for vals in found if vals is not None]
        if list_lag > 0:
            return rows.all_as_of(self.org.clock() - list_lag)
        if narrow is None:
            return rows.now.values()
        if narrow[0] == "since":
            return reversed(rows.since(narrow[1]))
        index, now = rows.index(narrow[0]), rows.now
        found = {id: None for value in narrow[1] for id in index.get(values.fold(value), ())}
        return [now[id] for id in found]

    # sObjects

    def table(self, name):
        table = self.org.seen(name)
        if table is None:
            raise no_resource()
        return table

    def sobjects(self, call, root, version, rest):
        call.label += "/sobjects"
        if not rest:
            return self.only(call, "GET", lambda: self.describe_all(root))
        table = self.table(rest[0])
        call.label += "/" + table.name
        if len(rest) == 1:
            return self.only(call, "GET POST", lambda: self.basic(table, root) if call.method == "GET"
                             else self.create(call, root, table))
        word = rest[1].lower()
        if len(rest) == 2 and word in ("describe", "updated", "deleted"):
            call.label += "/" + word
            return self.only(call, "GET", lambda: getattr(self, word)(call, root, table))
        if len(rest) == 2:
            call.label += "/{id}"
            return self.row(call, root, table, self.id_of(table, rest[1]))
        if len(rest) == 3:
            return self.by_key(call, root, version, table, rest[1], rest[2])
        raise no_resource()

    @staticmethod
    def id_of(table, text):
        found = ids.canonical(text)
        if found is None:
            raise ApiError(404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: %s" % text)
        if found[:3] != table.prefix:
            raise ApiError(400, "MALFORMED_ID", "%s ID: id value of incorrect type: %s" % (table.label, text), ("Id",))
        return found

    def describe_all(self, root):
        found = [self.summary(t, root) for t in self.org.tables.values() if self.org.seen(t.name)]
        return Answer(200, {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": found})

    def summary(self, table, root):
        """As the caller's profile has it."""
        out, denied = summary(table, root), self.org.denied.get(table.name, ())
        for verb, member in (("create", "createable"), ("write", "updateable"), ("delete", "deletable")):
            if verb in denied or table.read_only:
                out[member] = False
        return out

    def basic(self, table, root):
        return Answer(200, {"objectDescribe": self.summary(table, root), "recentItems": []})

    def describe(self, call, root, table):
        headers = {"Last-Modified": http_date_of(table.changed)}
        since = call.headers.get("If-Modified-Since")
        if since is not None and (http_date(since) or 0) >= int(table.changed):
            return Answer(304, headers=headers)
        out = self.summary(table, root)
        out["urls"].update({name: "%s/%s" % (urls(root, table.name)["sobject"], name) for name in ROW_URLS})
        out["fields"] = [f.describe() for f in self.org.fields(table)]
        out["childRelationships"] = self.child_relations(table)
        out["recordTypeInfos"] = self.record_type_infos(table, root)
        out["namedLayoutInfos"], out["supportedScopes"] = [], [{"label": "All " + table.plural, "name": "everything"}]
        out["listviewable"] = out["lookupLayoutable"] = out["searchLayoutable"] = None
        out["networkScopeFieldName"] = out["compactLayoutable"] = None
        return Answer(200, out, headers)

    def child_relations(self, table):
        out = []
        for child in self.org.tables.values():
            if not self.org.seen(child.name):
                continue
            view = self.org.view(child)
            out.extend({
                "cascadeDelete": f.cascade or (child.name, f.name) in CASCADES, "childSObject": child.name,
                "deprecatedAndHidden": False, "field": f.name, "junctionIdListNames": [], "junctionReferenceTo": [],
                "relationshipName": f.child, "restrictedDelete": False}
                for f in child.references if table.name in f.refs and f.name in view)
        return out

    def record_type_infos(self, table, root):
        master = {"active": True, "available": True, "defaultRecordTypeMapping": True, "developerName": "Master",
                  "master": True, "name": "Master", "recordTypeId": "012000000000000AAA",
                  "urls": {"layout": "%s/sobjects/%s/describe/layouts/012000000000000AAA" % (root, table.name)}}
        found = self.org.record_types(table) if self.org.options["RecordTypes"] else []
        default = self.org.default_record_type(table) if found else None
        master["defaultRecordTypeMapping"] = default is None
        return [{"active": r.get("IsActive", True), "available": r.get("IsActive", True),
                 "defaultRecordTypeMapping": r["Id"] == default, "developerName": r["DeveloperName"], "master": False,
                 "name": r["Name"], "recordTypeId": r["Id"], "urls": {
                     "layout": "%s/sobjects/%s/describe/layouts/%s" % (root, table.name, r["Id"])}}
                for r in found] + [master]

    # Rows

    def row(self, call, root, table, id):
        method = call.method
        if method == "GET" or method == "HEAD":
            return self.read(call, root, table, id)
        if method == "PATCH":
            return self.patch(call, table, id)
        if method == "DELETE":
            return self.remove(call, table, id)
        return self.only(call, "GET PATCH DELETE HEAD", None)

    def read(self, call, root, table, id):
        vals = self.reader(self.lags()[0])(table.name, id)
        if vals is None:
            raise no_resource()
        headers = self.validators(table, vals)
        answer = self.preconditions(call, table, vals, headers)
        if answer is not None:
            return answer
        wanted = call.query.get("fields")
        view = self.org.view(table)
        if wanted:
            names = []
            for name in wanted.split(","):
                field = view.get(name.strip()) or view.get(name.strip().lower())
                if field is None:
                    raise ApiError(400, "INVALID_FIELD", "No such column '%s' on entity '%s'. If you are attempting to "
                                   "use a custom field, be sure to append the '__c' after the custom field name. Please "
                                   "reference your WSDL or the describe call for the appropriate names."
                                   % (name.strip(), table.name))
                names.append(field.name)
            if "Id" not in names:
                names.append("Id")
        else:
            names = [f.name for f in self.org.fields(table)]
        return Answer(200, self.shown(root, table, vals, names), headers)

    @staticmethod
    def shown(root, table, vals, names):
        out = {"attributes": {"type": table.name, "url": "%s/sobjects/%s/%s" % (root, table.name, vals["Id"])}}
        for name in names:
            out[name] = vals.get(name)
        return out

    def validators(self, table, vals):
        headers = {"Last-Modified": http_date_of(values.epoch(vals[self.org.options["IfUnmodified"]]))}
        if table.name == "Account":
            headers["ETag"] = self.etag(vals)
        return headers

    @staticmethod
    def etag(vals):
        digest = hashlib.sha1(repr(sorted(vals.items())).encode()).digest()
        return '"%s"' % base64.b64encode(digest).decode()

    def preconditions(self, call, table, vals, shown=None):
        """The answer of a conditional request whose condition does not hold, else None. `shown`: it reads."""
        headers = call.headers
        until = headers.get("If-Unmodified-Since")
        changed = None
        if until is not None:
            when = http_date(until)
            changed = values.epoch(vals[self.org.options["IfUnmodified"]])
            if when is None and shown is None:
                raise self.bad_header("If-Unmodified-Since", until)
            if when is not None and changed > when:
                return Answer(412)
        if shown is not None and headers.get("If-Modified-Since") is not None:
            when = http_date(headers["If-Modified-Since"])
            if when is not None and values.epoch(vals[self.org.options["IfUnmodified"]]) <= when:
                return Answer(304, headers=shown)
        if table.name == "Account":
            return self.entity_tags(headers, vals, shown)
        return None

    def entity_tags(self, headers, vals, shown):
        match, none = headers.get("If-Match"), headers.get("If-None-Match")
        if match is None and none is None:
            return None
        tag = self.etag(vals).strip('"')
        for name, text in (("If-Match", match), ("If-None-Match", none)):
            if text is None:
                continue
            tags = re.findall(r'"([^"]*?)(?:-gzip)?"', text)
            if not tags and text.strip() != "*":
                raise self.bad_header(name, text)
            held = tag in tags or text.strip() == "*"
            if name == "If-Match" and not held:
                return Answer(412)
            if name == "If-None-Match" and held:
                return Answer(304, headers=shown) if shown is not None else Answer(412)
        return None

    @staticmethod
    def bad_header(name, value):
        return ApiError(400, "INVALID_REQUEST_HEADER", "The value '%s' of the header %s is not valid." % (value, name))

    def create(self, call, root, table):
        id = self.org.create(table, call.json(), call.actor)
        return Answer(201, {"id": id, "success": True, "errors": []},
                      {"Location": "%s/sobjects/%s/%s" % (root, table.name, id)})

    def patch(self, call, table, id):
        rows = self.org.rows[table.name]
        body = call.json()
        vals = rows.now.get(id)
        if vals is None:
            raise deleted() if id in rows.bin or id in rows.gone else no_resource()
        answer = self.preconditions(call, table, vals)
        if answer is not None:
            return answer
        self.org.update(table, id, body, call.actor)
        return Answer(204)

    def remove(self, call, table, id):
        rows = self.org.rows[table.name]
        if id not in rows.now:
            raise deleted() if id in rows.bin or id in rows.gone else no_resource()
        self.org.delete(table, id, call.actor)
        return Answer(204)

    # External ids

    def by_key(self, call, root, version, table, name, value):
        view = self.org.view(table)
        field = view.get(name) or view.get(name.lower())
        if field is None or not (field.external or field.type == "id"):
            raise ApiError(404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: %s" % name)
        call.label += "/%s/{value}" % field.name
        if field.type == "id":
            return self.row(call, root, table, self.id_of(table, value))
        found = self.org.matching(table, field, value)
        if len(found) > 1:
            return Answer(300, ["%s/sobjects/%s/%s" % (root, table.name, id) for id in found])
        if call.method == "PATCH":
            return self.upsert(call, root, version, table, field, value, found)
        if call.method == "GET" and self.lags()[0] > 0:
            found = self.late_key(table, field, value)
        if not found:
            raise no_resource()
        return self.row(call, root, table, found[0])

    def late_key(self, table, field, value):
        when = self.org.clock() - self.lags()[0]
        wanted = values.fold(value)
        return [v["Id"] for v in self.org.rows[table.name].all_as_of(when) if values.fold(v.get(field.name)) == wanted]

    def upsert(self, call, root, version, table, field, value, found):
        body = call.json()
        if any(name.lower() == field.name.lower() for name in body):
            raise ApiError(400, "INVALID_FIELD", "The %s field should not be specified in the sobject data." % field.name)
        if not found:
            if call.query.get("updateOnly", "").lower() == "true":
                raise no_resource()
            id = self.org.create(table, {**body, field.name: value}, call.actor)
            return Answer(201, {"id": id, "success": True, "errors": [], "created": True},
                          {"Location": "%s/sobjects/%s/%s" % (root, table.name, id)})
        answer = self.preconditions(call, table, self.org.rows[table.name].now[found[0]])
        if answer is not None:
            return answer
        self.org.update(table, found[0], body, call.actor)
        if version < 46 or self.org.options["UpsertNoContent"]:
            return Answer(204)
        return Answer(200, {"id": found[0], "success": True, "errors": [], "created": False})

    # Replication

    def span(self, call, days):
        found = []
        for name in ("start", "end"):
            text = call.query.get(name, "")
            when = parse_iso(text)
            if when is None:
                raise ApiError(400, "INVALID_REPLICATION_DATE", "The parameter %s '%s' is no date of the form "
                               "yyyy-MM-ddTHH:mm:ssZ" % (name, text))
            found.append(int(when) // 60 * 60)
        start, end = found
        if end <= start:
            raise ApiError(400, "INVALID_REPLICATION_DATE", "startDate should be less than endDate")
        if start < self.now() - days * DAY:
            raise ApiError(400, "INVALID_REPLICATION_DATE", "startDate cannot be more than %d days ago" % days)
        return start, min(end, int(self.now()) // 60 * 60)

    def updated(self, call, root, table):
        start, end = self.span(call, 30)
        low, high = values.stamp(start), values.stamp(end)
        found = [v["Id"] for v in reversed(self.org.rows[table.name].since(low)) if v["SystemModstamp"] < high]
        return Answer(200, {"ids": found, "latestDateCovered": high})

    def deleted(self, call, root, table):
        start, end = self.span(call, 15)
        found = [{"deletedDate": values.stamp(when), "id": id}
                 for id, when in self.org.rows[table.name].gone.items() if start <= when < end]
        return Answer(200, {"deletedRecords": found, "earliestDateAvailable": values.stamp(self.now() - 15 * DAY),
                            "latestDateCovered": values.stamp(end)})

    # Queries

    def query(self, call, root, binned, rest):
        if call.method != "GET":
            return self.only(call, "GET", None)
        if rest:
            call.label += "/{locator}"
            return self.more(call, root, binned, rest[0])
        text = call.query.get("q")
        if text is None:
            raise ApiError(400, "MALFORMED_QUERY", "The query parameter q is missing")
        if len(text) > LONGEST_QUERY:
            raise ApiError(400, "MALFORMED_QUERY", "SOQL statements cannot be longer than 100000 characters.")
        query = Parser(text).parse()
        run = self.runner(root, binned)
        if query.group or query.having:
            found = run.groups(query)
            return Answer(200, {"totalSize": len(found), "done": True, "records": found})
        table, found = run.run(query)
        if query.count:
            return Answer(200, {"totalSize": len(found), "done": True, "records": []})
        plan = run.plan(table, query.select)
        size = self.batch_size(call.headers.get("Sforce-Query-Options", ""))
        if len(found) <= size:
            return Answer(200, {"totalSize": len(found), "done": True,
                                "records": [run.show(table, vals, plan) for vals in found]})
        cursor = Cursor()
        cursor.table, cursor.rows, cursor.plan, cursor.size = table, found, plan, size
        cursor.born, cursor.user = self.now(), call.actor.user
        return self.page(root, run, self.keep(cursor), cursor, 0, binned)

    def runner(self, root, binned=False):
        lag, list_lag = self.lags()
        return Run(self.org, root, self.reader(max(lag, list_lag)), self.rows_of, binned)

    @staticmethod
    def batch_size(header):
        m = re.search(r"batchSize\s*=\s*(\d+)", header, re.I)
        return min(2000, max(200, int(m.group(1)))) if m else 2000

    def keep(self, cursor):
        mine = [k for k, c in self.cursors.items() if c.user == cursor.user]
        for old in mine[:max(0, len(mine) + 1 - int(self.org.options["QueryCursors"]))]:
            del self.cursors[old]
        name = ids.make("01g", next(self.cursor_ids))
        self.cursors[name] = cursor
        return name

    def page(self, root, run, name, cursor, start, binned):
        end = min(start + cursor.size, len(cursor.rows))
        out = {"totalSize": len(cursor.rows), "done": end >= len(cursor.rows)}
        if not out["done"]:
            out["nextRecordsUrl"] = "%s/%s/%s-%d" % (root, "queryAll" if binned else "query", name, end)
        out["records"] = [run.show(cursor.table, vals, cursor.plan) for vals in cursor.rows[start:end]]
        return Answer(200, out)

    def more(self, call, root, binned, locator):
        name, _, start = locator.partition("-")
        cursor = self.cursors.get(name)
        if cursor is None or not start.isdigit() or cursor.user != call.actor.user \
                or cursor.born + CURSOR_SECONDS < self.now():
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return self.page(root, self.runner(root, binned), name, cursor, int(start), binned)
