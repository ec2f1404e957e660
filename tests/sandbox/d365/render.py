"""JSON of rows and lists as the service writes it."""
from datetime import datetime

from . import values
from .errors import bad_query
from .labels import in_language
from .odata import Parser, compile_filter, getter, no_property, parse_expand, parse_orderby, sort_rows
from .schema import LOOKUPS

FORMATTED = "@OData.Community.Display.V1.FormattedValue"
LOGICAL = "@Microsoft.Dynamics.CRM.lookuplogicalname"
ASSOCIATED = "@Microsoft.Dynamics.CRM.associatednavigationproperty"


class View:
    """What a request wants to see of a row: columns, expansions, annotations."""

    __slots__ = ("table", "columns", "nulls", "expands", "select", "expand")

    def __init__(self, table, columns, expands, select, expand):
        self.table = table
        # Column security hides a value either altogether or behind a null.
        self.columns = [c for c in columns if c.hidden is None]
        self.nulls = "".join(',"%s":null' % c.wire for c in columns if c.hidden == "null")
        self.expands = expands
        self.select = select
        self.expand = expand

    def context(self):
        inner = []
        if self.select:
            inner.append(self.select.replace(" ", ""))
        inner.extend("%s(%s)" % (nav, sub.select.replace(" ", "")) for nav, _, _, sub in self.expands)
        return "%s(%s)" % (self.table.set_name, ",".join(inner)) if inner else self.table.set_name


class Views:
    """Compiled $select/$expand pairs; made anew when the schema changes."""

    def __init__(self, schema):
        self.schema = schema
        self.cache = {}
        self.version = schema.version

    def get(self, table, select, expand):
        if self.version != self.schema.version or len(self.cache) > 2000:
            self.cache.clear()
            self.version = self.schema.version
        key = (table.name, select, expand)
        found = self.cache.get(key)
        if found is None:
            found = self.cache[key] = self.make(table, select, expand)
        return found

    def make(self, table, select, expand):
        columns = self.columns(table, select)
        expands = []
        for nav, options in parse_expand(expand) if expand else ():
            expands.append(self.expansion(table, nav, options))
        return View(table, columns, expands, select or "", expand or "")

    def columns(self, table, select):
        if not select or select.strip() == "*":
            return list(table.columns.values())
        out = {}
        for name in select.split(","):
            name = name.strip()
            col = table.wire.get(name)
            if col is None and name in table.navs:
                col = table.navs[name][0]
            if col is None:
                raise no_property(name, table)
            out[col.name] = col
            if col.type == "money" or col.base_of:
                currency = table.columns.get("transactioncurrencyid")
                if currency:
                    out.setdefault(currency.name, currency)
        out[table.pk] = table.columns[table.pk]
        return list(out.values())

    def expansion(self, table, nav, options):
        if nav in table.navs:
            col, target = table.navs[nav]
            related = self.schema.tables.get(target or col.targets[0])
            if related is None:
                raise no_property(nav, table)
            if set(options) - {"$select", "$expand"}:
                raise bad_query("Only $select and $expand are supported inside the $expand of '%s'." % nav)
            return nav, (col, target), None, self.get(related, options.get("$select"), options.get("$expand"))
        spec = self.schema.collection(table, nav)
        if spec is None:
            raise no_property(nav, table)
        if options.get("$expand"):
            raise bad_query("Nested $expand of a collection-valued property is not supported here.")
        return nav, None, Many(spec, options, self.schema), self.get(spec.table, options.get("$select"), None)


class Many:
    """An expanded collection: which rows of it, in which order, how many."""

    __slots__ = ("spec", "tree", "order", "top")

    def __init__(self, spec, options, schema):
        self.spec = spec
        text = options.get("$filter")
        self.tree = Parser(text, spec.table, schema, {}).parse() if text else None
        self.order = parse_orderby(options["$orderby"], spec.table, schema) if options.get("$orderby") else []
        top = options.get("$top", "5000")
        if not top.isdigit() or int(top) < 1:
            raise bad_query("Invalid value '%s' for $top query option found." % top)
        self.top = min(int(top), 5000)


