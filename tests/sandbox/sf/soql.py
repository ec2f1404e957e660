"""SOQL: reading a query."""
import re

from .errors import ApiError

TOKEN = re.compile(r"""\s*(?:
    (?P<text>'(?:[^'\\]|\\.)*')
  | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
  | (?P<date>\d{4}-\d\d-\d\d(?![\dT]))
  | (?P<number>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_.]*(?::\d+)?)
  | (?P<sign><=|>=|!=|<>|=|<|>|\(|\)|,)
)""", re.X | re.I | re.S)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
CLAUSES = {"from", "where", "order", "limit", "offset", "group", "having", "for", "with", "using"}
DATE_LITERAL = re.compile(r"(today|yesterday|tomorrow|last_n_days:\d+|next_n_days:\d+|this_week|last_week|this_month|"
                          r"last_month|next_month|this_year|last_year|next_year)\Z", re.I)


def malformed(text):
    return ApiError(400, "MALFORMED_QUERY", text)


def tokens_of(text):
    out, at, end = [], 0, len(text)
    while at < end:
        m = TOKEN.match(text, at)
        if m is None:
            rest = text[at:].strip()
            if not rest:
                break
            raise malformed("%s\n^\nERROR at Row:1:Column:%d\nline 1:%d no viable alternative at character '%s'"
                            % (text[:100], at + 1, at, rest[0]))
        out.append((m.lastgroup, m.group(m.lastgroup), m.start(m.lastgroup)))
        at = m.end()
    return out


def text_of(literal):
    def escape(m):
        c = m.group(1)
        if c in "%_":
            return "\\" + c
        if c not in ESCAPES and c.lower() not in ESCAPES:
            raise malformed("Invalid string literal %s. Illegal character sequence '\\%s' in string literal."
                            % (literal, c))
        return ESCAPES.get(c) or ESCAPES[c.lower()]
    return re.sub(r"\\(.)", escape, literal[1:-1], flags=re.S) if "\\" in literal else literal[1:-1]


class Query:
    """One SELECT, read but not yet run."""

    def __init__(self):
        self.select, self.table_name, self.where, self.order = [], None, None, []
        self.limit = self.offset = None
        self.count = False
        # SELECT field, COUNT(path) alias ... GROUP BY field HAVING COUNT(path) > n
        self.group = self.counted = self.alias = self.having = None


