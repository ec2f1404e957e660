"""Tables and columns: those of an uncustomised Sales organisation, and a way to add more."""
from decimal import Decimal

LOOKUPS = ("lookup", "owner", "customer")
PLAIN = dict(min=None, max=None, precision=None)
TRILLION = Decimal("1000000000000")
BIG_MONEY = Decimal("922337203685477")


class Column:
    """One column. `wire` is its name in a URL or a body, `nav` maps a target table to the name a bind uses."""

    __slots__ = (
        "name", "schema_name", "type", "label", "min", "max", "precision", "precision_source", "labels",
        "states", "targets", "nav", "wire", "create", "update", "required", "default", "inverse",
        "behavior", "custom", "base_of", "format",
    )

    def __init__(self, name, type, **more):
        self.name = name
        self.type = type
        self.schema_name = more.get("schema_name") or name[:1].upper() + name[1:]
        self.label = more.get("label") or name.replace("_", " ").capitalize()
        self.min = more.get("min")
        self.max = more.get("max")
        self.precision = more.get("precision", 2 if type in ("money", "decimal") else None)
        self.precision_source = more.get("precision_source", 2 if type == "money" else None)
        options = more.get("options") or []
        self.labels = {o[0]: o[1] for o in options}
        self.states = {o[0]: o[2] for o in options if len(o) > 2}
        self.targets = list(more.get("targets") or ())
        self.nav = {}
        self.create = more.get("create", True)
        self.update = more.get("update", True)
        self.required = more.get("required", "None")
        self.default = more.get("default")
        self.inverse = more.get("inverse")
        self.custom = more.get("custom", False)
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


class Schema:
    def __init__(self):
        self.tables = {}
        self.sets = {}
        self.version = 1

    def add(self, table):
        self.tables[table.name] = table
        self.sets[table.set_name] = table
        return table

    def link(self):
        """Names the collection side of every look-up that has one."""
        for table in self.tables.values():
            for col in table.columns.values():
                if col.inverse:
                    for target in col.targets:
                        if target in self.tables:
                            self.tables[target].inverses[col.inverse] = (table, col)

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
        table.add(read_only(lookup(name, "systemuser")))
    table.add(read_only(Column("versionnumber", "bigint")))
    if owned:
        table.add(Column("ownerid", "owner", targets=("systemuser", "team"), required="SystemRequired"))
        table.add(read_only(lookup("owninguser", "systemuser")))
        table.add(read_only(lookup("owningteam", "team")))
        table.add(read_only(lookup("owningbusinessunit", "businessunit")))


def currency_columns(table):
    table.add(lookup("transactioncurrencyid", "transactioncurrency", required="ApplicationRequired"))
    table.add(read_only(Column("exchangerate", "decimal", precision=10)))


def state_columns(table, states, statuses):
    table.add(Column("statecode", "state", options=states, create=False, required="SystemRequired"))
    table.add(Column("statuscode", "status", options=statuses))


def address(table, prefix="address1"):
    for part, size in (("line1", 250), ("line2", 250), ("line3", 250), ("city", 80),
                       ("stateorprovince", 50), ("postalcode", 20), ("country", 80), ("county", 50)):
        table.add(text("%s_%s" % (prefix, part), size))
    table.add(text(prefix + "_telephone1", 50))


ACTIVE = [(0, "Active"), (1, "Inactive")]
ACTIVE_REASON = [(1, "Active", 0), (2, "Inactive", 1)]
HELP = [
    (861980000, "Workload Specific Value Proposition"),
    (861980001, "Customer Technical Architecture"),
    (861980002, "Proof Of Concept Or Demo"),
    (861980003, "Quotes Or Licensing"),
    (861980004, "Post Sales Customer Success"),
    (861980005, "General Or Other"),
]


