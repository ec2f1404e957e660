"""The organisation: rows of all tables and the rules for changing them."""
import itertools
import re
import uuid
from contextlib import contextmanager
from decimal import Decimal

from . import life, quirks, values
from .errors import ApiError, bad_argument, bad_status, duplicate_found, key_violated, row_exists
from .odata import fold
from .schema import LOOKUPS, Key, column_from, table_from
from .store import Row, Rows, Undo
from .tables import sales
from .webhooks import Event

OPTIONS = {
    "EmptyErrorCodes": False,
    "ClosedRowsWritable": False,
    "ReopenAlone": False,
    "ClosedRowCode": "0x80040203",
    "PrecisionSource": -1,
    "OrganizationPrecision": 2,
    "NotAMember": False,
    "KeyIndexSeconds": 0,
    "DuplicateStatus": 412,
    "LimitRequests": 0,
    "LimitMilliseconds": 0,
    "LimitConcurrent": 0,
    "LimitWindow": 300,
    "LatencyMilliseconds": 0,
    "DopHint": 4,
    "BatchNeedsContentLength": False,
    "ChangeSetErrorNested": False,
    "AccountDuplicates": False,
    "ContactDuplicates": False,
    "UserLanguage": 1033,
    "UrlLimit": 32768,
    "AggregateLimit": 50000,
    "WebhookDelay": 0.0,
    "WebhookReorder": 0.0,
    "WebhookPause": False,
    "WebhookTimeout": 60.0,
    "ExpiredTokenCode": "0x80044352",
}
SYSTEM = ("modifiedon", "modifiedby", "modifiedonbehalfby", "versionnumber")
FORBIDDEN_IN_KEYS = re.compile(r"[/<>*%&:\\?+]")


class Actor:
    """Who writes: the user shown as author, and the real one behind an impersonation."""

    __slots__ = ("user", "behind", "bypass", "tag")

    def __init__(self, user, behind=None, bypass=None, tag=None):
        """`bypass`: steps that shall not hear of the write (True = all); `tag`: the mark a caller gave it."""
        self.user = user
        self.behind = behind
        self.bypass = bypass
        self.tag = tag


