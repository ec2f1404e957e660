"""Running SOQL over the rows of the organisation."""
import calendar
import operator as operators
import re
import time

from . import ids, values
from .errors import ApiError
from .schema import NUMBERS, TEXTS
from .soql import Query, malformed

DAY = 86400
QUOTED = TEXTS | {"id", "reference"}
MOST_OFFSET = 2000
ORDER = {"=": operators.eq, "!=": operators.ne, "<": operators.lt, ">": operators.gt, "<=": operators.le,
         ">=": operators.ge}


def no_such(name, table):
    return ApiError(400, "INVALID_FIELD", "\nSELECT %s FROM %s\n       ^\nERROR at Row:1:Column:8\nNo such column '%s' on "
                    "entity '%s'. If you are attempting to use a custom field, be sure to append the '__c' after the "
                    "custom field name. Please reference your WSDL or the describe call for the appropriate names."
                    % (name, table, name, table))


def no_relation(name, path, table):
    return ApiError(400, "INVALID_FIELD", "\n%s\n^\nERROR at Row:1:Column:8\nDidn't understand relationship '%s' in field "
                    "path. If you are attempting to use a custom relationship, be sure to append the '__r' after the "
                    "custom relationship name. Please reference your WSDL or the describe call for the appropriate "
                    "names." % (path, name))


def no_type(name):
    return ApiError(400, "INVALID_TYPE", "\nSELECT Id FROM %s\n               ^\nERROR at Row:1:Column:16\nsObject type '%s' "
                    "is not supported. If you are attempting to use a custom object, be sure to append the '__c' after "
                    "the entity name. Please reference your WSDL or the describe call for the appropriate names."
                    % (name, name))