def opportunity(schema):
    t = schema.add(Table("opportunity", "opportunities", "opportunityid", "name", otc=3,
                         closed_read_only=True, derive=derive_opportunity))
    t.add(text("name", 300, required="ApplicationRequired"))
    t.add(memo("description"))
    t.add(Column("customerid", "customer", targets=("account", "contact"),
                 required="ApplicationRequired", inverse="opportunity_customer_accounts"))
    t.add(lookup("parentaccountid", "account", inverse="opportunity_parent_account"))
    t.add(lookup("parentcontactid", "contact", inverse="opportunity_parent_contact"))
    t.add(read_only(lookup("accountid", "account")))
    t.add(read_only(lookup("contactid", "contact")))
    t.add(lookup("originatingleadid", "lead", update=False))
    t.add(money("estimatedvalue", -TRILLION, TRILLION))
    for name in ("actualvalue", "budgetamount", "freightamount"):
        t.add(money(name, -TRILLION, TRILLION))
    t.add(money("discountamount", Decimal(0), TRILLION))
    for name in ("totalamount", "totallineitemamount", "totaltax"):
        t.add(read_only(money(name)))
    t.add(flag("isrevenuesystemcalculated", False))
    for name in ("estimatedclosedate", "actualclosedate", "finaldecisiondate"):
        t.add(day(name))
    t.add(whole("closeprobability", 0, 100))
    t.add(choice("opportunityratingcode", [(1, "Hot"), (2, "Warm"), (3, "Cold")], default=2))
    t.add(choice("salesstage", [(0, "Qualify"), (1, "Develop"), (2, "Propose"), (3, "Close")], default=0))
    t.add(text("stepname", 200))
    t.add(choice("msdyn_forecastcategory", [
        (100000001, "Pipeline"), (100000002, "Best case"), (100000003, "Committed"),
        (100000004, "Omitted"), (100000005, "Won"), (100000006, "Lost")], default=100000001))
    t.add(choice("purchasetimeframe", [(0, "Immediate"), (1, "This Quarter"), (2, "Next Quarter"),
                                       (3, "This Year"), (4, "Unknown")]))
    t.add(choice("budgetstatus", [(0, "No Committed Budget"), (1, "May Buy"), (2, "Can Buy"),
                                  (3, "Will Buy")]))
    t.add(choice("need", [(0, "Must have"), (1, "Should have"), (2, "Good to have"), (3, "No need")]))
    t.add(text("emailaddress", 100))
    for name in ("currentsituation", "customerneed", "proposedsolution", "qualificationcomments"):
        t.add(memo(name))
    state_columns(t, [(0, "Open"), (1, "Won"), (2, "Lost")], [
        (1, "In Progress", 0), (2, "On Hold", 0), (3, "Won", 1), (4, "Canceled", 2), (5, "Out-Sold", 2)])
    currency_columns(t)
    t.add(flag("msft_syncwithpartnercenter", False, custom=True, label="Sync With Partner Center"))
    t.add(text("msft_referralidentifier", 100, custom=True, label="Referral Identifier"))
    t.add(text("msft_referrallink", 500, custom=True, label="Referral Link", format="Url"))
    t.add(choice("msft_howcanmicrosofthelp", HELP, custom=True, label="How Can Microsoft Help"))
    t.add(flag("msft_referralvisibility", False, custom=True, label="Referral Visibility"))
    t.add(memo("msft_audit", custom=True, label="Audit"))
    t.add(text("msft_microsoftcrmidentifier", 100, custom=True, label="Microsoft CRM Identifier"))
    t.add(text("msft_referralprogram", 100, custom=True, label="Referral Program"))
    t.add(text("acme_cosellstatus", 200, custom=True, label="Co-sell Status"))
    t.add(text("acme_cosellproblem", 500, custom=True, label="Co-sell Problem"))
    system_columns(t)


def derive_opportunity(vals, changed):
    """The potential customer follows account and contact unless it was sent itself."""
    if "customerid" not in changed and ("parentaccountid" in changed or "parentcontactid" in changed):
        for column, target in (("parentaccountid", "account"), ("parentcontactid", "contact")):
            if column in vals:
                vals["customerid"], vals["customerid@"] = vals[column], target
                break
        else:
            vals.pop("customerid", None)
            vals.pop("customerid@", None)
    for column, target in (("accountid", "account"), ("contactid", "contact")):
        if vals.get("customerid@") == target:
            vals[column] = vals["customerid"]
        else:
            vals.pop(column, None)
    return ("customerid", "accountid", "contactid")


def derive_fullname(vals, changed):
    full = " ".join(p for p in (vals.get("firstname"), vals.get("lastname")) if p)
    if full:
        vals["fullname"] = full
    else:
        vals.pop("fullname", None)
    return ("fullname",)