class Parser:
    def __init__(self, text):
        self.source = text
        self.tokens = tokens_of(text)
        self.at = 0

    def fail(self, what=None):
        kind, text, at = self.peek()
        raise malformed("%s\n^\nERROR at Row:1:Column:%d\nunexpected token: '%s'%s"
                        % (self.source[max(0, at - 30):at + 30], at + 1, text or "<EOF>",
                           " (%s)" % what if what else ""))

    def peek(self, ahead=0):
        at = self.at + ahead
        return self.tokens[at] if at < len(self.tokens) else (None, "", len(self.source))

    def word(self, ahead=0):
        kind, text, _ = self.peek(ahead)
        return text.lower() if kind == "name" else text

    def next(self):
        token = self.peek()
        self.at += 1
        return token

    def expect(self, text):
        if self.word() != text:
            self.fail("expected %s" % text)
        self.at += 1

    def accept(self, text):
        if self.word() == text:
            self.at += 1
            return True
        return False

    def name(self):
        kind, text, _ = self.peek()
        if kind != "name":
            self.fail("a name is expected")
        self.at += 1
        return text

    def parse(self):
        query = self.query()
        if self.at < len(self.tokens):
            self.fail()
        return query

    def query(self):
        query = Query()
        self.expect("select")
        if self.word() == "count" and self.word(1) == "(" and self.word(2) == ")":
            self.at += 3
            query.count = True
        else:
            self.fields(query)
        self.expect("from")
        query.table_name = self.name()
        if self.word() not in CLAUSES and self.peek()[0] == "name":
            self.at += 1
        self.clauses(query)
        return query

    def fields(self, query):
        while True:
            if self.accept("("):
                query.select.append(self.query())
                self.expect(")")
            else:
                name = self.name()
                if self.word() == "(":
                    self.counting(query, name)
                else:
                    query.select.append(name)
            if not self.accept(","):
                return

    def counting(self, query, name):
        if name.lower() != "count" or query.counted:
            self.fail("functions other than one COUNT() are not offered here")
        query.counted, query.alias = self.counted_path(), "expr0"
        if self.peek()[0] == "name" and self.word() not in CLAUSES:
            query.alias = self.name()

    def counted_path(self):
        self.expect("(")
        path = self.name()
        self.expect(")")
        return path

    def grouping(self, query):
        if self.accept("group"):
            self.expect("by")
            query.group = self.name()
        if self.accept("having"):
            self.expect("count")
            path = self.counted_path()
            kind, sign, _ = self.next()
            if query.group is None or sign not in ("=", "!=", "<", ">", "<=", ">=") or path != query.counted:
                self.at -= 1
                self.fail("HAVING COUNT(<what is counted>) <operator> <number> is offered here")
            query.having = (sign, self.whole())

    def clauses(self, query):
        if self.accept("where"):
            query.where = self.condition()
        self.grouping(query)
        if query.counted and (query.group is None or query.select != [query.group]):
            self.fail("COUNT beside the one field that is grouped by is offered here")
        if self.accept("order"):
            self.expect("by")
            self.orders(query)
        if self.accept("limit"):
            query.limit = self.whole()
        if self.accept("offset"):
            query.offset = self.whole()
        if self.accept("for"):
            self.name()

    def whole(self):
        kind, text, _ = self.next()
        if kind != "number" or not text.isdigit():
            self.at -= 1
            self.fail("a whole number is expected")
        return int(text)

    def orders(self, query):
        while True:
            name, down, last = self.name(), False, None
            if self.word() in ("asc", "desc"):
                down = self.next()[1].lower() == "desc"
            if self.accept("nulls"):
                last = self.name().lower() == "last"
            query.order.append((name, down, last))
            if not self.accept(","):
                return

    # Conditions: ("and", [..]), ("or", [..]), ("not", c), ("is", path, operator, literal)

    def condition(self):
        first = self.term()
        found = [first]
        which = None
        while self.word() in ("and", "or"):
            word = self.word()
            if which is not None and word != which:
                self.fail("AND and OR side by side need parentheses")
            which = word
            self.at += 1
            found.append(self.term())
        return (which, found) if which else first

    def term(self):
        if self.accept("not"):
            return ("not", self.term())
        if self.accept("("):
            inside = self.condition()
            self.expect(")")
            return inside
        path = self.name()
        kind, text, _ = self.next()
        operator = text.lower()
        if operator == "not":
            self.expect("in")
            return ("is", path, "not in", self.many())
        if operator in ("in", "includes", "excludes"):
            return ("is", path, operator, self.many())
        if operator not in ("=", "!=", "<>", "<", ">", "<=", ">=", "like"):
            self.at -= 1
            self.fail("an operator is expected")
        return ("is", path, "!=" if operator == "<>" else operator, self.literal())

    def many(self):
        self.expect("(")
        if self.word() == "select":
            inner = self.query()
            self.expect(")")
            return inner
        out = [self.literal()]
        while self.accept(","):
            out.append(self.literal())
        self.expect(")")
        return out

    def literal(self):
        kind, text, _ = self.next()
        if kind == "text":
            return ("text", text_of(text))
        if kind in ("date", "datetime", "number"):
            return (kind, text)
        word = text.lower()
        if kind == "name" and word in ("true", "false"):
            return ("boolean", word == "true")
        if kind == "name" and word == "null":
            return ("null", None)
        if kind == "name" and DATE_LITERAL.match(word):
            return ("span", word)
        self.at -= 1
        self.fail("a value is expected")
