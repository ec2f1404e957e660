"""Change tracking: everything first, then what changed since a token, deletions included."""
import re
from datetime import datetime, timezone
from urllib.parse import quote, unquote

from . import values
from .errors import ApiError, bad_query
from .wire import Answer

REFUSED = ("$filter", "$orderby", "$expand", "$top")
MAX_PAGE = 5000
TOKEN = re.compile(r"(\d+)!(\d\d/\d\d/\d{4} \d\d:\d\d:\d\d)\Z")
COOKIE = re.compile(r'<cookie pagenumber="(\d+)" since="(\d+)" last="(\d+)" token="(\d+)" istracking="True" />\Z')


class Tracking:
    def __init__(self, service):
        self.service = service
        self.org = service.org

    # Tokens

    def token(self, version):
        at = datetime.fromtimestamp(int(self.org.clock()), timezone.utc)
        return quote("%d!%s" % (version, at.strftime("%m/%d/%Y %H:%M:%S")), safe="").lower()

    def since(self, text):
        m = TOKEN.match(text)
        if m is None:
            raise bad_query("The delta token '%s' is not valid." % text)
        try:
            at = datetime.strptime(m.group(2), "%m/%d/%Y %H:%M:%S").replace(tzinfo=timezone.utc).timestamp()
        except ValueError:
            raise bad_query("The delta token '%s' is not valid." % text) from None
        settings = self.org.get("organization", self.org.id)
        days = settings.vals.get("expirechangetrackingindays", 7) if settings else 7
        if self.org.clock() - at > days * 86400:
            raise ApiError(400, self.org.options["ExpiredTokenCode"], "Version stamp associated with the client has "
                           "expired. Please perform a full sync.")
        return int(m.group(1))

    def check(self, call, table):
        for name in REFUSED:
            if name in call.options:
                raise bad_query("The '%s' query parameter isn't supported when Change Tracking is enabled."
                                % name.lstrip("$"))
        if not table.change_tracking:
            raise ApiError(400, "0x80044351", "The entity '%s' does not have change tracking enabled." % table.name)
        self.service.allowed(call, table, "read")

    # Requests

    def count(self, call, table):
        self.check(call, table)
        rows, gone = self.org.rows[table.name].changed_after(self.since(call.options["$deltatoken"]),
                                                            self.service.list_moment())
        return Answer(200, "\ufeff%d" % min(len(rows) + len(gone), MAX_PAGE), {}, "text/plain")

    def list(self, call, table):
        self.check(call, table)
        options, prefs = call.options, call.prefs
        view = self.service.views.get(table, options.get("$select"), None)
        since = self.since(options["$deltatoken"]) if "$deltatoken" in options else 0
        first, last, until, number = "$deltatoken" not in options, since, None, 1
        if "$skiptoken" in options:
            m = COOKIE.match(options["$skiptoken"])
            if m is None:
                raise ApiError(400, "0x80040203", "Malformed skip token or paging cookie.")
            number, since, last, until = (int(v) for v in m.groups())
        when = self.service.list_moment()
        rows, gone = self.org.rows[table.name].changed_after(last, when)
        if until is None:
            until = max([since] + [r.version for r in rows[-1:]] + [at for _, at in gone])
        page = min(prefs.page or MAX_PAGE, MAX_PAGE)
        rows = [r for r in rows if r.version <= until] if rows and rows[-1].version > until else rows
        more = len(rows) > page
        rows = rows[:page]
        shown = [self.service.renderer.row(view, r, self.org.get, prefs) for r in rows]
        if not more and not first:
            _, gone = self.org.rows[table.name].changed_after(since, when)
            shown += [self.deleted(call, table, id) for id, at in gone if at <= until]
        link = self.next_link(call, number + 1, since, rows[-1].version, until) if more else self.delta_link(call, until)
        return self.answer(call, view, shown, link, more, first)

    @staticmethod
    def deleted(call, table, id):
        return '{"@odata.context":"%s/$metadata#%s/$deletedEntity","id":"%s","reason":"deleted"}' % (
            call.root, table.set_name, id)

    @staticmethod
    def kept(call, *without):
        return "".join("%s&" % p for p in call.query.split("&")
                       if p and unquote(p).partition("=")[0] not in without)

    def next_link(self, call, number, since, last, until):
        cookie = '<cookie pagenumber="%d" since="%d" last="%d" token="%d" istracking="True" />' % (
            number, since, last, until)
        return "%s%s?%s$skiptoken=%s" % (call.root_origin, call.path, self.kept(call, "$skiptoken"),
                                         quote(cookie, safe='="/'))

    def delta_link(self, call, until):
        return "%s%s?%s$deltatoken=%s" % (call.root_origin, call.path, self.kept(call, "$skiptoken", "$deltatoken"),
                                          self.token(until))

    def answer(self, call, view, shown, link, more, first):
        head = '{"@odata.context":"%s/$metadata#%s%s"' % (call.root, view.context(), "" if first else "/$delta")
        name = "nextLink" if more else "deltaLink"
        body = '%s,"value":[%s],"@odata.%s":%s}' % (head, ",".join(shown), name, values.quote(link))
        return Answer(200, body, call.prefs.applied("track", "page"))
