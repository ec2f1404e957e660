"""Query options of the Web API: reading them and turning filters and orders into functions over rows."""
import re
from decimal import Decimal
from urllib.parse import unquote

from . import values
from .errors import bad_query
from .schema import LOOKUPS

TOKEN = re.compile(
    r"""\s*(?:
    (?P<str>'(?:[^']|'')*')
  | (?P<guid>[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})(?![\w-])
  | (?P<instant>\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)
  | (?P<date>\d{4}-\d\d-\d\d)
  | (?P<num>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?!\w)
  | (?P<alias>@\w+)
  | (?P<enum>[A-Za-z_][\w.]*'(?:[^']|'')*')
  | (?P<name>[A-Za-z_][\w.]*(?:/[A-Za-z_][\w.]*)*)
  | (?P<punct>[(),\[\]=:])
    )""",
    re.X,
)
TEXT_FUNCTIONS = ("contains", "startswith", "endswith")
COMPARE = ("eq", "ne", "gt", "ge", "lt", "le")
QUERY_FUNCTION = "Microsoft.Dynamics.CRM."
OPTIONS = {"$select", "$expand", "$filter", "$orderby", "$top", "$count", "$skiptoken", "$skip", "$deltatoken", "$id", "$apply"}
OTHER_LANGUAGES = {"fetchxml", "savedquery", "userquery"}


def parse_query(raw):
    """Query string -> options by name and aliases by '@name'."""
    options, aliases = {}, {}
    for part in raw.split("&"):
        if not part:
            continue
        name, _, value = part.partition("=")
        name = unquote(name)
        value = unquote(value.replace("+", " "))
        if name.startswith("@"):
            aliases[name] = value
            continue
        if name in options:
            raise bad_query("Query option '%s' was specified more than once, but it must be specified at "
                            "most once." % name)
        if (name.startswith("$") and name not in OPTIONS) or name.lower() in OTHER_LANGUAGES:
            raise bad_query("The query parameter %s is not supported." % name)
        options[name] = value
    if "$skip" in options:
        raise bad_query("Skip Clause is not supported in CRM")
    return options, aliases


def tokens_of(text, what):
    out, at = [], 0
    text = text.strip()
    while at < len(text):
        m = TOKEN.match(text, at)
        if not m:
            raise bad_query("Syntax error at position %d in '%s'." % (at, text))
        out.append((m.lastgroup, m.group(m.lastgroup)))
        at = m.end()
        while at < len(text) and text[at] == " ":
            at += 1
    if not out:
        raise bad_query("An empty %s is not valid." % what)
    return out


class Lit:
    __slots__ = ("kind", "value")

    def __init__(self, kind, value):
        self.kind = kind
        self.value = value


class Ref:
    """A column of the row itself, or of a row it looks up."""

    __slots__ = ("col", "through", "target")

    def __init__(self, col, through=None, target=None):
        self.col = col
        self.through = through
        self.target = target


def edm_class(kind):
    """Types that compare with each other share a class."""
    if kind in ("int", "bigint", "choice", "state", "status", "decimal", "money", "double", "num"):
        return "number"
    if kind in ("text", "memo", "multichoice", "str"):
        return "text"
    if kind in LOOKUPS or kind == "guid":
        return "guid"
    if kind in ("datetime", "date", "instant"):
        return "time"
    return kind


EDM_OF_LITERAL = {"str": "Edm.String", "num": "Edm.Int32", "guid": "Edm.Guid", "instant": "Edm.DateTimeOffset",
                  "date": "Edm.Date", "boolean": "Edm.Boolean", "enum": "Edm.String"}


def edm_name(node):
    if isinstance(node, Ref):
        return values.EDM[node.col.type]
    if node.kind == "num" and isinstance(node.value, Decimal):
        return "Edm.Decimal"
    return EDM_OF_LITERAL[node.kind]


