"""The tables of an uncustomised Sales organisation and of Microsoft's connector."""
import itertools
from decimal import Decimal

from .schema import (
    Column, Schema, Table, ACTIVE, ACTIVE_REASON, TRILLION, address, choice, currency_columns, day, flag,
    lookup, memo, merge_columns, moment, money, read_only, state_columns, system_columns, text, whole,
)

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
                 required="ApplicationRequired", cascade="delete",
                 inverse={"account": "opportunity_customer_accounts", "contact": "opportunity_customer_contacts"}))
    t.add(lookup("parentaccountid", "account", inverse="opportunity_parent_account"))
    t.add(lookup("parentcontactid", "contact", inverse="opportunity_parent_contact"))
    t.add(read_only(lookup("accountid", "account", cascade="none")))
    t.add(read_only(lookup("contactid", "contact", cascade="none")))
    t.add(lookup("originatingleadid", "lead", update=False, inverse="opportunity_originating_lead"))
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
    t.add(flag("msft_referralvisibility", False, custom=True, label="Referral Visibility",
               options=[(0, "Not visible"), (1, "Visible to Microsoft sellers")]))
    t.add(memo("msft_audit", custom=True, label="Audit"))
    t.add(text("msft_microsoftcrmidentifier", 100, custom=True, label="Microsoft CRM Identifier"))
    t.add(text("msft_referralprogram", 100, custom=True, label="Referral Program"))
    t.add(text("acme_cosellstatus", 200, custom=True, label="Co-sell Status"))
    t.add(text("acme_cosellproblem", 500, custom=True, label="Co-sell Problem"))
    t.add(text("acme_customermarketplaceintent", 50, custom=True, label="Customer Marketplace Intent"))
    t.add(day("acme_cosellexpires", custom=True, label="Co-sell Expires"))
    t.add(text("acme_microsoftstatus", 100, custom=True, label="Microsoft Status"))
    t.add(text("acme_microsoftreason", 500, custom=True, label="Microsoft Reason"))
    t.add(moment("acme_cosellsynced", custom=True, label="Co-sell Last Sync"))
    t.add(text("acme_cosellexplain", 500, custom=True, label="Co-sell Explanation", format="Url"))
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
    merge_columns(t)
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
    t.add(Column("parentcustomerid", "customer", targets=("account", "contact"), cascade="delete",
                 inverse={"account": "contact_customer_accounts", "contact": "contact_customer_contacts"}))
    merge_columns(t)
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
    merge_columns(t)
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
    t.add(lookup("opportunityid", "opportunity", inverse="Opportunity_OpportunityClose", cascade="delete"))
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
    t.add(read_only(flag("systemmanaged", False)))
    t.add(lookup("teamtemplateid", "teamtemplate"))
    t.add(lookup("regardingobjectid", "opportunity", "lead", "account", "contact", cascade="delete"))
    system_columns(t, owned=False)
    access_teams(schema)

    t = schema.add(Table("businessunit", "businessunits", "businessunitid", "name", otc=10, owned=False))
    t.add(text("name", 160))
    t.add(text("divisionname", 100))
    t.add(flag("isdisabled", False))
    t.add(lookup("parentbusinessunitid", "businessunit"))
    system_columns(t, owned=False)


def access_teams(schema):
    t = schema.add(Table("teamtemplate", "teamtemplates", "teamtemplateid", "teamtemplatename", otc=92,
                         owned=False))
    t.add(text("teamtemplatename", 160))
    t.add(memo("description"))
    t.add(whole("objecttypecode"))
    t.add(whole("defaultaccessrightsmask"))
    t.add(flag("issystem", False))
    system_columns(t, owned=False)

    t = schema.add(Table("teammembership", "teammemberships", "teammembershipid", None, otc=23, owned=False))
    t.add(Column("teamid", "guid", refers="team", cascade="delete"))
    t.add(Column("systemuserid", "guid", refers="systemuser", cascade="delete"))
    t.add(read_only(Column("versionnumber", "bigint")))
    for one, own, other, name in (("team", "teamid", "systemuserid", "systemuser"),
                                  ("systemuser", "systemuserid", "teamid", "team")):
        schema.tables[one].many["teammembership_association"] = (t, own, other, name)


def settings(schema):
    t = schema.add(Table("organization", "organizations", "organizationid", "name", otc=1019, owned=False))
    t.add(text("name", 160))
    t.add(whole("languagecode"))
    t.add(whole("localeid"))
    t.add(lookup("basecurrencyid", "transactioncurrency", cascade="restrict"))
    t.add(whole("currencydecimalprecision", 0, 4))
    t.add(whole("expirechangetrackingindays", 0, 365))
    t.add(text("schemanameprefix", 8))
    system_columns(t, owned=False)

    t = schema.add(Table("sdkmessage", "sdkmessages", "sdkmessageid", "name", otc=4606, owned=False))
    t.add(text("name", 256))
    system_columns(t, owned=False)
    t = schema.add(Table("sdkmessagefilter", "sdkmessagefilters", "sdkmessagefilterid", None, otc=4607, owned=False))
    t.add(lookup("sdkmessageid", "sdkmessage"))
    t.add(text("primaryobjecttypecode", 128))
    system_columns(t, owned=False)
    webhooks(schema)