def account(schema):
    t = schema.add(Table("account", "accounts", "accountid", "name", otc=1))
    t.add(text("name", 160, required="ApplicationRequired"))
    t.add(text("accountnumber", 20))
    t.add(text("telephone1", 50))
    t.add(text("emailaddress1", 100, format="Email"))
    t.add(text("websiteurl", 200, format="Url"))
    t.add(memo("description"))
    address(t)
    t.add(money("revenue", Decimal(0), Decimal("100000000000000")))
    t.add(money("creditlimit", Decimal(0), Decimal("100000000000000")))
    t.add(whole("numberofemployees", 0, 1000000000))
    t.add(lookup("primarycontactid", "contact", inverse="account_primary_contact"))
    t.add(lookup("parentaccountid", "account", inverse="account_parent_account"))
    t.add(choice("industrycode", [(i, label) for i, label in enumerate((
        "Accounting", "Agriculture and Non-petrol Natural Resource Extraction",
        "Broadcasting Printing and Publishing", "Brokers", "Building Supply Retail", "Business Services",
        "Consulting", "Consumer Services", "Design, Direction and Creative Management"), 1)]))
    state_columns(t, ACTIVE, ACTIVE_REASON)
    currency_columns(t)
    system_columns(t)


def contact(schema):
    t = schema.add(Table("contact", "contacts", "contactid", "fullname", otc=2, derive=derive_fullname))
    t.add(text("firstname", 50))
    t.add(text("lastname", 50, required="ApplicationRequired"))
    t.add(read_only(text("fullname", 160)))
    t.add(text("emailaddress1", 100, format="Email"))
    t.add(text("telephone1", 50))
    t.add(text("mobilephone", 50))
    t.add(text("jobtitle", 100))
    t.add(memo("description"))
    address(t)
    t.add(Column("parentcustomerid", "customer", targets=("account", "contact"),
                 inverse="contact_customer_accounts"))
    state_columns(t, ACTIVE, ACTIVE_REASON)
    currency_columns(t)
    system_columns(t)


def lead(schema):
    t = schema.add(Table("lead", "leads", "leadid", "fullname", otc=4, closed_read_only=True,
                         derive=derive_fullname))
    t.add(text("subject", 300, required="ApplicationRequired"))
    t.add(text("firstname", 50))
    t.add(text("lastname", 50, required="ApplicationRequired"))
    t.add(read_only(text("fullname", 160)))
    for name, size in (("companyname", 100), ("jobtitle", 100), ("emailaddress1", 100),
                       ("telephone1", 50), ("mobilephone", 20), ("websiteurl", 200)):
        t.add(text(name, size))
    address(t)
    t.add(memo("description"))
    t.add(money("estimatedamount", Decimal(0), TRILLION))
    t.add(Column("estimatedvalue", "double"))
    t.add(day("estimatedclosedate"))
    t.add(money("budgetamount", Decimal(0), TRILLION))
    t.add(money("revenue", Decimal(0), TRILLION))
    t.add(choice("leadsourcecode", [(1, "Advertisement"), (2, "Employee Referral"),
                                    (3, "External Referral"), (4, "Partner"), (5, "Public Relations"),
                                    (6, "Seminar"), (7, "Trade Show"), (8, "Web"), (9, "Word of Mouth"),
                                    (10, "Other")]))
    t.add(choice("leadqualitycode", [(1, "Hot"), (2, "Warm"), (3, "Cold")], default=2))
    t.add(choice("industrycode", [(1, "Accounting"), (6, "Business Services"), (7, "Consulting")]))
    t.add(whole("numberofemployees", 0, 1000000))
    t.add(lookup("parentaccountid", "account"))
    t.add(lookup("parentcontactid", "contact"))
    t.add(Column("customerid", "customer", targets=("account", "contact")))
    t.add(lookup("qualifyingopportunityid", "opportunity"))
    state_columns(t, [(0, "Open"), (1, "Qualified"), (2, "Disqualified")], [
        (1, "New", 0), (2, "Contacted", 0), (3, "Qualified", 1), (4, "Lost", 2), (5, "Cannot Contact", 2),
        (6, "No Longer Interested", 2), (7, "Canceled", 2)])
    currency_columns(t)
    system_columns(t)