class Run:
    """A query made ready for this organisation. `get(table name, id)` reads rows as of the moment the reader sees."""

    def __init__(self, org, root, get, rows, binned=False):
        self.org, self.root, self.get, self.rows, self.binned = org, root, get, rows, binned

    def table(self, name):
        found = self.org.seen(name)
        if found is None or not found.queryable:
            raise no_type(name)
        return found

    # Paths

    def resolve(self, table, path, prefix=""):
        """-> (list of reference fields to follow, last field)"""
        parts = path.split(".")
        if len(parts) > 1 and parts[0].lower() == table.name.lower() and \
                parts[0].lower() not in table.relations:
            parts = parts[1:]
        if len(parts) > 6:
            raise malformed("SOQL statements cannot query more than 5 levels of relationships: %s" % path)
        hops = []
        for part in parts[:-1]:
            field = table.relations.get(part.lower())
            if field is None or field.name not in self.org.view(table):
                raise no_relation(part, path, table.name)
            hops.append(field)
            target = self.org.seen(field.refs[-1])
            if target is None:
                raise no_relation(part, path, table.name)
            table = target
        field = self.org.view(table).get(parts[-1].lower())
        if field is None:
            raise no_such(parts[-1], table.name)
        return hops, field

    def getter(self, hops, field):
        name = field.name
        if not hops:
            return lambda vals: vals.get(name)
        steps = [hop.name for hop in hops]

        def value(vals):
            for step in steps:
                id = vals.get(step)
                vals = self.referred(id) if id is not None else None
                if vals is None:
                    return None
            return vals.get(name)
        return value

    def referred(self, id):
        table = self.org.by_prefix.get(id[:3])
        return None if table is None else self.get(table.name, id)

    # Conditions

    def condition(self, table, node):
        kind = node[0]
        if kind in ("and", "or"):
            parts = [self.condition(table, one) for one in node[1]]
            if kind == "and":
                return lambda vals: every(parts, vals)
            return lambda vals: any(p(vals) for p in parts)
        if kind == "not":
            inner = self.condition(table, node[1])
            return lambda vals: not inner(vals)
        return self.comparison(table, *node[1:])

    def comparison(self, table, path, operator, literal):
        hops, field = self.resolve(table, path)
        if not field.filterable:
            raise ApiError(400, "INVALID_FIELD", "field '%s' can not be filtered in a query call" % field.name)
        value = self.getter(hops, field)
        if operator in ("includes", "excludes"):
            return self.choices(field, operator, literal, value)
        if operator in ("in", "not in"):
            wanted = self.set_of(field, literal)
            if operator == "in":
                return lambda vals: values.fold(value(vals)) in wanted
            return lambda vals: values.fold(value(vals)) not in wanted
        if operator == "like":
            return self.like(field, literal, value)
        if literal[0] == "span":
            return self.span(field, operator, literal[1], value)
        return compare(operator, self.constant(field, literal), value, field)

    def set_of(self, field, literal):
        if isinstance(literal, Query):
            if literal.count or len(literal.select) != 1 or isinstance(literal.select[0], Query):
                raise malformed("a subquery of IN selects one field")
            table = self.table(literal.table_name)
            get = self.getter(*self.resolve(table, literal.select[0]))
            return {values.fold(get(vals)) for vals in self.matching(table, literal.where)} - {None}
        return {values.fold(self.constant(field, one)) for one in literal}

    def choices(self, field, operator, literal, value):
        if field.type != "multipicklist":
            raise ApiError(400, "INVALID_FIELD", "%s is only for multi-select picklists, '%s' is none"
                           % (operator.upper(), field.name))
        groups = [{p.strip().casefold() for p in (one[1] or "").split(";")} for one in literal]

        def test(vals):
            has = {p.casefold() for p in (value(vals) or "").split(";")}
            return any(group <= has for group in groups)
        return test if operator == "includes" else lambda vals: not test(vals)

    def like(self, field, literal, value):
        if field.type not in TEXTS or literal[0] != "text":
            raise ApiError(400, "INVALID_QUERY_FILTER_OPERATOR", "invalid operator on %s field" % field.type)
        parts, at, text = [], 0, literal[1]
        while at < len(text):
            c = text[at]
            if c == "\\" and at + 1 < len(text) and text[at + 1] in "%_":
                at += 1
                parts.append(re.escape(text[at]))
            else:
                parts.append(".*" if c == "%" else "." if c == "_" else re.escape(c))
            at += 1
        wanted = re.compile("".join(parts) + r"\Z", re.I | re.S)
        return lambda vals: wanted.match(value(vals) or "") is not None

    def span(self, field, operator, word, value):
        if field.type not in ("date", "datetime"):
            raise self.wrong(field)
        first, last = span_of(word, self.org.now())
        form = (lambda t: time.strftime("%Y-%m-%d", time.gmtime(t))) if field.type == "date" else values.stamp
        low, high = form(first), form(last)
        return {"=": lambda vals: low <= (value(vals) or "") < high,
                "!=": lambda vals: not low <= (value(vals) or "") < high,
                "<": lambda vals: "" < (value(vals) or "") < low, "<=": lambda vals: "" < (value(vals) or "") < high,
                ">": lambda vals: (value(vals) or "") >= high, ">=": lambda vals: (value(vals) or "") >= low}[operator]

    @staticmethod
    def wrong(field):
        kind = {"currency": "double", "percent": "double", "datetime": "dateTime"}.get(field.type, field.type)
        return ApiError(400, "INVALID_FIELD", "value of filter criterion for field '%s' must be of type %s and should %s"
                        "be enclosed in quotes" % (field.name, kind, "" if field.type in QUOTED else "not "))

    def constant(self, field, literal):
        kind, value = literal
        if kind == "null":
            return None
        if field.type in ("id", "reference"):
            if kind != "text":
                raise self.wrong(field)
            found = ids.canonical(value)
            if found is None and value:
                raise ApiError(400, "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: %s" % value)
            return found
        if field.type in TEXTS:
            if kind != "text":
                raise self.wrong(field)
            value = value.replace("\\%", "%").replace("\\_", "_") if "\\" in value else value
            return value or None
        if field.type in NUMBERS:
            if kind != "number":
                raise self.wrong(field)
            return float(value)
        if field.type == "boolean":
            if kind != "boolean":
                raise self.wrong(field)
            return value
        return self.moment(field, kind, value)

    def moment(self, field, kind, value):
        if kind != field.type:
            raise self.wrong(field)
        if kind == "date":
            if not values.real_date(value):
                raise malformed("invalid date: %s" % value)
            return value
        when = values.parse_iso(value)
        if when is None:
            raise malformed("invalid dateTime: %s" % value)
        text = values.stamp(when)
        fraction = when - int(when)
        return text if not fraction else text[:19] + ".%03d+0000" % int(fraction * 1000)

    # Rows

    def matching(self, table, where):
        test = self.condition(table, where) if where is not None else None
        found = self.rows(table, None if self.binned else self.narrow(table, where))
        if self.binned:
            found = list(found) + list(self.org.rows[table.name].bin.values())
        return [vals for vals in found if test(vals)] if test is not None else list(found)

    def narrow(self, table, node):
        """(field name, values) of a term that every match fulfils and an index answers, or ("since", bound)."""
        if node is None:
            return None
        best = None
        for one in node[1] if node[0] == "and" else [node]:
            if one[0] != "is" or "." in one[1]:
                continue
            field = self.org.view(table).get(one[1].lower())
            if field is None or field.type not in ("id", "reference", "string", "email", "picklist", "phone"):
                if field is not None and field.name == "SystemModstamp" and one[2] in (">", ">=") and best is None \
                        and one[3][0] == "datetime":
                    best = ("since", self.constant(field, one[3])[:19])
                continue
            if one[2] == "=" and one[3][0] == "text":
                wanted = [self.constant(field, one[3])]
            elif one[2] == "in" and isinstance(one[3], list):
                wanted = [self.constant(field, v) for v in one[3]]
            else:
                continue
            if None in wanted:
                continue
            if best is None or field.type == "id" or best[0] == "since":
                best = (field.name, wanted)
        return best

    def run(self, query):
        """-> (table, rows that match, in order)"""
        table = self.table(query.table_name)
        found = self.matching(table, query.where)
        for name, down, last in reversed(query.order):
            self.sort(found, table, name, down, last)
        if query.offset:
            if query.offset > MOST_OFFSET:
                raise ApiError(400, "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000")
            found = found[query.offset:]
        return table, found if query.limit is None else found[:query.limit]

    def groups(self, query):
        """Rows of type AggregateResult: a value, and how many rows have it."""
        table = self.table(query.table_name)
        hops, field = self.resolve(table, query.group)
        if field.type in ("textarea", "multipicklist") or not query.counted:
            raise malformed("\n%s\n^\nERROR at Row:1:Column:1\nfield '%s' can not be grouped in a query call"
                            % (query.group, query.group))
        value, counted = self.getter(hops, field), self.getter(*self.resolve(table, query.counted))
        found = {}
        for vals in self.matching(table, query.where):
            group = found.setdefault(values.fold(value(vals)), [value(vals), 0])
            group[1] += counted(vals) is not None
        if query.having:
            sign, bound = query.having
            found = {key: group for key, group in found.items() if ORDER[sign](group[1], bound)}
        rows = [{"attributes": {"type": "AggregateResult"}, field.name: group[0], query.alias: group[1]}
                for group in found.values()]
        return rows if query.limit is None else rows[:query.limit]

    def sort(self, found, table, name, down, last):
        hops, field = self.resolve(table, name)
        if not field.filterable or field.type == "multipicklist":
            raise malformed("\nORDER BY %s\n^\nERROR at Row:1:Column:1\nfield '%s' can not be sorted in a query call"
                            % (name, field.name))
        value = self.getter(hops, field)
        order = field.active if field.type == "picklist" else None
        at_end = bool(last) != down

        def key(vals):
            v = value(vals)
            if v is None:
                return (1 if at_end else -1, 0)
            if order is not None:
                return (0, order.get(v, len(order)))
            return (0, values.fold(v))
        found.sort(key=key, reverse=down)

    # What is selected

    def plan(self, table, select):
        """A tree of what to show: (name, None) a field, (relation, (step, subtree)), (child relation, inner query)."""
        out, nested = [], {}
        for item in select:
            if isinstance(item, Query):
                out.append(self.children(table, item))
                continue
            hops, field = self.resolve(table, item)
            level, names = out, nested
            for hop in hops:
                if hop.relation not in names:
                    names[hop.relation] = ([], {})
                    level.append((hop.relation, ("hop", hop.name, names[hop.relation][0])))
                level, names = names[hop.relation]
            if (field.name, None) not in level:
                level.append((field.name, None))
            elif not hops:
                raise malformed("duplicate field selected: %s" % field.name)
        return out

    def children(self, table, query):
        for child in self.org.tables.values():
            for field in child.references:
                if table.name in field.refs and (field.child or "").lower() == query.table_name.lower() \
                        and self.org.seen(child.name) is not None:
                    return (field.child, ("children", child, field, query, self.plan(child, query.select)))
        raise ApiError(400, "INVALID_TYPE", "\nDidn't understand relationship '%s' in FROM part of query call. If you are "
                       "attempting to use a custom relationship, be sure to append the '__r' after the custom "
                       "relationship name." % query.table_name)

    def show(self, table, vals, plan):
        out = {"attributes": {"type": table.name, "url": "%s/sobjects/%s/%s" % (self.root, table.name, vals["Id"])}}
        for name, how in plan:
            if how is None:
                out[name] = vals.get(name)
            elif how[0] == "hop":
                id = vals.get(how[1])
                other = self.referred(id) if id is not None else None
                out[name] = None if other is None else self.show(self.org.by_prefix[id[:3]], other, how[2])
            else:
                out[name] = self.related(vals, *how[1:])
        return out

    def related(self, vals, child, field, query, plan):
        where = ("is", field.name, "=", ("text", vals["Id"]))
        inner = Query()
        inner.table_name, inner.order, inner.limit, inner.offset = child.name, query.order, query.limit, query.offset
        inner.where = where if query.where is None else ("and", [where, query.where])
        found = self.run(inner)[1]
        if not found:
            return None
        return {"totalSize": len(found), "done": True, "records": [self.show(child, one, plan) for one in found]}


