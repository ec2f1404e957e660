"""Tables and columns, and making them out of their JSON form."""
from decimal import Decimal

from .labels import NAMES, in_language

LOOKUPS = ("lookup", "owner", "customer")
TRILLION = Decimal("1000000000000")
BIG_MONEY = Decimal("922337203685477")


class Column:
    """One column. `wire` is its name in a URL or a body, `nav` maps a target table to the name a bind uses."""

    __slots__ = (
        "name", "schema_name", "type", "label", "min", "max", "precision", "precision_source", "labels",
        "states", "targets", "nav", "wire", "create", "update", "required", "default", "inverse",
        "behavior", "custom", "base_of", "format", "cascade", "refers", "source", "hidden", "translations", "number",
        "shared",
    )

    def __init__(self, name, type, **more):
        self.name = name
        self.type = type
        self.schema_name = more.get("schema_name") or name[:1].upper() + name[1:]
        self.label = more.get("label") or NAMES.get(name) or name.replace("_", " ").capitalize()
        self.min = more.get("min")
        self.max = more.get("max")
        self.precision = more.get("precision", 2 if type in ("money", "decimal") else None)
        self.precision_source = more.get("precision_source", 2 if type == "money" else None)
        options = more.get("options") or []
        self.labels = {o[0]: o[1] for o in options}
        self.states = {o[0]: o[2] for o in options if len(o) > 2 and o[2] is not None}
        self.targets = list(more.get("targets") or ())
        self.nav = {}
        self.create = more.get("create", True)
        self.update = more.get("update", True)
        self.required = more.get("required", "None")
        self.default = more.get("default")
        self.inverse = more.get("inverse")
        self.custom = more.get("custom", False)
        # What becomes of this row when the one it looks up is deleted: delete, remove (the link), restrict.
        self.cascade = more.get("cascade", "remove")
        self.refers = more.get("refers")
        self.source = 0
        self.hidden = None
        self.number = more.get("number")
        self.shared = more.get("global", False)
        self.translations = {o[0]: o[3] for o in options if len(o) > 3}
        self.base_of = more.get("base_of")
        self.format = more.get("format")
        self.behavior = {"date": "DateOnly", "datetime": more.get("behavior", "UserLocal")}.get(type)
        self.wire = "_%s_value" % name if type in LOOKUPS else name
        if type in LOOKUPS:
            plain = self.schema_name if self.custom else name
            single = len(self.targets) == 1 or type == "owner"
            self.nav = {t: plain if single else "%s_%s" % (plain, t) for t in self.targets}
        if type in ("money", "decimal"):
            for side in ("min", "max"):
                if getattr(self, side) is not None:
                    setattr(self, side, Decimal(str(getattr(self, side))))


    def label_of(self, value, language):
        text = self.labels.get(value)
        return None if text is None else in_language(text, language, self.translations.get(value))


class Key:
    __slots__ = ("name", "schema_name", "columns", "status", "id", "active_at")

    def __init__(self, schema_name, columns, status="Active", id=None):
        self.schema_name = schema_name
        self.name = schema_name.lower()
        self.columns = list(columns)
        self.status = status
        self.id = id
        self.active_at = None


class Table:
    def __init__(self, name, set_name, pk, primary_name, **more):
        self.name = name
        self.set_name = set_name
        self.pk = pk
        self.primary_name = primary_name
        self.schema_name = more.get("schema_name") or name[:1].upper() + name[1:]
        self.object_type_code = more.get("otc", 10000)
        self.custom = more.get("custom", False)
        self.closed_read_only = more.get("closed_read_only", False)
        self.owned = more.get("owned", True)
        self.optimistic = True
        self.change_tracking = more.get("change_tracking", True)
        self.columns = {}
        self.wire = {}
        self.navs = {}
        self.inverses = {}
        self.keys = []
        self.state_default_status = {}
        self.money = []
        self.derive = more.get("derive")
        self.many = {}
        self.quirks = {}
        self.calculated = {}
        self.read_only = False
        self.add(Column(pk, "guid", required="SystemRequired", update=False))

    def add(self, col):
        self.columns[col.name] = col
        self.wire[col.wire] = col
        for target, nav in col.nav.items():
            self.navs[nav] = (col, target if col.type != "owner" else None)
        if col.type == "status":
            self.state_default_status = {}
            for value, state in col.states.items():
                self.state_default_status.setdefault(state, value)
        if col.type == "money":
            self.money.append(col)
            base = col.name + "_base"
            if base not in self.columns:
                self.add(
                    Column(base, "decimal", create=False, update=False, precision=4, base_of=col.name,
                           min=-BIG_MONEY, max=BIG_MONEY, custom=col.custom,
                           label=col.label + " (Base)")
                )
        return col


class Collection:
    """A collection-valued property: rows whose look-up `col` names this one, or those an intersect table names."""

    __slots__ = ("table", "col", "through", "own", "other")

    def __init__(self, table, col=None, through=None, own=None, other=None):
        self.table, self.col, self.through, self.own, self.other = table, col, through, own, other