class Parser:
    """Recursive descent over one $filter; the tree is made of tuples and Lit/Ref leaves."""

    def __init__(self, text, table, schema, aliases):
        self.items = tokens_of(text, "$filter")
        self.text = text
        self.at = 0
        self.table = table
        self.schema = schema
        self.aliases = aliases
        self.variable = None

    def parse(self):
        tree = self.either()
        if self.at < len(self.items):
            raise self.wrong()
        return tree

    def wrong(self):
        return bad_query("Syntax error at position %d in '%s'." % (self.at, self.text))

    def peek(self):
        return self.items[self.at] if self.at < len(self.items) else (None, None)

    def take(self, kind=None, value=None):
        item = self.peek()
        if item[0] is None or (kind and item[0] != kind) or (value and item[1] != value):
            raise self.wrong()
        self.at += 1
        return item

    def word(self, value):
        if self.peek() == ("name", value):
            self.at += 1
            return True
        return False

    def either(self):
        parts = [self.both()]
        while self.word("or"):
            parts.append(self.both())
        return ("or", *parts) if len(parts) > 1 else parts[0]

    def both(self):
        parts = [self.unary()]
        while self.word("and"):
            parts.append(self.unary())
        return ("and", *parts) if len(parts) > 1 else parts[0]

    def unary(self):
        if self.word("not"):
            return ("not", self.unary())
        if self.peek() == ("punct", "("):
            self.at += 1
            inner = self.either()
            self.take("punct", ")")
            return inner
        return self.comparison()

    def comparison(self):
        kind, value = self.peek()
        if kind == "name" and self.items[self.at + 1: self.at + 2] == [("punct", "(")]:
            self.at += 2
            if value.endswith("/any"):
                return self.any_of(value[:-4])
            if value.startswith(QUERY_FUNCTION):
                return self.query_function(value[len(QUERY_FUNCTION):])
            return self.text_function(value)
        left = self.operand()
        kind, op = self.peek()
        if kind != "name" or op not in COMPARE:
            if isinstance(left, Ref) and left.col.type == "boolean":
                return ("cmp", "eq", left, Lit("boolean", True))
            raise self.wrong()
        self.at += 1
        return self.compare(op, left, self.operand())

    def compare(self, op, left, right):
        nulls = [n for n in (left, right) if isinstance(n, Lit) and n.kind == "null"]
        if not nulls:
            a, b = (edm_class(n.col.type if isinstance(n, Ref) else n.kind) for n in (left, right))
            if a != b and "enum" not in (a, b):
                names = {"eq": "Equal", "ne": "NotEqual", "gt": "GreaterThan", "ge": "GreaterThanOrEqual",
                         "lt": "LessThan", "le": "LessThanOrEqual"}
                raise bad_query(
                    "A binary operator with incompatible types was detected. Found operand types '%s' and "
                    "'%s' for operator kind '%s'." % (edm_name(left), edm_name(right), names[op]))
        if isinstance(left, Lit) and isinstance(right, Ref):
            flip = {"gt": "lt", "ge": "le", "lt": "gt", "le": "ge"}
            left, right, op = right, left, flip.get(op, op)
        return ("cmp", op, left, right)

    def operand(self):
        kind, value = self.take()
        if kind == "alias":
            if value not in self.aliases:
                raise bad_query("The parameter alias '%s' has no value." % value)
            inner = tokens_of(self.aliases[value], "parameter alias")
            if len(inner) != 1:
                raise self.wrong()
            kind, value = inner[0]
        if kind == "name":
            if value in ("true", "false"):
                return Lit("boolean", value == "true")
            if value == "null":
                return Lit("null", None)
            return self.reference(value)
        return self.literal(kind, value)

    def literal(self, kind, value):
        if kind == "str":
            return Lit("str", value[1:-1].replace("''", "'"))
        if kind == "guid":
            return Lit("guid", value.lower())
        if kind == "instant":
            text = values.parse_instant(value)
            if text is None:
                raise self.wrong()
            return Lit("instant", text)
        if kind == "date":
            return Lit("date", value)
        if kind == "num":
            whole = re.match(r"-?\d+\Z", value)
            return Lit("num", int(value) if whole else Decimal(value))
        if kind == "enum":
            return Lit("enum", value[value.index("'") + 1:-1])
        raise self.wrong()

    def any_of(self, name):
        """nav/any(x:condition on x): a condition on the rows of a collection."""
        spec = self.schema.collection(self.table, name)
        if spec is None or self.variable is not None:
            raise no_property(name, self.table)
        outer = self.table
        self.variable = self.take("name")[1]
        self.take("punct", ":")
        self.table = spec.table
        inner = self.either()
        self.table, self.variable = outer, None
        self.take("punct", ")")
        return ("any", spec, inner)

    def reference(self, path):
        if self.variable is not None:
            first, _, path = path.partition("/")
            if first != self.variable or not path:
                raise self.wrong()
        return resolve(self.table, self.schema, path)

    def text_function(self, name):
        if name not in TEXT_FUNCTIONS:
            raise bad_query("An unknown function with name '%s' was found. This may also be a function "
                            "import or a key lookup on a navigation property, which is not allowed." % name)
        ref = self.operand()
        self.take("punct", ",")
        needle = self.operand()
        self.take("punct", ")")
        if not isinstance(ref, Ref) or not isinstance(needle, Lit) or needle.kind != "str" \
                or edm_class(ref.col.type) != "text":
            raise bad_query("No function signature for the function with name '%s' matches the specified "
                            "arguments." % name)
        node = ("fn", name, ref, needle)
        if self.peek()[0] == "name" and self.peek()[1] in ("eq", "ne"):
            op = self.take()[1]
            flag = self.operand()
            if not isinstance(flag, Lit) or flag.kind != "boolean":
                raise self.wrong()
            return node if flag.value == (op == "eq") else ("not", node)
        return node

    def query_function(self, name):
        given = {}
        while self.peek() != ("punct", ")"):
            key = self.take("name")[1]
            self.take("punct", "=")
            given[key] = self.argument()
            if self.peek() == ("punct", ","):
                self.at += 1
        self.at += 1
        prop = given.get("PropertyName")
        if not isinstance(prop, Lit):
            raise bad_query("The function '%s' needs PropertyName." % name)
        col = self.table.columns.get(str(prop.value))
        ref = Ref(col) if col is not None else resolve(self.table, self.schema, str(prop.value))
        if name in ("In", "NotIn"):
            wanted = given.get("PropertyValues")
            if not isinstance(wanted, list):
                raise bad_query("The function '%s' needs PropertyValues." % name)
            node = ("in", ref, [v.value for v in wanted])
            return node if name == "In" else ("not", node)
        number = given.get("PropertyValue")
        if name in ("LastXDays", "LastXHours") and isinstance(number, Lit) and isinstance(number.value, int):
            return ("last", ref, number.value * (86400 if name == "LastXDays" else 3600))
        raise bad_query("The function '%s%s' is not supported." % (QUERY_FUNCTION, name))

    def argument(self):
        if self.peek() == ("punct", "["):
            self.at += 1
            out = []
            while self.peek() != ("punct", "]"):
                kind, value = self.take()
                if (kind, value) == ("punct", ","):
                    continue
                out.append(self.literal(kind, value))
            self.at += 1
            return out
        kind, value = self.take()
        return self.literal(kind, value)