def every(parts, vals):
    for part in parts:
        if not part(vals):
            return False
    return True


def compare(operator, wanted, value, field):
    wanted = values.fold(wanted)
    if operator == "=":
        return lambda vals: values.fold(value(vals)) == wanted
    if operator == "!=":
        return lambda vals: values.fold(value(vals)) != wanted
    if wanted is None or field.type == "boolean":
        raise ApiError(400, "INVALID_QUERY_FILTER_OPERATOR", "invalid operator on %s field" % field.type)

    def holds(test):
        def check(vals):
            v = values.fold(value(vals))
            return v is not None and test(v)
        return check
    return {"<": holds(lambda v: v < wanted), ">": holds(lambda v: v > wanted), "<=": holds(lambda v: v <= wanted),
            ">=": holds(lambda v: v >= wanted)}[operator]


def span_of(word, now):
    """[first, last) in seconds of a date literal, in UTC."""
    name, _, count = word.partition(":")
    today = int(now) // DAY * DAY
    if name in ("today", "yesterday", "tomorrow"):
        first = today + {"today": 0, "yesterday": -DAY, "tomorrow": DAY}[name]
        return first, first + DAY
    if name == "last_n_days":
        return today - int(count) * DAY, today + DAY
    if name == "next_n_days":
        return today + DAY, today + (int(count) + 1) * DAY
    at = time.gmtime(now)
    if name.endswith("week"):
        first = today - (at.tm_wday + 1) % 7 * DAY - (7 * DAY if name == "last_week" else 0)
        return first, first + 7 * DAY
    shift = {"this": 0, "last": -1, "next": 1}[name.split("_")[0]]

    if name.endswith("month"):
        months = at.tm_year * 12 + at.tm_mon - 1 + shift
        return tuple(calendar.timegm((m // 12, m % 12 + 1, 1, 0, 0, 0)) for m in (months, months + 1))
    return tuple(calendar.timegm((at.tm_year + shift + n, 1, 1, 0, 0, 0)) for n in (0, 1))