def opportunityclose(schema):
    t = schema.add(Table("opportunityclose", "opportunitycloses", "activityid", "subject", otc=4208))
    t.add(text("subject", 200))
    t.add(memo("description"))
    t.add(money("actualrevenue", -TRILLION, TRILLION))
    t.add(moment("actualend"))
    t.add(lookup("opportunityid", "opportunity", inverse="Opportunity_OpportunityClose"))
    t.add(lookup("competitorid", "competitor"))
    state_columns(t, [(0, "Open"), (1, "Completed"), (2, "Canceled")],
                  [(1, "Open", 0), (2, "Completed", 1), (3, "Canceled", 2)])
    currency_columns(t)
    system_columns(t)


def organisation(schema):
    t = schema.add(Table("transactioncurrency", "transactioncurrencies", "transactioncurrencyid",
                         "currencyname", otc=9105, owned=False))
    t.add(text("currencyname", 100))
    t.add(text("isocurrencycode", 5))
    t.add(text("currencysymbol", 13))
    t.add(whole("currencyprecision", 0, 4))
    t.add(Column("exchangerate", "decimal", precision=10, min="0.0000000001"))
    state_columns(t, ACTIVE, ACTIVE_REASON)
    system_columns(t, owned=False)

    t = schema.add(Table("systemuser", "systemusers", "systemuserid", "fullname", otc=8, owned=False,
                         derive=derive_fullname))
    for name, size in (("firstname", 64), ("lastname", 64), ("internalemailaddress", 100),
                       ("domainname", 1024), ("title", 128), ("address1_telephone1", 64),
                       ("mobilephone", 64)):
        t.add(text(name, size))
    t.add(read_only(text("fullname", 200)))
    t.add(flag("isdisabled", False, update=False))
    t.add(Column("applicationid", "guid"))
    t.add(Column("azureactivedirectoryobjectid", "guid"))
    t.add(choice("accessmode", [(0, "Read-Write"), (1, "Administrative"), (2, "Read"),
                                (3, "Support User"), (4, "Non-interactive")], default=0))
    t.add(lookup("businessunitid", "businessunit"))
    t.add(lookup("transactioncurrencyid", "transactioncurrency"))
    system_columns(t, owned=False)

    t = schema.add(Table("team", "teams", "teamid", "name", otc=9, owned=False))
    t.add(text("name", 160))
    t.add(memo("description"))
    t.add(text("emailaddress", 100))
    t.add(choice("teamtype", [(0, "Owner"), (1, "Access"), (2, "Security Group"), (3, "Office Group")],
                 default=0))
    t.add(lookup("administratorid", "systemuser"))
    t.add(lookup("businessunitid", "businessunit"))
    system_columns(t, owned=False)

    t = schema.add(Table("businessunit", "businessunits", "businessunitid", "name", otc=10, owned=False))
    t.add(text("name", 160))
    t.add(text("divisionname", 100))
    t.add(flag("isdisabled", False))
    t.add(lookup("parentbusinessunitid", "businessunit"))
    system_columns(t, owned=False)


def sales():
    """The schema of an organisation with Dynamics 365 Sales and the co-sell columns."""
    schema = Schema()
    for make in (opportunity, account, contact, lead, opportunityclose, organisation):
        make(schema)
    schema.link()
    return schema


TYPES = {
    "text", "memo", "boolean", "int", "bigint", "decimal", "money", "double", "choice", "multichoice",
    "datetime", "date", "lookup", "customer", "guid",
}
OPTIONS = {"max", "min", "precision", "precision_source", "options", "targets", "label", "schema_name",
           "create", "update", "required", "default", "inverse", "behavior", "format"}


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
        more["options"] = [tuple(o.values()) if isinstance(o, dict) else tuple(o) for o in more["options"]]
    if kind in ("choice", "multichoice") and not more.get("options"):
        raise ValueError("choice column %s needs options" % name)
    if kind in LOOKUPS and not more.get("targets"):
        raise ValueError("look-up column %s needs targets" % name)
    return Column(name.lower(), kind, custom=True, **{"schema_name": name, **more})


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
