"""The Web API: a request in, status, headers and body out. No sockets, no tokens, no faults."""
import json
import re
from urllib.parse import quote, unquote

from . import life, metadata, odata, paging, values
from .actions import Actions
from .addresses import Addresses
from .errors import (
    ApiError, bad_argument, bad_payload, bad_query, no_row, no_segment, row_exists, version_differs,
)
from .org import Actor
from .payload import read_object, read_payload
from .render import Renderer, Views
from .store import AsOf
from .tracking import Tracking
from .wire import Answer

ACTION = "Microsoft.Dynamics.CRM."
ROOT = re.compile(r"/api/data/v(9\.[0-9]|8\.[0-2])(?:/|\Z)")
SEGMENT = re.compile(r"([$\w.]+)(?:\((.*)\))?\Z", re.S)
MAX_PAGE = 5000
APPLY = re.compile(r"(?:filter\((.*)\)/)?groupby\(\((\w+)\),\s*aggregate\(\$count as (\w+)\)\)\Z")


class Service(Addresses):
    def __init__(self, org, lag=lambda: (0, 0)):
        self.org = org
        self.lag = lag
        self.views = Views(org.schema)
        self.tracking = Tracking(self)
        self.renderer = Renderer(org)
        self.dispatch = {"GET": self.get_row, "PATCH": self.patch_row, "DELETE": self.delete_row}
        self.actions = Actions(self)

    # Entry

    def handle(self, call):
        try:
            if call.method != "GET" and self.org.listener is not None:
                self.mark(call)
            return self.route(call)
        except ApiError as e:
            return self.refusal(call, e)

    @staticmethod
    def mark(call):
        """What a caller says about who shall hear of its write."""
        headers = call.headers
        steps = headers.get("MSCRM.BypassBusinessLogicExecutionStepIds")
        every = headers.get("MSCRM.BypassBusinessLogicExecution", "")
        tag = re.search(r"(?:^|&)tag=([^&]*)", call.query) if "tag=" in call.query else None
        if not steps and not every and tag is None:
            return
        bypass = True if "CustomAsync" in every else \
            {s.strip().lower() for s in steps.split(",")} if steps else None
        call.actor = Actor(call.actor.user, call.actor.behind, bypass, unquote(tag.group(1)) if tag else None)

    def refusal(self, call, e):
        code = "" if self.org.options["EmptyErrorCodes"] else e.code
        parts = ['{"error":{"code":"%s","message":%s' % (code, values.quote(e.message))]
        for name, value in (("@Microsoft.PowerApps.CDS.ErrorDetails.OperationStatus", "0"),
                            ("@Microsoft.PowerApps.CDS.ErrorDetails.SubErrorCode", "0"),
                            ("@Microsoft.PowerApps.CDS.HelpLink",
                             "http://go.microsoft.com/fwlink/?LinkID=398563&error=Microsoft.Crm.CrmException"
                             "%%3a%s&client=platform" % e.code[2:].upper()),
                            ("@Microsoft.PowerApps.CDS.InnerError.Message", e.message),
                            ("@Microsoft.PowerApps.CDS.TraceText", "")):
            if call.prefs.wants(name[1:]):
                parts.append(",%s:%s" % (values.quote(name), values.quote(value)))
        return Answer(e.status, "".join(parts) + "}}", dict(e.headers))

    def route(self, call):
        m = ROOT.match(call.path)
        if m is None:
            raise no_segment(call.path.strip("/").split("/")[0] or "/")
        version = m.group(0).rstrip("/")
        call.root += version
        rest = call.path[m.end():].rstrip("/")
        if not rest:
            return self.service_document(call)
        segments = rest.split("/")
        call.options, call.aliases = odata.parse_query(call.query) if call.query else ({}, {})
        first = SEGMENT.match(unquote(segments[0]) if "(" not in segments[0] else segments[0])
        if first is None:
            raise bad_query("Bad Request - Error in query syntax.")
        name, key = first.groups()
        table = self.org.schema.sets.get(name)
        if table is None:
            return self.other(call, version, name, key, segments)
        call.label = "%s/%s" % (version, name)
        if key is None:
            return self.on_set(call, table, segments[1:])
        call.label += "({id})"
        call_key = self.read_key(table, key)
        if len(segments) > 1:
            return self.on_part(call, table, call_key, segments[1:])
        handler = self.dispatch.get(call.method)
        if handler is None:
            raise ApiError(405, "0x80060888", "The requested resource does not support http method '%s'."
                           % call.method)
        return handler(call, table, call_key)

    def service_document(self, call):
        sets = ",".join('{"name":"%s","kind":"EntitySet","url":"%s"}' % (s, s) for s in self.org.schema.sets)
        return Answer(200, '{"@odata.context":"%s/$metadata","value":[%s]}' % (call.root, sets))

    def other(self, call, version, name, key, segments):
        call.label = "%s/%s" % (version, name)
        if name == "EntityDefinitions":
            return metadata.answer(self, call, segments)
        if name == "WhoAmI" and len(segments) == 1 and not key:
            if call.method != "GET":
                raise self.bad_verb(call)
            return self.who_am_i(call)
        action = self.actions.unbound.get(name)
        if action is not None and len(segments) == 1:
            if call.method != "POST":
                raise self.bad_verb(call)
            return action(call)
        raise no_segment(name)

    @staticmethod
    def bad_verb(call):
        return ApiError(405, "0x80060888",
                        "The requested resource does not support http method '%s'." % call.method)

    def who_am_i(self, call):
        return Answer(200, '{"@odata.context":"%s/$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse",'
                      '"BusinessUnitId":"%s","UserId":"%s","OrganizationId":"%s"}'
                      % (call.root, self.org.unit, call.actor.behind or call.actor.user, self.org.id))

    # Rights

    def allowed(self, call, table, verb):
        if verb in self.org.denied.get(table.name, ()) or (table.read_only and verb != "read"):
            raise ApiError(
                403, "0x80040220",
                "Principal user (Id=%s, type=8, roleCount=1, privilegeCount=100, accessMode=4) is missing "
                "prv%s%s privilege (Id=00000000-0000-0000-0000-000000000000) on OTC=%d for entity '%s'. "
                "context.Caller=%s" % (call.actor.user, verb.capitalize(), table.schema_name,
                                       table.object_type_code, table.name, call.actor.user))

    # Reading

    def reader(self, when):
        return self.org.get if when is None else AsOf(self.org, when)

    def get_row(self, call, table, key):
        self.allowed(call, table, "read")
        lag = self.lag()[0]
        when = self.org.steady() - lag if lag > 0 else None
        row = self.find(table, key, when)
        if row is None:
            raise self.missing(table, key)
        view = self.views.get(table, call.options.get("$select"), call.options.get("$expand"))
        tag = call.headers.get("If-None-Match")
        if tag and tag != "null" and not view.expands and call.prefs.annotations is None \
                and same_tag(tag, row):
            return Answer(304, "", {"ETag": 'W/"%d"' % row.version}, None)
        return self.row_answer(call, 200, view, row, self.reader(when))

    def row_answer(self, call, status, view, row, reader=None):
        head = '"@odata.context":"%s/$metadata#%s/$entity",' % (call.root, view.context())
        text = self.renderer.row(view, row, reader or self.org.get, call.prefs, head)
        headers = call.prefs.applied("return")
        headers["ETag"] = 'W/"%d"' % row.version
        return Answer(status, text, headers)

    def on_set(self, call, table, parts):
        if parts:
            name = unquote(parts[0])
            if len(parts) == 1 and name.startswith(ACTION) and name[len(ACTION):] in self.actions.collection:
                if call.method != "POST":
                    raise self.bad_verb(call)
                return self.actions.collection[name[len(ACTION):]](call, table)
            if parts == ["$count"] and call.method == "GET":
                if "$deltatoken" in call.options:
                    return self.tracking.count(call, table)
                rows = self.select_rows(call, table, self.list_moment())
                return Answer(200, "\ufeff%d" % min(len(rows), MAX_PAGE), {}, "text/plain")
            raise no_segment(unquote(parts[0]))
        if call.method == "GET":
            return self.list_rows(call, table)
        if call.method == "POST":
            return self.post_row(call, table)
        raise self.bad_verb(call)

    def list_moment(self):
        lag = self.lag()[1]
        return self.org.steady() - lag if lag > 0 else None

    def select_rows(self, call, table, when, only=None):
        """All rows the filter lets through, unordered; `only` limits them to these ids."""
        self.allowed(call, table, "read")
        rows = self.org.rows[table.name]
        text = call.options.get("$filter")
        if text is None:
            tree, test, ids = None, None, rows.now
        else:
            tree = odata.Parser(text, table, self.org.schema, call.aliases).parse()
            test = odata.compile_filter(tree, self.reader(when), self.org.clock,
                                        lambda spec, row: self.org.related(spec, row, when))
            ids = self.candidates(rows, tree)
        if only is not None:
            ids = only
        if when is None:
            now = rows.now
            found = [now[i] for i in ids if i in now]
        else:
            changed = rows.changed_since(when)
            found = [rows.now[i] for i in ids if i in rows.now and i not in changed]
            found.extend(row for id, row in changed.items() if row is not None and (only is None or id in only))
        return [row for row in found if test(row)] if test else found

    @staticmethod
    def candidates(rows, tree):
        """The smallest set of ids an index vouches for."""
        best = odata.candidates(rows, tree)
        if best is not None:
            return dict.fromkeys(best)
        since = odata.modified_since(tree)
        return rows.now if since is None else rows.modified_since(since)

    def list_rows(self, call, table, only=None):
        options, prefs = call.options, call.prefs
        if only is None and (prefs.track or "$deltatoken" in options
                             or 'istracking="True"' in options.get("$skiptoken", "")):
            return self.tracking.list(call, table)
        when = self.list_moment()
        if "$apply" in options:
            return self.aggregate(call, table, when)
        view = self.views.get(table, options.get("$select"), options.get("$expand"))
        order = odata.parse_orderby(options["$orderby"], table, self.org.schema) \
            if options.get("$orderby") else []
        reader = self.reader(when)
        found = self.select_rows(call, table, when, only)
        total = len(found)
        keys = [(odata.getter(ref, reader), down) for ref, down in order]
        odata.sort_rows(found, keys)
        top = self.number(options.get("$top"), "$top")
        page, number = min(prefs.page or MAX_PAGE, MAX_PAGE), 1
        if "$skiptoken" in options:
            number, after = paging.read_cookie(options["$skiptoken"], order, table)
            found = found[paging.position_after(found, keys, after):]
        more = top is None and len(found) > page
        found = found[:page if top is None else min(top, MAX_PAGE)]
        return self.list_answer(call, view, found, reader, total,
                                self.next_link(call, table, order, keys, found, number) if more else None)

    def aggregate(self, call, table, when):
        """[filter(..)/]groupby((column),aggregate($count as name)): how often each value stands in the table."""
        found = APPLY.match(call.options["$apply"])
        col = table.wire.get(found.group(2)) if found else None
        if col is None or set(call.options) - {"$apply"}:
            raise bad_query("The query parameter $apply with the value '%s' is not supported here." % call.options["$apply"])
        inner = {"$filter": found.group(1)} if found.group(1) else {}
        outer, call.options = call.options, inner
        try:
            rows = self.select_rows(call, table, when)
        finally:
            call.options = outer
        limit = int(self.org.options["AggregateLimit"])
        if len(rows) > limit:
            raise ApiError(400, "0x8004E023", "The maximum record limit of %d is exceeded. Reduce the number of records."
                           % limit)
        groups = {}
        for row in rows:
            value = row.vals.get(col.name)
            folded = odata.fold(value) if isinstance(value, str) else value
            first = groups.setdefault(folded, [value, 0])
            first[1] += 1
        parts = ['{"%s":%s,"%s":%d}' % (col.wire, "null" if value is None else values.render(col, value), found.group(3), n)
                 for value, n in groups.values()]
        return Answer(200, '{"@odata.context":"%s/$metadata#%s","value":[%s]}'
                      % (call.root, table.set_name, ",".join(parts[:MAX_PAGE])))

    @staticmethod
    def number(text, name):
        if text is None:
            return None
        if not text.isdigit() or int(text) < 1:
            raise bad_query("Invalid value '%s' for %s query option found. The %s query option requires a "
                            "non-negative integer value." % (text, name, name))
        return int(text)

    def list_answer(self, call, view, found, reader, total, next_link):
        prefs = call.prefs
        parts = ['{"@odata.context":"%s/$metadata#%s"' % (call.root, view.context())]
        if call.options.get("$count") == "true":
            parts.append(',"@odata.count":%d' % min(total, MAX_PAGE))
            if prefs.wants("Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"):
                parts.append(',"@Microsoft.Dynamics.CRM.totalrecordcount":%d,'
                             '"@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded":%s'
                             % (min(total, MAX_PAGE), "true" if total > MAX_PAGE else "false"))
        if prefs.wants("Microsoft.Dynamics.CRM.globalmetadataversion"):
            parts.append(',"@Microsoft.Dynamics.CRM.globalmetadataversion":"%d"' % self.org.schema.version)
        row = self.renderer.row
        parts.append(',"value":[%s]' % ",".join([row(view, r, reader, prefs) for r in found]))
        if next_link:
            parts.append(',"@odata.nextLink":%s' % values.quote(next_link))
        parts.append("}")
        return Answer(200, "".join(parts), prefs.applied("page"))

    def next_link(self, call, table, order, keys, found, number):
        kept = "&".join(p for p in call.query.split("&")
                        if p and not unquote(p).startswith("$skiptoken="))
        cookie = paging.write_cookie(order, table, found[0], found[-1], number)
        token = '<cookie pagenumber="%d" pagingcookie="%s" istracking="False" />' % (
            number + 1, quote(quote(cookie, safe=""), safe=""))
        return "%s%s?%s%s$skiptoken=%s" % (call.root_origin, call.path, kept, "&" if kept else "",
                                         quote(token, safe='="/'))

    # Writing

    def checks_duplicates(self, call):
        return call.headers.get("MSCRM.SuppressDuplicateDetection", "").lower() == "false"

    @staticmethod
    def body(call, set_name):
        kind = call.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise ApiError(415, "0x80060888", "The request entity's media type '%s' is not supported for this "
                           "resource." % kind)
        return read_object(set_name, call.body)

    def post_row(self, call, table):
        doc = self.body(call, table.set_name)
        row = self.make(call, table, doc, None)
        return self.written(call, table, row, True, expand=True)

    def make(self, call, table, doc, id):
        """Creates the row and everything nested in it, or nothing."""
        self.allowed(call, table, "create")
        payload = read_payload(self, table, doc, True)
        if payload.parents or payload.children:
            with self.org.atomic():
                return self.make_one(call, table, payload, id)
        return self.make_one(call, table, payload, id)

    def make_one(self, call, table, payload, id):
        changes = payload.changes
        given = changes.pop(table.pk, None)
        if id is not None and given not in (None, id):
            raise bad_argument("The primary key of the body differs from the one of the URL.")
        id = id or given or self.org.new_id()
        for col, target, nested in payload.parents:
            parent = self.make(call, self.org.schema.tables[target], nested, None)
            changes[col.name] = parent.id
            if len(col.targets) > 1:
                changes[col.name + "@"] = target
        if self.checks_duplicates(call):
            self.org.check_duplicates(table, changes, id)
        row = self.org.create(table, id, changes, call.actor)
        for (child, col), nested in payload.children:
            self.make_children(call, table, row, child, col, nested)
        return row

    def make_children(self, call, table, row, child, col, nested):
        for doc in nested:
            if not isinstance(doc, dict):
                raise bad_payload(child.set_name, "Microsoft.OData.ODataException: A JSON object was expected")
            doc = dict(doc)
            doc["%s@odata.bind" % col.nav[table.name]] = "/%s(%s)" % (table.set_name, row.id)
            self.make(call, child, doc, None)

    def patch_row(self, call, table, key):
        row = self.find(table, key)
        match, none_match = call.headers.get("If-Match"), call.headers.get("If-None-Match")
        doc = self.body(call, table.set_name)
        if row is None:
            if match:
                raise self.missing(table, key)
            return self.upsert_missing(call, table, key, doc)
        if none_match == "*":
            raise row_exists()
        if match and match != "*" and not same_tag(match, row):
            raise version_differs()
        if key[0] == "key":
            doc = {n: v for n, v in doc.items() if n not in key[2]}
        row = self.change(call, table, row, doc)
        return self.written(call, table, row, False, key=key)

    def upsert_missing(self, call, table, key, doc):
        if key[0] == "id":
            row = self.make(call, table, doc, key[1])
        else:
            doc = dict(doc)
            lookups = {}
            for name, value in key[2].items():
                col = table.columns[name]
                if col.wire == name:
                    doc.setdefault(name, value)
                elif not any(n + "@odata.bind" in doc for n in col.nav.values()):
                    lookups[name] = value
            for name, value in lookups.items():
                target, nav = next(iter(table.columns[name].nav.items()))
                doc[nav + "@odata.bind"] = "/%s(%s)" % (self.org.schema.tables[target].set_name, value)
            row = self.make(call, table, doc, None)
        return self.written(call, table, row, True, key=key)

    def change(self, call, table, row, doc):
        self.allowed(call, table, "write")
        payload = read_payload(self, table, doc, False)
        changes = payload.changes
        if changes.pop(table.pk, row.id) != row.id:
            raise bad_argument("The primary key of a row cannot be changed.")
        if self.checks_duplicates(call):
            self.org.check_duplicates(table, changes, row.id, row)
        return self.org.update(table, row, changes, call.actor)

    def written(self, call, table, row, created, expand=False, key=None):
        if not call.prefs.representation:
            # A write by alternate key is answered with that key, not with the primary one.
            name = key[3] if key is not None and key[0] == "key" else row.id
            entity = "%s/%s(%s)" % (call.root, table.set_name, name)
            return Answer(204, "", {"OData-EntityId": entity}, None, entity)
        view = self.views.get(table, call.options.get("$select"),
                              call.options.get("$expand") if expand else None)
        answer = self.row_answer(call, 201 if created else 200, view, row)
        answer.entity = "%s/%s(%s)" % (call.root, table.set_name, row.id)
        return answer

    def delete_row(self, call, table, key):
        row = self.find(table, key)
        if row is None:
            raise self.missing(table, key)
        self.allowed(call, table, "delete")
        match = call.headers.get("If-Match")
        if match and match != "*" and not same_tag(match, row):
            raise version_differs()
        self.org.delete(table, row, call.actor)
        return Answer(204, "", {}, None)

    # Single columns, look-ups, bound actions

    def on_part(self, call, table, key, parts):
        parts = [unquote(p) for p in parts]
        name = parts[0]
        call.label += "/" + name
        if name in (ACTION + "RetrieveUserPrivileges", ACTION + "RetrieveUserPrivileges()") and len(parts) == 1:
            return self.user_privileges(call, table, key)
        if name.startswith(ACTION):
            action = self.actions.bound.get((table.name, name[len(ACTION):]))
            if action is None or len(parts) > 1:
                raise no_segment(name)
            if call.method != "POST":
                raise self.bad_verb(call)
            return action(call, self.must(table, key))
        row = self.must(table, key)
        col = table.wire.get(name)
        if parts[1:] == ["$ref"] and name in table.navs:
            return self.reference(call, table, row, name)
        if col is not None and parts[1:] in ([], ["$value"]):
            return self.column(call, table, row, col, parts[1:] == ["$value"])
        if name in table.navs and len(parts) == 1 and call.method == "GET":
            return self.related(call, table, row, name)
        many = re.match(r"(\w+)(?:\(([\w-]+)\))?\Z", name)
        spec = many and self.org.schema.collection(table, many.group(1))
        if spec is not None:
            return self.collection(call, table, row, spec, many.group(2), parts[1:])
        raise no_segment(name)

    def user_privileges(self, call, table, key):
        """A function bound to a user: the privileges of its roles and of its teams' roles."""
        if table.name != "systemuser":
            raise no_segment(ACTION + "RetrieveUserPrivileges")
        if call.method != "GET":
            raise self.bad_verb(call)
        self.must(table, key)
        return Answer(200, json.dumps({
            "@odata.context": "%s/$metadata#Microsoft.Dynamics.CRM.RetrieveUserPrivilegesResponse" % call.root,
            "RolePrivileges": metadata.role_privileges(self.org)}))

    def must(self, table, key):
        row = self.find(table, key)
        if row is None:
            raise self.missing(table, key)
        return row

    def column(self, call, table, row, col, plain):
        if call.method == "GET":
            self.allowed(call, table, "read")
            value = row.vals.get(col.name)
            if value is None:
                return Answer(204, "", {}, None)
            text = values.render(col, value)
            if plain:
                return Answer(200, str(values.load_json(text)), {}, "text/plain")
            return Answer(200, '{"@odata.context":"%s/$metadata#%s(%s)/%s","value":%s}'
                          % (call.root, table.set_name, row.id, col.wire, text))
        if call.method == "PUT":
            doc = self.body(call, table.set_name)
            if "value" not in doc:
                raise bad_payload(table.set_name, "Microsoft.OData.ODataException: 'value' is missing")
            self.change(call, table, row, {col.wire: doc["value"]})
        elif call.method == "DELETE":
            self.change(call, table, row, {col.wire: None})
        else:
            raise self.bad_verb(call)
        return Answer(204, "", {}, None)

    def collection(self, call, table, row, spec, key, rest):
        """Rows of a collection-valued property: read them, add one, take one out."""
        if rest == [] and key is None and call.method == "GET":
            return self.list_rows(call, spec.table, {r.id: None for r in self.org.related(spec, row)})
        if rest == ["$count"] and call.method == "GET":
            rows = self.select_rows(call, spec.table, None, {r.id: None for r in self.org.related(spec, row)})
            return Answer(200, "\ufeff%d" % min(len(rows), MAX_PAGE), {}, "text/plain")
        if rest != ["$ref"]:
            raise no_segment("/".join(rest) or key)
        if call.method == "POST" and key is None:
            kind, other = self.resolve_reference(self.body(call, table.set_name).get("@odata.id", ""))
            if kind is not spec.table:
                raise bad_argument("A row of the table %s cannot be added here." % kind.name)
            self.link(call, table, row, spec, other, True)
            return Answer(204, "", {}, None)
        if call.method != "DELETE":
            raise self.bad_verb(call)
        id = key or self.named(call)
        other = self.org.get(spec.table.name, id.lower())
        if other is None:
            raise no_row(spec.table.name, id)
        self.link(call, table, row, spec, other, False)
        return Answer(204, "", {}, None)

    def named(self, call):
        """The row that ?$id=<url> names."""
        kind, row = self.resolve_reference(call.options.get("$id", ""))
        return row.id

    def link(self, call, table, row, spec, other, there):
        if spec.through is None:
            self.allowed(call, spec.table, "write")
            changes = {spec.col.name: row.id if there else None}
            if len(spec.col.targets) > 1:
                changes[spec.col.name + "@"] = table.name if there else None
            self.org.update(spec.table, other, changes, call.actor)
            return
        team, user = (row.id, other.id) if table.name == "team" else (other.id, row.id)
        if there:
            life.join(self.org, team, user, call.actor)
        else:
            life.leave(self.org, team, user)

    def reference(self, call, table, row, nav):
        if call.method == "DELETE":
            self.change(call, table, row, {nav + "@odata.bind": None})
        elif call.method == "PUT":
            self.change(call, table, row, {nav + "@odata.bind": self.body(call, table.set_name).get("@odata.id")})
        else:
            raise self.bad_verb(call)
        return Answer(204, "", {}, None)

    def related(self, call, table, row, nav):
        col, target = table.navs[nav]
        id = row.vals.get(col.name)
        kind = row.vals.get(col.name + "@", col.targets[0])
        other = id and (target in (None, kind)) and self.org.get(kind, id)
        if not other:
            return Answer(204, "", {}, None)
        view = self.views.get(self.org.schema.tables[kind], call.options.get("$select"),
                              call.options.get("$expand"))
        return self.row_answer(call, 200, view, other)


def same_tag(text, row):
    text = text.strip()
    if text[:2] in ("W/", "w/"):
        text = text[2:]
    return text.strip('"') == str(row.version)