class Schema:
    def __init__(self):
        self.tables = {}
        self.sets = {}
        self.references = {}
        self.version = 1

    def add(self, table):
        self.tables[table.name] = table
        self.sets[table.set_name] = table
        return table

    def collection(self, table, name):
        if name in table.inverses:
            child, col = table.inverses[name]
            return Collection(child, col)
        if name in table.many:
            through, own, other, far = table.many[name]
            return Collection(self.tables[far], None, through, own, other)
        return None

    def link(self):
        """Names the collection side of every look-up that has one, and collects who refers to whom."""
        self.references = {name: [] for name in self.tables}
        for table in self.tables.values():
            for col in table.columns.values():
                for target in [col.refers] if col.refers else col.targets:
                    if target in self.references and col.cascade != "none":
                        self.references[target].append((table, col))
                if col.inverse:
                    for target in col.targets:
                        name = col.inverse.get(target) if isinstance(col.inverse, dict) else col.inverse
                        if target in self.tables and name:
                            self.tables[target].inverses[name] = (table, col)

    def touched(self):
        self.version += 1
        self.link()


def text(name, size, **more):
    return Column(name, "text", max=size, **more)


def memo(name, size=2000, **more):
    return Column(name, "memo", max=size, **more)


def money(name, low=-BIG_MONEY, high=BIG_MONEY, **more):
    return Column(name, "money", min=low, max=high, **more)


def flag(name, default=None, **more):
    return Column(name, "boolean", default=default, **more)


def whole(name, low=None, high=None, **more):
    return Column(name, "int", min=low, max=high, **more)


def choice(name, options, **more):
    return Column(name, "choice", options=options, **more)


def lookup(name, *targets, **more):
    return Column(name, "lookup", targets=targets, **more)


def moment(name, **more):
    return Column(name, "datetime", **more)


def day(name, **more):
    return Column(name, "date", **more)


def read_only(col):
    col.create = col.update = False
    return col


def system_columns(table, owned=True):
    for name in ("createdon", "modifiedon"):
        table.add(read_only(moment(name)))
    table.add(moment("overriddencreatedon", update=False))
    for name in ("createdby", "modifiedby", "createdonbehalfby", "modifiedonbehalfby"):
        table.add(read_only(lookup(name, "systemuser", cascade="none")))
    table.add(read_only(Column("versionnumber", "bigint")))
    if owned:
        table.add(Column("ownerid", "owner", targets=("systemuser", "team"), required="SystemRequired",
                         cascade="none"))
        table.add(read_only(lookup("owninguser", "systemuser", cascade="none")))
        table.add(read_only(lookup("owningteam", "team", cascade="none")))
        table.add(read_only(lookup("owningbusinessunit", "businessunit", cascade="none")))


def currency_columns(table):
    table.add(lookup("transactioncurrencyid", "transactioncurrency", required="ApplicationRequired",
                     cascade="restrict"))
    table.add(read_only(Column("exchangerate", "decimal", precision=10)))


def state_columns(table, states, statuses):
    table.add(Column("statecode", "state", options=states, create=False, required="SystemRequired"))
    table.add(Column("statuscode", "status", options=statuses))


def merge_columns(table):
    table.add(read_only(flag("merged")))
    table.add(read_only(lookup("masterid", table.name)))


def address(table, prefix="address1"):
    for part, size in (("line1", 250), ("line2", 250), ("line3", 250), ("city", 80),
                       ("stateorprovince", 50), ("postalcode", 20), ("country", 80), ("county", 50)):
        table.add(text("%s_%s" % (prefix, part), size))
    table.add(text(prefix + "_telephone1", 50))


ACTIVE = [(0, "Active"), (1, "Inactive")]
ACTIVE_REASON = [(1, "Active", 0), (2, "Inactive", 1)]


TYPES = {
    "text", "memo", "boolean", "int", "bigint", "decimal", "money", "double", "choice", "multichoice",
    "datetime", "date", "lookup", "customer", "guid",
}
OPTIONS = {"max", "min", "precision", "precision_source", "options", "targets", "label", "schema_name",
           "create", "update", "required", "default", "inverse", "behavior", "format", "cascade",
           "global"}


def column_from(doc):
    """A column out of its JSON form (seed, control API); ValueError says what is wrong with it."""
    name, kind = doc.get("name"), doc.get("type")
    if not name or kind not in TYPES:
        raise ValueError("a column needs a name and a type of %s" % ", ".join(sorted(TYPES)))
    unknown = set(doc) - OPTIONS - {"name", "type", "table"}
    if unknown:
        raise ValueError("unknown member %s of column %s" % (", ".join(sorted(unknown)), name))
    more = {k: doc[k] for k in OPTIONS if k in doc}
    if "options" in more:
        more["options"] = [option_from(o) for o in more["options"]]
    if kind in ("choice", "multichoice") and not more.get("options"):
        raise ValueError("choice column %s needs options" % name)
    if kind in LOOKUPS and not more.get("targets"):
        raise ValueError("look-up column %s needs targets" % name)
    return Column(name.lower(), kind, custom=True, **{"schema_name": name, **more})


def option_from(doc):
    """[value, label], [value, label, state] or {"value","label","state","labels":{"1031": text}}."""
    if not isinstance(doc, dict):
        return tuple(doc)
    return (doc["value"], doc["label"], doc.get("state"),
            {int(language): text for language, text in doc.get("labels", {}).items()})


def table_from(doc):
    for need in ("name", "set"):
        if not doc.get(need):
            raise ValueError("a table needs %s" % need)
    name = doc["name"].lower()
    table = Table(name, doc["set"], doc.get("key", name + "id"), doc.get("primary_name"),
                  schema_name=doc["name"], custom=True, owned=doc.get("owned", True),
                  otc=doc.get("object_type_code", 10100))
    for one in doc.get("columns", ()):
        table.add(column_from(one))
    if "statecode" not in table.columns:
        state_columns(table, ACTIVE, ACTIVE_REASON)
    if doc.get("currency"):
        currency_columns(table)
    system_columns(table, table.owned)
    return table