def no_property(name, table):
    return bad_query("Could not find a property named '%s' on type 'Microsoft.Dynamics.CRM.%s'."
                     % (name, table.name))


def resolve(table, schema, path):
    if "/" not in path:
        col = table.wire.get(path)
        if col is None:
            raise no_property(path, table)
        return Ref(col)
    nav, _, rest = path.partition("/")
    found = table.navs.get(nav)
    if found is None:
        raise no_property(nav, table)
    col, target = found
    related = schema.tables.get(target or col.targets[0])
    inner = related and related.wire.get(rest)
    if inner is None:
        raise no_property(rest, related or table)
    return Ref(inner, col, target)


def fold(text):
    """Equality and order of text as the service's usual collation has it: no case, no trailing blanks."""
    return text.casefold().rstrip(" ")


def getter(ref, reader):
    """Function row -> comparable value of the reference; `reader(table, id)` finds related rows."""
    name = ref.col.name
    folded = edm_class(ref.col.type) == "text"
    if ref.through is None:
        if folded:
            def text_of(row):
                v = row.vals.get(name)
                return None if v is None else v.casefold().rstrip(" ")
            return text_of
        return lambda row: row.vals.get(name)
    through, target = ref.through, ref.target

    def related(row):
        key = row.vals.get(through.name)
        kind = row.vals.get(through.name + "@", through.targets[0])
        if key is None or (target is not None and kind != target):
            return None
        other = reader(kind, key)
        v = None if other is None else other.vals.get(name)
        return fold(v) if folded and v is not None else v
    return related


