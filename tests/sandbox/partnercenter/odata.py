"""The part of OData that the list of referrals understands: $filter, $orderby, $select, $top and continuation."""

import operator
import re
from functools import lru_cache

from simlib import parse_iso

DOCUMENTED = {"engagementid", "status", "substatus", "qualification", "type", "direction", "updateddatetime",
              "customerprofile/address/country", "team/email", "email"}
DATES = {"createddatetime", "updateddatetime"}

TOKEN = re.compile(r"""\s*(?:
    (?P<string>'(?:[^']|'')*') |
    (?P<date>\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d)?)?(?![\w-])) |
    (?P<guid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}) |
    (?P<number>-?\d+(?:\.\d+)?(?![\w-])) |
    (?P<name>[A-Za-z_@][\w.]*(?:/[A-Za-z_][\w.]*)*) |
    (?P<mark>[():,])
)""", re.X)

COMPARE = {"eq": operator.eq, "ne": operator.ne, "gt": operator.gt, "ge": operator.ge, "lt": operator.lt,
           "le": operator.le}


class BadQuery(ValueError):
    pass


class Filter:
    """test(document) -> bool; engagement: the id when the filter asks for one engagement alone."""

    def __init__(self, test, engagement=None):
        self.test = test
        self.engagement = engagement


@lru_cache(maxsize=512)
def parse_filter(text, strict, unquoted):
    return _Parser(text, strict, unquoted).parse()


def value_at(document, path):
    for name in path:
        if not isinstance(document, dict):
            return None
        value = document.get(name)
        if value is None and name not in document:
            lower = name.lower()
            value = next((v for k, v in document.items() if k.lower() == lower), None)
        document = value
    return document


class _Parser:
    def __init__(self, text, strict, unquoted):
        self.tokens = self._split(text)
        self.at = 0
        self.strict = strict
        self.unquoted = unquoted

    @staticmethod
    def _split(text):
        tokens, at = [], 0
        text = text.rstrip()
        while at < len(text):
            match = TOKEN.match(text, at)
            if match is None:
                raise BadQuery("Syntax error at position %d in '%s'." % (at, text))
            tokens.append((match.lastgroup, match.group(match.lastgroup)))
            at = match.end()
        return tokens

    def parse(self):
        result = self._or(None)
        if self.at != len(self.tokens):
            raise BadQuery("Syntax error: '%s' was not expected." % self.tokens[self.at][1])
        return result

    def _peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else (None, "")

    def _take(self, kind=None, text=None):
        token = self._peek()
        if token[0] is None or (kind and token[0] != kind) or (text and token[1] != text):
            raise BadQuery("Syntax error: '%s' expected, '%s' found." % (text or kind or "expression", token[1]))
        self.at += 1
        return token

    def _word(self, text):
        if self._peek() == ("name", text):
            self.at += 1
            return True
        return False

    def _or(self, variable):
        left = self._and(variable)
        while self._word("or"):
            right = self._and(variable)
            left = Filter(lambda d, a=left.test, b=right.test: a(d) or b(d))
        return left

    def _and(self, variable):
        left = self._not(variable)
        while self._word("and"):
            right = self._not(variable)
            left = Filter(lambda d, a=left.test, b=right.test: a(d) and b(d), left.engagement or right.engagement)
        return left

    def _not(self, variable):
        if self._word("not"):
            inner = self._not(variable)
            return Filter(lambda d: not inner.test(d))
        if self._peek() == ("mark", "("):
            self.at += 1
            inner = self._or(variable)
            self._take("mark", ")")
            return inner
        return self._comparison(variable)

    def _comparison(self, variable):
        name = self._take("name")[1]
        if name.endswith("/any") and self._peek() == ("mark", "("):
            return self._any(name[:-4])
        path = name.split("/")
        full = name
        if variable is not None:
            if path[0] != variable[0]:
                raise BadQuery("Could not find a property named '%s'." % name)
            path, full = path[1:], variable[1] + name[len(variable[0]):]
        if self.strict and full.lower() not in DOCUMENTED:
            raise BadQuery("The property '%s' cannot be used in the $filter query option." % full)
        word = self._take("name")[1]
        if word not in COMPARE:
            raise BadQuery("The operator '%s' is not supported." % word)
        return self._compare(full.lower(), path, word, self._literal())

    def _any(self, path):
        self._take("mark", "(")
        variable = self._take("name")[1]
        self._take("mark", ":")
        inner = self._or((variable, path))
        self._take("mark", ")")
        parts = path.split("/")

        def test(document):
            items = value_at(document, parts)
            return isinstance(items, list) and any(inner.test(item) for item in items)
        return Filter(test)

    def _literal(self):
        kind, text = self._peek()
        if kind is None:
            raise BadQuery("Syntax error: a value was expected at the end.")
        self.at += 1
        if kind == "string":
            return text[1:-1].replace("''", "'")
        if kind == "guid" and self.unquoted:
            return text
        if kind == "date":
            return text
        if kind == "number":
            return float(text)
        if kind == "name" and text in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[text]
        raise BadQuery("Syntax error: '%s' is no value." % text)

    @staticmethod
    def _compare(full, path, word, value):
        compare = COMPARE[word]
        if full in DATES:
            moment = parse_iso(value)
            if moment is None:
                raise BadQuery("'%s' is no date and time." % value)

            def test(document):
                found = parse_iso(value_at(document, path))
                return found is not None and compare(found, moment)
            return Filter(test)
        if full == "engagementid" and isinstance(value, str):
            value = value.lower()
            hint = value if word == "eq" else None
            return Filter(lambda d: compare((value_at(d, path) or "").lower(), value), hint)

        def test(document):
            found = value_at(document, path)
            if word in ("eq", "ne"):
                return compare(found, value)
            return type(found) is type(value) and compare(found, value)
        return Filter(test)


def parse_order(text):
    """(field, descending)"""
    words = text.split()
    field = {"createddatetime": "createdDateTime", "updateddatetime": "updatedDateTime"}.get(
        words[0].lower() if words else "")
    if field is None or len(words) > 2 or (len(words) == 2 and words[1].lower() not in ("asc", "desc")):
        raise BadQuery("The $orderby query option '%s' is not supported; use createdDateTime or updatedDateTime." % text)
    return field, len(words) == 2 and words[1].lower() == "desc"