class Org:
    def __init__(self, clock, options=None, keep=lambda: 60.0, steady=None):
        """`steady` is a clock that never goes back: the order of commits hangs on it."""
        self.clock = clock
        self.steady = steady or clock
        self.keep = keep
        self.options = dict(OPTIONS) if options is None else options
        self.schema = sales()
        self.undo = Undo()
        self.rows = {name: Rows(t, self.steady, keep, self.undo) for name, t in self.schema.tables.items()}
        self.versions = itertools.count(1000001)
        self.id = "00000000-0000-4000-8000-0000000000f0"
        self.unit = None
        self.person = None
        self.base_currency = None
        self.denied = {}
        self.depths = {}
        self.trash = {}
        self.listener = None
        self.quiet = False
        self.waiting = []
        self.quirks = quirks.Quirks(self)
        self.duplicate_rules = {"account": [["emailaddress1"]], "contact": [["emailaddress1"]],
                                "lead": [["emailaddress1"]]}
        self._second = (None, "")

    # Seeds and schema

    def add_table(self, doc):
        table = table_from(doc)
        if table.name in self.schema.tables:
            raise ValueError("table %s exists already" % table.name)
        self.schema.add(table)
        self.rows[table.name] = Rows(table, self.steady, self.keep, self.undo)
        self.schema.touched()
        for key in doc.get("keys", ()):
            self.add_key(table.name, key)
        return table

    def add_column(self, doc):
        table = self.table(doc.get("table", "opportunity"))
        col = column_from(doc)
        self.drop_column(table.name, col.name)
        table.add(col)
        for row in self.rows[table.name].now.values():
            row.pieces.pop(col.wire, None)
        self.schema.touched()
        return col

    def drop_column(self, table_name, name):
        table = self.table(table_name)
        col = table.columns.pop(name, None)
        if col is None:
            return False
        table.wire.pop(col.wire, None)
        table.navs = {n: v for n, v in table.navs.items() if v[0] is not col}
        if col in table.money:
            table.money.remove(col)
        self.schema.touched()
        return True

    def add_key(self, table_name, doc):
        table = self.table(table_name)
        for name in doc["columns"]:
            if name not in table.columns:
                raise ValueError("table %s has no column %s" % (table.name, name))
        schema_name = doc.get("name", "_".join(doc["columns"]) + "_key")
        key = Key(schema_name, doc["columns"], doc.get("status", "Active"), str(uuid.uuid4()))
        table.keys = [k for k in table.keys if k.name != key.name] + [key]
        self.rows[table.name].key_index(key.columns)
        self.schema.touched()
        return key

    def key_active(self, key):
        """Index jobs end by themselves once the clock reached their time."""
        if key.active_at is not None and self.clock() >= key.active_at:
            key.status, key.active_at = "Active", None
        return key.status == "Active"

    def table(self, name):
        found = self.schema.tables.get(name) or self.schema.sets.get(name)
        if found is None:
            raise ValueError("unknown table %s; known: %s" % (name, ", ".join(sorted(self.schema.tables))))
        return found

    def seed(self, doc):
        """A whole organisation out of its JSON form."""
        for rows in self.rows.values():
            rows.journalling = False
        self.id = doc.get("organization", self.id)
        for table in doc.get("tables", ()):
            if table.get("name", "").lower() not in self.schema.tables:
                self.add_table(table)
                continue
            for col in table.get("columns", ()):
                if col["name"].lower() not in self.table(table["name"].lower()).columns:
                    self.add_column({**col, "table": table["name"].lower()})
            for key in table.get("keys", ()):
                self.add_key(table["name"].lower(), key)
        for col in doc.get("columns", ()):
            self.add_column(col)
        known = doc.get("rows", {})
        for name in ("businessunit", "systemuser", "team", "transactioncurrency"):
            self._seed_rows(name, known.get(name, ()))
        self._defaults(doc)
        self._settings()
        for name, rows in known.items():
            if self.table(name).name not in ("businessunit", "systemuser", "team", "transactioncurrency"):
                self._seed_rows(name, rows)
        for name, keys in doc.get("keys", {}).items():
            for key in keys:
                self.add_key(name, key)
        self.duplicate_rules.update(doc.get("duplicate_rules", {}))
        for rows in self.rows.values():
            rows.journalling = True

    def _defaults(self, doc):
        units, people = self.rows["businessunit"].now, self.rows["systemuser"].now
        currencies = self.rows["transactioncurrency"].now
        self.unit = doc.get("business_unit") or next(iter(units), None)
        self.person = doc.get("person") or next(
            (i for i, r in people.items() if not r.vals.get("applicationid")), None)
        code = doc.get("base_currency", "USD")
        self.base_currency = next(
            (i for i, r in currencies.items() if r.vals.get("isocurrencycode") == code), None)

    def _settings(self):
        self.person_creates(self.table("organization"), {
            "organizationid": self.id, "name": "contoso", "languagecode": 1033, "localeid": 1033,
            "currencydecimalprecision": 2, "expirechangetrackingindays": 7, "schemanameprefix": "new",
            "basecurrencyid": self.base_currency})
        ids = {}
        for name in ("CreateMultiple", "UpdateMultiple", "UpsertMultiple", "Create", "Update", "Delete", "Win", "Lose"):
            ids[name] = self.person_creates(self.table("sdkmessage"), {"name": name}).id
        for table in self.schema.tables.values():
            for name, id in ids.items():
                if self.takes_many(table, name):
                    self.person_creates(self.table("sdkmessagefilter"),
                                        {"sdkmessageid": id, "primaryobjecttypecode": table.name})

    @staticmethod
    def takes_many(table, message):
        """Whether the table has the bulk message: the standard ones lack UpsertMultiple."""
        if not message.endswith("Multiple"):
            return message not in ("Win", "Lose") or table.name == "opportunity"
        return table.custom or (message != "UpsertMultiple" and table.name in (
            "opportunity", "lead", "account", "contact"))

    def _seed_rows(self, name, rows):
        for doc in rows:
            self.person_creates(self.table(name), doc)

    # Small facts

    def now_text(self):
        second = int(self.clock())
        if self._second[0] != second:
            self._second = (second, values.instant_text(second))
        return self._second[1]

    def get(self, table_name, id):
        rows = self.rows.get(table_name)
        return rows and rows.now.get(id)

    def related(self, spec, row, when=None):
        """Rows of a collection-valued property, now or as of `when`."""
        rows = self.rows[(spec.through or spec.table).name]
        name = spec.own if spec.through else spec.col.name
        ids = set(rows.index(name).get(row.id, ()))
        if when is None:
            found = [rows.now[i] for i in sorted(ids)]
        else:
            ids.update(rows.changed_since(when))
            found = [r for r in (rows.as_of(i, when) for i in sorted(ids)) if r and r.vals.get(name) == row.id]
        if spec.through is not None:
            far = self.rows[spec.table.name]
            found = [far.now.get(r.vals[spec.other]) if when is None else far.as_of(r.vals[spec.other], when)
                     for r in found]
            return [r for r in found if r is not None]
        if len(spec.col.targets) > 1:
            found = [r for r in found if self.get(r.vals.get(name + "@", spec.col.targets[0]), row.id)]
        return found

    def currency_of(self, vals):
        row = self.get("transactioncurrency", vals.get("transactioncurrencyid"))
        return row.vals if row else {}

    def precision_of(self, col, vals):
        source = self.options["PrecisionSource"]
        if source < 0:
            source = col.precision_source
        if source == 2:
            return self.currency_of(vals).get("currencyprecision", 2)
        if source == 1:
            return self.options["OrganizationPrecision"]
        return col.precision

    # Changing rows

    @contextmanager
    def atomic(self):
        """A transaction: whatever leaves it by an exception leaves no trace in any table."""
        outer, told = self.undo.log, len(self.waiting)
        mine = self.undo.log = []
        try:
            yield
        except BaseException:
            del self.waiting[told:]
            for rows, id, before in reversed(mine):
                rows.restore(id, before)
            self.undo.log = outer
            raise
        self.undo.log = outer
        if outer is not None:
            outer.extend(mine)
            return
        waiting, self.waiting = self.waiting, []
        for event in waiting:
            self.listener(event)

    def tell(self, *what):
        """Something happened; what a transaction does is told once it is done."""
        if self.listener is None or self.quiet or not self.rows["sdkmessageprocessingstep"].now:
            return
        event = Event(*what)
        if self.undo.log is not None:
            self.waiting.append(event)
        else:
            self.listener(event)

    def new_id(self):
        return str(uuid.uuid4())

    def create(self, table, id, changes, actor, checked=True):
        """Stores a new row. `changes` is column -> kept value (None = null), as `Payload` read it."""
        rows = self.rows[table.name]
        if id in rows.now:
            raise row_exists()
        if checked and table.quirks:
            changes = quirks.treated(table, changes, id, True)
        vals = {}
        for col in table.columns.values():
            if col.default is not None:
                vals[col.name] = col.default
        self._first_state(table, changes, vals, checked)
        apply(vals, changes)
        vals[table.pk] = id
        self._authored(table, vals, changes, actor)
        if checked:
            self._not_computed(table, changes, vals)
        touched = set(changes)
        self._owner(table, vals)
        self._money(table, vals, touched, fresh=True)
        if table.derive:
            table.derive(vals, touched)
        name = table.columns.get(table.primary_name)
        if name is not None and name.number and name.name not in vals:
            vals[name.name] = "%s-%05d" % (vals["createdon"][:10], next(name.number))
        row = self._store(rows, table, None, vals, set())
        self.tell("Create", table, id, set(changes) | {"createdon", "modifiedon", table.pk}, None, row, actor)
        return row

    def update(self, table, row, changes, actor, checked=True):
        vals = dict(row.vals)
        if checked:
            self._still_open(table, row, changes)
            if table.quirks:
                changes = quirks.treated(table, changes, row.id, False)
        changes = self._next_state(table, row, changes, checked)
        apply(vals, changes)
        if checked:
            self._not_computed(table, changes, vals, row.vals)
        touched = set(changes)
        if "ownerid" in changes:
            self._owner(table, vals)
            touched.update(("owninguser", "owningteam", "owningbusinessunit"))
        touched.update(self._money(table, vals, touched))
        if table.derive:
            touched.update(table.derive(vals, touched))
        if "modifiedon" not in changes:
            vals["modifiedon"] = self.now_text()
        if "modifiedby" not in changes:
            vals["modifiedby"] = actor.user
        vals.pop("modifiedonbehalfby", None)
        if actor.behind:
            vals["modifiedonbehalfby"] = actor.behind
        touched.update(SYSTEM)
        after = self._store(self.rows[table.name], table, row, vals, touched)
        self.tell("Update", table, row.id, set(changes) | {"modifiedon", "modifiedby", table.pk}, row, after, actor)
        return after

    def delete(self, table, row, actor, strict=True):
        life.delete(self, table, row, actor, strict)

    def _store(self, rows, table, before, vals, touched):
        for key in table.keys:
            if self.key_active(key):
                self._unique(rows, table, key, before, vals)
        if table.calculated:
            quirks.compute(table, vals)
            touched = {*touched, *table.calculated}
        version = next(self.versions)
        vals["versionnumber"] = version
        pieces = {}
        if before is not None:
            # The rendered text moves on to the new version: history must not hold it many times.
            pieces, before.pieces = before.pieces, {}
            columns = table.columns
            for name in touched:
                col = columns.get(name)
                if col is not None:
                    pieces.pop(col.wire, None)
        row = Row(vals[table.pk], version, vals, pieces)
        rows.put(row)
        return row

    @staticmethod
    def _unique(rows, table, key, before, vals):
        wanted = rows.key_of(key.columns, Row(None, 0, vals))
        others = rows.key_index(key.columns).get(wanted, ()) if wanted else ()
        if any(id != (before and before.id) for id in others):
            raise key_violated(key.schema_name, [table.columns[c].label for c in key.columns])

    def _authored(self, table, vals, changes, actor):
        now = self.now_text()
        for name in ("createdon", "modifiedon"):
            vals.setdefault(name, vals.get("createdon", now))
        if "overriddencreatedon" in changes and changes["overriddencreatedon"]:
            vals["overriddencreatedon"], vals["createdon"] = now, changes["overriddencreatedon"]
        for name in ("createdby", "modifiedby"):
            if actor.user:
                vals.setdefault(name, actor.user)
        if actor.behind:
            vals["createdonbehalfby"] = vals["modifiedonbehalfby"] = actor.behind
        if table.owned and "ownerid" not in vals and actor.user:
            vals["ownerid"], vals["ownerid@"] = actor.user, "systemuser"

    def _owner(self, table, vals):
        if not table.owned:
            return
        for name in ("owninguser", "owningteam", "owningbusinessunit"):
            vals.pop(name, None)
        kind, id = vals.get("ownerid@", "systemuser"), vals.get("ownerid")
        if id is None:
            return
        vals["owningteam" if kind == "team" else "owninguser"] = id
        owner = self.get(kind, id)
        unit = (owner and owner.vals.get("businessunitid")) or self.unit
        if unit:
            vals["owningbusinessunit"] = unit

    def _money(self, table, vals, touched, fresh=False):
        """Rounds what was sent, keeps base amounts and exchange rate; returns the columns it wrote."""
        if "transactioncurrencyid" not in table.columns or table.name == "systemuser":
            return ()
        has_money = any(c.name in vals for c in table.money)
        if "transactioncurrencyid" not in vals and self.base_currency \
                and (has_money or (fresh and table.name in ("opportunity", "lead"))):
            vals["transactioncurrencyid"] = self.base_currency
            touched.add("transactioncurrencyid")
        new_currency = "transactioncurrencyid" in touched
        amounts = [c for c in table.money if new_currency or fresh or c.name in touched]
        if not amounts:
            return ()
        wrote = ["exchangerate", "transactioncurrencyid"]
        rate = self.currency_of(vals).get("exchangerate") or Decimal(1)
        if "transactioncurrencyid" in vals:
            vals["exchangerate"] = rate
        for col in amounts:
            base = col.name + "_base"
            wrote.append(base)
            if vals.get(col.name) is None:
                vals.pop(base, None)
                continue
            if col.name in touched:
                vals[col.name] = values.round_to(vals[col.name], self.precision_of(col, vals))
            vals[base] = values.round_to(vals[col.name] / rate, 4)
        return wrote

    def _not_computed(self, table, changes, vals, old=None):
        """A system-calculated revenue ignores what is sent for it."""
        if table.name == "opportunity" and "estimatedvalue" in changes \
                and vals.get("isrevenuesystemcalculated"):
            changes.pop("estimatedvalue")
            vals.pop("estimatedvalue", None)
            kept = (old or vals).get("totalamount" if old is None else "estimatedvalue")
            if kept is not None:
                vals["estimatedvalue"] = kept

    # States

    def _first_state(self, table, changes, vals, checked):
        status_col = table.columns.get("statuscode")
        if status_col is None:
            return
        if checked:
            changes.pop("statecode", None)
        state = changes.get("statecode") or 0
        vals["statecode"] = state
        vals["statuscode"] = table.state_default_status.get(state)
        status = changes.get("statuscode")
        if status is None:
            changes.pop("statuscode", None)
        elif status_col.states[status] != state:
            if checked:
                raise bad_status(status, table.name, self._state_label(table, state))
            vals["statecode"] = changes["statecode"] = status_col.states[status]

    @staticmethod
    def _state_label(table, state):
        return table.columns["statecode"].labels[state].replace(" ", "")

    def _still_open(self, table, row, changes):
        state = row.vals.get("statecode", 0)
        if not table.closed_read_only or state == 0 or self.options["ClosedRowsWritable"]:
            return
        alone = not set(changes) - {"statecode", "statuscode"}
        if changes.get("statecode") == 0 and (alone or not self.options["ReopenAlone"]):
            return
        raise ApiError(
            400,
            self.options["ClosedRowCode"],
            "The %s with Id = %s is %s and cannot be changed until it is reopened. Current state: %d, "
            "current status: %d."
            % (table.name, row.id, table.columns["statecode"].labels[state].lower(), state,
               row.vals.get("statuscode", -1)),
        )

    def _next_state(self, table, row, changes, checked):
        if "statecode" not in changes and "statuscode" not in changes:
            return changes
        changes = dict(changes)
        for name in ("statecode", "statuscode"):
            if name in changes and changes[name] is None:
                raise bad_argument("Attribute: %s cannot be set to NULL" % name)
        old = row.vals.get("statecode", 0)
        states = table.columns["statuscode"].states
        status = changes.get("statuscode")
        state = changes.get("statecode")
        if state is None:
            state = old if checked else states[status]
            if state != old:
                changes["statecode"] = state
        if status is None:
            if state != old:
                changes["statuscode"] = table.state_default_status.get(state)
        elif states[status] != state:
            raise bad_status(status, table.name, self._state_label(table, state), row.id)
        return changes

    # Duplicate rules

    def check_duplicates(self, table, changes, own_id, before=None):
        rows = self.rows[table.name]
        rules = list(self.duplicate_rules.get(table.name, ()))
        if table.name == "account" and self.options["AccountDuplicates"]:
            rules.append(["name", "address1_postalcode"])
        if table.name == "contact" and self.options["ContactDuplicates"]:
            rules.append(["emailaddress1"])
        for columns in rules:
            merged = {c: changes.get(c, before and before.vals.get(c)) for c in columns}
            if not any(c in changes for c in columns) or None in merged.values():
                continue
            found = None
            for c in columns:
                v = merged[c]
                ids = set(rows.index(c).get(fold(v) if isinstance(v, str) else v, ()))
                found = ids if found is None else found & ids
            if found - {own_id}:
                refusal = duplicate_found()
                refusal.status = self.options["DuplicateStatus"]
                raise refusal

    # People at the CRM's own screens (control API, seeds): no read-only rows, any column

    def person_changes(self, table, doc):
        """A plain document as changes. Look-ups may be given as GUID, {"table","id"} or a bind."""
        out = {}
        for name, value in doc.items():
            if name == table.pk or name.startswith("@"):
                continue
            if name.endswith("@odata.bind"):
                col, _ = table.navs[name[:-11]]
                m = re.match(r"/?(\w+)\((.*)\)$", value)
                value = {"table": self.table(m.group(1)).name, "id": m.group(2)}
            else:
                col = table.columns.get(name) or table.wire.get(name)
            if col is None:
                raise ValueError("table %s has no column %s" % (table.name, name))
            if col.type in LOOKUPS and value is not None:
                target = col.targets[0]
                if isinstance(value, dict):
                    target, value = self.table(value["table"]).name, value["id"]
                if len(col.targets) > 1:
                    out[col.name + "@"] = target
            elif col.type in LOOKUPS and len(col.targets) > 1:
                out[col.name + "@"] = None
            out[col.name] = values.accept(table, col, value)
        return out

    def person_creates(self, table, doc, user=None):
        id = (doc.get(table.pk) or self.new_id()).lower()
        try:
            changes = self.person_changes(table, doc)
            return self.create(table, id, changes, Actor(user or self.person), checked=False)
        except ApiError as e:
            raise ValueError(e.message) from None

    def person_updates(self, table, row, doc, user=None):
        try:
            return self.update(table, row, self.person_changes(table, doc),
                               Actor(user or self.person), checked=False)
        except ApiError as e:
            raise ValueError(e.message) from None


def apply(vals, changes):
    for name, value in changes.items():
        if value is None:
            vals.pop(name, None)
        else:
            vals[name] = value