def compile_filter(tree, reader, now, related=None):
    """Function row -> bool; `related(collection, row)` finds the rows of a collection-valued property."""
    op = tree[0]
    if op in ("and", "or"):
        tests = [compile_filter(t, reader, now, related) for t in tree[1:]]
        if len(tests) == 2:
            a, b = tests
            return (lambda row: a(row) and b(row)) if op == "and" else (lambda row: a(row) or b(row))
        whole = all if op == "and" else any
        return lambda row: whole(test(row) for test in tests)
    if op == "not":
        inner = compile_filter(tree[1], reader, now, related)
        return lambda row: not inner(row)
    if op == "any":
        each = compile_filter(tree[2], reader, now)
        return lambda row: any(each(one) for one in related(tree[1], row))
    if op == "fn":
        return text_test(tree[1], getter(tree[2], reader), fold_needle(tree[3].value))
    if op == "in":
        get = getter(tree[1], reader)
        wanted = {in_value(tree[1].col, v) for v in tree[2]}
        return lambda row: get(row) in wanted
    if op == "last":
        get = getter(tree[1], reader)
        since = values.instant_text(now() - tree[2])
        return lambda row: (get(row) or "") >= since
    return comparison_test(tree[1], tree[2], tree[3], reader)


def in_value(col, value):
    kind = edm_class(col.type)
    if kind == "text":
        return fold(str(value))
    if kind == "number" and isinstance(value, str) and re.match(r"-?\d+\Z", value):
        return int(value)
    if kind == "guid":
        return str(value).lower()
    return value


def fold_needle(text):
    return text.casefold()


def text_test(name, get, needle):
    if name == "contains":
        return lambda row: needle in (get(row) or "")
    if name == "startswith":
        return lambda row: (get(row) or "").startswith(needle)
    return lambda row: (get(row) or "").endswith(needle)


def comparison_test(op, left, right, reader):
    a = getter(left, reader) if isinstance(left, Ref) else constant(left)
    if isinstance(right, Lit):
        v = literal_for(left, right)
        if op == "eq":
            return lambda row: a(row) == v
        if op == "ne":
            # Unlike SQL, the service counts a row without a value as different.
            return lambda row: a(row) != v
        return ordered_test(op, a, lambda row: v)
    b = getter(right, reader)
    if op == "eq":
        return lambda row: a(row) == b(row)
    if op == "ne":
        return lambda row: a(row) != b(row)
    return ordered_test(op, a, b)


def constant(lit):
    v = fold(lit.value) if lit.kind == "str" else lit.value
    return lambda row: v


def literal_for(left, lit):
    """The literal in the kept form of the column it is compared with."""
    if lit.kind == "str":
        return fold(lit.value)
    if isinstance(left, Ref) and lit.value is not None:
        if left.col.type == "date" and lit.kind == "instant":
            return lit.value[:10]
        if left.col.type == "datetime" and lit.kind == "date":
            return lit.value + "T00:00:00"
        if left.col.type == "double":
            return float(lit.value)
    return lit.value


