"""The organisation: its sObjects, its rows and the rules by which they change."""
import contextlib
import time

from . import checks, ids, tables, values
from .errors import ApiError, data_error, deleted, no_column, read_only
from .quirks import Quirks, compute, treated
from .rules import DERIVE, after_delete, after_write, before_create
from .schema import Field, Table
from .store import Rows

OPTIONS = {"MultiCurrency": True, "TeamSelling": True, "RecordTypes": True, "StateCountryPicklists": True,
           "RestrictStages": False, "AmountWithProducts": "ignore", "UpsertNoContent": False, "CollateReorder": True,
           "IfUnmodified": "LastModifiedDate", "LoginHost": False, "AudienceMyDomain": True, "JwtSeconds": 300,
           "InstanceUrl": "", "DailyLimit": 1000000, "ConcurrentLimit": 25, "ConcurrentSeconds": 20,
           "LatencyMilliseconds": 0, "QueryCursors": 50, "OutboundDelay": 0, "OutboundReorder": 0,
           "OutboundDuplicates": 0, "OutboundBatch": 100, "OutboundPause": False, "OutboundTimeout": 10,
           "OutboundRetry": 5, "OutboundRetryMost": 7200, "OutboundExpire": 86400}
CHOICES = {"AmountWithProducts": ("ignore", "refuse"), "IfUnmodified": ("LastModifiedDate", "SystemModstamp")}
AUDIT = ("CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "SystemModstamp")
CASCADES = {("Opportunity", "AccountId")}
NOT_LISTED = ("attributes",)


class Actor:
    __slots__ = ("user", "allow_save", "assign", "quiet", "system")

    def __init__(self, user, allow_save=False, assign=True, quiet=False, system=False):
        self.user, self.allow_save, self.assign, self.quiet, self.system = user, allow_save, assign, quiet, system


class Org:
    def __init__(self, now, options, keep, steady):
        self.now = now
        self.options = options
        self.clock = steady
        self.keep = keep
        self.tables = tables.all_tables()
        self.by_name = {name.lower(): table for name, table in self.tables.items()}
        self.by_prefix = {t.prefix: t for t in self.tables.values() if t.name != "LeadStatus"}
        self.rows = {name: Rows(table, steady, keep) for name, table in self.tables.items()}
        self.quirks = Quirks(self)
        self.duplicate_rules, self.denied, self.assignment, self.lead_map = {}, {}, {}, {}
        self.silent_users = set()
        self.cascaded = {}
        self.views = {}
        self.views_of = None
        self.undo = None
        self.events = None
        self.listener = lambda table, id, kind, changed, actor: None
        self.second = (0, "")
        self.corporate = "USD"
        self.stages = {}
        self.next_custom = 1
        self.numbers = {name: n * 1000003 for n, name in enumerate(("OpportunityStage", "LeadStatus")) if n}

    # Seeding

    def seed(self, doc):
        self.id = ids.canonical(doc.get("organization", "00D5g0000000001"))
        self.corporate = doc.get("currency", "USD")
        for table in doc.get("tables", ()):
            self.add_table(table)
        for column in doc.get("columns", ()):
            self.add_column(column)
        rows = doc.get("rows", {})
        self.person = None
        for name in ("Organization", "User", "Group", "CurrencyType", "RecordType"):
            for row in rows.get(name, ()):
                self.plant(name, row)
        users = self.rows["User"].now
        self.person = ids.canonical(doc["person"]) if "person" in doc else next(iter(users), None)
        self.picklists()
        for n, (label, closed, won, chance, category) in enumerate(doc.get("stages", tables.STAGES)):
            short = category.replace(" ", "").replace("Commit", "Forecast")
            self.plant("OpportunityStage", {
                "MasterLabel": label, "ApiName": label, "IsActive": True, "SortOrder": n + 1, "IsClosed": closed,
                "IsWon": won, "ForecastCategory": short, "ForecastCategoryName": category,
                "DefaultProbability": float(chance)})
        for n, (label, converted, default) in enumerate(doc.get("lead_statuses", tables.LEAD_STATUSES)):
            self.plant("LeadStatus", {"MasterLabel": label, "ApiName": label, "SortOrder": n + 1,
                                      "IsDefault": default, "IsConverted": converted})
        self.picklists()
        for name, found in rows.items():
            if name not in ("Organization", "User", "Group", "CurrencyType", "RecordType"):
                for row in found:
                    self.person_creates(self.table(name), row)
        self.duplicate_rules.update(doc.get("duplicate_rules", {}))
        self.lead_map = dict(doc.get("lead_fields", {}))
        self.silent_users = {ids.canonical(u) for u in doc.get("silent_users", ())}

    def plant(self, name, row):
        """A row of set-up, kept as it stands."""
        table = self.tables[name]
        vals = {k: v for k, v in row.items() if v is not None}
        id = vals["Id"] = ids.canonical(vals["Id"]) if "Id" in vals else self.new_id(table)
        for flag in table.booleans:
            vals.setdefault(flag, bool(table.fields[flag].default))
        when = self.stamp()
        for field in AUDIT:
            vals.setdefault(field, when if field.endswith(("Date", "stamp")) else self.person or id)
        if name == "User":
            vals.setdefault("Name", " ".join(filter(None, (vals.get("FirstName"), vals.get("LastName")))))
        self.rows[name].put(id, vals)
        self.touched(table)
        return id

    def picklists(self):
        """Picklists that the rows of other sObjects define."""
        stages = sorted(self.rows["OpportunityStage"].now.values(), key=lambda r: r.get("SortOrder", 0))
        self.stages = {r["ApiName"]: r for r in stages}
        field = self.tables["Opportunity"].fields["StageName"]
        field.set_options([{"value": r["ApiName"], "label": r["MasterLabel"], "active": r["IsActive"]}
                           for r in stages])
        statuses = sorted(self.rows["LeadStatus"].now.values(), key=lambda r: r.get("SortOrder", 0))
        field = self.tables["Lead"].fields["Status"]
        field.default = None
        field.set_options([{"value": r["ApiName"], "label": r["MasterLabel"], "default": r["IsDefault"]}
                           for r in statuses])
        money = [r["IsoCode"] for r in self.rows["CurrencyType"].now.values() if r["IsActive"]]
        for table in self.tables.values():
            if "CurrencyIsoCode" in table.fields:
                table.fields["CurrencyIsoCode"].set_options(money)
            table.refresh()
            self.touched(table)

    # Schema

    def table(self, name):
        """For the control API."""
        table = self.by_name.get(str(name).lower())
        if table is None:
            raise ValueError("no sObject %s; there are: %s" % (name, ", ".join(sorted(self.tables))))
        return table

    def seen(self, name):
        """The sObject as the API user sees it, or None."""
        table = self.by_name.get(name.lower())
        if table is None or (table.needs and not self.options[table.needs]):
            return None
        return None if "read" in self.denied.get(table.name, ()) else table

    def view(self, table):
        """name -> field of those that exist for the API user, under their own and their lower-case names."""
        options = self.options
        state = (options["MultiCurrency"], options["RecordTypes"], options["StateCountryPicklists"],
                 options["RestrictStages"])
        if state != self.views_of:
            self.views, self.views_of = {}, state
            self.tables["Opportunity"].fields["StageName"].restricted = options["RestrictStages"]
        found = self.views.get(table.name)
        if found is None:
            found = self.views[table.name] = {}
            for field in table.fields.values():
                if not field.hidden and (not field.needs or options[field.needs]):
                    found[field.name.lower()] = field
            if "recordtypeid" in found and not self.record_types(table):
                del found["recordtypeid"]
            found.update({f.name: f for f in list(found.values())})
        return found

    def fields(self, table):
        """The fields that exist for the API user, each once."""
        return [f for name, f in self.view(table).items() if f.name == name]

    def touched(self, table):
        table.changed = self.now()
        self.views.pop(table.name, None)

    def record_types(self, table):
        return [r for r in self.rows["RecordType"].now.values() if r.get("SobjectType") == table.name]

    def default_record_type(self, table):
        for row in self.record_types(table):
            if row.get("IsActive"):
                return row["Id"]
        return None

    def add_column(self, doc):
        doc = dict(doc)
        table = self.table(doc.pop("table"))
        old = table.field(doc["name"])
        if old is not None:
            table.drop(old.name)
        field = Field(**doc)
        if field.type == "reference" and not field.refs:
            raise ValueError("a reference needs refs")
        table.add(field)
        table.refresh()
        if field.name == "StageName" or field.name == "Status":
            self.picklists()
        if field.type == "boolean":
            rows = self.rows[table.name]
            for id, vals in list(rows.now.items()):
                if field.name not in vals:
                    rows.put(id, {**vals, field.name: bool(field.default)})
        self.touched(table)
        return field

    def drop_column(self, table, name):
        self.touched(table)
        return table.drop(name)

    def add_table(self, doc):
        name = doc["name"]
        fields = [Field("Id", "id", required=True, defaulted=True, create=False, update=False),
                  Field("Name", "string", 80, name_field=True, defaulted=True)]
        if doc.get("owner", True):
            fields.append(Field("OwnerId", "reference", required=True, defaulted=True, refs=("Group", "User")))
        fields += [Field(**column) for column in doc.get("fields", doc.get("columns", ()))]
        prefix = doc.get("prefix") or "a%s" % ids.base62(self.next_custom, 2)
        self.next_custom += 1
        table = Table(name, doc.get("label") or name.replace("__c", "").replace("_", " "), prefix, fields)
        self.tables[name] = self.by_name[name.lower()] = self.by_prefix[prefix] = table
        self.rows[name] = Rows(table, self.clock, self.keep)
        self.rows[name].undo = self.undo
        self.touched(table)
        return table

    # Small things

    def stamp(self):
        now = int(self.now())
        if now != self.second[0]:
            self.second = (now, values.stamp(now))
        return self.second[1]

    def today(self):
        return self.stamp()[:10]

    def new_id(self, table):
        self.numbers[table.name] = number = self.numbers.get(table.name, 0) + 1
        return ids.make(table.prefix, number)

    def get(self, name, id):
        return self.rows[name].now.get(id)

    def by_id(self, id):
        """Whatever row has this id, for references to more than one sObject."""
        table = self.by_prefix.get(id[:3])
        return (None, None) if table is None else (table, self.rows[table.name].now.get(id))

    @contextlib.contextmanager
    def atomic(self):
        """All or nothing; may be nested."""
        outer, mark = self.undo, 0
        if outer is None:
            self.undo = []
            for rows in self.rows.values():
                rows.undo = self.undo
        else:
            mark = len(outer)
        events, self.events = self.events, []
        try:
            yield
        except BaseException:
            steps = self.undo[mark:]
            del self.undo[mark:]
            for rows, id, live, binned in reversed(steps):
                rows.restore(id, live, binned)
            self.events = events
            raise
        else:
            if events is not None:
                events.extend(self.events)
                self.events = events
            else:
                happened, self.events = self.events, None
                for event in happened:
                    self.listener(*event)
        finally:
            if outer is None:
                self.undo = None
                for rows in self.rows.values():
                    rows.undo = None

    def tell(self, table, id, kind, changed, actor):
        if actor.quiet:
            return
        if self.events is not None:
            self.events.append((table, id, kind, changed, actor))
        else:
            self.listener(table, id, kind, changed, actor)

    # Reading what is sent

    def read_body(self, table, body, creating):
        """JSON -> kept values by name; None = cleared."""
        view, changes, refused = self.view(table), {}, []
        for name, value in body.items():
            field = view.get(name) or view.get(name.lower())
            if field is None:
                if name in NOT_LISTED:
                    continue
                field, value = self.by_relation(table, view, name, value)
            elif field.type == "id":
                if value is None:
                    continue
                raise ApiError(400, "INVALID_FIELD", "The Id field should not be specified in the sobject data.")
            if not (field.create if creating else field.update):
                refused.append(field.name)
                continue
            changes[field.name] = values.take(table, field, value)
        if refused:
            raise read_only(refused)
        return changes

    def by_relation(self, table, view, name, value):
        """{"Account": {"Ext__c": "x"}} instead of an id."""
        field = table.relations.get(name.lower())
        if field is None or field.name not in view:
            raise no_column(name, table.name)
        if not isinstance(value, dict):
            raise ApiError(400, "JSON_PARSER_ERROR", "Cannot deserialize instance of %s from VALUE_STRING value %s or "
                           "request may be missing a required field at [line:1, column:2]" % (field.refs[0], value))
        pairs = [(k, v) for k, v in value.items() if k != "attributes"]
        if len(pairs) != 1:
            raise data_error("INVALID_FIELD", "%s: exactly one external id field is expected" % name, name)
        target = self.tables[field.refs[-1]]
        outer = self.view(target).get(pairs[0][0].lower())
        if outer is None or not (outer.external or outer.type == "id"):
            raise data_error("INVALID_FIELD", "Field name provided, %s is not an External ID or indexed field for %s"
                             % (pairs[0][0], target.name), pairs[0][0])
        if outer.type == "id":
            return field, pairs[0][1]
        found = self.matching(target, outer, pairs[0][1])
        if not found:
            raise data_error("INVALID_FIELD", "Foreign key external ID: %s not found for field %s in entity %s"
                             % (str(pairs[0][1]).lower(), outer.name, target.name))
        if len(found) > 1:
            raise data_error("DUPLICATE_EXTERNAL_ID", "%s: more than one record found for external id field: %s"
                             % (outer.name, found))
        return field, found[0]

    def matching(self, table, field, value):
        """Ids of the rows with this external id."""
        if field.type not in ("string", "email", "phone", "url", "picklist", "textarea"):
            try:
                value = values.take(table, field, value)
            except ApiError:
                return []
        elif not isinstance(value, str):
            return []
        else:
            value = value.strip()
        rows = self.rows[table.name]
        found = list(rows.index(field.name).get(values.fold(value), ()))
        if field.case_sensitive:
            found = [id for id in found if rows.now[id].get(field.name) == value]
        return found

    def may(self, table, verb):
        allowed = {"create": table.create, "write": table.update, "delete": table.delete}[verb]
        if not allowed:
            raise ApiError(400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY" if verb != "delete" else "INSUFFICIENT_ACCESS",
                           "entity type %s does not support %s" % (table.name, verb), ())
        if table.read_only or verb in self.denied.get(table.name, ()):
            raise ApiError(403, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", ())

    # Writing

    def create(self, table, body, actor):
        self.may(table, "create")
        changes = self.read_body(table, body, True)
        if table.quirks:
            changes = treated(table, changes, None, True)
        return self.insert(table, changes, actor)

    def insert(self, table, changes, actor, given=None):
        """`given`: system values a person's tools may set. -> the new id"""
        checks.references(self, table, changes)
        vals = {k: v for k, v in changes.items() if v is not None}
        existing = before_create(self, table, vals, changes, actor)
        if existing is not None:
            return existing
        self.fill(table, vals, changes, actor)
        missing = [f.name for f in table.required if f.name not in vals]
        if missing:
            raise data_error("REQUIRED_FIELD_MISSING", "Required fields are missing: [%s]" % ", ".join(missing),
                             *missing)
        id = self.new_id(table)
        if given and "Id" in given:
            id = ids.canonical(given["Id"])
            if id is None or id in self.rows[table.name].now:
                raise ValueError("the id %s cannot be given" % given["Id"])
        vals["Id"] = id
        when = self.stamp()
        vals["CreatedDate"] = vals["LastModifiedDate"] = vals["SystemModstamp"] = when
        vals["CreatedById"] = vals["LastModifiedById"] = actor.user
        if given:
            vals.update(given)
            vals["Id"] = id
        derive = DERIVE.get(table.name)
        if derive is not None:
            derive(self, vals, changes, None)
        if table.computed:
            compute(table, vals)
        checks.unique(self, table, id, vals, vals)
        checks.duplicates(self, table, id, vals, actor)
        self.rows[table.name].put(id, vals)
        after_write(self, table, id, None, vals, changes, actor)
        self.tell(table, id, "create", set(vals), actor)
        return id

    def fill(self, table, vals, changes, actor):
        for field in table.defaults:
            if field.name not in changes:
                vals[field.name] = field.default
        for name in table.booleans:
            vals.setdefault(name, False)
        if "OwnerId" in table.fields and "OwnerId" not in vals:
            vals["OwnerId"] = actor.user
        if "OwnerId" in table.fields and table.name in self.assignment and actor.assign is True:
            vals["OwnerId"] = self.assignment[table.name]
        if "CurrencyIsoCode" in table.fields and self.options["MultiCurrency"]:
            if "CurrencyIsoCode" not in vals:
                vals["CurrencyIsoCode"] = self.currency_for(table, vals, actor)
        if "RecordTypeId" in table.fields and "RecordTypeId" not in vals and self.options["RecordTypes"]:
            found = self.default_record_type(table)
            if found is not None:
                vals["RecordTypeId"] = found

    def currency_for(self, table, vals, actor):
        parent = vals.get("OpportunityId") or vals.get("Opportunity__c")
        row = self.get("Opportunity", parent) if parent else self.get("User", actor.user)
        return (row or {}).get("CurrencyIsoCode") or (row or {}).get("DefaultCurrencyIsoCode") or self.corporate

    def update(self, table, id, body, actor):
        self.may(table, "write")
        if id in self.rows[table.name].bin:
            raise deleted()
        changes = self.read_body(table, body, False)
        if table.quirks:
            changes = treated(table, changes, id, False)
        self.change(table, id, changes, actor)

    def change(self, table, id, changes, actor, given=None):
        rows = self.rows[table.name]
        before = rows.now[id]
        if table.name == "Lead" and before["IsConverted"]:
            raise data_error("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
        checks.references(self, table, changes)
        vals = dict(before)
        for name, value in changes.items():
            field = table.fields[name]
            if value is None:
                if field.required and not field.calculated:
                    if name == "CurrencyIsoCode":
                        continue
                    raise data_error("REQUIRED_FIELD_MISSING", "Required fields are missing: [%s]" % name, name)
                vals.pop(name, None)
            else:
                vals[name] = value
        derive = DERIVE.get(table.name)
        if derive is not None:
            derive(self, vals, changes, before)
        if table.computed:
            compute(table, vals)
        checks.unique(self, table, id, changes, vals)
        if table.name in self.duplicate_rules:
            checks.duplicates(self, table, id, vals, actor)
        self.stamp_row(vals, actor)
        if given:
            vals.update(given)
        rows.put(id, vals)
        after_write(self, table, id, before, vals, changes, actor)
        self.tell(table, id, "update", {n for n in vals.keys() | before.keys() if vals.get(n) != before.get(n)}
                  - set(AUDIT), actor)

    def stamp_row(self, vals, actor):
        vals["SystemModstamp"] = self.stamp()
        if not actor.system:
            vals["LastModifiedDate"] = vals["SystemModstamp"]
            vals["LastModifiedById"] = actor.user

    def touch(self, table, id, changes, actor, system=True):
        """A change that follows from another one."""
        rows = self.rows[table.name]
        vals = {**rows.now[id], **changes}
        self.stamp_row(vals, Actor(actor.user, system=system))
        rows.put(id, {k: v for k, v in vals.items() if v is not None})

    def delete(self, table, id, actor, person=False):
        if not person:
            self.may(table, "delete")
        rows = self.rows[table.name]
        if id not in rows.now:
            raise deleted()
        with self.atomic():
            self.drop(table, id, actor, id)

    def drop(self, table, id, actor, root, master=None):
        rows = self.rows[table.name]
        before = rows.now.get(id)
        if before is None:
            return
        for child in self.tables.values():
            for field in child.references:
                if table.name in field.refs and master is None:
                    self.drop_children(child, field, id, actor, root)
        vals = {**before, "IsDeleted": True}
        self.stamp_row(vals, actor)
        if master is not None:
            vals["MasterRecordId"] = master
        kept = table.bin or id != root
        rows.remove(id, vals if kept else None)
        rows.gone[id] = self.now()
        if id != root:
            self.cascaded.setdefault(root, []).append((table, id))
        after_delete(self, table, before, actor)

    def drop_children(self, child, field, id, actor, root):
        found = list(self.rows[child.name].index(field.name).get(values.fold(id), ()))
        for one in found:
            if field.cascade or (child.name, field.name) in CASCADES:
                self.drop(child, one, actor, root)
            elif not field.name.startswith("Converted") and child.name != "User" and not field.required:
                self.touch(child, one, {field.name: None}, actor)

    def undelete(self, table, id, actor):
        """-> whether it lay in the recycle bin"""
        rows = self.rows[table.name]
        vals = rows.bin.get(id)
        if vals is None or vals.get("MasterRecordId"):
            return False
        with self.atomic():
            for one, which in [(table, id)] + self.cascaded.pop(id, []):
                self.bring_back(one, which, actor)
        return True

    def bring_back(self, table, id, actor):
        rows = self.rows[table.name]
        if id not in rows.bin:
            return
        vals = {**rows.bin[id], "IsDeleted": False}
        checks.unique(self, table, id, vals, vals)
        self.stamp_row(vals, actor)
        rows.take_out(id, vals)
        rows.gone.pop(id, None)
        after_write(self, table, id, None, vals, {}, actor)
        self.tell(table, id, "undelete", set(), actor)

    # As a person at the screen

    def person_body(self, table, doc, creating):
        """Values and, of new rows, the system values that may be set."""
        given, body = {}, {}
        for name, value in doc.items():
            field = table.field(name)
            if field is None and name.lower() not in table.relations and name not in NOT_LISTED:
                raise ValueError("%s has no field %s" % (table.name, name))
            if field is not None and (field.name in AUDIT or field.type == "id"
                                      or not (field.create if creating else field.update)):
                if value is not None:
                    value = values.take(table, field, value) if field.type != "id" else value
                    given[field.name] = value
                continue
            body[name] = value
        if not creating:
            given.pop("Id", None)
        return self.read_body(table, body, creating), given

    def person_creates(self, table, doc, user=None, quiet=False):
        actor = Actor(ids.canonical(user) if user else self.person, True, None, quiet)
        try:
            changes, given = self.person_body(table, doc, True)
            return self.rows[table.name].now[self.insert(table, changes, actor, given)]
        except ApiError as error:
            raise ValueError("%s: %s" % (error.code, error.message)) from None

    def person_updates(self, table, id, doc, user=None, quiet=False, system=False):
        actor = Actor(ids.canonical(user) if user else self.person, True, None, quiet, system)
        try:
            changes, given = self.person_body(table, doc, False)
            self.change(table, id, changes, actor, given)
            return self.rows[table.name].now[id]
        except ApiError as error:
            raise ValueError("%s: %s" % (error.code, error.message)) from None

    def quarter_end(self):
        year, month = time.gmtime(self.now())[:2]
        month = (month + 2) // 3 * 3
        return "%04d-%02d-%02d" % (year, month, 30 if month in (6, 9) else 31)