class Renderer:
    def __init__(self, org):
        self.org = org

    def row(self, view, row, reader, prefs, head=""):
        """JSON object of the row; `head` goes in front of the etag."""
        pieces = row.pieces
        parts = ['{%s"@odata.etag":"W/\\"%d\\""' % (head, row.version)]
        add = parts.append
        for col in view.columns:
            piece = pieces.get(col.wire)
            if piece is None:
                piece = pieces[col.wire] = '"%s":%s' % (col.wire, values.render(col, row.vals.get(col.name)))
            if prefs.annotations is not None:
                for text in self.annotations(view.table, col, row, prefs):
                    add(text)
            add(piece)
        if view.nulls:
            parts.append(view.nulls[1:])
        for nav, single, many, sub in view.expands:
            add('"%s":%s' % (nav, self.single(row, single, sub, reader, prefs) if single
                             else self.many(row, many, sub, reader, prefs)))
        return ",".join(parts) + "}"

    def single(self, row, single, sub, reader, prefs):
        col, target = single
        id = row.vals.get(col.name)
        kind = row.vals.get(col.name + "@", col.targets[0])
        if id is None or (target is not None and kind != target):
            return "null"
        other = reader(kind, id)
        if other is None or kind != sub.table.name:
            return "null"
        return self.row(sub, other, reader, prefs)

    def many(self, row, many, sub, reader, prefs):
        when = getattr(reader, "when", None)
        rows = self.org.related(many.spec, row, when)
        if many.tree is not None:
            test = compile_filter(many.tree, reader, self.org.clock)
            rows = [r for r in rows if test(r)]
        if many.order:
            sort_rows(rows, [(getter(ref, reader), down) for ref, down in many.order])
        return "[%s]" % ",".join(self.row(sub, r, reader, prefs) for r in rows[:many.top])

    def annotations(self, table, col, row, prefs):
        value = row.vals.get(col.name)
        if value is None:
            return
        if prefs.wants(FORMATTED[1:]):
            shown = self.formatted(col, row, value)
            if shown is not None:
                yield '"%s%s":%s' % (col.wire, FORMATTED, values.quote(shown))
        if col.type in LOOKUPS:
            kind = row.vals.get(col.name + "@", col.targets[0])
            if prefs.wants(ASSOCIATED[1:]) and kind in col.nav:
                yield '"%s%s":%s' % (col.wire, ASSOCIATED, values.quote(col.nav[kind]))
            if prefs.wants(LOGICAL[1:]):
                yield '"%s%s":%s' % (col.wire, LOGICAL, values.quote(kind))

    def formatted(self, col, row, value):
        kind, language = col.type, self.org.options["UserLanguage"]
        if kind in ("choice", "state", "status"):
            return col.label_of(value, language)
        if kind == "multichoice":
            return "; ".join(col.label_of(int(v), language) for v in value.split(","))
        if kind == "boolean":
            return col.label_of(int(value), language) or in_language("Yes" if value else "No", language)
        if kind == "money" or col.base_of:
            currency = self.org.currency_of(row.vals)
            return "%s%s" % (currency.get("currencysymbol", ""),
                             format(value, ",.%df" % currency.get("currencyprecision", 2)))
        if kind in ("int", "bigint"):
            return format(value, ",d")
        if kind in ("decimal", "double"):
            return format(value, ",.%df" % (col.precision or 2))
        if kind == "date":
            at = datetime.strptime(value, "%Y-%m-%d")
            return "%d/%d/%d" % (at.month, at.day, at.year)
        if kind == "datetime":
            at = datetime.strptime(value[:19], "%Y-%m-%dT%H:%M:%S")
            return "%d/%d/%d %d:%02d %s" % (at.month, at.day, at.year, at.hour % 12 or 12, at.minute,
                                            "AM" if at.hour < 12 else "PM")
        if kind in LOOKUPS:
            table = row.vals.get(col.name + "@", col.targets[0])
            other = self.org.get(table, value)
            name = other and self.org.schema.tables[table].primary_name
            return other.vals.get(name) if name else None
        return None