def ordered_test(op, a, b):
    def test(row):
        x, y = a(row), b(row)
        if x is None or y is None:
            return False
        if op == "gt":
            return x > y
        if op == "ge":
            return x >= y
        if op == "lt":
            return x < y
        return x <= y
    return test


def candidates(rows, tree):
    """A list of ids that holds every match, by way of the indexes; None when none can tell."""
    if tree[0] == "and":
        found = [c for c in (candidates(rows, t) for t in tree[1:]) if c is not None]
        return min(found, key=len) if found else None
    if tree[0] == "or":
        found = []
        for part in tree[1:]:
            some = candidates(rows, part)
            if some is None:
                return None
            found.extend(some)
        return found
    if tree[0] == "cmp" and tree[1] == "eq" and isinstance(tree[2], Ref) and isinstance(tree[3], Lit) \
            and tree[3].value is not None:
        ref, wanted = tree[2], [literal_for(tree[2], tree[3])]
    elif tree[0] == "in":
        ref, wanted = tree[1], [in_value(tree[1].col, v) for v in tree[2]]
    else:
        return None
    if ref.through is not None or edm_class(ref.col.type) not in ("text", "guid"):
        return None
    if ref.col.name == rows.table.pk:
        return wanted
    index = rows.index(ref.col.name)
    return [id for v in wanted for id in index.get(v, ())]


def modified_since(tree):
    """The bound of a `modifiedon ge|gt x` every match must satisfy, or None."""
    if tree[0] == "and":
        found = [m for m in (modified_since(t) for t in tree[1:]) if m]
        return max(found) if found else None
    if tree[0] == "cmp" and tree[1] in ("ge", "gt") and isinstance(tree[2], Ref) \
            and tree[2].through is None and tree[2].col.name == "modifiedon" and isinstance(tree[3], Lit) \
            and tree[3].value is not None:
        return literal_for(tree[2], tree[3])
    return None


def parse_orderby(text, table, schema):
    """List of (Ref, descending)."""
    out = []
    for part in text.split(","):
        words = part.split()
        if not words or len(words) > 2 or (len(words) == 2 and words[1] not in ("asc", "desc")):
            raise bad_query("Syntax error in $orderby '%s'." % text)
        out.append((resolve(table, schema, words[0]), len(words) == 2 and words[1] == "desc"))
    return out


def split_list(text, separator=","):
    """Splits at separators that stand outside parentheses and quotes."""
    out, depth, quoted, start = [], 0, False, 0
    for i, c in enumerate(text):
        if c == "'":
            quoted = not quoted
        elif quoted:
            continue
        elif c == "(":
            depth += 1
        elif c == ")":
            depth -= 1
        elif c == separator and depth == 0:
            out.append(text[start:i])
            start = i + 1
    out.append(text[start:])
    return [p.strip() for p in out if p.strip()]


def parse_expand(text):
    """$expand -> list of (navigation property, options of the nested level)."""
    out = []
    for part in split_list(text):
        nav, _, rest = part.partition("(")
        options = {}
        if rest:
            if not rest.endswith(")"):
                raise bad_query("Syntax error in $expand '%s'." % text)
            for one in split_list(rest[:-1], ";"):
                name, _, value = one.partition("=")
                if name.strip() not in ("$select", "$expand", "$filter", "$orderby", "$top"):
                    raise bad_query("The query option %s is not supported inside $expand." % name.strip())
                options[name.strip()] = value.strip()
        out.append((nav.strip(), options))
    return out


def sort_rows(found, keys):
    """By the order asked for, then by primary key; nulls come first when ascending."""
    found.sort(key=lambda row: row.id)
    for get, down in reversed(keys):
        found.sort(key=lambda row: nulls_first(get(row)), reverse=down)


def nulls_first(v):
    return (0, 0) if v is None else (1, v)