def flows(schema):
    """Processes: old workflows and the cloud flows of solutions."""
    t = schema.add(Table("workflow", "workflows", "workflowid", "name", otc=4703))
    t.add(text("name", 100))
    t.add(choice("category", [(0, "Workflow"), (1, "Dialog"), (2, "Business Rule"), (3, "Action"),
                              (4, "Business Process Flow"), (5, "Modern Flow"), (6, "Desktop Flow")], default=5))
    t.add(choice("type", [(1, "Definition"), (2, "Activation"), (3, "Template")], default=1))
    t.add(text("primaryentity", 128))
    state_columns(t, [(0, "Draft"), (1, "Activated"), (2, "Suspended")],
                  [(1, "Draft", 0), (2, "Activated", 1), (3, "CompanyDLPViolation", 2)])
    system_columns(t)


def webhooks(schema):
    t = schema.add(Table("serviceendpoint", "serviceendpoints", "serviceendpointid", "name", otc=4618, owned=False))
    t.add(text("name", 256))
    t.add(text("url", 4000))
    t.add(choice("contract", [(1, "OneWay"), (2, "Queue"), (7, "Event Hub"), (8, "Webhook")]))
    t.add(choice("authtype", [(4, "WebhookKey"), (5, "HttpHeader"), (6, "HttpQueryString")]))
    t.add(memo("authvalue")).hidden = "null"
    system_columns(t, owned=False)

    t = schema.add(Table("sdkmessageprocessingstep", "sdkmessageprocessingsteps", "sdkmessageprocessingstepid", "name",
                         otc=4608, owned=False))
    t.add(text("name", 256))
    t.add(choice("mode", [(0, "Synchronous"), (1, "Asynchronous")], default=1))
    t.add(choice("stage", [(10, "Pre-validation"), (20, "Pre-operation"), (40, "Post-operation")], default=40))
    t.add(whole("rank", default=1))
    t.add(choice("supporteddeployment", [(0, "Server Only"), (2, "Both")], default=0))
    t.add(flag("asyncautodelete", False))
    t.add(memo("filteringattributes", 100000))
    t.add(memo("description"))
    t.add(lookup("sdkmessageid", "sdkmessage"))
    t.add(lookup("sdkmessagefilterid", "sdkmessagefilter"))
    t.add(lookup("eventhandler", "serviceendpoint", "plugintype", cascade="delete"))
    state_columns(t, [(0, "Enabled"), (1, "Disabled")], [(1, "Enabled", 0), (2, "Disabled", 1)])
    system_columns(t, owned=False)

    t = schema.add(Table("sdkmessageprocessingstepimage", "sdkmessageprocessingstepimages",
                         "sdkmessageprocessingstepimageid", "name", otc=4615, owned=False))
    t.add(text("name", 256))
    t.add(text("entityalias", 256))
    t.add(choice("imagetype", [(0, "PreImage"), (1, "PostImage"), (2, "Both")]))
    t.add(memo("attributes", 100000))
    t.add(text("messagepropertyname", 256))
    t.add(lookup("sdkmessageprocessingstepid", "sdkmessageprocessingstep", cascade="delete"))
    system_columns(t, owned=False)

    t = schema.add(Table("asyncoperation", "asyncoperations", "asyncoperationid", "name", otc=4700, owned=False))
    t.add(text("name", 256))
    t.add(memo("message", 100000))
    t.add(lookup("owningextensionid", "sdkmessageprocessingstep", cascade="none"))
    state_columns(t, [(0, "Ready"), (3, "Completed")], [(0, "Waiting For Resources", 0), (30, "Succeeded", 3),
                                                        (31, "Failed", 3)])
    system_columns(t, owned=False)


def connector(schema):
    """The tables of Microsoft's connector: the catalogue of solutions, and those of an opportunity."""
    t = schema.add(Table("msft_microsoftsolutiondetail", "msft_microsoftsolutiondetails",
                         "msft_microsoftsolutiondetailid", "msft_solutionname", custom=True, otc=10101,
                         schema_name="msft_MicrosoftSolutionDetail"))
    t.add(text("msft_solutionidentifier", 100, schema_name="msft_SolutionIdentifier", label="Solution Identifier",
               required="ApplicationRequired", custom=True))
    t.add(text("msft_solutionname", 200, schema_name="msft_SolutionName", label="Solution Name",
               required="ApplicationRequired", custom=True))
    t.add(text("msft_type", 100, schema_name="msft_Type", label="Type", custom=True))
    t.add(text("msft_publishername", 200, schema_name="msft_PublisherName", label="Publisher Name", custom=True))
    state_columns(t, ACTIVE, ACTIVE_REASON)
    system_columns(t)

    t = schema.add(Table("msft_microsoftsolution", "msft_microsoftsolutions", "msft_microsoftsolutionid",
                         "msft_name", custom=True, otc=10102, schema_name="msft_MicrosoftSolution"))
    t.add(text("msft_name", 200, schema_name="msft_Name", label="Name", custom=True, number=itertools.count(1001)))
    t.add(lookup("msft_opportunityid", "opportunity", schema_name="msft_OpportunityId", label="Opportunity",
                 cascade="delete", inverse="msft_opportunity_microsoftsolutions", custom=True))
    t.add(lookup("msft_solutiondetailid", "msft_microsoftsolutiondetail", schema_name="msft_SolutionDetailId",
                 label="Solution Detail", cascade="restrict", custom=True))
    state_columns(t, ACTIVE, ACTIVE_REASON)
    system_columns(t)


def sales():
    """The schema of an organisation with Dynamics 365 Sales and the co-sell columns."""
    schema = Schema()
    for make in (opportunity, account, contact, lead, opportunityclose, organisation, settings, flows, connector):
        make(schema)
    schema.link()
    return schema
